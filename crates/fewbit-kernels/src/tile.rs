//! How the work is cut, and the noise of one block of weights.
//!
//! Slices are cut at fixed places, whatever the number of threads, so that sums are added in the
//! same order everywhere. A chunk is one piece of work for one thread; a block is what stays in the
//! nearest cache while its noise is made and used.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::key::NoiseKey;
use crate::law::{BLOCK, Law, PAIRS, first_pair, write_words};
use crate::layout::{Plan, Swap};

/// Weights of one piece of work: a few tens of microseconds, a whole number of blocks.
pub(crate) const CHUNK: usize = 1 << 16;
/// Partial sums that a run is added in: one widest register.
pub(crate) const LANES: usize = 16;

/// Numbers that begin on a cache line: a register that is stored across two takes twice the time.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Aligned<T, const N: usize>(pub(crate) [T; N]);

impl<const N: usize> Aligned<f32, N> {
    #[inline(always)]
    pub(crate) fn zeros() -> Self {
        Self([0.0; N])
    }
}

/// Gives each part of `length` of a slice, with its number, to `work`.
///
/// On this thread where there are few `weights`: waking others takes longer than a chunk.
pub(crate) fn for_each_part<T: Send>(
    weights: usize,
    slice: &mut [T],
    length: usize,
    work: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    if weights <= CHUNK {
        slice.chunks_mut(length).enumerate().for_each(|(place, part)| work(place, part));
    } else {
        slice.par_chunks_mut(length).enumerate().for_each(|(place, part)| work(place, part));
    }
}

/// Makes the noise of one block of weights after the other, and uses it.
pub(crate) struct NoiseBlock<L> {
    law: L,
    key: NoiseKey,
    first: Aligned<u32, PAIRS>,
    second: Aligned<u32, PAIRS>,
    prepared: Aligned<f32, PAIRS>,
    /// Finished noise of the block `kept`, where a stretch of weights is not a whole block.
    noise: Aligned<f32, BLOCK>,
    kept: Option<u64>,
}

impl<L: Law> NoiseBlock<L> {
    #[inline(always)]
    pub(crate) fn new(law: L, key: NoiseKey) -> Self {
        let (words, prepared, noise) = (Aligned([0; PAIRS]), Aligned::zeros(), Aligned::zeros());
        Self { law, key, first: words, second: words, prepared, noise, kept: None }
    }

    /// Writes `weights + steps * noise` to `out`, for the weights from index `first` on.
    ///
    /// They lie in one block, here and below.
    #[inline(always)]
    pub(crate) fn add(&mut self, first: usize, weights: &[f32], steps: &[f32], out: &mut [MaybeUninit<f32>]) {
        fetch_ahead(weights);
        fetch_ahead(out);
        if let (Ok(weights), Ok(steps), Ok(out)) =
            (weights.try_into(), steps.try_into(), (&mut *out).try_into())
        {
            self.prepare((first / BLOCK) as u64);
            add_block(self.law, (&self.first.0, &self.second.0, &self.prepared.0), weights, steps, out);
        } else {
            let noise = self.noise(first, weights.len());
            for (((out, weight), step), noise) in out.iter_mut().zip(weights).zip(steps).zip(noise) {
                out.write(weight + step * noise);
            }
        }
    }

    /// Writes `gradient * noise` to `products`, for the weights from index `first` on.
    #[inline(always)]
    pub(crate) fn multiply(&mut self, first: usize, gradient: &[f32], products: &mut [f32; BLOCK]) {
        fetch_ahead(gradient);
        if let Ok(gradient) = gradient.try_into() {
            self.prepare((first / BLOCK) as u64);
            multiply_block(self.law, (&self.first.0, &self.second.0, &self.prepared.0), gradient, products);
        } else {
            let noise = self.noise(first, gradient.len());
            for ((product, gradient), noise) in products.iter_mut().zip(gradient).zip(noise) {
                *product = gradient * noise;
            }
        }
    }

    /// The noise of some weights of a block; made once while the same block is asked for.
    #[inline(always)]
    fn noise(&mut self, first: usize, count: usize) -> &[f32] {
        let block = (first / BLOCK) as u64;
        if self.kept != Some(block) {
            self.prepare(block);
            noise_block(self.law, (&self.first.0, &self.second.0, &self.prepared.0), &mut self.noise.0);
            self.kept = Some(block);
        }
        &self.noise.0[first % BLOCK..][..count]
    }

    /// The words of a block, and what can be made of them beforehand.
    #[inline(always)]
    fn prepare(&mut self, block: u64) {
        write_words(first_pair(self.key, block), &mut self.first.0, &mut self.second.0);
        if L::IS_PREPARED {
            prepare_block(self.law, &self.first.0, &mut self.prepared.0);
        }
    }
}

/// Asks for the memory some blocks further on, while the noise of this one is computed.
///
/// The machine's own prefetch stops at the end of each page of 4 KiB, and begins anew after a miss.
#[inline(always)]
fn fetch_ahead<T>(block: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const BLOCKS: usize = 4;
        const LINE: usize = 64;
        let ahead = block.as_ptr().wrapping_add(BLOCKS * BLOCK).cast::<i8>();
        for line in 0..size_of_val(block) / LINE {
            // SAFETY: a prefetch reads nothing and faults nowhere, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line * LINE)) };
        }
    }
}

/// The words of a block's pairs, and what is prepared.
type Pairs<'a> = (&'a [u32; PAIRS], &'a [u32; PAIRS], &'a [f32; PAIRS]);

// One function each, with arrays for arguments: so the compiler knows the length and that what is
// written is nobody else's, and needs no check before it may use vectors.

#[inline(always)]
fn prepare_block<L: Law>(law: L, first: &[u32; PAIRS], prepared: &mut [f32; PAIRS]) {
    for lane in 0..PAIRS {
        prepared[lane] = law.prepare(first[lane]);
    }
}

#[inline(always)]
fn add_block<L: Law>(
    law: L,
    (first, second, prepared): Pairs<'_>,
    weights: &[f32; BLOCK],
    steps: &[f32; BLOCK],
    out: &mut [MaybeUninit<f32>; BLOCK],
) {
    for lane in 0..PAIRS {
        let (left, right) = law.finish((first[lane], second[lane]), prepared[lane]);
        out[lane].write(weights[lane] + steps[lane] * left);
        out[PAIRS + lane].write(weights[PAIRS + lane] + steps[PAIRS + lane] * right);
    }
}

#[inline(always)]
fn multiply_block<L: Law>(
    law: L,
    (first, second, prepared): Pairs<'_>,
    gradient: &[f32; BLOCK],
    products: &mut [f32; BLOCK],
) {
    for lane in 0..PAIRS {
        let (left, right) = law.finish((first[lane], second[lane]), prepared[lane]);
        products[lane] = gradient[lane] * left;
        products[PAIRS + lane] = gradient[PAIRS + lane] * right;
    }
}

#[inline(always)]
fn noise_block<L: Law>(law: L, (first, second, prepared): Pairs<'_>, noise: &mut [f32; BLOCK]) {
    for lane in 0..PAIRS {
        (noise[lane], noise[PAIRS + lane]) = law.finish((first[lane], second[lane]), prepared[lane]);
    }
}

/// The pieces of `first..first + count` that lie in one block each: their starts and lengths.
#[inline(always)]
pub(crate) fn pieces(first: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut begin = first;
    std::iter::from_fn(move || {
        let end = (begin + 1).next_multiple_of(BLOCK).min(first + count);
        let piece = (begin, end - begin);
        begin = end;
        (piece.1 > 0).then_some(piece)
    })
}

/// The sum of at most a block of numbers: sixteen partial sums, then those by halves.
#[inline(always)]
pub(crate) fn sum_of_run(run: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = run.as_chunks::<LANES>();
    for chunk in whole {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The pieces of `first..first + count` that lie in one block each, and in one row of `plan`.
#[inline(always)]
pub(crate) fn stretches(plan: Plan, first: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let row = plan.row_length().unwrap_or(usize::MAX);
    let mut row_end = (first / row + 1).saturating_mul(row);
    let mut begin = first;
    std::iter::from_fn(move || {
        if begin == row_end {
            row_end += row;
        }
        let end = (begin + 1).next_multiple_of(BLOCK).min(first + count).min(row_end);
        let piece = (begin, end - begin);
        begin = end;
        (piece.1 > 0).then_some(piece)
    })
}

/// The group and the place within it of one weight, kept while walking along a row of memory whose axes
/// are swapped.
///
/// Within `inner` weights the next weight of a row is the next in stored order too; between them it is
/// `(rows - 1) * inner` further. Adding that in two parts saves a division each time.
pub(crate) struct GroupWalker {
    group: usize,
    place: usize,
    whole: usize,
    rest: usize,
    /// Weights before the next jump.
    left: usize,
    inner: usize,
    group_size: usize,
}

impl GroupWalker {
    /// Stands on the weight at `index` of memory.
    pub(crate) fn new(Swap { rows, columns, inner }: Swap, group_size: usize, index: usize) -> Self {
        let (block, within) = (index / inner, index % inner);
        let stored = (block % columns * rows + block / columns) * inner + within;
        let jump = (rows - 1) * inner;
        Self {
            group: stored / group_size,
            place: stored % group_size,
            whole: jump / group_size,
            rest: jump % group_size,
            left: inner - within,
            inner,
            group_size,
        }
    }

    /// The group of the weights from here on that share one and lie side by side both ways, and how many
    /// of the next `most` these are; stands behind them afterwards.
    #[inline(always)]
    pub(crate) fn run(&mut self, most: usize) -> (usize, usize) {
        let run = (self.group, most.min(self.left).min(self.group_size - self.place));
        self.left -= run.1;
        self.step(0, run.1);
        if self.left == 0 {
            self.left = self.inner;
            self.step(self.whole, self.rest);
        }
        run
    }

    #[inline(always)]
    fn step(&mut self, groups: usize, places: usize) {
        self.group += groups;
        self.place += places;
        if self.place >= self.group_size {
            self.place -= self.group_size;
            self.group += 1;
        }
    }
}
