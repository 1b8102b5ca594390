//! The packed encoding: codes of each group at its width, lowest bit first, with nothing between them.
//!
//! The work is done by [`fewbit_kernels::packed`]; here a file's groups are told to it.

use fewbit_kernels::packed::{self, PackedError, Widths};

use super::classes::WidthClasses;
use super::widths;
use crate::Grouping;

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

/// Whether bytes are as many as so many bits need, and filled up with zeros.
pub(crate) fn check_bits(packed: &[u8], bits: u64) -> Result<(), PackedError> {
    // As many codes of one bit.
    packed::check(packed, Widths::Uniform(1), usize::try_from(bits).unwrap_or(usize::MAX))
}

/// Consecutive weights whose widths are unpacked.
pub(crate) struct Part<'p> {
    /// Number of the first weight.
    pub(crate) first: usize,
    pub(crate) codes: &'p [u8],
    pub(crate) widths: Widths<'p>,
}

/// Calls `work` for parts of a tensor of several widths, one after the other, each with its part of
/// `values`; whether all is as `classes` counts it. What is wrong otherwise is not said, and some values may
/// be written.
///
/// The widths of a part stay in a cache until its codes are read, which a whole tensor's would not.
pub(crate) fn each_part<T>(
    [mut codes, packed_widths]: [&[u8]; 2],
    classes: &WidthClasses,
    values: &mut [T],
    work: impl Fn(Part<'_>, &mut [T]) -> Result<(), PackedError>,
) -> bool {
    /// Weights of a part, and the most groups; the latter and the fewest are eights, so that each part begins
    /// at a byte of both.
    const WEIGHTS: usize = 1 << 22;
    const MOST: usize = 1 << 19;
    let group_size = group_size(classes.grouping());
    let groups = (WEIGHTS / group_size).clamp(8, MOST) / 8 * 8;
    let mut widths = Vec::new();
    let most = groups.min(classes.grouping().count());
    if packed_widths.len() as u64 != widths::packed_bytes(classes) || widths.try_reserve_exact(most).is_err()
    {
        return false;
    }
    widths.resize(most, 0);
    let (mut counts, mut left, mut last) = ([0; _], classes.grouping().count(), None);
    let parts = packed_widths.chunks(groups / 8 * classes.offset_bits() as usize);
    let parts = parts.zip(values.chunks_mut(groups.saturating_mul(group_size.get())));
    for (part, (packed_widths, values)) in parts.enumerate() {
        let widths = &mut widths[..groups.min(left)];
        left -= widths.len();
        last = widths::unpack_part(packed_widths, classes, widths)
            .map(|found| {
                counts.iter_mut().zip(found).for_each(|(sum, count)| *sum += count);
                widths.last().copied()
            })
            .unwrap_or_default();
        let widths = Widths::PerGroup { widths, group_size };
        let bytes = packed::packed_len(widths, values.len()).ok().and_then(|bytes| bytes.try_into().ok());
        let Some((here, later)) = bytes.and_then(|bytes| codes.split_at_checked(bytes)) else {
            return false;
        };
        codes = later;
        let part = Part { first: part * groups * group_size.get(), codes: here, widths };
        if work(part, values).is_err() {
            return false;
        }
    }
    codes.is_empty() && classes.describe(counts, last)
}

/// The numbers of `bits` bits each, packed.
pub(super) fn pack_equal(numbers: &[u16], bits: u8) -> Vec<u8> {
    let mut packed = Vec::new();
    packed::pack(numbers, Widths::Uniform(bits), &mut packed).expect("the caller has masked the numbers");
    packed
}
