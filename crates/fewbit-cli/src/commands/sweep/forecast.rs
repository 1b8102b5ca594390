//! What `--dry-run` prints: the runs, how far each is, and the hours that the rest will take.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::child::Launch;
use super::pace::{self, Pace, StepsLeft};
use super::plan::{Planned, State};
use super::start::Start;
use crate::args::{Format, SweepArgs};
use crate::failure::{Failure, say};
use crate::report::{duration, print_json};
use crate::runs::{Metrics, Settings};

/// The whole forecast.
#[derive(Serialize)]
struct Forecast<'a> {
    runs: Vec<RunForecast<'a>>,
    done: usize,
    begun: usize,
    to_do: usize,
    /// Until the last run has ended.
    hours: f64,
    jobs: usize,
    threads: u16,
}

#[derive(Serialize)]
struct RunForecast<'a> {
    run: &'a Path,
    state: &'static str,
    step: u64,
    steps: u64,
    seconds_left: f64,
    /// Where the seconds are from; `None` where none are left.
    source: Option<Source>,
}

/// Where a pace is from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// The run's own steps.
    ItsOwnSteps,
    /// Runs of the same folder whose steps cost the same.
    RunsOfTheFolder,
    /// Steps made for it.
    TimedNow,
}

impl Source {
    const ALL: [Self; 3] = [Self::ItsOwnSteps, Self::RunsOfTheFolder, Self::TimedNow];

    fn words(self) -> &'static str {
        match self {
            Self::ItsOwnSteps => "from their own steps so far",
            Self::RunsOfTheFolder => "from like runs in the folder",
            Self::TimedNow => "from a few steps made now, one run alone, without evaluations and results",
        }
    }
}

/// Prints the forecast of `runs`; nothing is written in their folder.
pub(super) fn show(
    args: &SweepArgs,
    runs: &[Planned],
    launch: &Launch,
    start: &Start,
) -> Result<(), Failure> {
    let forecast = forecast(args, runs, launch, start)?;
    match args.format {
        Format::Json => Ok(print_json(&forecast)?),
        Format::Text => Ok(print(runs, &forecast)?),
    }
}

fn forecast<'a>(
    args: &SweepArgs,
    runs: &'a [Planned],
    launch: &Launch,
    start: &Start,
) -> Result<Forecast<'a>, Failure> {
    let mut known = Known { others: pace::runs_in(&args.out), timed: Vec::new(), launch, start };
    let mut forecasts = Vec::new();
    for run in runs {
        let (state, step) = match &run.state {
            State::New => ("to do", 0),
            State::Begun(metrics) => ("begun", metrics.step),
            State::Finished => ("done", StepsLeft::of(&run.recipe, 0).all()),
        };
        let left = if run.is_finished() { None } else { Some(known.seconds(run, step)?) };
        forecasts.push(RunForecast {
            run: &run.path,
            state,
            step,
            steps: StepsLeft::of(&run.recipe, 0).all(),
            seconds_left: left.map_or(0.0, |(seconds, _)| seconds),
            source: left.map(|(_, source)| source),
        });
    }
    let count = |state| forecasts.iter().filter(|run| run.state == state).count();
    let jobs = usize::from(args.jobs);
    let seconds = forecasts.iter().filter(|run| run.source.is_some()).map(|run| run.seconds_left);
    Ok(Forecast {
        done: count("done"),
        begun: count("begun"),
        to_do: count("to do"),
        hours: together(seconds, jobs) / 3600.0,
        jobs,
        threads: launch.threads,
        runs: forecasts,
    })
}

/// What is known about the pace of runs.
struct Known<'a> {
    others: Vec<crate::runs::Run>,
    timed: Vec<(Settings, Pace)>,
    launch: &'a Launch,
    start: &'a Start,
}

impl Known<'_> {
    /// The seconds that `run` has left, and where they are from.
    fn seconds(&mut self, run: &Planned, step: u64) -> Result<(f64, Source), Failure> {
        let left = StepsLeft::of(&run.recipe, step);
        let cost = pace::cost_of(&Settings::of(&run.recipe));
        let others: Vec<&Metrics> = self
            .others
            .iter()
            .filter(|other| pace::cost_of(&other.settings) == cost)
            .map(|other| &other.metrics)
            .collect();
        let others = Pace::mean(others.into_iter());
        if let State::Begun(metrics) = &run.state {
            let own = Pace::mean(std::iter::once(metrics));
            if own.seconds(left).is_some()
                && let Some(seconds) = own.or(others).seconds(left)
            {
                return Ok((seconds, Source::ItsOwnSteps));
            }
        }
        if let Some(seconds) = others.seconds(left) {
            return Ok((seconds, Source::RunsOfTheFolder));
        }
        if !self.timed.iter().any(|(timed, _)| *timed == cost) {
            say(format_args!("timing the first steps of {}", run.name));
            self.timed.push((cost.clone(), pace::time(run, self.launch, self.start)?));
        }
        let timed = self.timed.iter().find(|(timed, _)| *timed == cost);
        match timed.and_then(|(_, pace)| pace.seconds(left)) {
            Some(seconds) => Ok((seconds, Source::TimedNow)),
            None => Err(Failure::new(format!("run `{}` made too few steps to be timed", run.name))),
        }
    }
}

/// The seconds until all have ended, `jobs` at once, each begun in its turn when one before has ended.
fn together(seconds: impl Iterator<Item = f64>, jobs: usize) -> f64 {
    let mut busy_until = vec![0.0f64; jobs.max(1)];
    for seconds in seconds {
        if let Some(first) = busy_until.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += seconds;
        }
    }
    busy_until.into_iter().fold(0.0, f64::max)
}

fn print(runs: &[Planned], forecast: &Forecast<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (run, planned) in forecast.runs.iter().zip(runs) {
        let at = match run.state {
            "begun" => format!("  (step {} of {})", run.step, run.steps),
            _ => String::new(),
        };
        writeln!(out, "{:<7}{}{at}", run.state, planned.name)?;
    }
    let Forecast { done, begun, to_do, hours, jobs, threads, .. } = forecast;
    let all = runs.len();
    writeln!(out, "\n{all} runs: {done} done, {begun} begun, {to_do} to do")?;
    let threads = if *threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
    let time = duration(3600.0 * hours);
    writeln!(out, "about {time} for the rest, {jobs} at once on {threads} each")?;
    for source in Source::ALL {
        let count = forecast.runs.iter().filter(|run| run.source == Some(source)).count();
        if count > 0 {
            writeln!(out, "the time of {count} is {}", source.words())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::together;

    #[test]
    fn runs_side_by_side_take_as_long_as_the_busiest_place() {
        // Two places: 4 | 1, then 2 and 3 go where there is room first: 4 | 1 + 2, 4 | 3 + 3.
        let seconds = [4.0, 1.0, 2.0, 3.0];
        assert_eq!(together(seconds.into_iter(), 2), 6.0);
        assert_eq!(together(seconds.into_iter(), 1), 10.0);
        assert_eq!(together(seconds.into_iter(), 9), 4.0);
        assert_eq!(together(std::iter::empty(), 2), 0.0);
    }
}
