//! Why a recipe or a file cannot be run.

use std::path::PathBuf;

use fewbit_burn::LoadError;
use fewbit_burn::calibration::CalibrationError;
use fewbit_burn::train::TrainError;

use crate::data::{DataError, DataSetKind};
use crate::models::ModelError;

/// Why a recipe or a file cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model in the file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The file.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Calibration.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// Fewer records than were asked for.
    #[error("{needed} calibration records were asked for, the training set has {found}")]
    CalibrationRecords {
        /// What there is.
        found: usize,
        /// What was asked for.
        needed: usize,
    },
    /// The run.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An entry of the metadata that `eval` needs.
    #[error("the file does not say its `{key}`, which evaluating it needs: was it made by `fewbit train`?")]
    MetadataMissing {
        /// The key.
        key: &'static str,
    },
    /// An entry of the metadata that means nothing.
    #[error("the file's `{key}` is `{found}`, {needed} needed")]
    MetadataInvalid {
        /// The key.
        key: &'static str,
        /// What was found.
        found: String,
        /// What was needed.
        needed: String,
    },
    /// Tensors that cannot be the described network's.
    #[error("the file has {found} values, the network that it describes has {needed}")]
    ValueCount {
        /// Values of all tensors.
        found: u64,
        /// Values of the network.
        needed: u64,
    },
    /// A teacher where nothing is learned from one.
    #[error("a teacher is given, but `training.distillation` is 0: a share above it is needed")]
    TeacherUnused,
    /// A teacher that can only teach that.
    #[error("the teacher's tensor `{tensor}` has a value that is not finite")]
    TeacherNotFinite {
        /// The tensor.
        tensor: String,
    },
    /// A teacher of something else.
    #[error("the teacher knows {found}, {needed} needed")]
    TeacherUnfit {
        /// What the recipe learns.
        needed: String,
        /// What the teacher has learned.
        found: String,
    },
    /// A path where none is read.
    #[error("data set `{data}` is generated and reads no path, but `{}` was passed", path.display())]
    PathNotRead {
        /// The data set.
        data: DataSetKind,
        /// What was passed.
        path: PathBuf,
    },
    /// A network and a data set that do not go together.
    #[error("model `{model}` takes {needed}, data set `{data}` has {found}")]
    Mismatch {
        /// The kind of model.
        model: String,
        /// What it takes.
        needed: String,
        /// The data set.
        data: String,
        /// What it has.
        found: String,
    },
    /// A validation split that leaves nothing to train on.
    #[error(
        "data.validation is {validation}: it leaves {left} {unit} of {all} to train on, at least {needed} needed"
    )]
    Validation {
        /// To hold back.
        validation: usize,
        /// What is left.
        left: usize,
        /// What there is.
        all: usize,
        /// What is needed.
        needed: usize,
        /// Images or bytes.
        unit: &'static str,
    },
}
