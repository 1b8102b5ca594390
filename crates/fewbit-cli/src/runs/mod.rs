//! Run folders as they lie there: which they are, their settings, how far they are, their results.

mod metrics;
mod settings;

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use fewbit_burn::train::{CHECKPOINT_FOLDER, METRICS_FILE, MODEL_FILE, RECIPE_FILE, ResultRow, RunFolder};

pub(crate) use metrics::{Metrics, Span};
pub(crate) use settings::{SEED, Settings, compare_values, plain};

use crate::failure::Failure;

/// What a run folder says about its run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
}

impl Run {
    /// The run in the folder `path`, at whatever point it is.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = RunFolder::open(path)?.recipe()?;
        let recipe_file = path.join(RECIPE_FILE);
        let settings = Settings::parse(&text).map_err(|error| Failure::from(error).about(&recipe_file))?;
        let metrics_file = path.join(METRICS_FILE);
        let metrics = match File::open(&metrics_file) {
            Ok(file) => Metrics::read(BufReader::new(file)),
            // A run that has just been made has none yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Metrics::default()),
            Err(error) => Err(error),
        };
        let metrics = metrics.map_err(|error| Failure::from(error).about(&metrics_file))?;
        Ok(Self { path: path.to_owned(), settings, metrics })
    }

    /// The row of the run's own file, once the run has come to its end: the file is there, as long as the row says.
    pub(crate) fn outcome(&self) -> Option<&ResultRow> {
        let length = fs::metadata(self.path.join(MODEL_FILE)).ok()?.len();
        self.metrics.results.iter().rev().find(|row| row.bytes == length)
    }
}

/// Whether the run in the folder `run` has been saved before.
pub(crate) fn has_checkpoint(run: &Path) -> bool {
    fs::read_dir(run.join(CHECKPOINT_FOLDER)).is_ok_and(|mut entries| entries.next().is_some())
}

/// The run folders among `paths`, and those directly in folders that are none; each once.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if is_run(path) {
            found.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).map_err(|error| Failure::from(error).about(path))?;
        let mut inner = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::from(error).about(path))?;
        inner.retain(|path| is_run(path) && !is_hidden(path));
        if inner.is_empty() {
            let message = format!(
                "`{}` has no `{RECIPE_FILE}` and no folder in it has one, a run folder or a folder of them is needed",
                path.display()
            );
            return Err(Failure::new(message));
        }
        inner.sort();
        found.extend(inner);
    }
    let mut seen = Vec::new();
    found.retain(|path| {
        let whole = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let new = !seen.contains(&whole);
        seen.push(whole);
        new
    });
    Ok(found)
}

fn is_run(path: &Path) -> bool {
    path.join(RECIPE_FILE).is_file()
}

/// A folder that is being built beside the name it will have.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
