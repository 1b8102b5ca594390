//! The packed encoding: the seam behind which the layout of packed codes can change.
//!
//! Codes of each group at its width, lowest bit first, with nothing between them: see
//! [`crate::bitpack`].

use super::Levels;
use super::chunks::by_chunk;
use super::classes::WidthClasses;
use crate::BitWidth;
use crate::bitpack::{self, BitReader, BitpackError, check_padding};

/// Bytes that the packed codes take.
pub(crate) fn packed_bytes(classes: &WidthClasses) -> u64 {
    classes.code_bits().div_ceil(8)
}

/// The packed codes.
pub(crate) fn pack(
    codes: &[u16],
    classes: &WidthClasses,
    widths: &[BitWidth],
) -> Result<Vec<u8>, BitpackError> {
    bitpack::pack(codes, classes.grouping(), widths)
}

/// Whether bytes are as many as the widths need, and filled up with zeros.
pub(crate) fn check(packed: &[u8], classes: &WidthClasses) -> Result<(), BitpackError> {
    check_padding(packed, classes.code_bits())
}

/// Writes the codes that were packed; `widths` are those that `classes` counts.
pub(crate) fn unpack(
    packed: &[u8],
    classes: &WidthClasses,
    widths: &[BitWidth],
    codes: &mut [u16],
) -> Result<(), BitpackError> {
    read(packed, classes, widths, codes, |_, code| code)
}

/// Writes the values of the codes that were packed.
pub(crate) fn dequantize(
    packed: &[u8],
    classes: &WidthClasses,
    widths: &[BitWidth],
    levels: &Levels,
    values: &mut [f32],
) -> Result<(), BitpackError> {
    read(packed, classes, widths, values, |width, code| levels.value(width, code))
}

fn read<T: Send>(
    packed: &[u8],
    classes: &WidthClasses,
    widths: &[BitWidth],
    out: &mut [T],
    value: impl Fn(BitWidth, u16) -> T + Sync,
) -> Result<(), BitpackError> {
    check(packed, classes)?;
    let size = classes.grouping().size();
    by_chunk(
        classes.grouping(),
        widths,
        out,
        0u64,
        |bit, width, len| *bit += len as u64 * u64::from(width.get()),
        |bit, widths, out| {
            let mut reader = BitReader::at(packed, bit);
            for (group, &width) in out.chunks_mut(size).zip(widths) {
                for out in group {
                    *out = value(width, reader.take(width.get().into()));
                }
            }
        },
    );
    Ok(())
}
