//! Data sets that are downloaded because the command line says so.

use std::io::IsTerminal;
use std::path::PathBuf;

use fewbit_zoo::data::DataSetKind;
use fewbit_zoo::data::download::fetch_set;
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Failure, say};
use crate::report::mebibytes;

/// Where the data set is, after what is not there yet was downloaded: what `--data` would have been. A generated set is
/// nowhere.
pub(crate) fn data_set(kind: DataSetKind) -> Result<Option<PathBuf>, Failure> {
    if !kind.needs_path() {
        return Ok(None);
    }
    let mut bar: Option<ProgressBar> = None;
    let fetched = fetch_set(kind, &mut |done, bytes| {
        bar.get_or_insert_with(|| begin(kind, bytes)).set_position(done);
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let folder = fetched.map_err(|error| {
        let hint = error.hint();
        Failure::from(error).maybe_hint(hint)
    })?;
    say(format_args!("data in {}", folder.display()));
    Ok(Some(std::path::absolute(folder)?))
}

fn begin(kind: DataSetKind, bytes: u64) -> ProgressBar {
    say(format_args!("downloading {kind}, {}", mebibytes(bytes)));
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}, {eta} left");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
