//! The ranges of a tensor: one for all of it, one per output channel or one per group.

use std::ops::Range;

use half::f16;
use rayon::prelude::*;

use crate::group::element_count;
use crate::{
    BitWidth, GridKind, GroupSize, Grouping, QuantizeError, RangeForm, RangeGranularity, UniformGrid,
    ValueRange,
};

/// The ranges of a tensor, each exactly as it is stored.
///
/// ```
/// # use fewbit::{GridKind, RangeForm, RangeGranularity, Ranges, ValueRange};
/// let ranges = [0.5, 0.25].map(|a| ValueRange::symmetric(a).unwrap()).to_vec();
/// let ranges =
///     Ranges::new(RangeGranularity::Channel, GridKind::Signed, RangeForm::SymmetricHalf, ranges)?;
/// assert_eq!(ranges.bytes(), 2 * 2);
/// // A third is no 16-bit float.
/// let third = ValueRange::symmetric(1.0 / 3.0)?;
/// assert!(Ranges::new(RangeGranularity::Tensor, GridKind::Signed, RangeForm::SymmetricHalf, vec![third]).is_err());
/// # Ok::<(), fewbit::QuantizeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    granularity: RangeGranularity,
    kind: GridKind,
    form: RangeForm,
    values: Vec<ValueRange>,
}

impl Ranges {
    /// One range per tensor, channel or group, in order; how many there must be, the tensor decides.
    ///
    /// # Errors
    /// [`QuantizeError::SignedNotSymmetric`], or [`QuantizeError::RangeNotInForm`] with the first range
    /// that the form cannot hold exactly: see [`RangeForm::outward`] and [`RangeForm::nearest`].
    pub fn new(
        granularity: RangeGranularity,
        kind: GridKind,
        form: RangeForm,
        mut values: Vec<ValueRange>,
    ) -> Result<Self, QuantizeError> {
        check_kind(kind, form)?;
        for (index, range) in values.iter_mut().enumerate() {
            let (minimum, maximum) = (range.minimum(), range.maximum());
            *range =
                form.exact(*range).ok_or(QuantizeError::RangeNotInForm { index, minimum, maximum, form })?;
        }
        Ok(Self { granularity, kind, form, values })
    }

    /// One range for a whole tensor, from minimum to maximum, as two 32-bit floats.
    pub fn of_tensor(range: ValueRange) -> Self {
        Self {
            granularity: RangeGranularity::Tensor,
            kind: GridKind::MinMax,
            form: RangeForm::Full,
            values: vec![range],
        }
    }

    /// The smallest ranges of a form that hold the weights they are for.
    ///
    /// Of a signed grid the highest point lies a step below its half-width, so that weights near that end
    /// are clipped all the same.
    ///
    /// # Errors
    /// [`QuantizeError`]: a weight that is not finite, or too large for the form; a number of weights that
    /// does not fit the shape; [`QuantizeError::SignedNotSymmetric`]; [`QuantizeError::NoStep`].
    pub fn fit(
        weights: &[f32],
        shape: &[usize],
        group_size: GroupSize,
        granularity: RangeGranularity,
        kind: GridKind,
        form: RangeForm,
    ) -> Result<Self, QuantizeError> {
        check_kind(kind, form)?;
        if kind == GridKind::Stepped {
            return Err(QuantizeError::NoStep);
        }
        check_shape(shape, weights.len())?;
        let fit = |run: Range<usize>| {
            let found = ValueRange::fit(&weights[run.clone()]).map_err(|error| match error {
                // Counted from the first weight, not from the run's.
                QuantizeError::NonFinite { index, value } => {
                    QuantizeError::NonFinite { index: run.start + index, value }
                }
                other => other,
            });
            form.outward(found?)
        };
        let values = match granularity {
            // An empty tensor has a range, too.
            RangeGranularity::Tensor => vec![fit(0..weights.len())?],
            _ => granularity
                .runs(shape, Grouping::new(group_size, weights.len()))
                .ranges()
                .map(fit)
                .collect::<Result<_, _>>()?,
        };
        Ok(Self { granularity, kind, form, values })
    }

    /// What has a range of its own.
    pub const fn granularity(&self) -> RangeGranularity {
        self.granularity
    }

    /// Where in a range the points lie.
    pub const fn kind(&self) -> GridKind {
        self.kind
    }

    /// How each is stored.
    pub const fn form(&self) -> RangeForm {
        self.form
    }

    /// The ranges, one per tensor, channel or group.
    pub fn values(&self) -> &[ValueRange] {
        &self.values
    }

    /// Bytes that they take before any coding.
    pub fn bytes(&self) -> u64 {
        self.values.len() as u64 * self.form.bytes() as u64
    }

    /// The ranges of values that were just read from a file, in which all are exact.
    pub(crate) const fn from_stored(
        granularity: RangeGranularity,
        kind: GridKind,
        form: RangeForm,
        values: Vec<ValueRange>,
    ) -> Self {
        Self { granularity, kind, form, values }
    }

    /// Those that have anything to tell: all, but for those of groups of no bits, which are not stored.
    pub(crate) fn stored<'r>(&'r self, widths: &'r [BitWidth]) -> impl Iterator<Item = ValueRange> + use<'r> {
        let per_group = self.granularity == RangeGranularity::Group;
        let pruned = move |index: usize| per_group && widths.get(index) == Some(&BitWidth::ZERO);
        self.values.iter().enumerate().filter(move |(index, _)| !pruned(*index)).map(|(_, range)| *range)
    }

    /// Makes the ranges that are not stored what they read back as.
    pub(crate) fn clear_pruned(&mut self, widths: &[BitWidth]) {
        if self.granularity == RangeGranularity::Group {
            let groups = self.values.iter_mut().zip(widths);
            groups
                .filter(|(_, width)| **width == BitWidth::ZERO)
                .for_each(|(range, _)| *range = ValueRange::default());
        }
    }

    /// The grid of the weights that have this range, at a width.
    pub(crate) fn grid(&self, index: usize, width: BitWidth) -> UniformGrid {
        UniformGrid::of(self.kind, self.values.get(index).copied().unwrap_or_default(), width)
    }
}

/// The grids of a tensor's weights.
pub(crate) struct Grids<'r> {
    ranges: &'r Ranges,
    grouping: Grouping,
    /// The weights of each range.
    runs: Grouping,
    /// Those of the only range at each width: made once, because groups are small and divisions slow.
    shared: Option<[UniformGrid; BitWidth::COUNT]>,
}

impl<'r> Grids<'r> {
    /// The grids of a tensor in this shape with these groups, and as many ranges as it must have.
    pub(crate) fn new(ranges: &'r Ranges, shape: &[usize], grouping: Grouping) -> Self {
        let runs = ranges.granularity.runs(shape, grouping);
        // `COUNT` is one more than the widest, so the index is always a width.
        let of_width = |bits| ranges.grid(0, BitWidth::new(bits as u8).unwrap_or(BitWidth::MAX));
        let shared = (runs.count() == 1).then(|| std::array::from_fn(of_width));
        Self { ranges, grouping, runs, shared }
    }

    /// Calls `work` for the weights of a part, run by run of those that have one grid, with that and
    /// where they lie. `widths` has one entry per group.
    pub(crate) fn each_piece(
        &self,
        widths: &[BitWidth],
        part: Range<usize>,
        mut work: impl FnMut(&UniformGrid, Range<usize>),
    ) {
        let mut start = part.start;
        while start < part.end {
            let (group, run) = (self.grouping.group_of(start), self.runs.group_of(start));
            let end = self.grouping.range(group).end.min(self.runs.range(run).end).min(part.end);
            match &self.shared {
                Some(grids) => work(&grids[usize::from(widths[group].get())], start..end),
                None => work(&self.ranges.grid(run, widths[group]), start..end),
            }
            start = end;
        }
    }
}

/// Writes the value of each code of a tensor, on all cores; widths, codes and values must be as many as
/// its groups and weights.
pub(crate) fn dequantize(
    ranges: &Ranges,
    shape: &[usize],
    grouping: Grouping,
    widths: &[BitWidth],
    codes: &[u16],
    values: &mut [f32],
) {
    /// Weights that one task does.
    const CHUNK: usize = 1 << 15;
    let grids = Grids::new(ranges, shape, grouping);
    let chunk = |(index, (values, codes)): (usize, (&mut [f32], &[u16]))| {
        let start = index * CHUNK;
        grids.each_piece(widths, start..start + values.len(), |grid, piece| {
            let piece = piece.start - start..piece.end - start;
            grid.dequantize_slice(&codes[piece.clone()], &mut values[piece]);
        });
    };
    if values.len() <= CHUNK {
        return chunk((0, (values, codes)));
    }
    values.par_chunks_mut(CHUNK).zip(codes.par_chunks(CHUNK)).enumerate().for_each(chunk);
}

fn check_kind(kind: GridKind, form: RangeForm) -> Result<(), QuantizeError> {
    if kind.is_about_zero() && !form.is_symmetric() {
        return Err(QuantizeError::SignedNotSymmetric { form });
    }
    Ok(())
}

/// An error unless a shape has so many elements.
pub(crate) fn check_shape(shape: &[usize], found: usize) -> Result<(), QuantizeError> {
    let expected =
        element_count(shape).ok_or_else(|| QuantizeError::ShapeOverflow { shape: shape.to_vec() })?;
    if expected != found {
        return Err(QuantizeError::ElementCount { shape: shape.to_vec(), expected, found });
    }
    Ok(())
}

/// Which ranges a form can hold.
impl RangeForm {
    /// The smallest range of this form that holds a range: no weight inside it is clipped.
    ///
    /// ```
    /// # use fewbit::{RangeForm, ValueRange};
    /// // 16-bit floats from 0.25 to 0.5 lie 2^-12 apart.
    /// let range = ValueRange::new(-0.3, 0.1)?;
    /// let outward = RangeForm::SymmetricHalf.outward(range)?;
    /// assert_eq!(outward, ValueRange::symmetric(0.300_048_83)?);
    /// # Ok::<(), fewbit::QuantizeError>(())
    /// ```
    ///
    /// # Errors
    /// [`QuantizeError::RangeTooLarge`] for an end beyond 65504, the largest 16-bit float.
    pub fn outward(self, range: ValueRange) -> Result<ValueRange, QuantizeError> {
        self.represented(range, |number, direction| {
            let near = f16::from_f32(number);
            match direction {
                Direction::Up if near.to_f32() < number => next_up(near),
                Direction::Down if near.to_f32() > number => -next_up(-near),
                _ => near,
            }
        })
    }

    /// The range of this form whose ends are nearest; of a symmetric form the one whose half-width is
    /// nearest to the larger magnitude of the ends. Weights outside it are clipped.
    ///
    /// # Errors
    /// [`QuantizeError::RangeTooLarge`] for an end that would be rounded to infinity, from 65520 on.
    pub fn nearest(self, range: ValueRange) -> Result<ValueRange, QuantizeError> {
        self.represented(range, |number, _| f16::from_f32(number))
    }

    /// The range as it reads back, if this form can hold it; zeros are equal here, whatever their sign.
    pub(crate) fn exact(self, range: ValueRange) -> Option<ValueRange> {
        self.nearest(range).ok().filter(|found| *found == range)
    }

    /// The numbers that stand for a range of this form.
    pub(crate) fn numbers_of(self, range: ValueRange) -> impl Iterator<Item = f32> {
        let numbers = [range.minimum(), range.maximum()];
        numbers.into_iter().skip(usize::from(self.is_symmetric()))
    }

    /// The range that numbers stand for, as many as [`numbers`](Self::numbers).
    pub(crate) fn range_of(self, first: f32, last: f32) -> Result<ValueRange, QuantizeError> {
        if self.is_symmetric() { ValueRange::symmetric(last) } else { ValueRange::new(first, last) }
    }

    fn represented(
        self,
        range: ValueRange,
        round: impl Fn(f32, Direction) -> f16,
    ) -> Result<ValueRange, QuantizeError> {
        let number = |number: f32, direction| match self.is_half() {
            true => round(number, direction).to_f32(),
            false => number,
        };
        let found = if self.is_symmetric() {
            ValueRange::symmetric(number(range.half_width(), Direction::Up))
        } else {
            ValueRange::new(number(range.minimum(), Direction::Down), number(range.maximum(), Direction::Up))
        };
        // Rounding keeps order and sign, so that only infinities are refused.
        let (minimum, maximum, form) = (range.minimum(), range.maximum(), self);
        found.map_err(|_| QuantizeError::RangeTooLarge { minimum, maximum, form })
    }
}

/// Where an end of a range may go.
enum Direction {
    Down,
    Up,
}

/// The next larger number, of those below infinity.
fn next_up(number: f16) -> f16 {
    let bits = number.to_bits();
    f16::from_bits(match bits {
        // Both zeros lie below the smallest positive number.
        0 | 0x8000 => 1,
        _ if number.is_sign_negative() => bits - 1,
        _ => bits + 1,
    })
}
