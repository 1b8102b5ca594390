//! One number per group from a number per weight, in every layout.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::law::BLOCK;
use crate::layout::{Plan, Swap};
use crate::tile::{Aligned, CHUNK, GroupWalker, LANES, stretches, sum_of_run};

/// How the numbers of a group are combined.
pub(crate) trait Fold: Copy + Send + Sync {
    /// The result for one group.
    type Total: Copy + Send + Sync;
    /// The result for no numbers.
    const NONE: Self::Total;
    /// The result for at most a block of numbers that lie side by side.
    fn of_run(run: &[f32]) -> Self::Total;
    /// The result for the numbers of two results.
    fn joined(a: Self::Total, b: Self::Total) -> Self::Total;
    /// The result for one number.
    fn of(number: f32) -> Self::Total;
}

/// Sums in `f64`, of runs that are added in `f32`.
#[derive(Clone, Copy)]
pub(crate) struct Sum;

impl Fold for Sum {
    type Total = f64;
    const NONE: f64 = 0.0;

    #[inline(always)]
    fn of_run(run: &[f32]) -> f64 {
        f64::from(sum_of_run(run))
    }

    #[inline(always)]
    fn joined(a: f64, b: f64) -> f64 {
        a + b
    }

    #[inline(always)]
    fn of(number: f32) -> f64 {
        f64::from(number)
    }
}

/// The largest of numbers that are at least 0; a NaN is passed over.
#[derive(Clone, Copy)]
pub(crate) struct Largest;

impl Fold for Largest {
    type Total = f32;
    const NONE: f32 = 0.0;

    #[inline(always)]
    fn of_run(run: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        let (whole, rest) = run.as_chunks::<LANES>();
        for chunk in whole {
            for lane in 0..LANES {
                lanes[lane] = Self::joined(lanes[lane], chunk[lane]);
            }
        }
        let mut largest = 0.0;
        for number in lanes.iter().chain(rest) {
            largest = Self::joined(largest, *number);
        }
        largest
    }

    #[inline(always)]
    fn joined(a: f32, b: f32) -> f32 {
        if b > a { b } else { a }
    }

    #[inline(always)]
    fn of(number: f32) -> f32 {
        Self::joined(0.0, number)
    }
}

/// The numbers of one chunk of weights.
pub(crate) trait Numbers: Send {
    /// Writes the numbers of the weights `first..first + numbers.len()` of the tensor, in one block and row.
    fn write(&mut self, first: usize, numbers: &mut [f32]);
}

/// Weights of one chunk of a fold over so many groups.
///
/// Where groups cross columns each chunk has a total for every group: it is so long that all of them
/// together take no more memory than the weights.
pub(crate) fn chunk(plan: Plan, groups: usize) -> usize {
    match plan {
        Plan::Crossing { .. } => plan.chunk(CHUNK.max(2 * groups)),
        _ => plan.chunk(CHUNK),
    }
}

/// One total per group; `chunks` are in the order of memory, of [`chunk`] weights each, of `weights` in all.
///
/// Totals of a chunk are folded in the order of memory, then those of all chunks in their order.
pub(crate) fn fold_groups<F: Fold, N: Numbers>(
    set: InstructionSet,
    _: F,
    plan: Plan,
    (weights, groups): (usize, usize),
    chunks: Vec<N>,
) -> Vec<F::Total> {
    let length = chunk(plan, groups);
    let work = |(place, numbers): (usize, N)| {
        let start = place * length;
        set.run(FoldChunk::<F, N> {
            plan,
            groups,
            start,
            count: length.min(weights - start),
            numbers,
            fold: std::marker::PhantomData,
        })
    };
    let partials: Vec<Vec<F::Total>> = if chunks.len() <= 1 {
        chunks.into_iter().enumerate().map(work).collect()
    } else {
        chunks.into_par_iter().enumerate().map(work).collect()
    };
    let mut totals = vec![F::NONE; groups];
    for (place, partial) in partials.iter().enumerate() {
        let start = place * length;
        let mut join = |group: usize, part: &F::Total| totals[group] = F::joined(totals[group], *part);
        match plan {
            Plan::Runs { group_size } => {
                (start / group_size..).zip(partial).for_each(|(group, part)| join(group, part));
            }
            Plan::Bands { columns, group_size, bands } => {
                let first_band = start / columns / group_size;
                for (band, partial) in (first_band..).zip(partial.chunks(columns)) {
                    partial.iter().enumerate().for_each(|(column, part)| join(column * bands + band, part));
                }
            }
            Plan::Crossing { .. } => partial.iter().enumerate().for_each(|(group, part)| join(group, part)),
        }
    }
    totals
}

struct FoldChunk<F, N> {
    plan: Plan,
    groups: usize,
    start: usize,
    count: usize,
    numbers: N,
    fold: std::marker::PhantomData<F>,
}

impl<F: Fold, N: Numbers> Kernel for FoldChunk<F, N> {
    /// Of runs: of each group that this chunk has weights of; of bands: the same, in the order of the
    /// columns; else of all groups.
    type Output = Vec<F::Total>;

    #[inline(always)]
    fn run(mut self) -> Vec<F::Total> {
        let Aligned(block) = &mut Aligned::<f32, BLOCK>::zeros();
        let last = self.start + self.count - 1;
        let (first_group, groups) = match self.plan {
            Plan::Runs { group_size } => {
                (self.start / group_size, last / group_size - self.start / group_size + 1)
            }
            Plan::Bands { columns, group_size, .. } => {
                let first_band = self.start / columns / group_size;
                (first_band, (last / columns / group_size - first_band + 1) * columns)
            }
            Plan::Crossing { .. } => (0, self.groups),
        };
        let mut totals = vec![F::NONE; groups];
        for (first, count) in stretches(self.plan, self.start, self.count) {
            let numbers = &mut block[..count];
            self.numbers.write(first, numbers);
            match self.plan {
                Plan::Runs { group_size } => {
                    let mut rest = &*numbers;
                    let mut group = first / group_size;
                    let mut left = group_size - first % group_size;
                    while !rest.is_empty() {
                        let (run, after) = rest.split_at(rest.len().min(left));
                        let total = &mut totals[group - first_group];
                        *total = F::joined(*total, F::of_run(run));
                        (rest, group, left) = (after, group + 1, group_size);
                    }
                }
                Plan::Bands { columns, group_size, .. } => {
                    let (row, column) = (first / columns, first % columns);
                    let totals = &mut totals[(row / group_size - first_group) * columns + column..][..count];
                    for (total, number) in totals.iter_mut().zip(numbers) {
                        *total = F::joined(*total, F::of(*number));
                    }
                }
                Plan::Crossing { rows, columns, inner, group_size } => {
                    let mut walker = GroupWalker::new(Swap { rows, columns, inner }, group_size, first);
                    let mut rest = &*numbers;
                    while !rest.is_empty() {
                        let (group, length) = walker.run(rest.len());
                        let (run, after) = rest.split_at(length);
                        let mut total = totals[group];
                        for number in run {
                            total = F::joined(total, F::of(*number));
                        }
                        totals[group] = total;
                        rest = after;
                    }
                }
            }
        }
        totals
    }
}
