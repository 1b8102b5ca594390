//! What `metrics.jsonl` says about a run: steps done, the time they took, results.

use std::io::{self, BufRead};

use fewbit_burn::train::{ResultRow, Row};

/// Steps at the start of a phase that touch every page for the first time, and say little about those that follow.
const UNMEASURED_STEPS: u64 = 2;

/// The rows of a run that matter to others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    /// Steps done.
    pub(crate) step: u64,
    /// The time of each phase that was begun, in order.
    pub(crate) spans: Vec<Span>,
    /// The result rows at the end; none of a run that is not finished.
    pub(crate) results: Vec<ResultRow>,
}

/// Steps of one phase and their time, evaluations and checkpoints between them included.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    /// As the metrics call it.
    pub(crate) phase: String,
    rows: u64,
    first: (u64, f64),
    last: (u64, f64),
}

impl Metrics {
    /// The rows of `reader`. A line that is none is left out: the last may be cut, and others of a newer version.
    pub(crate) fn read(reader: impl BufRead) -> io::Result<Self> {
        let mut metrics = Self::default();
        for line in reader.split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(Row::Step { step, phase, seconds, .. }) => metrics.add_step(step, phase, seconds),
                Ok(Row::Result(row)) => metrics.results.push(row),
                _ => {}
            }
        }
        Ok(metrics)
    }

    /// Seconds between the last step and the last result, where there is one.
    pub(crate) fn seconds_of_results(&self) -> Option<f64> {
        // A run may have no steps: rounding a checkpoint takes none.
        let steps_ended = self.spans.last().map_or(0.0, |span| span.last.1);
        Some(self.results.last()?.seconds - steps_ended).filter(|seconds| *seconds >= 0.0)
    }

    fn add_step(&mut self, step: u64, phase: String, seconds: f64) {
        self.step = step;
        // Results that are followed by a step are not those of the end.
        self.results.clear();
        let at = (step, seconds);
        match self.spans.last_mut() {
            Some(span) if span.phase == phase => {
                if span.rows < UNMEASURED_STEPS {
                    span.first = at;
                }
                span.rows += 1;
                span.last = at;
            }
            _ => self.spans.push(Span { phase, rows: 1, first: at, last: at }),
        }
    }
}

impl Span {
    /// Steps that count, and their seconds.
    pub(crate) fn timed(&self) -> (u64, f64) {
        (self.last.0.saturating_sub(self.first.0), (self.last.1 - self.first.1).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, phase: &str, seconds: f64) -> String {
        format!(r#"{{"event":"step","step":{step},"phase":"{phase}","loss":1.0,"seconds":{seconds}}}"#)
    }

    const RESULT: &str = r#"{"event":"result","step":4,"method":"float","metric":"accuracy","value":0.5,"bytes":10,"float_bytes":40,"mean_bits":32.0,"seconds":9.0}"#;

    fn read(lines: &[String]) -> Metrics {
        Metrics::read(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_phase_is_timed_from_its_second_step_to_its_last() {
        // Steps 2 to 4 take 2 s in all; the first took 7.
        let seconds = [7.0, 8.0, 9.5, 10.0];
        let mut lines: Vec<_> = (1..).zip(seconds).map(|(i, at)| step(i, "float", at)).collect();
        lines.push(step(5, "noise", 12.0));
        let metrics = read(&lines);
        assert_eq!(metrics.step, 5);
        let spans: Vec<_> = metrics.spans.iter().map(|span| (span.phase.as_str(), span.timed())).collect();
        assert_eq!(spans, [("float", (2, 2.0)), ("noise", (0, 0.0))]);
    }

    #[test]
    fn lines_that_are_no_rows_are_left_out() {
        let cut = RESULT[..RESULT.len() / 2].to_owned();
        let other = r#"{"event":"newer","step":1}"#.to_owned();
        let metrics = read(&[step(4, "float", 1.0), other, RESULT.to_owned(), cut]);
        assert_eq!((metrics.step, metrics.results.len()), (4, 1));
        assert_eq!(metrics.seconds_of_results(), Some(8.0));
        assert_eq!(Metrics::read(&b"\xff\xfe\n\n"[..]).unwrap(), Metrics::default());
    }

    #[test]
    fn a_step_after_results_takes_them_back() {
        let metrics = read(&[RESULT.to_owned(), step(5, "noise", 2.0)]);
        assert!(metrics.results.is_empty());
        assert_eq!(metrics.seconds_of_results(), None);
    }
}
