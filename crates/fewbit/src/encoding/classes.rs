//! How many groups have each width: what the size of everything that depends on widths follows from.

use rayon::prelude::*;

use crate::size::bits_to_tell;
use crate::{BitWidth, Grouping};

/// The groups of a tensor counted by width, and the width of the last, which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WidthClasses {
    grouping: Grouping,
    minimum: BitWidth,
    maximum: BitWidth,
    groups: [usize; BitWidth::COUNT],
    last: BitWidth,
}

impl WidthClasses {
    /// The classes of these widths, one per group and none above [`BitWidth::MAX`].
    pub(crate) fn of(grouping: Grouping, widths: &[u8]) -> Self {
        Self::of_groups(grouping, histogram(widths), widths.last().copied())
    }

    /// The classes of so many groups of each width, the last of which has the width `last`.
    fn of_groups(grouping: Grouping, groups: [usize; BitWidth::COUNT], last: Option<u8>) -> Self {
        let width = |bits: Option<usize>| BitWidth::new(bits.unwrap_or(0) as u8).unwrap_or(BitWidth::MAX);
        let minimum = width(groups.iter().position(|count| *count > 0));
        let maximum = width(groups.iter().rposition(|count| *count > 0));
        // Of groups that are all as long it does not matter which is the last.
        let last = last.filter(|_| missing(grouping) > 0).map(usize::from);
        Self { grouping, minimum, maximum, groups, last: last.map_or(maximum, |last| width(Some(last))) }
    }

    /// The classes of these counts; `None` unless they count every group, both ends occur and so does
    /// the last group's width, which is the largest unless that group is shorter. Without groups both
    /// ends are 0.
    pub(crate) fn counted(
        grouping: Grouping,
        minimum: BitWidth,
        maximum: BitWidth,
        groups: [usize; BitWidth::COUNT],
        last: BitWidth,
    ) -> Option<Self> {
        let total = groups.iter().try_fold(0usize, |sum, count| sum.checked_add(*count))?;
        let occurs = |width: BitWidth| groups[usize::from(width.get())] > 0;
        let ends = if total == 0 {
            maximum == BitWidth::ZERO
        } else {
            occurs(minimum) && occurs(maximum) && occurs(last) && (missing(grouping) > 0 || last == maximum)
        };
        (total == grouping.count() && ends).then_some(Self { grouping, minimum, maximum, groups, last })
    }

    pub(crate) const fn grouping(&self) -> Grouping {
        self.grouping
    }

    /// The smallest width; 0 without groups.
    pub(crate) const fn minimum(&self) -> BitWidth {
        self.minimum
    }

    /// The largest width; 0 without groups.
    pub(crate) const fn maximum(&self) -> BitWidth {
        self.maximum
    }

    /// The width of the last group; 0 without groups.
    pub(crate) const fn last(&self) -> BitWidth {
        self.last
    }

    /// Number of groups of each width, 0 to 16.
    pub(crate) const fn histogram(&self) -> [usize; BitWidth::COUNT] {
        self.groups
    }

    /// Whether all groups have one width, so that no width need be stored.
    pub(crate) fn is_uniform(&self) -> bool {
        self.minimum == self.maximum
    }

    /// Every width from the smallest to the largest.
    pub(crate) fn widths(&self) -> impl Iterator<Item = BitWidth> + use<> {
        (self.minimum.get()..=self.maximum.get()).filter_map(BitWidth::new)
    }

    /// Codes in the groups of a width.
    pub(crate) fn codes(&self, width: BitWidth) -> usize {
        let full = self.groups[usize::from(width.get())] * self.grouping.size();
        full - if width == self.last { self.missing() } else { 0 }
    }

    /// Bits of all codes together.
    pub(crate) fn code_bits(&self) -> u64 {
        self.widths().map(|width| self.codes(width) as u64 * u64::from(width.get())).sum()
    }

    /// Bits that tell a group's width, as how far it is above the smallest.
    pub(crate) fn offset_bits(&self) -> u32 {
        bits_to_tell(1 + self.maximum.get() - self.minimum.get())
    }

    /// Whether widths that are so many of each, the last of them `last`, are as was counted.
    pub(crate) fn describe(&self, groups: [usize; BitWidth::COUNT], last: Option<u8>) -> bool {
        *self == Self::of_groups(self.grouping, groups, last)
    }

    /// Weights that the last group has fewer than the others.
    pub(crate) fn missing(&self) -> usize {
        missing(self.grouping)
    }
}

/// How many groups have each width, on all cores; those above [`BitWidth::MAX`] are not counted.
pub(crate) fn histogram(widths: &[u8]) -> [usize; BitWidth::COUNT] {
    /// Widths that one task counts.
    const CHUNK: usize = 1 << 16;
    if widths.len() <= CHUNK {
        return count(widths);
    }
    let add = |a: [usize; BitWidth::COUNT], b: [usize; BitWidth::COUNT]| std::array::from_fn(|i| a[i] + b[i]);
    widths.par_chunks(CHUNK).map(count).reduce(|| [0; BitWidth::COUNT], add)
}

fn count(widths: &[u8]) -> [usize; BitWidth::COUNT] {
    /// Widths that are compared side by side, and as many rows of them as a byte can count.
    const LANES: usize = 64;
    const ROWS: usize = u8::MAX as usize;
    let mut counts = [0; BitWidth::COUNT];
    for block in widths.chunks(LANES * ROWS) {
        let (rows, rest) = block.as_chunks::<LANES>();
        let (mut low, mut high) = ([u8::MAX; LANES], [0; LANES]);
        for row in rows {
            for lane in 0..LANES {
                low[lane] = low[lane].min(row[lane]);
                high[lane] = high[lane].max(row[lane]);
            }
        }
        let (low, high) = (low.iter().min().copied(), high.iter().max().copied());
        // A few passes over what is in the nearest cache are faster than a look-up for each width.
        for width in low.unwrap_or(1)..=high.unwrap_or(0).min(BitWidth::MAX.get()) {
            let mut equal = [0u8; LANES];
            for row in rows {
                for lane in 0..LANES {
                    equal[lane] += u8::from(row[lane] == width);
                }
            }
            counts[usize::from(width)] += equal.iter().map(|&count| usize::from(count)).sum::<usize>();
        }
        for &width in rest {
            if let Some(count) = counts.get_mut(usize::from(width)) {
                *count += 1;
            }
        }
    }
    counts
}

fn missing(grouping: Grouping) -> usize {
    grouping.count() * grouping.size() - grouping.len()
}
