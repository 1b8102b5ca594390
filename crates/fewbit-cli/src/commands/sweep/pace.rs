//! Seconds per step of a run that has not been made, from runs that have, or from a few steps made for it.

use std::path::Path;
use std::time::{Duration, Instant};

use fewbit_zoo::recipe::Recipe;

use super::child::{End, Launch, Log};
use super::plan::Planned;
use super::start::Start;
use crate::failure::Failure;
use crate::runs::{Metrics, Run, Settings, Span};

/// What the metrics call the phase whose steps cost less than all others.
const FLOAT: &str = "float";
/// Steps of each phase that are made to time them, two of which do not count.
const TIMED_STEPS: usize = 9;
/// Longest wait for them.
const LONGEST: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// No step of those that are timed.
const NEVER: usize = 1 << 30;

/// The settings that decide what a step costs, or that begin the keys of such settings.
const COSTLY: [&str; 10] = [
    "data.",
    "model.",
    "quantization.method",
    "quantization.granularity",
    "quantization.group_size",
    "training.batch_size",
    "training.context",
    "training.distillation",
    "training.label_smoothing",
    "training.optimizer",
];

/// Mean seconds of a step, by phase, and of what follows the last; `None` where nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    float: Option<f64>,
    quantized: Option<f64>,
    results: Option<f64>,
}

/// The steps of each phase that a run has left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StepsLeft {
    pub(super) float: u64,
    pub(super) quantized: u64,
}

impl StepsLeft {
    /// Of a run of `recipe` with `done` steps done.
    pub(super) fn of(recipe: &Recipe, done: u64) -> Self {
        let config = recipe.train_config();
        let float = config.float_steps.saturating_sub(done);
        Self { float, quantized: config.total_steps().saturating_sub(done.max(config.float_steps)) }
    }

    pub(super) fn all(self) -> u64 {
        self.float + self.quantized
    }
}

impl Pace {
    /// The mean over runs, each step counting the same.
    pub(super) fn mean<'a>(runs: impl Iterator<Item = &'a Metrics> + Clone) -> Self {
        let phase = |is_float: bool| {
            let spans = runs.clone().flat_map(|metrics| &metrics.spans);
            let timed = spans.filter(|span| (span.phase == FLOAT) == is_float).map(Span::timed);
            let (steps, seconds) = timed.fold((0, 0.0), |all, span| (all.0 + span.0, all.1 + span.1));
            (steps > 0).then(|| seconds / steps as f64)
        };
        let results: Vec<f64> = runs.clone().filter_map(Metrics::seconds_of_results).collect();
        let results = (!results.is_empty()).then(|| results.iter().sum::<f64>() / results.len() as f64);
        Self { float: phase(true), quantized: phase(false), results }
    }

    /// This, and from `other` what is not known here.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            float: self.float.or(other.float),
            quantized: self.quantized.or(other.quantized),
            results: self.results.or(other.results),
        }
    }

    /// The seconds of these steps and of the results, if those are known; `None` where the pace of a phase is not.
    pub(super) fn seconds(self, left: StepsLeft) -> Option<f64> {
        let phase = |steps: u64, pace: Option<f64>| match steps {
            0 => Some(0.0),
            steps => pace.map(|pace| pace * steps as f64),
        };
        let steps = phase(left.float, self.float)? + phase(left.quantized, self.quantized)?;
        Some(steps + self.results.unwrap_or_default())
    }
}

/// What decides the cost of a step of `recipe`: runs that agree in it have one pace.
pub(super) fn cost_of(settings: &Settings) -> Settings {
    settings.only(|key| COSTLY.iter().any(|costly| key.starts_with(costly)))
}

/// Every run in `folder` that can be read.
pub(super) fn runs_in(folder: &Path) -> Vec<Run> {
    let found = crate::runs::find(&[folder.to_owned()]).unwrap_or_default();
    found.iter().filter_map(|path| Run::read(path).ok()).collect()
}

/// The pace of `run`, from its first steps, made alone in a folder that goes away.
pub(super) fn time(run: &Planned, launch: &Launch, start: &Start) -> Result<Pace, Failure> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("run");
    let short = Planned {
        name: run.name.clone(),
        path: folder.clone(),
        recipe: shortened(&run.recipe),
        state: super::plan::State::New,
    };
    short.make_folder(&folder, start)?;
    let Some(log) = Log::take(&scratch.path().join("log"))? else { return Ok(Pace::default()) };
    let enough = StepsLeft::of(&short.recipe, 0);
    let enough = enough.float + enough.quantized.min(TIMED_STEPS as u64);
    let mut child = launch.start(&folder, log)?;
    let began = Instant::now();
    let end = loop {
        let end = child.end()?;
        if end.is_some() || steps_in(&folder) >= enough || began.elapsed() > LONGEST {
            break end;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    child.kill();
    let pace = Pace::mean(std::iter::once(&Run::read(&folder)?.metrics));
    match end {
        Some(End::Failed(reason)) => {
            Err(Failure::new(format!("run `{}` fails in its first steps: {reason}", run.name)))
        }
        _ => Ok(pace),
    }
}

fn steps_in(folder: &Path) -> u64 {
    Run::read(folder).map_or(0, |run| run.metrics.step)
}

/// The recipe with few float steps, so that both phases are soon seen, and nothing between the steps.
fn shortened(recipe: &Recipe) -> Recipe {
    let mut short = recipe.clone();
    short.training.float_steps = recipe.training.float_steps.min(TIMED_STEPS);
    short.training.warmup_steps = 0;
    short.training.evaluate_every = NEVER;
    short.training.checkpoint_every = NEVER;
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(rows: &[(u64, &str, f64)]) -> Metrics {
        let lines: Vec<String> = rows
            .iter()
            .map(|(step, phase, seconds)| {
                format!(r#"{{"event":"step","step":{step},"phase":"{phase}","loss":1,"seconds":{seconds}}}"#)
            })
            .collect();
        Metrics::read(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn each_phase_has_a_pace_of_its_own() {
        let [a, b] = [1.0, 3.0]
            .map(|pace| metrics(&[(1, "float", 0.0), (2, "float", 1.0), (4, "float", 1.0 + 2.0 * pace)]));
        let float_only = Pace::mean([&a, &b].into_iter());
        assert_eq!(float_only, Pace { float: Some(2.0), quantized: None, results: None });
        assert_eq!(float_only.seconds(StepsLeft { float: 5, quantized: 0 }), Some(10.0));
        assert_eq!(float_only.seconds(StepsLeft { float: 5, quantized: 1 }), None);
        let both = float_only.or(Pace { float: Some(9.0), quantized: Some(4.0), results: None });
        assert_eq!(both.seconds(StepsLeft { float: 5, quantized: 2 }), Some(18.0));
        let all = both.or(Pace { results: Some(7.0), ..Pace::default() });
        assert_eq!(all.seconds(StepsLeft { float: 5, quantized: 2 }), Some(25.0));
    }

    #[test]
    fn what_is_done_is_not_left() {
        let recipe = Recipe::builtin("quick-start").unwrap();
        let left = |done| StepsLeft::of(&recipe, done);
        assert_eq!(left(0), StepsLeft { float: 900, quantized: 1200 });
        assert_eq!(left(300), StepsLeft { float: 600, quantized: 1200 });
        assert_eq!(left(1000), StepsLeft { float: 0, quantized: 1100 });
        assert_eq!(left(2100).all(), 0);
    }

    #[test]
    fn runs_that_differ_in_the_penalty_cost_the_same_and_in_the_batch_do_not() {
        let cost = |key: &str, value: &str| {
            let overrides = [(key.to_owned(), value.to_owned())];
            cost_of(&Settings::of(&fewbit_zoo::recipe::resolve("quick-start", &overrides).unwrap()))
        };
        assert_eq!(cost("quantization.penalty", "1"), cost("seed", "3"));
        assert_ne!(cost("training.batch_size", "16"), cost("seed", "3"));
    }

    #[test]
    fn the_shortened_recipe_is_one() {
        for name in fewbit_zoo::recipe::builtin_names() {
            shortened(&Recipe::builtin(name).unwrap()).validate().unwrap();
        }
    }
}
