//! What a score means: the metric's name, which way is better, and its unit.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Which of two values of a metric is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The larger one, as of an accuracy.
    LargerIsBetter,
    /// The smaller one, as of an error.
    SmallerIsBetter,
}

/// What a task's evaluation measures.
///
/// A row of `metrics.jsonl` holds it as `metric` (the name), `direction` and `unit`; tables, plots and reports read all three
/// from there.
///
/// ```
/// use fewbit_burn::train::{Direction, Metric};
/// let error = Metric::new("rmse", Direction::SmallerIsBetter).with_unit("mm");
/// assert!(error.is_better(1.5, 2.0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row")]
#[non_exhaustive]
pub struct Metric {
    /// The word used in rows and results, in snake case.
    #[serde(rename = "metric")]
    pub name: Cow<'static, str>,
    /// Which way is better.
    pub direction: Direction,
    /// The unit of the value; empty where it has none or the name says it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub unit: Cow<'static, str>,
}

impl Metric {
    /// The unit of a share, `0..=1`, which reports print as a percentage.
    pub const SHARE: &str = "share";

    /// A metric without a unit.
    pub fn new(name: impl Into<Cow<'static, str>>, direction: Direction) -> Self {
        Self { name: name.into(), direction, unit: Cow::Borrowed("") }
    }

    /// The share of records that are classified correctly.
    pub fn accuracy() -> Self {
        Self::new("accuracy", Direction::LargerIsBetter).with_unit(Self::SHARE)
    }

    /// The same metric with a unit.
    #[must_use]
    pub fn with_unit(self, unit: impl Into<Cow<'static, str>>) -> Self {
        Self { unit: unit.into(), ..self }
    }

    /// Whether `value` is better than `other`; a NaN is never better.
    pub fn is_better(&self, value: f64, other: f64) -> bool {
        match self.direction {
            Direction::LargerIsBetter => value > other,
            Direction::SmallerIsBetter => value < other,
        }
    }
}

/// A metric as a row holds it. Rows written before direction and unit were part of them hold the name alone.
#[derive(Deserialize)]
struct Row {
    metric: String,
    direction: Option<Direction>,
    unit: Option<String>,
}

impl From<Row> for Metric {
    fn from(row: Row) -> Self {
        let Some(direction) = row.direction else {
            return match row.metric.as_str() {
                "accuracy" => Self::accuracy(),
                "bits_per_byte" | "perplexity" => Self::new(row.metric, Direction::SmallerIsBetter),
                "sdr_db" => Self::new(row.metric, Direction::LargerIsBetter).with_unit("dB"),
                _ => Self::new(row.metric, Direction::LargerIsBetter),
            };
        };
        Self::new(row.metric, direction).with_unit(row.unit.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_written_and_read_again_is_equal() {
        for metric in [
            Metric::accuracy(),
            Metric::new("perplexity", Direction::SmallerIsBetter),
            Metric::new("rmse", Direction::SmallerIsBetter).with_unit("mm"),
        ] {
            let text = serde_json::to_string(&metric).unwrap();
            assert_eq!(serde_json::from_str::<Metric>(&text).unwrap(), metric, "{text}");
        }
    }

    #[test]
    fn the_better_value_follows_the_direction_and_is_never_nan() {
        let [larger, smaller] =
            [Direction::LargerIsBetter, Direction::SmallerIsBetter].map(|way| Metric::new("m", way));
        assert!(larger.is_better(2.0, 1.0) && !larger.is_better(1.0, 1.0));
        assert!(smaller.is_better(1.0, 2.0) && !smaller.is_better(2.0, 1.0));
        assert!(!larger.is_better(f64::NAN, 1.0) && !smaller.is_better(f64::NAN, 1.0));
    }

    #[test]
    fn a_row_that_holds_only_a_name_keeps_its_meaning() {
        let metric = serde_json::from_str::<Metric>(r#"{"metric":"perplexity"}"#).unwrap();
        assert_eq!(metric.direction, Direction::SmallerIsBetter);
        assert_eq!(serde_json::from_str::<Metric>(r#"{"metric":"accuracy"}"#).unwrap(), Metric::accuracy());
    }
}
