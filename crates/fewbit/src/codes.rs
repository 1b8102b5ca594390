//! The codes of a tensor, apart from what they mean.

use crate::{BitWidth, GroupSize, Grouping, QuantizeError};

/// Whole numbers in groups, each group with a width that its codes fit in.
///
/// What a code means, [`Levels`](crate::Levels) say. The parts always fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    group_size: GroupSize,
    widths: Vec<BitWidth>,
    codes: Vec<u16>,
}

impl Codes {
    /// Codes in stored order, and one width per group.
    ///
    /// # Errors
    /// [`QuantizeError::WidthCount`], or [`QuantizeError::CodeTooLarge`] with the first code that does not fit
    /// its group's width.
    pub fn new(group_size: GroupSize, widths: Vec<BitWidth>, codes: Vec<u16>) -> Result<Self, QuantizeError> {
        let grouping = Grouping::new(group_size, codes.len());
        check_widths(grouping, &widths)?;
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
        Ok(Self { group_size, widths, codes })
    }

    /// Codes that are known to fit, because they were just rounded or unpacked.
    pub(crate) const fn from_unpacked(group_size: GroupSize, widths: Vec<BitWidth>, codes: Vec<u16>) -> Self {
        Self { group_size, widths, codes }
    }

    /// The codes, in stored order.
    pub fn values(&self) -> &[u16] {
        &self.codes
    }

    pub(crate) fn into_values(self) -> Vec<u16> {
        self.codes
    }

    /// One width per group.
    pub fn widths(&self) -> &[BitWidth] {
        &self.widths
    }

    /// How many codes share a width.
    pub fn group_size(&self) -> GroupSize {
        self.group_size
    }

    /// Which codes share which width.
    pub fn grouping(&self) -> Grouping {
        Grouping::new(self.group_size, self.codes.len())
    }

    /// Number of codes.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are no codes at all.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Bits of all codes together.
    pub fn bits(&self) -> u64 {
        let groups = self.grouping().ranges().zip(&self.widths);
        groups.map(|(group, width)| group.len() as u64 * u64::from(width.get())).sum()
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

/// An error unless there is one width per group.
pub(crate) fn check_widths(grouping: Grouping, widths: &[BitWidth]) -> Result<(), QuantizeError> {
    let (expected, found) = (grouping.count(), widths.len());
    if expected != found {
        return Err(QuantizeError::WidthCount { expected, found });
    }
    Ok(())
}
