//! A weight tensor as it is stored: shape, range, one width per group, one code per weight.

use crate::{BitWidth, GroupSize, Grouping, QuantizeError, UniformGrid, ValueRange};

/// A weight tensor rounded to the grids of its groups.
///
/// Weights are in stored order, `[out, …]` row by row, and groups are cut along it. All groups share
/// the tensor's range; each has its own width. The parts always fit together, whichever way the
/// tensor was made.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedTensor {
    shape: Vec<usize>,
    group_size: GroupSize,
    range: ValueRange,
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
        let range = ValueRange::fit(weights)?;
        Self::round(weights, range, shape, group_size, widths)
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
        // For the error alone: a given range does not show a NaN.
        ValueRange::fit(weights)?;
        Self::round(weights, range, shape, group_size, widths)
    }

    /// The tensor of finite weights.
    fn round(
        weights: &[f32],
        range: ValueRange,
        shape: &[usize],
        group_size: GroupSize,
        widths: Vec<BitWidth>,
    ) -> Result<Self, QuantizeError> {
        let grouping = checked_grouping(shape, group_size, weights.len(), widths.len())?;
        let grids = grids(range);
        let mut codes = vec![0; weights.len()];
        for (group, width) in grouping.ranges().zip(&widths) {
            grids[usize::from(width.get())].quantize_slice(&weights[group.clone()], &mut codes[group]);
        }
        Ok(Self { shape: shape.to_vec(), group_size, range, widths, codes })
    }

    /// The tensor of these parts.
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
        let grouping = checked_grouping(&shape, group_size, codes.len(), widths.len())?;
        for (group, &width) in grouping.ranges().zip(&widths) {
            let start = group.start;
            let too_large = |&code: &u16| u32::from(code) >= width.levels();
            if let Some(offset) = codes[group].iter().position(too_large) {
                let index = start + offset;
                return Err(QuantizeError::CodeTooLarge { index, code: codes[index], width });
            }
        }
        Ok(Self { shape, group_size, range, widths, codes })
    }

    /// The tensor of parts that are known to fit, because they were just unpacked.
    pub(crate) const fn from_unpacked(
        shape: Vec<usize>,
        group_size: GroupSize,
        range: ValueRange,
        widths: Vec<BitWidth>,
        codes: Vec<u16>,
    ) -> Self {
        Self { shape, group_size, range, widths, codes }
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
        let grids = grids(self.range);
        for (group, width) in self.grouping().ranges().zip(&self.widths) {
            grids[usize::from(width.get())].dequantize_slice(&self.codes[group.clone()], &mut weights[group]);
        }
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

    /// The range that all groups share.
    pub fn range(&self) -> ValueRange {
        self.range
    }

    /// One width per group.
    pub fn widths(&self) -> &[BitWidth] {
        &self.widths
    }

    /// One code per weight.
    pub fn codes(&self) -> &[u16] {
        &self.codes
    }

    /// The grid of one group; `None` when there is no such group.
    pub fn grid(&self, group: usize) -> Option<UniformGrid> {
        let width = *self.widths.get(group)?;
        Some(UniformGrid::new(self.range, width))
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

/// The groups of a shape, once it is known that values and widths are as many as they must be.
fn checked_grouping(
    shape: &[usize],
    group_size: GroupSize,
    values: usize,
    widths: usize,
) -> Result<Grouping, QuantizeError> {
    let expected =
        element_count(shape).ok_or_else(|| QuantizeError::ShapeOverflow { shape: shape.to_vec() })?;
    if expected != values {
        return Err(QuantizeError::ElementCount { shape: shape.to_vec(), expected, found: values });
    }
    let grouping = Grouping::new(group_size, values);
    if grouping.count() != widths {
        return Err(QuantizeError::WidthCount { expected: grouping.count(), found: widths });
    }
    Ok(grouping)
}

/// The grid of each width: made once per tensor, because groups are small and divisions slow.
fn grids(range: ValueRange) -> [UniformGrid; BitWidth::COUNT] {
    std::array::from_fn(|bits| {
        // `COUNT` is one more than the widest, so the index is always a width.
        let width = BitWidth::new(bits as u8).unwrap_or(BitWidth::MAX);
        UniformGrid::new(range, width)
    })
}
