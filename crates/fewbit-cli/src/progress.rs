//! Progress of a run on stderr: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use fewbit_burn::train::{Event, Row};
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::say;

/// Seconds between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows what a run does.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    began: Instant,
    first_step: Option<u64>,
    last_line: Instant,
}

impl Progress {
    /// Progress of a run of `total` steps.
    pub(crate) fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:42} {wide_bar} {pos}/{len} steps, {eta} left");
            ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let now = Instant::now();
        Self { bar, total, began: now, first_step: None, last_line: now }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Resumed { step, damaged, differences } => {
                for fault in *damaged {
                    self.line(&format!("warning: {fault}; going back to the one before"));
                }
                for difference in *differences {
                    self.line(&format!("warning: {difference}"));
                }
                match step {
                    None => self.line("no checkpoint yet, starting at step 0"),
                    Some(step) => self.line(&format!("resumed at step {step}")),
                }
            }
            Event::RolledBack { cause, step, rate_factor } => {
                self.line(&format!("warning: {cause}"));
                self.line(&format!("back at step {step}, with learning rates times {rate_factor}"));
            }
            Event::Row(Row::Step { step, phase, loss, soft_bytes, .. }) => {
                let size =
                    soft_bytes.map(|bytes| format!(", {} bytes", crate::report::grouped(bytes as u64)));
                self.step(*step, phase, &format!("loss {loss:.4}{}", size.unwrap_or_default()));
            }
            Event::Row(Row::Evaluation { step, phase, metric, value, bytes, mean_bits, .. }) => {
                let value = crate::report::metric::with_unit(metric, *value);
                let size = match phase.as_str() {
                    "float" => String::new(),
                    _ => format!(", {mean_bits:.2} bits, {} bytes", crate::report::grouped(*bytes)),
                };
                let phase = phase_name(phase);
                self.line(&format!("step {step:>6} {phase:<8} validation {value}{size}"));
            }
            _ => {}
        }
    }

    fn step(&mut self, step: u64, phase: &str, state: &str) {
        let first = *self.first_step.get_or_insert(step);
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(format!("{} {state}", phase_name(phase)));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            let done = step.saturating_sub(first).max(1) as f64;
            let left = self.began.elapsed().as_secs_f64() / done * (self.total - step) as f64;
            let phase = phase_name(phase);
            self.line(&format!("step {step:>6}/{} {phase:<8} {state}, {left:.0} s left", self.total));
            self.last_line = Instant::now();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => say(format_args!("{text}")),
        }
    }

    /// Leaves the terminal clean.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A phase in one word.
fn phase_name(phase: &str) -> &str {
    if phase == "straight_through" { "rounding" } else { phase }
}
