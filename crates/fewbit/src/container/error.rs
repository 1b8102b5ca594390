//! What can be wrong with a file, or with what is asked of one.

use std::io;
use std::path::PathBuf;
use std::str::Utf8Error;

use fewbit_kernels::packed::PackedError;

use crate::QuantizeError;
use crate::atomic::AtomicWriteError;
use crate::encoding::cursor::CursorError;
use crate::encoding::{CodingError, ElementType, EncodingError};

/// Why bytes are no `.fewbit` file, or have no such tensor.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There are no bytes at all.
    #[error("the file is empty")]
    Empty,
    /// The bytes begin like some other file.
    #[error("not a fewbit file: it begins with the bytes {found:02x?}")]
    NotFewbit {
        /// The first bytes, eight at most.
        found: Vec<u8>,
    },
    /// The file was written by a later fewbit.
    #[error("file has format version {found}, this reader knows up to {supported}: update fewbit")]
    NewerVersion {
        /// The file's version.
        found: u16,
        /// The newest that can be read.
        supported: u16,
    },
    /// The file was written by a fewbit before its first release.
    #[error("file has format version {found}, which was never released: write the file again")]
    UnreleasedVersion {
        /// The file's version.
        found: u16,
    },
    /// The bytes end too early.
    #[error("the file is cut: {what} at byte {offset} needs {needed} bytes, {found} are left")]
    Truncated {
        /// What was being read.
        what: String,
        /// Where it begins.
        offset: usize,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are there.
        found: usize,
    },
    /// The bytes are not those that were written.
    #[error("the file is damaged: the checksum of {part} is {found:08x}, {expected:08x} was written")]
    ChecksumMismatch {
        /// What the checksum is of.
        part: String,
        /// The checksum in the file.
        expected: u32,
        /// The checksum of its bytes.
        found: u32,
    },
    /// The header holds more than it describes.
    #[error("{found} bytes follow the table, before its checksum")]
    BytesAfterTable {
        /// How many.
        found: usize,
    },
    /// The file holds more than it describes.
    #[error("{found} bytes follow the file's end")]
    TrailingBytes {
        /// How many.
        found: usize,
    },
    /// The padding to the next multiple of 64 bytes is not zero.
    #[error("the padding before tensor `{name}` is not zero")]
    FillNotZero {
        /// The tensor that follows.
        name: String,
    },
    /// The file asks for more than its reader allows.
    #[error("{what}: {found}, the limit is {limit}")]
    OverLimit {
        /// What there is too much of.
        what: &'static str,
        /// How much the file asks for.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// There is no memory for what was asked.
    #[error("no memory for the {elements} values of tensor `{name}`")]
    OutOfMemory {
        /// The tensor.
        name: String,
        /// Its number of values.
        elements: usize,
    },
    /// A number is not in its one shortest form, or too large.
    #[error("{what} at byte {offset} is not a number in its shortest form below 2^64")]
    BadNumber {
        /// What was being read.
        what: String,
        /// Where it begins.
        offset: usize,
    },
    /// A text is not UTF-8.
    #[error("{what} at byte {offset} is not UTF-8")]
    NotText {
        /// What was being read.
        what: String,
        /// Where it begins.
        offset: usize,
        /// Where the text goes wrong.
        source: Utf8Error,
    },
    /// A tensor has no name.
    #[error("tensor {index} of the table has an empty name")]
    EmptyName {
        /// Its place in the table, from 0.
        index: usize,
    },
    /// An entry of the metadata has no key.
    #[error("entry {index} of the metadata has an empty key")]
    EmptyKey {
        /// Its place, from 0.
        index: usize,
    },
    /// A name claims to share more with the one before than that one has.
    #[error("tensor {index} shares {shared} bytes with the previous name, which has {previous}")]
    SharedTooLong {
        /// Its place in the table, from 0.
        index: usize,
        /// Bytes it claims to share.
        shared: u64,
        /// Bytes of the name before.
        previous: usize,
    },
    /// A name refers to the suffix of one that does not exist.
    #[error(
        "the name of tensor {index} refers to the suffix of an earlier name that does not exist ({back} entries back)"
    )]
    NoSuchName {
        /// Its place in the table, from 0.
        index: usize,
        /// How far back, from the entry before it.
        back: u64,
    },
    /// Two tensors have one name.
    #[error("two tensors are called `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Two entries of the metadata have one key.
    #[error("two entries of the metadata are called `{key}`")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A tensor is written in a way that this version does not have.
    #[error("tensor `{name}` has the unknown encoding {found}: update fewbit")]
    UnknownEncoding {
        /// The tensor.
        name: String,
        /// The encoding's number: 7, and what the byte for extended ones adds.
        found: u16,
    },
    /// The codes of a tensor mean something that this version does not have.
    #[error("tensor `{name}` has codes of the unknown meaning {found}: update fewbit")]
    UnknownLevels {
        /// The tensor.
        name: String,
        /// The number of what they mean.
        found: u8,
    },
    /// A raw tensor has elements of no type that this version has.
    #[error("tensor `{name}` has elements of the unknown type {found}")]
    UnknownElements {
        /// The tensor.
        name: String,
        /// The type's number, five bits.
        found: u8,
    },
    /// The bits that describe a tensor's ranges have no meaning, or the tensor has no ranges.
    #[error("tensor `{name}` has ranges of the unknown kind {found}")]
    UnknownRanges {
        /// The tensor.
        name: String,
        /// The kind's number, five bits.
        found: u8,
    },
    /// Codes or ranges are modelled in no way that this version has.
    #[error("tensor `{name}` has the unknown model {found}")]
    UnknownModel {
        /// The tensor.
        name: String,
        /// The model's number.
        found: u8,
    },
    /// A shape's elements cannot be counted.
    #[error("tensor `{name}`: shape {shape:?} has more elements than can be counted")]
    ShapeOverflow {
        /// The tensor.
        name: String,
        /// Its dimensions.
        shape: Vec<usize>,
    },
    /// A tensor's widths are no widths, or upside down.
    #[error("tensor `{name}`: widths {minimum} to {maximum} are not an ascending part of 0..=16")]
    BadWidths {
        /// The tensor.
        name: String,
        /// The smallest, as stored.
        minimum: u8,
        /// The largest, as stored.
        maximum: u8,
    },
    /// The histogram of widths does not count each group once.
    #[error("tensor `{name}`: the histogram of widths does not count its {groups} groups")]
    BadWidthCounts {
        /// The tensor.
        name: String,
        /// Its groups.
        groups: usize,
    },
    /// The widths of the groups do not match the histogram.
    #[error("tensor `{name}`: the widths do not match the histogram in the table")]
    WidthsDiffer {
        /// The tensor.
        name: String,
    },
    /// A group has a width beyond the tensor's largest.
    #[error("tensor `{name}`: group {group} has width {found}, the table says at most {maximum}")]
    WidthAboveMaximum {
        /// The tensor.
        name: String,
        /// The group.
        group: usize,
        /// Its width.
        found: u16,
        /// The tensor's largest width.
        maximum: u8,
    },
    /// Packed widths, codes or models have the wrong length, or padding that is not zero.
    #[error("tensor `{name}`: the {what} are not correctly packed")]
    BadPacking {
        /// The tensor.
        name: String,
        /// `widths`, `codes` or `models`.
        what: &'static str,
        /// What is wrong.
        source: PackedError,
    },
    /// A range is not finite, upside down, or has a negative half-width.
    #[error("tensor `{name}`: stored range {index} is invalid")]
    BadRange {
        /// The tensor.
        name: String,
        /// Which of its ranges, from 0; those of groups of no bits are not stored.
        index: usize,
        /// What is wrong.
        source: QuantizeError,
    },
    /// The entropy coded widths, codes or ranges of a tensor do not decode.
    #[error("tensor `{name}`: the {what} do not decode")]
    BadCoding {
        /// The tensor.
        name: String,
        /// `widths`, `codes`, `ranges` or `frequencies`.
        what: &'static str,
        /// What is wrong.
        source: CodingError,
    },
    /// An alias stands for a tensor that is not before it in the table.
    #[error("alias `{name}` stands for tensor {target}, which does not come before it")]
    AliasTarget {
        /// The alias.
        name: String,
        /// The place in the table that it names.
        target: u64,
    },
    /// An alias stands for an alias.
    #[error("alias `{name}` stands for `{target}`, itself an alias")]
    AliasOfAlias {
        /// The alias.
        name: String,
        /// What it stands for.
        target: String,
    },
    /// A tensor was asked for that the file does not have.
    #[error("the file has no tensor `{name}`")]
    UnknownTensor {
        /// The name that was asked for.
        name: String,
    },
    /// The buffer for values has another length than the values.
    #[error("tensor `{name}` has {needed} values, the buffer has room for {found}")]
    OutputLength {
        /// The tensor.
        name: String,
        /// Values.
        needed: usize,
        /// Length of the buffer.
        found: usize,
    },
    /// Codes were asked for of a tensor that has none.
    #[error("tensor `{name}` is not quantized and has no codes")]
    NotQuantized {
        /// The tensor.
        name: String,
    },
    /// Floats were asked for of a tensor that has none.
    #[error("tensor `{name}` has elements of {found}, not floats: only its bytes can be read")]
    NotFloats {
        /// The tensor.
        name: String,
        /// What its elements are.
        found: ElementType,
    },
    /// Bytes were asked for of a tensor that is not kept byte for byte.
    #[error("tensor `{name}` is {found}, not raw")]
    NotRaw {
        /// The tensor.
        name: String,
        /// The name of its encoding.
        found: &'static str,
    },
}

impl From<CursorError> for ReadError {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Truncated { what, offset, needed, found } => {
                Self::Truncated { what, offset, needed, found }
            }
            CursorError::BadNumber { what, offset } => Self::BadNumber { what, offset },
            CursorError::NotText { what, offset, source } => Self::NotText { what, offset, source },
        }
    }
}

impl ReadError {
    /// The error of a tensor of so many values.
    pub(super) fn of_tensor(name: &str, elements: usize, error: EncodingError) -> Self {
        let name = name.to_owned();
        match error {
            EncodingError::Cursor(error) => error.into(),
            EncodingError::UnknownModel { found } => Self::UnknownModel { name, found },
            EncodingError::WidthBounds { minimum, maximum } => Self::BadWidths { name, minimum, maximum },
            EncodingError::WidthCounts { groups } => Self::BadWidthCounts { name, groups },
            EncodingError::Packing { what, source } => Self::BadPacking { name, what, source },
            EncodingError::Coding { what, source } => Self::BadCoding { name, what, source },
            EncodingError::WidthAboveMaximum { group, found, maximum } => {
                Self::WidthAboveMaximum { name, group, found, maximum }
            }
            EncodingError::WidthsDiffer => Self::WidthsDiffer { name },
            EncodingError::Range { index, source } => Self::BadRange { name, index, source },
            EncodingError::OutOfMemory => Self::OutOfMemory { name, elements },
        }
    }
}

/// Why a file could not be read. The message names the path; its `source()` says what was wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadFileError {
    /// The operating system refused.
    #[error("cannot read {path}", path = path.display())]
    Io {
        /// The path that was to be read.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A folder, or something without an end.
    #[error("cannot read {path}: it is {found}, not a file", path = path.display())]
    NotAFile {
        /// The path that was to be read.
        path: PathBuf,
        /// What is there: `a folder` or `a device, pipe or socket`.
        found: &'static str,
    },
    /// The file was read, but it is not one of ours, or no longer.
    #[error("{path} is not a readable fewbit file", path = path.display())]
    Format {
        /// The path that was read.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
    },
}

/// Why something cannot be added to a file, or the file not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Names and keys have at least one byte.
    #[error("{what} must not be empty")]
    Empty {
        /// `a tensor's name` or `a metadata key`.
        what: &'static str,
    },
    /// Two tensors cannot have one name.
    #[error("there already is a tensor `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Two entries of the metadata cannot have one key.
    #[error("the metadata already has `{key}`")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// More than a reader accepts by default.
    #[error("`{name}`: {what} {found}, the limit is {limit}")]
    OverLimit {
        /// The tensor or metadata key.
        name: String,
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The values are not as many as the shape says.
    #[error("tensor `{name}`: the values do not fit the shape")]
    Shape {
        /// The tensor.
        name: String,
        /// How many there are and must be.
        source: QuantizeError,
    },
    /// The bytes of a raw tensor are not as many as its elements take.
    #[error("tensor `{name}`: {found} bytes, {needed} needed for shape {shape:?} of {elements}")]
    RawBytes {
        /// The tensor.
        name: String,
        /// Its dimensions.
        shape: Vec<usize>,
        /// What its elements are.
        elements: ElementType,
        /// Bytes that there are.
        found: usize,
        /// Bytes that there must be.
        needed: u64,
    },
    /// A value is finite, but not in the encoding that was asked for.
    #[error("tensor `{name}`: value {index} is {value}, too large for {encoding}")]
    TooLarge {
        /// The tensor.
        name: String,
        /// The first such value.
        index: usize,
        /// What it is.
        value: f32,
        /// The name of the encoding.
        encoding: &'static str,
    },
    /// An alias stands for a tensor that was added before it.
    #[error("alias `{name}` stands for `{target}`, which was not added before it")]
    UnknownTarget {
        /// The alias.
        name: String,
        /// What it should stand for.
        target: String,
    },
    /// An alias cannot stand for an alias.
    #[error("alias `{name}` stands for `{target}`, itself an alias")]
    AliasOfAlias {
        /// The alias.
        name: String,
        /// What it should stand for.
        target: String,
    },
    /// The codes cannot be packed.
    #[error("tensor `{name}` cannot be packed")]
    Packing {
        /// The tensor.
        name: String,
        /// What is wrong.
        source: PackedError,
    },
    /// The bytes could not be brought to the disk.
    #[error(transparent)]
    File(#[from] AtomicWriteError),
}
