//! The packed encoding: codes of each group at its width, lowest bit first, with nothing between them.
//!
//! The work is done by [`fewbit_kernels::packed`]; here a file's groups are told to it.

use fewbit_kernels::packed::{self, PackedError, Widths};

use super::classes::WidthClasses;
use crate::{Grouping, ValueRange};

/// The widths of a tensor's groups, as the kernels want them: `None` where all have the smallest.
pub(crate) fn kernel_widths<'w>(classes: &WidthClasses, widths: Option<&'w [u8]>) -> Widths<'w> {
    match widths {
        Some(widths) => Widths::PerGroup { widths, group_size: group_size(classes.grouping()) },
        None => Widths::Uniform(classes.minimum().get()),
    }
}

/// The group size, which is never 0.
pub(super) fn group_size(grouping: Grouping) -> std::num::NonZeroUsize {
    std::num::NonZeroUsize::new(grouping.size()).unwrap_or(std::num::NonZeroUsize::MIN)
}

/// Bytes that the packed codes take.
pub(crate) fn packed_bytes(classes: &WidthClasses) -> u64 {
    classes.code_bits().div_ceil(8)
}

/// The packed codes.
pub(crate) fn pack(
    codes: &[u16],
    classes: &WidthClasses,
    widths: Option<&[u8]>,
) -> Result<Vec<u8>, PackedError> {
    let mut packed = Vec::new();
    packed::pack(codes, kernel_widths(classes, widths), &mut packed)?;
    Ok(packed)
}

/// Whether bytes are as many as the widths need, and filled up with zeros.
pub(crate) fn check(packed: &[u8], classes: &WidthClasses) -> Result<(), PackedError> {
    check_bits(packed, classes.code_bits())
}

/// Whether bytes are as many as so many bits need, and filled up with zeros.
pub(super) fn check_bits(packed: &[u8], bits: u64) -> Result<(), PackedError> {
    // As many codes of one bit.
    packed::check(packed, Widths::Uniform(1), usize::try_from(bits).unwrap_or(usize::MAX))
}

/// Writes the codes that were packed; `widths` are those that `classes` counts.
pub(crate) fn unpack(
    packed: &[u8],
    classes: &WidthClasses,
    widths: Option<&[u8]>,
    codes: &mut [u16],
) -> Result<(), PackedError> {
    packed::unpack(packed, kernel_widths(classes, widths), codes)
}

/// Writes the values of the codes that were packed, all groups over one range.
pub(crate) fn dequantize(
    packed: &[u8],
    classes: &WidthClasses,
    widths: Option<&[u8]>,
    range: ValueRange,
    values: &mut [f32],
) -> Result<(), PackedError> {
    packed::dequantize(packed, kernel_widths(classes, widths), range.minimum(), range.maximum(), values)
}

/// The numbers of `bits` bits each, packed.
pub(super) fn pack_equal(numbers: &[u16], bits: u8) -> Vec<u8> {
    let mut packed = Vec::new();
    // Who calls has masked them.
    let fits = packed::pack(numbers, Widths::Uniform(bits), &mut packed);
    debug_assert_eq!(fits, Ok(()));
    packed
}
