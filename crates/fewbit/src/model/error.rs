//! Why a network cannot be stored.

use crate::{QuantizeError, WriteError};

/// Why a network cannot be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A weight that no grid can hold.
    #[error("tensor `{path}`: {source}")]
    Quantize {
        /// The tensor.
        path: String,
        /// What is wrong with it.
        source: QuantizeError,
    },
    /// A learned number that is not finite.
    #[error("tensor `{path}`: the learned precision of group {group} is {value}, not finite")]
    Learned {
        /// The tensor.
        path: String,
        /// The first such group.
        group: usize,
        /// What was found.
        value: f32,
    },
    /// A value that is not finite in a tensor that stays float.
    #[error("tensor `{path}`: value {index} is {value}, not finite")]
    NonFinite {
        /// The tensor.
        path: String,
        /// Its first such element.
        index: usize,
        /// What was found.
        value: f32,
    },
    /// Values that are not as many as the shape says.
    #[error("tensor `{path}` has {found} values; its shape {shape:?} has {expected}")]
    Length {
        /// The tensor.
        path: String,
        /// Its shape in memory.
        shape: Vec<usize>,
        /// What the shape says.
        expected: usize,
        /// What was found.
        found: usize,
    },
    /// A parameter that is no float tensor.
    #[error("parameter `{path}` is not a float tensor; a file holds float parameters only")]
    NotFloat {
        /// The parameter.
        path: String,
    },
    /// A name or shape that the file cannot hold, or a file that cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}
