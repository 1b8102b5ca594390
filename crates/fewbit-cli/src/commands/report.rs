//! `fewbit report`.

use std::path::{Path, PathBuf};

use fewbit::atomic::write_atomically;

use super::table;
use crate::Verdict;
use crate::args::ReportArgs;
use crate::failure::{Failure, say};
use crate::page::page;
use crate::runs::{self, Run};

/// The page's name in a run's folder.
const PAGE: &str = "report.html";

pub(crate) fn run(args: &ReportArgs) -> Result<Verdict, Failure> {
    let out = match (&args.out, args.runs.as_slice()) {
        (Some(out), _) => out.clone(),
        (None, [one]) => one.join(PAGE),
        (None, _) => PathBuf::from(PAGE),
    };
    write(&runs::find(&args.runs)?, &out)?;
    Ok(Verdict::Done)
}

/// Writes the page of the run in `folder` into it.
pub(super) fn of_run(folder: &Path) -> Result<(), Failure> {
    write(&[folder.to_owned()], &folder.join(PAGE))
}

fn write(folders: &[PathBuf], out: &Path) -> Result<(), Failure> {
    let runs = folders.iter().map(|folder| Run::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let page = page(&runs, &table::cells_of(&runs))?;
    write_atomically(out, page.as_bytes())?;
    say(format_args!("wrote {}", out.display()));
    Ok(())
}
