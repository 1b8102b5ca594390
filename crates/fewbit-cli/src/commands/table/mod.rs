//! `fewbit table`: the results of runs side by side.

mod group;
mod json;
mod lines;
mod spread;

use std::io::{self, Write};
use std::path::PathBuf;

use self::group::Table;
use crate::Verdict;
use crate::args::{TableArgs, TableFormat};
use crate::failure::{Failure, say};
use crate::page::{Mark, Marks};
use crate::report::print_json;
use crate::runs::{self, Run};

pub(crate) fn run(args: &TableArgs) -> Result<Verdict, Failure> {
    show(&runs::find(&args.runs)?, args.by.as_deref(), args.format)?;
    Ok(Verdict::Done)
}

/// Prints the table of the runs in these folders, and names those that have no results on stderr.
pub(super) fn show(folders: &[PathBuf], by: Option<&[String]>, format: TableFormat) -> Result<(), Failure> {
    let mut runs = Vec::new();
    for folder in folders {
        runs.push(Run::read(folder)?);
    }
    if let Some(by) = by {
        check_keys(by, &runs)?;
    }
    let (finished, unfinished): (Vec<_>, Vec<_>) =
        runs.into_iter().partition(|run| !run.metrics.results.is_empty());
    for run in &unfinished {
        say(format_args!("not finished: {} (step {})", run.path.display(), run.metrics.step));
    }
    let table = Table::of(&finished, by);
    match format {
        TableFormat::Json => print_json(&json::report(&table, &finished, &unfinished))?,
        TableFormat::Text => print(&lines::text(&table))?,
        TableFormat::Markdown => print(&lines::markdown(&table))?,
        TableFormat::Csv => print(&lines::csv(&table))?,
    }
    Ok(())
}

/// The table of the runs that are finished, for people: its head and its lines.
pub(super) fn cells_of(runs: &[Run]) -> Vec<Vec<String>> {
    let finished: Vec<Run> = runs.iter().filter(|run| !run.metrics.results.is_empty()).cloned().collect();
    lines::cells(&Table::of(&finished, None))
}

/// The results of the finished runs of each recipe, averaged over seeds, for plots.
pub(super) fn marks_of(runs: &[Run]) -> Marks {
    let name = |run: &Run| run.settings.get("name").map_or_else(String::new, runs::plain);
    let mut names: Vec<String> = runs.iter().map(name).collect();
    names.sort();
    names.dedup();
    let mark = |group: &group::Group| Mark {
        method: group.method,
        metric: group.metric.clone(),
        bytes: group.bytes.mean,
        value: group.value.mean,
        deviation: group.value.standard_deviation,
    };
    let marks = names.into_iter().map(|of| {
        let runs: Vec<Run> = runs.iter().filter(|run| name(run) == of).cloned().collect();
        let marks = Table::of(&runs, None).groups.iter().map(mark).collect();
        (of, marks)
    });
    marks.collect()
}

/// Whether each key is one that some run has.
fn check_keys(by: &[String], runs: &[Run]) -> Result<(), Failure> {
    let Some(unknown) = by.iter().find(|key| runs.iter().all(|run| run.settings.get(key).is_none())) else {
        return Ok(());
    };
    let mut known: Vec<&str> = runs.iter().flat_map(|run| run.settings.keys()).collect();
    known.sort_unstable();
    known.dedup();
    let message = format!("--by {unknown}: no run has this key, one of {} needed", known.join(", "));
    Err(Failure::new(message))
}

fn print(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}
