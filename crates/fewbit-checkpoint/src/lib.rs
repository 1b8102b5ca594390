//! Weights out of strangers' checkpoints: safetensors, one file or sharded, and PyTorch's `.pt`, `.pth` and
//! `.th`, zip archive or the older format.
//!
//! A checkpoint is data. The Python pickle inside PyTorch's files is interpreted by a small machine of our
//! own ([`pickle`](https://docs.python.org/3/library/pickletools.html) without the power to call anything):
//! it knows the operations that a state dict is written with and a short list of names, and refuses every
//! other name. Whatever the bytes are, the answer is tensors or an error, within [`Limits`].
//!
//! Tensors are read one at a time from the file, so that memory is bounded by the largest that is asked
//! for, not by the checkpoint.
//!
//! ```
//! use fewbit_checkpoint::{Checkpoint, DType};
//! # use safetensors::tensor::TensorView;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("model.safetensors");
//! # let bytes = [1.0f32, -2.0].map(f32::to_le_bytes).concat();
//! # let view = TensorView::new(safetensors::Dtype::F32, vec![2], &bytes)?;
//! # safetensors::serialize_to_file([("module.bias", view)], None, &path)?;
//!
//! let checkpoint = Checkpoint::open(&path)?;
//! let info = &checkpoint.tensors()[0];
//! assert_eq!((info.name(), info.shape(), info.dtype()), ("module.bias", &[2][..], DType::F32));
//! assert_eq!(fewbit_checkpoint::strip_wrappers(info.name()), "bias");
//!
//! let mut values = Vec::new();
//! checkpoint.read_f32("module.bias", &mut values)?;
//! assert_eq!(values, [1.0, -2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod dtype;
mod error;
mod file;
mod limits;
mod names;
mod pickle;
mod place;
mod recognise;
mod safetensors;
mod torch;

pub use checkpoint::{Checkpoint, CheckpointKind, TensorInfo};
pub use dtype::DType;
pub use error::{CheckpointError, FormatError};
pub use limits::Limits;
pub use names::strip_wrappers;
