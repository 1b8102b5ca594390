//! A weight tensor as it is stored: its shape, its codes, and what they mean.

use crate::codes::check_widths;
use crate::ranges::{Grids, check_shape, dequantize};
use crate::size::{ModelSize, nominal_size_with};
use crate::{BitWidth, Codes, GroupSize, Grouping, QuantizeError, Ranges, UniformGrid, ValueRange};

/// What the codes of a tensor mean.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Levels {
    /// One code per weight, each a level of a uniform grid: one of the tensor, or one per channel or group.
    Uniform(Ranges),
}

/// A weight tensor rounded to a few levels per group.
///
/// Weights are in stored order, `[out, …]` row by row, and groups are cut along it. Each group has its
/// own width; ranges are those of the tensor, its channels or its groups. The parts always fit together,
/// whichever way the tensor was made. Where each group has a range, that of a group of no bits is not
/// stored, so it is 0 to 0 here too.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedTensor {
    shape: Vec<usize>,
    codes: Codes,
    levels: Levels,
}

impl QuantizedTensor {
    /// The tensor of these parts.
    ///
    /// # Errors
    /// [`QuantizeError`]: a number of codes or ranges that does not fit the shape.
    pub fn new(shape: Vec<usize>, codes: Codes, levels: Levels) -> Result<Self, QuantizeError> {
        let Levels::Uniform(mut ranges) = levels;
        check_parts(&shape, codes.group_size(), codes.len(), codes.widths(), &ranges)?;
        ranges.clear_pruned(codes.widths());
        Ok(Self { shape, codes, levels: Levels::Uniform(ranges) })
    }

    /// As [`new`](Self::new), of the parts of codes and levels of a uniform grid.
    ///
    /// # Errors
    /// [`QuantizeError`]: a number of codes, widths or ranges that does not fit the shape, or a code that
    /// does not fit its group's width.
    pub fn from_parts_with(
        shape: Vec<usize>,
        group_size: GroupSize,
        ranges: Ranges,
        widths: Vec<BitWidth>,
        codes: Vec<u16>,
    ) -> Result<Self, QuantizeError> {
        check_parts(&shape, group_size, codes.len(), &widths, &ranges)?;
        Self::new(shape, Codes::new(group_size, widths, codes)?, Levels::Uniform(ranges))
    }

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
        let grouping = check_parts(shape, group_size, weights.len(), &widths, &ranges)?;
        ranges.clear_pruned(&widths);
        let mut codes = vec![0; weights.len()];
        Grids::new(&ranges, shape, grouping).each_piece(&widths, 0..weights.len(), |grid, piece| {
            grid.quantize_slice(&weights[piece.clone()], &mut codes[piece]);
        });
        let codes = Codes::from_unpacked(group_size, widths, codes);
        Ok(Self::from_unpacked(shape.to_vec(), codes, Levels::Uniform(ranges)))
    }

    /// The tensor of parts that are known to fit, because they were just rounded or unpacked.
    pub(crate) const fn from_unpacked(shape: Vec<usize>, codes: Codes, levels: Levels) -> Self {
        Self { shape, codes, levels }
    }

    /// The rounded weights, in stored order.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.len()];
        let codes = &self.codes;
        dequantize(
            self.ranges(),
            &self.shape,
            codes.grouping(),
            codes.widths(),
            codes.values(),
            &mut weights,
        );
        weights
    }

    /// The codes alone, in stored order.
    pub(crate) fn into_codes(self) -> Vec<u16> {
        self.codes.into_values()
    }

    /// The dimensions, `[out, …]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// What the codes mean.
    pub fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        // A uniform grid has one code per weight.
        let Levels::Uniform(_) = self.levels;
        self.codes.len()
    }

    /// Whether there are no weights at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many codes share a width.
    pub fn group_size(&self) -> GroupSize {
        self.codes.group_size()
    }

    /// Which codes share which width.
    pub fn grouping(&self) -> Grouping {
        self.codes.grouping()
    }

    /// The ranges that the weights were rounded over.
    pub fn ranges(&self) -> &Ranges {
        let Levels::Uniform(ranges) = &self.levels;
        ranges
    }

    /// One width per group.
    pub fn widths(&self) -> &[BitWidth] {
        self.codes.widths()
    }

    /// The codes: one per weight on a uniform grid.
    pub fn codes(&self) -> &[u16] {
        self.codes.values()
    }

    /// The grid of one weight, in stored order; `None` when there is no such weight.
    pub fn grid(&self, index: usize) -> Option<UniformGrid> {
        let width = *self.widths().get(self.grouping().group_of(index))?;
        let runs = self.ranges().granularity().runs(&self.shape, self.grouping());
        (index < self.len()).then(|| self.ranges().grid(runs.group_of(index), width))
    }

    /// The exact nominal size; `floor` is as for [`nominal_size`](crate::nominal_size).
    pub fn nominal_size(&self, floor: BitWidth) -> ModelSize {
        let ranges = self.ranges();
        let bytes = ranges.stored(self.widths()).count() as u64 * ranges.form().bytes() as u64;
        nominal_size_with(self.grouping(), self.widths(), floor, 8 * bytes)
    }

    /// Bits per weight, codes alone; 0 for no weights.
    pub fn mean_bits(&self) -> f64 {
        self.codes.bits() as f64 / self.len().max(1) as f64
    }

    /// Number of groups of each width, 0 to 16.
    pub fn width_histogram(&self) -> [usize; BitWidth::COUNT] {
        self.codes.width_histogram()
    }
}

/// The groups of a shape, once it is known that values, widths and ranges are as many as they must be.
fn check_parts(
    shape: &[usize],
    group_size: GroupSize,
    values: usize,
    widths: &[BitWidth],
    ranges: &Ranges,
) -> Result<Grouping, QuantizeError> {
    check_shape(shape, values)?;
    let grouping = Grouping::new(group_size, values);
    check_widths(grouping, widths)?;
    let granularity = ranges.granularity();
    let (expected, found) = (granularity.count(shape, group_size).unwrap_or(0), ranges.values().len());
    if expected != found {
        return Err(QuantizeError::RangeCount { granularity, expected, found });
    }
    Ok(grouping)
}
