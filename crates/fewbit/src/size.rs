//! How many bits a model takes: exact once stored, differentiable while learned, by one formula.
//!
//! The formula is that of Défossez et al. 2022, section 3.4, with its overheads as the reference
//! implementation counts them. For a tensor whose groups have `len_k` weights at `b_k` bits
//!
//! ```text
//! Σ len_k·b_k  +  64  +  8 + groups · ceil(log2(1 + round(max b_k) - floor))
//!    codes       range                     widths
//! ```
//!
//! where a tensor with other ranges than two 32-bit floats has their bits in place of the 64,
//! and every other value takes 32 bits. It is the *nominal* size; what a file really takes, names,
//! shapes and checksum included, is counted by [`crate::FileSize`].

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use crate::{BitWidth, Grouping, RangeForm};

/// Exact size of a stored model, counted in bits and split by part.
///
/// Parts only grow by addition, so that a sum is as exact as its terms. Tied tensors are stored once:
/// add them once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModelSize {
    pub(crate) codes: u64,
    pub(crate) widths: u64,
    pub(crate) ranges: u64,
    pub(crate) tables: u64,
    pub(crate) header: u64,
    pub(crate) unquantized: u64,
}

impl ModelSize {
    /// The size of values that stay 32-bit floats.
    pub const fn of_floats(values: u64) -> Self {
        Self { codes: 0, widths: 0, ranges: 0, tables: 0, header: 0, unquantized: values.saturating_mul(32) }
    }

    /// Bits of the codes.
    pub const fn codes(self) -> u64 {
        self.codes
    }

    /// Bits that tell each group's width.
    pub const fn widths(self) -> u64 {
        self.widths
    }

    /// Bits of the tensors' ranges.
    pub const fn ranges(self) -> u64 {
        self.ranges
    }

    /// Bits of names, shapes and the like.
    pub const fn tables(self) -> u64 {
        self.tables
    }

    /// Bits that a file needs once: its mark, version, metadata and checksum.
    pub const fn header(self) -> u64 {
        self.header
    }

    /// Bits of the values that are stored as floats.
    pub const fn unquantized(self) -> u64 {
        self.unquantized
    }

    /// All parts together.
    pub const fn bits(self) -> u64 {
        let parts = [self.widths, self.ranges, self.tables, self.header, self.unquantized];
        let mut sum = self.codes;
        let mut part = 0;
        while part < parts.len() {
            sum = sum.saturating_add(parts[part]);
            part += 1;
        }
        sum
    }

    /// All parts together in bytes, the last one perhaps not full.
    pub const fn bytes(self) -> u64 {
        self.bits().div_ceil(8)
    }

    /// Mebibytes (2^20 bytes), the unit of the result tables and of the penalty.
    pub fn mebibytes(self) -> f64 {
        self.bits() as f64 / BITS_PER_MEBIBYTE
    }
}

/// Bits in 2^20 bytes: what a size in bits is divided by for the penalty.
pub const BITS_PER_MEBIBYTE: f64 = (8u32 << 20) as f64;

impl Add for ModelSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            codes: self.codes.saturating_add(other.codes),
            widths: self.widths.saturating_add(other.widths),
            ranges: self.ranges.saturating_add(other.ranges),
            tables: self.tables.saturating_add(other.tables),
            header: self.header.saturating_add(other.header),
            unquantized: self.unquantized.saturating_add(other.unquantized),
        }
    }
}

impl AddAssign for ModelSize {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for ModelSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), Add::add)
    }
}

/// The exact nominal size of a tensor whose groups have these widths.
///
/// `floor` is the fewest bits a group could have had, as configured: it decides how many bits tell a
/// width. Widths below it count as if they were at it, for that purpose alone.
///
/// ```
/// # use fewbit::{BitWidth, GroupSize, Grouping, nominal_size};
/// let grouping = Grouping::new(GroupSize::new(8).unwrap(), 64 * 128);
/// let [two, eight] = [2, 8].map(|bits| BitWidth::new(bits).unwrap());
/// let size = nominal_size(grouping, &[eight; 1024], two);
/// assert_eq!((size.codes(), size.ranges(), size.widths()), (65_536, 64, 8 + 1024 * 3));
/// assert_eq!(size.bits(), 68_680);
/// ```
///
/// # Panics
/// When there is not one width per group.
pub fn nominal_size(grouping: Grouping, widths: &[BitWidth], floor: BitWidth) -> ModelSize {
    nominal_size_with(grouping, widths, floor, range_bits(RangeForm::Full, 1))
}

/// As [`nominal_size`], of a tensor whose ranges take so many bits: see [`range_bits`].
///
/// # Panics
/// When there is not one width per group.
pub fn nominal_size_with(grouping: Grouping, widths: &[BitWidth], floor: BitWidth, ranges: u64) -> ModelSize {
    let parts = tensor_parts(grouping, widths, floor);
    ModelSize { codes: parts.codes, widths: parts.widths, ranges, ..ModelSize::default() }
}

/// Bits of so many ranges of a form, before any coding.
///
/// How many a tensor has, [`RangeGranularity::count`](crate::RangeGranularity::count) tells; where each
/// group has one, groups of no bits need none.
///
/// ```
/// # use fewbit::{GroupSize, RangeForm, RangeGranularity, size::range_bits};
/// let channels = RangeGranularity::Channel.count(&[16, 3, 3, 3], GroupSize::WholeTensor).unwrap();
/// assert_eq!(range_bits(RangeForm::SymmetricHalf, channels), 16 * 16);
/// ```
pub const fn range_bits(form: RangeForm, ranges: usize) -> u64 {
    8 * form.bytes() as u64 * ranges as u64
}

/// The nominal size in bits of a tensor whose groups have these real numbers of bits.
///
/// The same sum as [`nominal_size`], and equal to it where all bits are whole. Its derivative by a
/// group's bits is the group's number of weights: the overhead counts as constant, as in the paper.
///
/// # Panics
/// When there is not one number of bits per group.
pub fn soft_size(grouping: Grouping, bits: &[f32], floor: BitWidth) -> f64 {
    soft_size_with(grouping, bits, floor, range_bits(RangeForm::Full, 1))
}

/// As [`soft_size`], of a tensor whose ranges take so many bits: see [`range_bits`].
///
/// # Panics
/// When there is not one number of bits per group.
pub fn soft_size_with(grouping: Grouping, bits: &[f32], floor: BitWidth, ranges: u64) -> f64 {
    let parts = tensor_parts(grouping, bits, floor);
    parts.codes + (parts.widths + ranges) as f64
}

/// The part of [`soft_size`] that no gradient reaches: the bits of the range and of the widths.
///
/// # Panics
/// When there is not one number of bits per group.
pub fn soft_overhead(grouping: Grouping, bits: &[f32], floor: BitWidth) -> u64 {
    soft_overhead_with(grouping, bits, floor, range_bits(RangeForm::Full, 1))
}

/// As [`soft_overhead`], of a tensor whose ranges take so many bits: see [`range_bits`].
///
/// # Panics
/// When there is not one number of bits per group.
pub fn soft_overhead_with(grouping: Grouping, bits: &[f32], floor: BitWidth, ranges: u64) -> u64 {
    tensor_parts(grouping, bits, floor).widths + ranges
}

/// The sums of the formula that depend on widths, with codes counted in whatever the bits are counted in.
struct TensorParts<T> {
    codes: T,
    widths: u64,
}

/// A number of bits of a group, whole or real.
trait GroupBits: Copy {
    /// What a sum of such bits is.
    type Total: Sum;
    fn times(self, weights: usize) -> Self::Total;
    /// As it would be stored; `None` for NaN.
    fn rounded(self) -> Option<BitWidth>;
}

impl GroupBits for BitWidth {
    type Total = u64;

    fn times(self, weights: usize) -> u64 {
        u64::from(self.get()) * weights as u64
    }

    fn rounded(self) -> Option<BitWidth> {
        Some(self)
    }
}

impl GroupBits for f32 {
    type Total = f64;

    fn times(self, weights: usize) -> f64 {
        f64::from(self) * weights as f64
    }

    fn rounded(self) -> Option<BitWidth> {
        BitWidth::from_bits(self)
    }
}

/// The formula at the top of this file.
fn tensor_parts<B: GroupBits>(grouping: Grouping, bits: &[B], floor: BitWidth) -> TensorParts<B::Total> {
    assert_eq!(bits.len(), grouping.count(), "one number of bits per group of {grouping:?}");
    let groups = grouping.ranges().zip(bits);
    let codes = groups.map(|(group, bits)| bits.times(group.len())).sum();
    // Rounding keeps the order, so the largest rounded width is the rounded largest.
    let largest = bits.iter().filter_map(|bits| bits.rounded()).max();
    let choices = 1 + largest.unwrap_or(floor).get().saturating_sub(floor.get());
    TensorParts { codes, widths: 8 + grouping.count() as u64 * u64::from(bits_to_tell(choices)) }
}

/// `ceil(log2(choices))`: bits that tell one of so many choices.
pub(crate) const fn bits_to_tell(choices: u8) -> u32 {
    match choices {
        0 => 0,
        _ => u8::BITS - (choices - 1).leading_zeros(),
    }
}
