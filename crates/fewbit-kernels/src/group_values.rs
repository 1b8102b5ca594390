//! The value that a group shares, such as its scale, for each weight of a stretch of memory.

use crate::law::BLOCK;
use crate::layout::{Plan, Swap};
use crate::tile::{Aligned, GroupWalker};

/// Spreads one value per group over the weights of one chunk, stretch by stretch.
pub(crate) struct GroupValues<'a> {
    plan: Plan,
    values: &'a [f32],
    spread: Aligned<f32, BLOCK>,
    spare: Aligned<f32, BLOCK>,
    /// The group that fills `spread`, where one does.
    filled_by: Option<usize>,
    /// Of bands: those of this chunk from `first_band` on, the values of each in the order of the columns.
    by_column: Vec<f32>,
    first_band: usize,
}

impl<'a> GroupValues<'a> {
    /// For the `count` weights from index `start` on, given the values of all groups.
    #[inline(always)]
    pub(crate) fn new(plan: Plan, values: &'a [f32], start: usize, count: usize) -> Self {
        let (mut by_column, mut first_band) = (Vec::new(), 0);
        if let Plan::Bands { columns, group_size, bands } = plan
            && count > 0
        {
            first_band = start / columns / group_size;
            let here = (start + count - 1) / columns / group_size - first_band + 1;
            by_column.resize(here * columns, 0.0);
            // A column's values lie side by side in what is given, so they are fetched together.
            for (column, values) in values.chunks(bands).enumerate() {
                for (band, value) in values[first_band..][..here].iter().enumerate() {
                    by_column[band * columns + column] = *value;
                }
            }
        }
        let (spread, spare) = (Aligned::zeros(), Aligned::zeros());
        Self { plan, values, spread, spare, filled_by: None, by_column, first_band }
    }

    /// The value of each of the `count` weights from `first` on: a [stretch](crate::tile::stretches).
    #[inline(always)]
    pub(crate) fn of(&mut self, first: usize, count: usize) -> &[f32] {
        let spread = &mut self.spread.0;
        match self.plan {
            Plan::Runs { group_size } => {
                let spare = &mut self.spare.0;
                match group_size {
                    1 => spread_even::<1>(self.values, first, spare, spread),
                    2 => spread_even::<2>(self.values, first, spare, spread),
                    4 => spread_even::<4>(self.values, first, spare, spread),
                    8 => spread_even::<8>(self.values, first, spare, spread),
                    16 => spread_even::<16>(self.values, first, spare, spread),
                    32 => spread_even::<32>(self.values, first, spare, spread),
                    _ => {
                        let group = first / group_size;
                        let fills = (first + count - 1) / group_size == group;
                        if !fills {
                            spread_any(self.values, group_size, first, spread);
                        } else if self.filled_by != Some(group) {
                            spread.fill(self.values[group]);
                        }
                        self.filled_by = fills.then_some(group);
                    }
                }
                &self.spread.0[..count]
            }
            Plan::Bands { columns, group_size, .. } => {
                let (row, column) = (first / columns, first % columns);
                &self.by_column[(row / group_size - self.first_band) * columns + column..][..count]
            }
            Plan::Crossing { rows, columns, inner, group_size } => {
                let mut walker = GroupWalker::new(Swap { rows, columns, inner }, group_size, first);
                let mut rest = &mut spread[..count];
                while !rest.is_empty() {
                    let (group, length) = walker.run(rest.len());
                    let (run, after) = rest.split_at_mut(length);
                    let shared = self.values[group];
                    for value in run {
                        *value = shared;
                    }
                    rest = after;
                }
                &self.spread.0[..count]
            }
        }
    }
}

/// Writes the value of each weight of the block from weight `first` on, given the value of each group.
///
/// Past the last group `out` keeps what it held.
#[inline(always)]
fn spread_any(values: &[f32], group_size: usize, first: usize, out: &mut [f32; BLOCK]) {
    let mut begin = 0;
    let mut end = (group_size - first % group_size).min(BLOCK);
    for value in &values[first / group_size..] {
        out[begin..end].fill(*value);
        begin = end;
        end = end.saturating_add(group_size).min(BLOCK);
        if begin == end {
            break;
        }
    }
}

/// [`spread_any`] for groups of `SIZE`, a power of two up to a block; `spare` is room to work in.
///
/// Every value is doubled, then every one of those: a vector unit interleaves two registers faster
/// than it stores many short runs.
#[inline(always)]
fn spread_even<const SIZE: usize>(
    values: &[f32],
    first: usize,
    spare: &mut [f32; BLOCK],
    out: &mut [f32; BLOCK],
) {
    let values = &values[first / SIZE..];
    // The same call twice, the first time with lengths that the compiler knows.
    match values.get(..BLOCK / SIZE) {
        Some(values) => double_up::<SIZE>(values, spare, out),
        None => double_up::<SIZE>(values, spare, out),
    }
}

#[inline(always)]
fn double_up<const SIZE: usize>(values: &[f32], spare: &mut [f32; BLOCK], out: &mut [f32; BLOCK]) {
    let levels = SIZE.trailing_zeros();
    if levels == 0 {
        out[..values.len()].copy_from_slice(values);
    }
    for level in 0..levels {
        let count = (BLOCK / SIZE) << level;
        match (level, (levels - level).is_multiple_of(2)) {
            (0, true) => double_each(values, &mut spare[..2 * count]),
            (0, false) => double_each(values, &mut out[..2 * count]),
            (_, true) => double_each(&out[..count], &mut spare[..2 * count]),
            (_, false) => double_each(&spare[..count], &mut out[..2 * count]),
        }
    }
}

#[inline(always)]
fn double_each(values: &[f32], out: &mut [f32]) {
    for (pair, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *pair = [*value, *value];
    }
}
