//! The `.fewbit` file: metadata, a table of tensors, their widths, codes and floats, a check sum.
//!
//! [`ContainerWriter`] makes one, [`ContainerReader`] reads one that a stranger may have sent: every
//! field is checked, memory is bounded by [`Limits`] and the file's length, and data can cause an
//! error, never a panic. The layout, version 0, is private to this module and told in
//! `docs/format.md`.

mod cursor;
mod error;
mod file;
mod header;
mod limits;
mod reader;
mod size;
mod table;
mod writer;

pub use error::{ReadError, ReadFileError, WriteError};
pub use file::{read_bytes, read_file};
pub use limits::Limits;
pub use reader::{ContainerReader, probe, probe_with_limits};
pub use size::{FileSize, TensorBytes};
pub use table::{TensorEntry, TensorKind};
pub use writer::ContainerWriter;

/// The newest version of the format that this crate reads, and the one it writes.
pub const FORMAT_VERSION: u16 = 0;
