//! Why codes cannot be packed or unpacked.

use std::fmt;

use super::MAX_WIDTH;

/// Codes that do not fit their widths, or bytes that are not what the widths need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackedError {
    /// As many widths are needed as there are groups.
    WidthCount {
        /// Groups of the tensor.
        expected: usize,
        /// Widths that were given.
        found: usize,
    },
    /// A width is above the largest.
    WidthTooLarge {
        /// The first such group.
        group: usize,
        /// Its width.
        width: u8,
    },
    /// A code needs more bits than its group has.
    CodeTooLarge {
        /// Place of the first such code.
        index: usize,
        /// The code.
        code: u16,
        /// The width of its group.
        width: u8,
    },
    /// The bytes are fewer or more than the widths need.
    ByteCount {
        /// Bytes that the widths need.
        expected: u64,
        /// Bytes that were given.
        found: usize,
    },
    /// The bits behind the last code are not all zero.
    PaddingNotZero {
        /// Where the last byte lies.
        offset: usize,
        /// The last byte.
        byte: u8,
        /// How many of its bits belong to codes.
        used: u32,
    },
}

impl PackedError {
    /// The place in the packed bytes where they are wrong; `None` when something else is.
    ///
    /// Where there are too few, that is where they end, and where there are too many, the first of those.
    pub fn offset(&self) -> Option<u64> {
        match *self {
            Self::ByteCount { expected, found } => Some(expected.min(found as u64)),
            Self::PaddingNotZero { offset, .. } => Some(offset as u64),
            _ => None,
        }
    }
}

impl fmt::Display for PackedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WidthCount { expected, found } => {
                write!(f, "{expected} groups need {expected} widths, found {found}")
            }
            Self::WidthTooLarge { group, width } => {
                write!(f, "group {group} has {width} bits, at most {MAX_WIDTH} are possible")
            }
            Self::CodeTooLarge { index, code, width } => {
                write!(f, "code {code} at weight {index} does not fit in the {width} bits of its group")
            }
            Self::ByteCount { expected, found } if expected > found as u64 => {
                write!(f, "packed codes end at byte {found}, the widths need {expected} bytes")
            }
            Self::ByteCount { expected, found } => {
                write!(f, "byte {expected} belongs to no code: the widths need {expected}, found {found}")
            }
            Self::PaddingNotZero { offset, byte, used } => {
                write!(f, "byte {offset}, {byte:#04x}, has bits beyond the {used} that codes use")
            }
        }
    }
}

impl std::error::Error for PackedError {}
