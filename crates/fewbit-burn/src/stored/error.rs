//! Why a file cannot be loaded into a model.

use fewbit::{MetadataError, ReadError, ReadFileError};

/// Why a file does not fit a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file itself is faulty.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be read at all.
    #[error(transparent)]
    File(#[from] ReadFileError),
    /// An entry of metadata that loading depends on makes no sense.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The model has a parameter that the file lacks.
    #[error("the file has no tensor `{path}`, which the model needs with shape {shape:?}")]
    Missing {
        /// The model's parameter.
        path: String,
        /// Its shape in stored order.
        shape: Vec<usize>,
    },
    /// The file has a tensor that the model lacks.
    #[error("the file has a tensor `{path}` that the model does not")]
    Extra {
        /// The file's tensor.
        path: String,
    },
    /// Both have it, in different shapes.
    #[error("tensor `{path}`: the file has shape {found:?}, the model needs {needed:?}")]
    Shape {
        /// The path of both.
        path: String,
        /// The file's shape.
        found: Vec<usize>,
        /// The model's shape in stored order.
        needed: Vec<usize>,
    },
}
