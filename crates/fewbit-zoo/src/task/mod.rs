//! The benchmarks' tasks: a network with its data, as the training loop wants them.

mod images;
mod text;

pub use images::ImageTask;
pub use text::TextTask;
