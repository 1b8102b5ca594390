//! The `.fewbit` file: metadata, a table of tensors, their data in sections, a checksum for each part.
//!
//! [`ContainerWriter`] makes one, [`ContainerReader`] reads one, and [`verify`] finds the first fault of one
//! that a stranger may have sent: every field is checked, memory is bounded by [`Limits`] and the file's
//! length, and data can cause an error, never a panic. The layout, version 1, is specified in `docs/format.md`.

#[cfg(feature = "fuzzing")]
pub mod arbitrary;
mod decode;
mod entry;
mod error;
mod file;
mod head;
mod header;
mod layout;
mod limits;
mod reader;
mod size;
mod sums;
mod table;
mod verify;
mod writer;

pub use crate::encoding::floats::FloatEncoding;
pub use crate::encoding::{CodeEncoding, CodingError, ElementType, Encoding};
pub use entry::{TensorEntry, TensorKind};
pub use error::{ReadError, ReadFileError, WriteError};
pub use fewbit_kernels::packed::PackedError;
pub use fewbit_kernels::rans::{DecodeError, PaletteError, TableError};
pub use file::{read_bytes, read_file};
pub use limits::Limits;
pub use reader::ContainerReader;
pub use size::{FileSize, TensorBytes};
pub use verify::{Section, VerifyError, verify, verify_with_limits};
pub use writer::ContainerWriter;

/// The newest version of the format that this crate reads, and the one it writes.
pub const FORMAT_VERSION: u16 = 1;
