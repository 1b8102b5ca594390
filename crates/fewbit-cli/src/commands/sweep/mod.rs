//! `fewbit sweep`: a run for every combination of values, several at once, and the table of all.

mod child;
mod forecast;
mod grid;
mod name;
mod pace;
mod plan;
mod start;
mod work;

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use self::child::Launch;
use self::plan::{Planned, State};
use self::start::Start;
use self::work::{Ended, Work};
use super::table;
use crate::Verdict;
use crate::args::{BudgetArgs, Format, SweepArgs, TableFormat};
use crate::failure::{Failure, say};
use crate::report::{grouped, metric};
use crate::runs::Run;

pub(crate) fn run(mut args: SweepArgs) -> Result<Verdict, Failure> {
    if args.download {
        let none = BudgetArgs { budget: None, ratio: None, bits: None };
        let recipe = super::recipe_with(&args.recipe, &args.overrides, &none, None)?;
        args.data = crate::download::data_set(recipe.data.set)?;
    }
    let start = Start::read(&args)?;
    let runs = plan::plan(&args, &start)?;
    let launch = Launch::new(&args)?;
    if args.dry_run {
        forecast::show(&args, &runs, &launch, &start)?;
        return Ok(Verdict::Done);
    }
    std::fs::create_dir_all(&args.out).map_err(|error| Failure::from(error).about(&args.out))?;
    let signals = work::count_signals()?;
    let work = Work { launch: &launch, start: &start, jobs: args.jobs.into(), signals: &signals };
    let tally = work_through(&runs, &work);
    if signals.load(Ordering::Relaxed) > 0 {
        let finished = tally.finished;
        say(format_args!(
            "stopped with {finished} of {} runs finished; the same command goes on",
            runs.len()
        ));
        return Ok(Verdict::Interrupted);
    }
    let paths: Vec<PathBuf> =
        runs.iter().filter(|run| run.path.is_dir()).map(|run| run.path.clone()).collect();
    let format = match args.format {
        Format::Text => TableFormat::Text,
        Format::Json => TableFormat::Json,
    };
    table::show(&paths, None, format)?;
    if tally.finished == runs.len() {
        return Ok(Verdict::Done);
    }
    say(format_args!("error: {} of {} runs are not finished", runs.len() - tally.finished, runs.len()));
    say(format_args!("\nhint: the same command tries them again"));
    Ok(Verdict::CheckFailed)
}

/// How many runs have ended, and how many of them well.
struct Tally {
    ended: usize,
    finished: usize,
}

fn work_through(runs: &[Planned], work: &Work<'_>) -> Tally {
    let left: Vec<&Planned> = runs.iter().filter(|run| !run.is_finished()).collect();
    let begun = left.iter().filter(|run| matches!(run.state, State::Begun(_))).count();
    let done = runs.len() - left.len();
    say(format_args!(
        "{} runs: {done} done, {begun} to go on with, {} to begin; {} at once, threads each: {}",
        runs.len(),
        left.len() - begun,
        work.jobs,
        work.launch.threads
    ));
    let mut tally = Tally { ended: done, finished: done };
    work.through(&left, |run, end| {
        tally.ended += usize::from(end != Ended::Interrupted);
        tally.finished += usize::from(end == Ended::Finished);
        let what = match end {
            Ended::Finished => finished(run),
            Ended::Interrupted => "stopped, can go on".to_owned(),
            Ended::Failed(reason) => format!("failed: {reason}; see {}", run.log().display()),
            Ended::Elsewhere => "left to the process that works at it".to_owned(),
        };
        say(format_args!("[{}/{}] {}: {what}", tally.ended, runs.len(), run.name));
    });
    tally
}

/// The run's own row, in short.
fn finished(run: &Planned) -> String {
    let read = Run::read(&run.path);
    let Some(row) = read.as_ref().ok().and_then(Run::outcome) else { return "finished".to_owned() };
    format!(
        "{} {}, {} bytes, {:.1} min",
        row.method.title(),
        metric::with_unit(&row.metric, row.value),
        grouped(row.bytes),
        row.seconds / 60.0
    )
}
