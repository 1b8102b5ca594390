//! The weights that every run of a sweep starts from, where they are not random.

use std::fs;
use std::path::{Path, PathBuf};

use fewbit::atomic::write_atomically;
use fewbit_burn::StoredModel;
use fewbit_burn::train::{INITIAL_FILE, MODEL_FILE};
use fewbit_checkpoint::Checkpoint;
use fewbit_zoo::recipe::Recipe;

use crate::commands::checkpoint_failure;
use crate::failure::Failure;
use crate::runs::has_checkpoint;

/// A checkpoint that was read, with the file that a run keeps of it.
pub(super) struct Start {
    path: PathBuf,
    weights: StoredModel,
    file: Vec<u8>,
}

impl Start {
    /// The weights of the checkpoint at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let checkpoint = Checkpoint::open(path).map_err(checkpoint_failure)?;
        let weights = fewbit_zoo::import(&checkpoint).map_err(checkpoint_failure)?;
        let file = weights.to_bytes().map_err(|error| Failure::from(error).about(path))?;
        Ok(Self { path: path.to_owned(), weights, file })
    }

    /// Whether the weights are those of the recipe's network.
    pub(super) fn check_fits(&self, recipe: &Recipe) -> Result<(), Failure> {
        match fewbit_zoo::as_network_of(recipe, &self.weights) {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::from(error).about(&self.path)),
        }
    }

    /// Leaves the weights in the run folder `run`, where a run that has no checkpoint starts from them.
    pub(super) fn put_in(&self, run: &Path) -> Result<(), Failure> {
        Ok(write_atomically(&run.join(INITIAL_FILE), &self.file)?)
    }
}

/// Whether the run in the folder `run` started where it would start now; one that has not started may start anywhere.
pub(super) fn check_same(run: &Path, start: Option<&Start>) -> Result<(), Failure> {
    let is_under_way = has_checkpoint(run) || run.join(MODEL_FILE).exists();
    let kept = fs::read(run.join(INITIAL_FILE)).ok();
    let (found, needed) = match (kept, start) {
        (Some(kept), Some(start)) if kept == start.file => return Ok(()),
        (Some(_), Some(start)) => ("another checkpoint".to_owned(), start.path.display().to_string()),
        (Some(_), None) => ("a checkpoint".to_owned(), "random weights".to_owned()),
        (None, Some(start)) if is_under_way => {
            ("random weights".to_owned(), start.path.display().to_string())
        }
        (None, _) => return Ok(()),
    };
    let message = format!("`{}` started from {found}, a start from {needed} needed", run.display());
    Err(Failure::new(message).hint("pass the same `--from` as before, or name another folder by `--out`"))
}
