//! The benchmarks' tasks: a network with its data, as the training loop wants them.

mod images;
mod labels;
mod pictures;
mod stems;
mod text;
mod windows;
mod words;

pub use images::{ImageBatch, ImageTask};
pub use stems::{StemBatch, StemsTask};
pub(crate) use text::next_bytes;
pub use text::{ByteBatch, TextTask};
pub use words::{WordBatch, WordTask};

use burn::tensor::Tensor;

/// The numbers of a tensor, in memory order.
///
/// # Panics
/// If the tensor cannot be read, which would otherwise leave nothing to score.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("float32 was asked for")
}
