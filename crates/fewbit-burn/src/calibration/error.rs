//! Why a network cannot be calibrated.

use fewbit::compress::MomentsError;

use fewbit::ExportError;

use crate::stored::LoadError;

/// Why a network cannot be calibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// There is nothing to calibrate on.
    #[error("no records to calibrate on")]
    NoRecords,
    /// A record could not be had.
    #[error("{0}")]
    Record(String),
    /// The weights are not the network's.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The network cannot be stored.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The loss has no gradient in a tensor, or one that is not finite.
    #[error("tensor `{path}`: the gradient of the loss is {found} on the calibration data")]
    Gradient {
        /// The tensor.
        path: String,
        /// What was found in the place of a number.
        found: String,
    },
    /// Inputs of a layer are no numbers, or too few.
    #[error("the inputs of tensor `{path}`: {source}")]
    Inputs {
        /// The weight of the layer.
        path: String,
        /// What is wrong with them.
        source: MomentsError,
    },
}
