//! The benchmarks' tasks: a network with its data, as the training loop wants them.

mod images;
mod labels;
mod pictures;
mod stems;
mod text;
mod tutor;
mod windows;
mod words;

pub use images::ImageTask;
pub use stems::StemsTask;
pub use text::TextTask;
pub use tutor::{ByteTutor, ImageTutor, Tutor};
pub use words::WordTask;
