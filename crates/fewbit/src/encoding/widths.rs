//! Widths of groups, packed: how far each is above the tensor's smallest, in as few bits as tell it.

use fewbit_kernels::packed::{self, PackedError, Widths};
use rayon::prelude::*;

use super::classes::{WidthClasses, histogram};
use super::packed::{check_bits, pack_equal};
use super::{EncodingError, EncodingFault, reserved};
use crate::BitWidth;

/// Groups whose widths one task unpacks; of eights, so that each begins at a byte.
const CHUNK: usize = 1 << 14;

/// Bytes that the packed widths take.
pub(crate) fn packed_bytes(classes: &WidthClasses) -> u64 {
    (classes.grouping().count() as u64 * u64::from(classes.offset_bits())).div_ceil(8)
}

/// The packed widths; nothing where all are the same.
pub(crate) fn pack(widths: &[u8], classes: &WidthClasses) -> Vec<u8> {
    let offsets: Vec<u16> = widths.iter().map(|width| u16::from(width - classes.minimum().get())).collect();
    pack_equal(&offsets, classes.offset_bits() as u8)
}

/// The widths that were packed, one per group; `None` where all are the smallest.
pub(crate) fn unpack(packed: &[u8], classes: &WidthClasses) -> Result<Option<Vec<u8>>, EncodingFault> {
    let count = classes.grouping().count();
    let bits = classes.offset_bits() as usize;
    let packing = |source| EncodingFault::packing(0, "widths", source);
    check_bits(packed, (count * bits) as u64).map_err(packing)?;
    if classes.is_uniform() {
        return Ok(None);
    }
    let mut widths = reserved(count)?;
    widths.resize(count, 0);
    let groups = unpack_part(packed, classes, &mut widths).map_err(packing)?;
    // Widths above the largest are counted nowhere, or not where they should be.
    if classes.describe(groups, widths.last().copied()) {
        return Ok(Some(widths));
    }
    let maximum = classes.maximum().get();
    let error = match widths.iter().position(|&width| width > maximum) {
        Some(group) => EncodingError::WidthAboveMaximum { group, found: widths[group].into(), maximum },
        None => EncodingError::WidthsDiffer,
    };
    Err(EncodingFault::new(0, error))
}

/// Writes consecutive widths that were packed, on all cores; how many there are of each, but for those above
/// [`BitWidth::MAX`].
pub(crate) fn unpack_part(
    packed: &[u8],
    classes: &WidthClasses,
    widths: &mut [u8],
) -> Result<[usize; BitWidth::COUNT], PackedError> {
    let (bits, minimum) = (classes.offset_bits() as usize, classes.minimum().get());
    let unpack = |offsets: &mut Vec<u16>, (packed, widths): (&[u8], &mut [u8])| {
        offsets.resize(widths.len(), 0);
        packed::unpack(packed, Widths::Uniform(bits as u8), offsets)?;
        for (width, &offset) in widths.iter_mut().zip(&*offsets) {
            *width = minimum + offset as u8;
        }
        Ok(histogram(widths))
    };
    // A chunk's bits are whole bytes.
    let chunks = packed.par_chunks(CHUNK / 8 * bits).zip(widths.par_chunks_mut(CHUNK));
    let counts: Vec<_> = chunks.map_init(Vec::new, unpack).collect();
    let mut groups = [0; _];
    for counted in counts {
        groups.iter_mut().zip(counted?).for_each(|(sum, count)| *sum += count);
    }
    Ok(groups)
}
