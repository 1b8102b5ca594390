//! A weight tensor as it is stored: shape, ranges, one width per group, one code per weight.

use crate::ranges::{Grids, dequantize};
use crate::size::{ModelSize, nominal_size_with};
use crate::{BitWidth, GroupSize, Grouping, QuantizeError, Ranges, UniformGrid, ValueRange};

/// A weight tensor rounded to the grids of its groups.
///
/// Weights are in stored order, `[out, …]` row by row, and groups are cut along it. Each group has its
/// own width; ranges are those of the tensor, its channels or its groups. The parts always fit together,
/// whichever way the tensor was made. Where each group has a range, that of a group of no bits is not
/// stored, so it is 0 to 0 here too.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedTensor {
    shape: Vec<usize>,
    group_size: GroupSize,
    ranges: Ranges,
    widths: Vec<BitWidth>,
    codes: Vec<u16>,
}

impl QuantizedTensor {
    /// Rounds each weight to the nearest point of its group's grid over the range of all weights.
    ///
    /// `widths` has one entry per group, in order.
    ///
    /// # Errors
    /// [`QuantizeError`]: a weight that is not finite, or a number of weights or widths that does not
    /// fit the shape.
    pub fn quantize(
        weights: &[f32],
        shape: &[usize],
        group_size: GroupSize,
        widths: Vec<BitWidth>,
    ) -> Result<Self, QuantizeError> {
        let ranges = Ranges::of_tensor(ValueRange::fit(weights)?);
        Self::round(weights, ranges, shape, group_size, widths)
    }

    /// As [`quantize`](Self::quantize), over a range that is given; weights outside it get its ends.
    ///
    /// # Errors
    /// [`QuantizeError`], as [`quantize`](Self::quantize) does.
    pub fn quantize_within(
        weights: &[f32],
        range: ValueRange,
        shape: &[usize],
        group_size: GroupSize,
        widths: Vec<BitWidth>,
    ) -> Result<Self, QuantizeError> {
        Self::quantize_with(weights, Ranges::of_tensor(range), shape, group_size, widths)
    }

    /// As [`quantize`](Self::quantize), over ranges that are given; weights outside theirs get its ends.
    ///
    /// # Errors
    /// [`QuantizeError`], as [`quantize`](Self::quantize) does, and [`QuantizeError::RangeCount`].
    pub fn quantize_with(
        weights: &[f32],
        ranges: Ranges,
        shape: &[usize],
        group_size: GroupSize,
        widths: Vec<BitWidth>,
    ) -> Result<Self, QuantizeError> {
        // For the error alone: a given range does not show a NaN.
        ValueRange::fit(weights)?;
        Self::round(weights, ranges, shape, group_size, widths)
    }

    /// The tensor of finite weights.
    fn round(
        weights: &[f32],
        mut ranges: Ranges,
        shape: &[usize],
        group_size: GroupSize,
        widths: Vec<BitWidth>,
    ) -> Result<Self, QuantizeError> {
        let grouping = check_parts(shape, group_size, weights.len(), widths.len(), &ranges)?;
        ranges.clear_pruned(&widths);
        let mut codes = vec![0; weights.len()];
        Grids::new(&ranges, shape, grouping).each_piece(&widths, 0..weights.len(), |grid, piece| {
            grid.quantize_slice(&weights[piece.clone()], &mut codes[piece]);
        });
        Ok(Self { shape: shape.to_vec(), group_size, ranges, widths, codes })
    }

    /// The tensor of these parts, with one range for all of it.
    ///
    /// # Errors
    /// [`QuantizeError`]: a number of codes or widths that does not fit the shape, or a code that does
    /// not fit its group's width.
    pub fn from_parts(
        shape: Vec<usize>,
        group_size: GroupSize,
        range: ValueRange,
        widths: Vec<BitWidth>,
        codes: Vec<u16>,
    ) -> Result<Self, QuantizeError> {
        Self::from_parts_with(shape, group_size, Ranges::of_tensor(range), widths, codes)
    }

    /// The tensor of these parts.
    ///
    /// # Errors
    /// [`QuantizeError`]: a number of codes, widths or ranges that does not fit the shape, or a code that
    /// does not fit its group's width.
    pub fn from_parts_with(
        shape: Vec<usize>,
        group_size: GroupSize,
        mut ranges: Ranges,
        widths: Vec<BitWidth>,
        codes: Vec<u16>,
    ) -> Result<Self, QuantizeError> {
        let grouping = check_parts(&shape, group_size, codes.len(), widths.len(), &ranges)?;
        ranges.clear_pruned(&widths);
        for (group, &width) in grouping.ranges().zip(&widths) {
            let start = group.start;
            let too_large = |&code: &u16| u32::from(code) >= width.levels();
            // The largest is found by vectors, its place only where it is too large.
            let largest = codes[group.clone()].iter().copied().max();
            if largest.as_ref().is_some_and(too_large)
                && let Some(offset) = codes[group].iter().position(too_large)
            {
                let index = start + offset;
                return Err(QuantizeError::CodeTooLarge { index, code: codes[index], width });
            }
        }
        Ok(Self { shape, group_size, ranges, widths, codes })
    }

    /// The tensor of parts that are known to fit, because they were just unpacked.
    pub(crate) const fn from_unpacked(
        shape: Vec<usize>,
        group_size: GroupSize,
        ranges: Ranges,
        widths: Vec<BitWidth>,
        codes: Vec<u16>,
    ) -> Self {
        Self { shape, group_size, ranges, widths, codes }
    }

    /// The rounded weights, in stored order.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.len()];
        self.dequantize_into(&mut weights);
        weights
    }

    /// Writes the rounded weights, in stored order.
    ///
    /// # Panics
    /// When `weights` has another length than the tensor.
    pub fn dequantize_into(&self, weights: &mut [f32]) {
        assert_eq!(weights.len(), self.len(), "one value per code");
        dequantize(&self.ranges, &self.shape, self.grouping(), &self.widths, &self.codes, weights);
    }

    /// The codes alone, in stored order.
    pub(crate) fn into_codes(self) -> Vec<u16> {
        self.codes
    }

    /// The dimensions, `[out, …]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are no weights at all.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// How many weights share a width.
    pub fn group_size(&self) -> GroupSize {
        self.group_size
    }

    /// Which weights share which width.
    pub fn grouping(&self) -> Grouping {
        Grouping::new(self.group_size, self.len())
    }

    /// The ranges that the weights were rounded over.
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// One width per group.
    pub fn widths(&self) -> &[BitWidth] {
        &self.widths
    }

    /// One code per weight.
    pub fn codes(&self) -> &[u16] {
        &self.codes
    }

    /// The grid of one weight, in stored order; `None` when there is no such weight.
    pub fn grid(&self, index: usize) -> Option<UniformGrid> {
        let width = *self.widths.get(self.grouping().group_of(index))?;
        let runs = self.ranges.granularity().runs(&self.shape, self.grouping());
        (index < self.len()).then(|| self.ranges.grid(runs.group_of(index), width))
    }

    /// The exact nominal size; `floor` is as for [`nominal_size`](crate::nominal_size).
    pub fn nominal_size(&self, floor: BitWidth) -> ModelSize {
        let ranges = self.ranges.stored(&self.widths).count() as u64 * self.ranges.form().bytes() as u64;
        nominal_size_with(self.grouping(), &self.widths, floor, 8 * ranges)
    }

    /// Bits per weight, codes alone; 0 for no weights.
    pub fn mean_bits(&self) -> f64 {
        let groups = self.grouping().ranges().zip(&self.widths);
        let bits: u64 = groups.map(|(group, width)| group.len() as u64 * u64::from(width.get())).sum();
        bits as f64 / self.len().max(1) as f64
    }

    /// Number of groups of each width, 0 to 16.
    pub fn width_histogram(&self) -> [usize; BitWidth::COUNT] {
        let mut histogram = [0; BitWidth::COUNT];
        for width in &self.widths {
            histogram[usize::from(width.get())] += 1;
        }
        histogram
    }
}

/// The number of elements of a shape; `None` when it cannot be counted.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &dimension| product.checked_mul(dimension))
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

/// The groups of a shape, once it is known that values, widths and ranges are as many as they must be.
fn check_parts(
    shape: &[usize],
    group_size: GroupSize,
    values: usize,
    widths: usize,
    ranges: &Ranges,
) -> Result<Grouping, QuantizeError> {
    check_shape(shape, values)?;
    let grouping = Grouping::new(group_size, values);
    if grouping.count() != widths {
        return Err(QuantizeError::WidthCount { expected: grouping.count(), found: widths });
    }
    let granularity = ranges.granularity();
    let (expected, found) = (granularity.count(shape, group_size).unwrap_or(0), ranges.values().len());
    if expected != found {
        return Err(QuantizeError::RangeCount { granularity, expected, found });
    }
    Ok(grouping)
}
