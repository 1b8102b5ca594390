//! How the work is cut, and the noise of one small stretch of weights.
//!
//! Slices are cut at fixed places, whatever the number of threads, so that sums are added in the
//! same order everywhere. A chunk is one piece of work for one thread; a tile is what stays in the
//! nearest cache while its noise is made and used.

use crate::key::NoiseKey;
use crate::law::{BLOCK, Law, fill_blocks};

/// Weights of one piece of work: a few tens of microseconds.
pub(crate) const CHUNK: usize = 1 << 16;
/// Weights whose noise is made at once: 1 KiB.
pub(crate) const TILE: usize = 256;
/// Partial sums that a run is added in: one widest register.
pub(crate) const LANES: usize = 16;

/// The noise of at most a tile of weights that lie side by side.
pub(crate) struct NoiseTile<L> {
    law: L,
    key: NoiseKey,
    // A stretch that starts inside a block needs parts of one block more.
    noise: [f32; TILE + BLOCK],
}

impl<L: Law> NoiseTile<L> {
    #[inline(always)]
    pub(crate) fn new(law: L, key: NoiseKey) -> Self {
        Self { law, key, noise: [0.0; TILE + BLOCK] }
    }

    /// The noise of the weights `first..first + count`, by memory index.
    #[inline(always)]
    pub(crate) fn fill(&mut self, first: usize, count: usize) -> &[f32] {
        let skipped = first % BLOCK;
        let end = skipped + count;
        let blocks = &mut self.noise[..end.next_multiple_of(BLOCK)];
        fill_blocks(self.law, self.key, (first / BLOCK) as u64, blocks);
        &self.noise[skipped..end]
    }
}

/// The sum of at most a tile of numbers: sixteen partial sums, then those by halves.
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

/// The group and the place within it of one weight, kept while walking down a row.
///
/// In a transposed layout the next weight of a row is `rows` further in stored order; adding that
/// in two parts saves a division per weight.
pub(crate) struct GroupWalker {
    pub(crate) group: usize,
    place: usize,
    whole: usize,
    rest: usize,
    group_size: usize,
}

impl GroupWalker {
    /// Stands on the weight at `stored` and will go on by `stride`.
    pub(crate) fn new(stored: usize, stride: usize, group_size: usize) -> Self {
        Self {
            group: stored / group_size,
            place: stored % group_size,
            whole: stride / group_size,
            rest: stride % group_size,
            group_size,
        }
    }

    #[inline(always)]
    pub(crate) fn advance(&mut self) {
        self.group += self.whole;
        self.place += self.rest;
        if self.place >= self.group_size {
            self.place -= self.group_size;
            self.group += 1;
        }
    }
}
