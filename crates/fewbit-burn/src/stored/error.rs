//! Why a model cannot be stored, or a file not be loaded.

use fewbit::{QuantizeError, ReadError, ReadFileError, WriteError};

/// Why a model cannot be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A weight that no grid can hold.
    #[error("tensor `{path}`: {source}")]
    Quantize {
        /// The parameter's path.
        path: String,
        /// What is wrong with it.
        source: QuantizeError,
    },
    /// A logit that is not finite.
    #[error("tensor `{path}`: the bits of group {group} are not finite")]
    Bits {
        /// The parameter's path.
        path: String,
        /// The first such group.
        group: usize,
    },
    /// A value that is not finite in a tensor that stays float.
    #[error("tensor `{path}`: value {index} is {value}, not finite")]
    NonFinite {
        /// The parameter's path.
        path: String,
        /// Its first such element.
        index: usize,
        /// What was found.
        value: f32,
    },
    /// A parameter that is no float tensor.
    #[error("parameter `{path}` is not of floats; a file holds float parameters only")]
    NotFloat {
        /// The parameter's path.
        path: String,
    },
    /// A name or shape that the file cannot hold, or a file that cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

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
    #[error("metadata `{key}` is {found:?}; {needed} is needed")]
    Metadata {
        /// Its key.
        key: &'static str,
        /// What the file says.
        found: String,
        /// What it could say.
        needed: &'static str,
    },
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
