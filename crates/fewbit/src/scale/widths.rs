//! The widths that say what levels cost the fewest bytes.
//!
//! On a stepped grid a width changes no value, it only says how far from zero a group may go. But weights of
//! one width share the frequencies of their codes, so that narrow groups cost less where they lie apart from
//! wide ones, and groups of zeros alone cost nothing. Whether that is worth a width per group, and how many
//! weights a group should have, is tried.

use fewbit_kernels::rans::FrequencyTable;
use rayon::prelude::*;

use super::PART;
use crate::{BitWidth, GroupSize, Grouping, QuantizeError, QuantizedTensor, RangeGranularity, Ranges};

/// Weights that the group size is chosen on: those of the whole tensor, but for large ones.
const SAMPLE: usize = 1 << 20;

/// Weights of a group that are tried, beside those of a channel and of the tensor.
const SIZES: [usize; 3] = [16, 64, 256];

/// The tensor of levels with the widths that cost the fewest bytes, in groups of a size that is given (as it
/// must be where groups have ranges of their own) or found. `ranges` must be of a stepped grid.
///
/// # Errors
/// [`QuantizeError`] where shape, levels and ranges do not fit each other.
pub(crate) fn with_cheapest_widths(
    levels: Vec<i16>,
    shape: &[usize],
    ranges: Ranges,
    group_size: Option<GroupSize>,
) -> Result<QuantizedTensor, QuantizeError> {
    let group_size = group_size.unwrap_or_else(|| cheapest_group_size(&levels, shape));
    let grouping = Grouping::new(group_size, levels.len());
    let per_group = ranges.granularity() == RangeGranularity::Group;
    let range_bits = if per_group { 8 * ranges.form().bytes() as u64 } else { 0 };
    let mut widths = needed(&levels, grouping);
    let (taken, _) = cheapest_merger(&classes(&levels, grouping, &widths, range_bits), 1.0);
    widths.iter_mut().for_each(|width| *width = taken[usize::from(width.get())]);
    let mut levels = levels;
    for_each_group(&mut levels, grouping, &widths, |levels, width| {
        levels.iter_mut().for_each(|level| *level = code(*level, width) as i16);
    });
    // In place: the same bits, read without a sign.
    let codes = levels.into_iter().map(|code| code as u16).collect();
    QuantizedTensor::from_parts_with(shape.to_vec(), group_size, ranges, widths, codes)
}

fn cheapest_group_size(levels: &[i16], shape: &[usize]) -> GroupSize {
    let sample = &levels[..levels.len().min(SAMPLE)];
    let channel = levels.len().checked_div(shape.first().copied().unwrap_or(1)).unwrap_or(0);
    let sizes = SIZES.into_iter().chain([channel]).filter(|size| *size > 0 && 2 * size <= sample.len());
    let sizes = [GroupSize::WholeTensor].into_iter().chain(sizes.filter_map(GroupSize::new));
    // As far as the tensor is larger than the sample, its tables weigh less.
    let scale = levels.len() as f64 / sample.len().max(1) as f64;
    let cost = |size: &GroupSize| {
        let grouping = Grouping::new(*size, sample.len());
        cheapest_merger(&classes(sample, grouping, &needed(sample, grouping), 0), scale).1
    };
    let costs = sizes.map(|size| (cost(&size), size));
    costs.min_by(|left, right| left.0.total_cmp(&right.0)).map_or(GroupSize::WholeTensor, |found| found.1)
}

/// The width that each group needs.
fn needed(levels: &[i16], grouping: Grouping) -> Vec<BitWidth> {
    // All bits that are set in some level, and all that differ from its sign.
    let of = |levels: &[i16]| {
        levels
            .iter()
            .fold([0i16; 2], |[any, differing], level| [any | level, differing | (level ^ (level >> 15))])
    };
    let both = |a: [i16; 2], b: [i16; 2]| [a[0] | b[0], a[1] | b[1]];
    let width = |[any, differing]: [i16; 2]| {
        let bits = 16 - differing.leading_zeros() + u32::from(any != 0);
        BitWidth::new(bits as u8).unwrap_or(BitWidth::MAX)
    };
    let size = grouping.size().max(1);
    if size >= PART {
        // Few large groups: each on all threads.
        let groups = levels.chunks(size);
        return groups.map(|group| width(group.par_chunks(PART).map(of).reduce(|| [0; 2], both))).collect();
    }
    let parts = levels.par_chunks(whole_groups(size));
    parts.flat_map_iter(|part| part.chunks(size).map(|group| width(of(group)))).collect()
}

/// Weights of as many whole groups as one task works at.
fn whole_groups(size: usize) -> usize {
    size * (PART / size).max(1)
}

/// Does something to the levels of every group and what the group has.
fn for_each_group<T: Copy + Sync>(
    levels: &mut [i16],
    grouping: Grouping,
    of_groups: &[T],
    work: impl Fn(&mut [i16], T) + Sync,
) {
    let size = grouping.size().max(1);
    if size >= PART {
        for (group, of_group) in levels.chunks_mut(size).zip(of_groups) {
            group.par_chunks_mut(PART).for_each(|part| work(part, *of_group));
        }
        return;
    }
    let parts =
        levels.par_chunks_mut(whole_groups(size)).zip(of_groups.par_chunks(whole_groups(size) / size));
    parts.for_each(|(part, of_groups)| {
        part.chunks_mut(size).zip(of_groups).for_each(|(group, of_group)| work(group, *of_group));
    });
}

fn code(level: i16, width: BitWidth) -> u16 {
    (i32::from(level) + (width.levels() / 2) as i32) as u16
}

/// A class for each width that groups need.
type Classes = Vec<Option<Class>>;

/// The groups that need one width, and their levels.
#[derive(Clone)]
struct Class {
    width: BitWidth,
    groups: u64,
    /// How often each level from -128 to 127 occurs.
    counts: [u64; 256],
    /// Levels beyond these.
    beyond: u64,
    /// Bits of the range that each of its groups has of its own, where it has bits at all.
    range_bits: u64,
}

impl Class {
    fn empty(width: BitWidth, range_bits: u64) -> Self {
        Self { width, groups: 0, counts: [0; 256], beyond: 0, range_bits }
    }

    /// Counts the levels of a part of a group.
    fn count(&mut self, levels: &[i16]) {
        for level in levels {
            match u8::try_from(i32::from(*level) + 128) {
                Ok(place) => self.counts[usize::from(place)] += 1,
                Err(_) => self.beyond += 1,
            }
        }
    }

    fn with(&self, other: &Self) -> Self {
        let mut both = other.clone();
        both.groups += self.groups;
        both.beyond += self.beyond;
        both.counts.iter_mut().zip(self.counts).for_each(|(both, count)| *both += count);
        both
    }

    /// Bits that its codes take, and those of its frequency table, which does not grow with the tensor.
    fn bits(&self, scale: f64) -> f64 {
        if self.width == BitWidth::ZERO {
            return 0.0;
        }
        let table = FrequencyTable::fit(&self.counts);
        let beyond = self.beyond as f64 * f64::from(BitWidth::MAX.get());
        let ranges = (self.groups * self.range_bits) as f64;
        scale * (table.cost_bits(&self.counts) + beyond + ranges) + 8.0 * table.byte_len() as f64
    }
}

/// The classes of groups that need these `widths`, ascending, those of no group left out.
fn classes(levels: &[i16], grouping: Grouping, widths: &[BitWidth], range_bits: u64) -> Vec<Class> {
    let size = grouping.size().max(1);
    let counted = |mut found: Classes, (levels, widths): (&[i16], &[BitWidth])| {
        for (group, width) in levels.chunks(size).zip(widths) {
            let class = found[usize::from(width.get())].get_or_insert(Class::empty(*width, range_bits));
            class.groups += 1;
            class.count(group);
        }
        found
    };
    // Whole numbers: their sums do not depend on the order.
    let both = |left: Classes, right: Classes| {
        let both = left.into_iter().zip(right).map(|(left, right)| match (left, right) {
            (Some(left), Some(right)) => Some(left.with(&right)),
            (left, right) => left.or(right),
        });
        both.collect()
    };
    let none = || vec![None; BitWidth::COUNT];
    let found = if size >= PART {
        let groups = levels.chunks(size).zip(widths);
        groups.fold(none(), |found, (group, width)| {
            let empty = || Class::empty(*width, range_bits);
            let mut class = group
                .par_chunks(PART)
                .fold(empty, |mut class, part| {
                    class.count(part);
                    class
                })
                .reduce(empty, |left, right| left.with(&right));
            class.groups = 1;
            let mut more = none();
            more[usize::from(width.get())] = Some(class);
            both(found, more)
        })
    } else {
        let parts = levels.par_chunks(whole_groups(size)).zip(widths.par_chunks(whole_groups(size) / size));
        parts.fold(none, counted).reduce(none, both)
    };
    found.into_iter().flatten().collect()
}

/// The width that groups of each needed width get, and the bits that all takes: neighbours are put together
/// as long as that saves something.
fn cheapest_merger(classes: &[Class], scale: f64) -> ([BitWidth; BitWidth::COUNT], f64) {
    let mut classes: Vec<(Class, f64)> =
        classes.iter().map(|class| (class.clone(), class.bits(scale))).collect();
    let mut taken = [BitWidth::ZERO; BitWidth::COUNT];
    for (class, _) in &classes {
        taken[usize::from(class.width.get())] = class.width;
    }
    let mut total = total_bits(&classes, scale);
    loop {
        let merger = |place: usize| {
            let mut fewer = classes.clone();
            let (narrow, _) = fewer.remove(place);
            let both = narrow.with(&fewer[place].0);
            let bits = both.bits(scale);
            fewer[place] = (both, bits);
            (total_bits(&fewer, scale), narrow.width, fewer)
        };
        let best = (1..classes.len()).map(|place| merger(place - 1)).min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((bits, narrow, fewer)) = best.filter(|(bits, ..)| *bits < total) else {
            return (taken, total);
        };
        let wider = fewer.iter().map(|(class, _)| class.width).find(|width| *width > narrow);
        for width in &mut taken {
            if *width == narrow {
                *width = wider.unwrap_or(narrow);
            }
        }
        (classes, total) = (fewer, bits);
    }
}

/// Bits of all classes and of the widths that say which group is of which.
fn total_bits(classes: &[(Class, f64)], scale: f64) -> f64 {
    let groups: u64 = classes.iter().map(|(class, _)| class.groups).sum();
    let of_width = |groups_of: u64| groups_of as f64 * (groups as f64 / groups_of.max(1) as f64).log2();
    classes.iter().map(|(class, bits)| bits + scale * of_width(class.groups)).sum()
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use std::ops::Range;

    use super::*;
    use crate::{GridKind, RangeForm, RangeGranularity, ValueRange};

    fn ranges() -> Ranges {
        let step = ValueRange::symmetric(0.5).unwrap();
        Ranges::new(RangeGranularity::Tensor, GridKind::Stepped, RangeForm::SymmetricHalf, vec![step])
            .unwrap()
    }

    fn bytes(tensor: &QuantizedTensor) -> usize {
        let mut writer = crate::ContainerWriter::new();
        writer.quantized("w", tensor).unwrap();
        writer.to_bytes().len()
    }

    #[test]
    fn levels_of_every_width_come_back() {
        let levels = [0, 1, -1, 2, -2, 127, -128, 128, -129, 32_767, -32_768, 0];
        let tensor = with_cheapest_widths(levels.to_vec(), &[12], ranges(), None).unwrap();
        let values: Vec<f32> = levels.iter().map(|level| f32::from(*level) / 2.0).collect();
        assert_eq!(tensor.dequantize(), values);
    }

    #[test]
    fn a_group_needs_the_bits_of_its_level_furthest_from_zero() {
        let bits = |levels: &[i16]| {
            let grouping = Grouping::new(GroupSize::WholeTensor, levels.len());
            needed(levels, grouping).iter().map(|width| width.get()).collect::<Vec<_>>()
        };
        assert_eq!(bits(&[0, 0]), [0]);
        assert_eq!([bits(&[-1]), bits(&[1]), bits(&[-2, 1]), bits(&[2])], [[1], [2], [2], [3]]);
        assert_eq!([bits(&[127]), bits(&[-129]), bits(&[i16::MIN])], [[8], [9], [16]]);
    }

    /// Groups of half a part, of a part and of more, the last ragged, against group by group.
    #[test]
    fn groups_of_any_size_are_counted_as_they_are() {
        let mut numbers = Numbers::seeded(5);
        let levels: Vec<i16> = (0..5 * PART / 2 + 7).map(|_| (numbers.normal() * 25.0) as i16).collect();
        for size in [16, PART / 2 + 1, PART, PART + 3, levels.len()] {
            let grouping = Grouping::new(GroupSize::new(size).unwrap(), levels.len());
            let widths = needed(&levels, grouping);
            let plain = |group: Range<usize>| {
                let bits =
                    |level: &i16| 16 - (level ^ (level >> 15)).leading_zeros() + u32::from(*level != 0);
                levels[group].iter().map(bits).max().unwrap() as u8
            };
            let expected: Vec<u8> = grouping.ranges().map(plain).collect();
            assert_eq!(widths.iter().map(|width| width.get()).collect::<Vec<_>>(), expected, "{size}");
            let found = classes(&levels, grouping, &widths, 3);
            assert_eq!(found.iter().map(|class| class.groups).sum::<u64>(), grouping.count() as u64);
            for class in found {
                let (mut counts, mut groups) = ([0u64; 256], 0);
                for (group, _) in grouping.ranges().zip(&widths).filter(|(_, width)| **width == class.width) {
                    levels[group].iter().for_each(|level| counts[(i32::from(*level) + 128) as usize] += 1);
                    groups += 1;
                }
                assert!(class.counts == counts && class.beyond == 0, "{size}");
                assert_eq!(class.groups, groups);
            }
            let mut codes = levels.clone();
            for_each_group(&mut codes, grouping, &widths, |levels, width| {
                levels.iter_mut().for_each(|level| *level = code(*level, width) as i16);
            });
            for (group, width) in grouping.ranges().zip(&widths) {
                let is_code = |at: usize| codes[at] as u16 == code(levels[at], *width);
                assert!(group.into_iter().all(is_code), "{size}");
            }
        }
    }

    /// Channels of very different spread, and one of zeros alone, cost less with a width each; weights all
    /// alike are one group.
    #[test]
    fn groups_are_told_apart_where_that_saves_bytes() {
        let mut numbers = Numbers::seeded(3);
        let mut levels: Vec<i16> = Vec::new();
        for channel in 0..16 {
            let spread = [0.0, 0.3, 4.0, 20.0][channel % 4];
            levels.extend((0..512).map(|_| (numbers.normal() * spread).round_ties_even() as i16));
        }
        let apart = with_cheapest_widths(levels.clone(), &[16, 512], ranges(), None).unwrap();
        assert!(apart.widths().len() > 1);
        assert_eq!(apart.widths()[0], BitWidth::ZERO);
        let whole = {
            let width = needed(&levels, Grouping::new(GroupSize::WholeTensor, levels.len()))[0];
            let codes = levels.iter().map(|level| code(*level, width)).collect();
            QuantizedTensor::from_parts_with(
                vec![16, 512],
                GroupSize::WholeTensor,
                ranges(),
                vec![width],
                codes,
            )
            .unwrap()
        };
        assert_eq!(apart.dequantize(), whole.dequantize());
        assert!(bytes(&apart) * 100 < bytes(&whole) * 85, "{} {}", bytes(&apart), bytes(&whole));
        let alike: Vec<i16> = (0..8192).map(|_| (numbers.normal() * 3.0).round_ties_even() as i16).collect();
        assert_eq!(with_cheapest_widths(alike, &[16, 512], ranges(), None).unwrap().widths().len(), 1);
    }
}
