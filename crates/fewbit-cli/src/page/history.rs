//! What `metrics.jsonl` says of the course of a run, thinned to what a plot can show.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use fewbit_burn::train::{METRICS_FILE, ResultRow, Row};

/// Points of a curve at most.
const POINTS: usize = 400;

/// A value of each step that has one.
pub(super) type Curve = Vec<(f64, f64)>;

/// The course of a run.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The loss, as the mean of a few steps where there are many.
    pub(super) loss: Curve,
    /// λ, where it is found while training.
    pub(super) penalty: Curve,
    /// The estimated bytes of the file, where it has a budget.
    pub(super) bytes: Curve,
    /// Steps at which a phase begins, in order.
    pub(super) phases: Vec<(f64, String)>,
    /// The metric on the validation split.
    pub(super) validation: Curve,
    /// Bytes and metric of each evaluation after the float steps.
    pub(super) evaluated: Vec<(f64, f64)>,
    /// Steps done.
    pub(super) steps: u64,
    /// The rows of the result table.
    pub(super) results: Vec<ResultRow>,
}

impl History {
    /// The course of the run in the folder `run`. A line that is no row is left out.
    pub(super) fn read(run: &Path) -> io::Result<Self> {
        let file = match File::open(run.join(METRICS_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        Self::of(BufReader::new(file))
    }

    fn of(reader: impl BufRead) -> io::Result<Self> {
        let mut history = Self::default();
        for line in reader.split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(Row::Step { step, phase, loss, penalty, soft_bytes, .. }) => {
                    let at = step as f64;
                    history.steps = step;
                    history.loss.push((at, loss));
                    history.penalty.extend(penalty.map(|penalty| (at, penalty)));
                    history.bytes.extend(soft_bytes.map(|bytes| (at, bytes)));
                    if history.phases.last().is_none_or(|(_, last)| *last != phase) {
                        history.phases.push((at - 1.0, phase));
                    }
                }
                Ok(Row::Evaluation { step, phase, value, bytes, .. }) => {
                    history.validation.push((step as f64, value));
                    if phase != "float" {
                        history.evaluated.push((bytes as f64, value));
                    }
                }
                Ok(Row::Result(row)) => history.results.push(row),
                _ => {}
            }
        }
        for curve in [&mut history.loss, &mut history.penalty, &mut history.bytes] {
            *curve = thinned(curve);
        }
        Ok(history)
    }
}

/// Means of neighbours, so many that [`POINTS`] are left.
fn thinned(curve: &[(f64, f64)]) -> Curve {
    let run = curve.len().div_ceil(POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    curve.chunks(run).map(mean).filter(|point| point.1.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_begin_where_their_first_step_does_and_curves_are_thinned() {
        let step = |step: u64, phase: &str| {
            format!(r#"{{"event":"step","step":{step},"phase":"{phase}","loss":{step}.0,"seconds":1.0}}"#)
        };
        let lines: Vec<String> =
            (1..=2000).map(|at| step(at, if at <= 1500 { "float" } else { "noise" })).collect();
        let history = History::of((lines.join("\n") + "\n{cut").as_bytes()).unwrap();
        assert_eq!(history.phases, [(0.0, "float".to_owned()), (1500.0, "noise".to_owned())]);
        assert_eq!(history.loss.len(), POINTS);
        assert_eq!(history.loss[0], (3.0, 3.0));
        assert_eq!(history.steps, 2000);
    }
}
