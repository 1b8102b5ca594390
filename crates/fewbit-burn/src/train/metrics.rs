//! The rows of `metrics.jsonl`.

use serde::{Deserialize, Serialize};

use super::metric::Metric;
use super::task::Split;

/// One line of `metrics.jsonl`: one per step, one per evaluation, one for each result at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Row {
    /// An optimizer step.
    Step {
        /// Steps done, this one included.
        step: u64,
        /// `float`, `noise` or `straight_through`.
        phase: String,
        /// The task's loss, without the penalty.
        loss: f64,
        /// The λ of the step, where it is found while training.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        penalty: Option<f64>,
        /// The estimated length of the file, where it has a budget.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soft_bytes: Option<f64>,
        /// Seconds since the run began, pauses left out.
        seconds: f64,
    },
    /// An evaluation on the state that would be exported now.
    Evaluation {
        /// Steps done.
        step: u64,
        /// `float`, `noise` or `straight_through`.
        phase: String,
        /// Which records.
        split: Split,
        /// What was measured.
        #[serde(flatten)]
        metric: Metric,
        /// Its value.
        value: f64,
        /// Length of the file that would be written now.
        bytes: u64,
        /// Mean bits of the quantized weights; 32 in float training.
        mean_bits: f64,
        /// The differentiable size, in bytes; none in float training.
        soft_bytes: Option<f64>,
        /// Seconds since the run began, pauses left out.
        seconds: f64,
    },
    /// A number stopped being one, and the run went on from its last checkpoint.
    RollBack {
        /// The step that it goes on from.
        step: u64,
        /// What was wrong.
        cause: String,
        /// What learning rates are multiplied with from here on.
        rate_factor: f64,
    },
    /// A row of the result table, on the test records.
    Result(ResultRow),
}

/// How a file was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// No quantization.
    Float,
    /// The float network rounded to one width, smallest to largest weight.
    #[serde(rename = "ptq-minmax", alias = "rounded_after_training", alias = "rounded-after-training")]
    RoundedAfterTraining,
    /// The float network rounded to one width with the least squared error.
    #[serde(rename = "ptq-mse", alias = "nearest-after-training")]
    NearestAfterTraining,
    /// Learned steps under a penalty on coded bytes.
    Fewbit,
    /// Learned widths.
    Diffq,
    /// One width, learned steps.
    Lsq,
    /// One width, rounding in training.
    Qat,
    /// One width, rounding of a share of the weights in training.
    QuantNoise,
}

impl Method {
    /// As it is printed.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::RoundedAfterTraining => "rounded after training",
            Self::NearestAfterTraining => "rounded, least error",
            Self::Fewbit => "fewbit",
            Self::Diffq => "DiffQ",
            Self::Lsq => "LSQ",
            Self::Qat => "QAT",
            Self::QuantNoise => "Quant-Noise",
        }
    }
}

impl Method {
    /// The name of a method in results.
    pub(crate) fn of(method: &dyn fewbit::Method) -> Self {
        let name = serde_json::Value::String(method.name().to_owned());
        serde_json::from_value(name).expect("every method has a name in results")
    }
}

/// One method's file and its score on the test records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultRow {
    /// Steps done.
    pub step: u64,
    /// How the file was made.
    pub method: Method,
    /// What was measured.
    #[serde(flatten)]
    pub metric: Metric,
    /// Its value.
    pub value: f64,
    /// Length of the file.
    pub bytes: u64,
    /// 4 × every stored value.
    pub float_bytes: u64,
    /// Mean bits of the quantized weights.
    pub mean_bits: f64,
    /// Chance of a difference from the run's method at least this large if neither were better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// Seconds since the run began, pauses left out.
    pub seconds: f64,
}

impl Row {
    /// The row as a line of JSON, with its newline.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a row holds what JSON can hold");
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_written_and_read_again_is_equal() {
        let evaluation = Row::Evaluation {
            step: 7,
            phase: "noise".to_owned(),
            split: Split::Validation,
            metric: Metric::accuracy(),
            value: 0.1 + 0.2,
            bytes: u64::MAX,
            mean_bits: 3.25,
            soft_bytes: None,
            seconds: 1e-9,
        };
        let line = evaluation.to_line();
        assert_eq!(serde_json::from_slice::<Row>(&line).unwrap(), evaluation);
        let text = String::from_utf8(line).unwrap();
        assert!(
            text.contains(r#""metric":"accuracy","direction":"larger_is_better","unit":"share""#),
            "{text}"
        );
    }
}
