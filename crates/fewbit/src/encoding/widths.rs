//! Widths of groups, packed: how far each is above the tensor's smallest, in as few bits as tell it.

use super::classes::WidthClasses;
use crate::BitWidth;
use crate::bitpack::{BitReader, BitpackError, check_padding, pack_equal};

/// Why packed widths are not those of the table.
pub(crate) enum WidthsError {
    /// Bytes missing or left, or padding that is not zero.
    Packing(BitpackError),
    /// A width above the largest of the table.
    AboveMaximum { group: usize, found: u16 },
    /// Not as many of each as the table says.
    Differ,
    /// No memory for them.
    OutOfMemory,
}

/// Bytes that the packed widths take.
pub(crate) fn packed_bytes(classes: &WidthClasses) -> u64 {
    (classes.grouping().count() as u64 * u64::from(classes.offset_bits())).div_ceil(8)
}

/// The packed widths; nothing where all are the same.
pub(crate) fn pack(widths: &[BitWidth], classes: &WidthClasses) -> Vec<u8> {
    let offsets = widths.iter().map(|width| u16::from(width.get() - classes.minimum().get()));
    pack_equal(offsets, classes.offset_bits())
}

/// The widths that were packed, one per group.
pub(crate) fn unpack(packed: &[u8], classes: &WidthClasses) -> Result<Vec<BitWidth>, WidthsError> {
    let count = classes.grouping().count();
    let bits = classes.offset_bits();
    check_padding(packed, count as u64 * u64::from(bits)).map_err(WidthsError::Packing)?;
    let mut offsets = BitReader::new(packed);
    let mut widths = reserved(count)?;
    if classes.is_uniform() {
        widths.resize(count, classes.minimum());
        return Ok(widths);
    }
    for group in 0..count {
        let found = u16::from(classes.minimum().get()) + offsets.take(bits);
        match BitWidth::new(found as u8).filter(|width| *width <= classes.maximum()) {
            Some(width) => widths.push(width),
            None => return Err(WidthsError::AboveMaximum { group, found }),
        }
    }
    if classes.describe(&widths) { Ok(widths) } else { Err(WidthsError::Differ) }
}

fn reserved(count: usize) -> Result<Vec<BitWidth>, WidthsError> {
    let mut widths = Vec::new();
    widths.try_reserve_exact(count).map_err(|_| WidthsError::OutOfMemory)?;
    Ok(widths)
}
