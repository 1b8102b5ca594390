//! How a run ends, and what it tells on the way.

use std::path::PathBuf;

use fewbit::ExportError;
use fewbit::budget::BudgetError;

use super::checkpoint::CheckpointError;
use super::identity::Difference;
use super::metrics::{ResultRow, Row};
use super::run_folder::RunFolderError;
use super::task::Split;
use crate::config::AttachError;
use crate::stored::LoadError;

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The method does not fit the model.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The run folder.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The file, read back.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A number stopped being one.
    #[error("step {step}: {culprit}; {}", saved(*checkpoint))]
    NonFinite {
        /// Steps done before.
        step: u64,
        /// What is not finite, in words.
        culprit: String,
        /// The step of the newest checkpoint before that; none where there is none.
        checkpoint: Option<u64>,
    },
    /// The budget cannot be kept.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// There is nothing to train on.
    #[error("the training set has no record left beside the validation split")]
    NoRecords,
    /// A record could not be loaded.
    #[error("{0}")]
    Record(String),
    /// The records of a split have no metric.
    #[error("the scores of the {records} records of the {} split give no metric: each has weight 0, or there is none", split.name())]
    NoScore {
        /// Which records.
        split: Split,
        /// The number of scores.
        records: usize,
    },
    /// A teacher for a task that does not learn from one.
    #[error(
        "there is a teacher to learn from, but the task does not define the distance between two outputs (`Task::distance`)"
    )]
    NoDistance,
    /// No checkpoint is sound.
    #[error("no checkpoint of `{}` is sound, the newest is not because: {newest}", run.display())]
    AllDamaged {
        /// The run folder.
        run: PathBuf,
        /// What is wrong with the newest.
        newest: CheckpointError,
    },
}

fn saved(checkpoint: Option<u64>) -> String {
    checkpoint.map_or("no checkpoint was saved before".to_owned(), |step| {
        format!("the last checkpoint before is of step {step}")
    })
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// At step 0.
    New,
    /// At the newest sound checkpoint, if it is of the same run; at step 0 where there is none.
    Resume,
    /// At the newest sound checkpoint, whatever has changed since.
    ResumeAnyway,
}

/// What happens in a run, as it happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run goes on from a checkpoint, or from the start where there is none.
    Resumed {
        /// Steps that the checkpoint has; none where there is none.
        step: Option<u64>,
        /// What is wrong with newer checkpoints.
        damaged: &'a [CheckpointError],
        /// What has changed since the checkpoint, where that was no reason to stop.
        differences: &'a [Difference],
    },
    /// A number stopped being one, and the run went back to its last checkpoint.
    RolledBack {
        /// What was wrong, and where.
        cause: &'a TrainError,
        /// The step that it goes on from.
        step: u64,
        /// What learning rates are multiplied with from here on.
        rate_factor: f64,
    },
    /// A row was added to the metrics.
    Row(&'a Row),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// All steps are done; the rows of the result table.
    Finished(Vec<ResultRow>),
    /// It was asked to stop and has saved what it needs to go on.
    Interrupted {
        /// Steps done.
        step: u64,
    },
}
