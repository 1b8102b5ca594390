//! Blocks of channels: which tile of registers makes them, and where it puts them.

use std::ops::Range;

use super::product::{Operands, weighted_sums};
use super::views::LANES;
use crate::simd::Simd;

/// Target channels that are made together.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) first: usize,
    pub(super) count: usize,
    /// Their number in the packed weights: 8, 4 or 1.
    pub(super) width: usize,
}

/// Cuts a group's channels in eights, and what is left in a block that holds it.
pub(super) fn blocks(channels: usize) -> impl Iterator<Item = Block> {
    (0..channels).step_by(8).map(move |first| {
        let count = (channels - first).min(8);
        let width = match count {
            1 => 1,
            2..=4 => 4,
            _ => 8,
        };
        Block { first, count, width }
    })
}

/// Where the products of a phase go: `places` numbers of each channel.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) start: *mut f32,
    pub(super) channel_len: usize,
    pub(super) places: usize,
}

/// One block of channels for a few registers of places.
pub(super) struct Tile<'a, S> {
    pub(super) simd: S,
    pub(super) offsets: &'a [usize],
    pub(super) block: Block,
    pub(super) bias: [f32; 8],
    pub(super) weights: &'a [f32],
    pub(super) views: &'a [f32],
    pub(super) target: Target,
}

impl<S: Simd> Tile<'_, S> {
    /// Makes all channels of the block, in the shape that fits the machine's registers.
    ///
    /// # Safety
    /// The views hold the registers from each offset on; the target has the places for each channel.
    #[inline(always)]
    pub(super) unsafe fn run(&self, registers: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe {
            match (self.block.width, S::REGISTERS) {
                (8, 1) => self.channels::<8, 2>(0, registers),
                (8, _) => {
                    self.channels::<4, 1>(0, registers.clone());
                    self.channels::<4, 1>(4, registers);
                }
                (4, 1) => self.channels::<4, 4>(0, registers),
                (4, _) => self.channels::<4, 1>(0, registers),
                _ => self.channels::<1, 4>(0, registers),
            }
        }
    }

    /// Makes the `O` channels from the block's channel `first` on, `V` registers at a time.
    ///
    /// # Safety
    /// The views hold the registers from each offset on; the target has the places for each channel.
    #[inline(always)]
    unsafe fn channels<const O: usize, const V: usize>(&self, first: usize, registers: Range<usize>) {
        let mut register = registers.start;
        // SAFETY: the caller's promise.
        unsafe {
            while register + V <= registers.end {
                self.registers::<O, V>(first, register);
                register += V;
            }
            while register < registers.end {
                self.registers::<O, 1>(first, register);
                register += 1;
            }
        }
    }

    /// # Safety
    /// As [`Self::run`], for the `V` registers from `register` on.
    #[inline(always)]
    unsafe fn registers<const O: usize, const V: usize>(&self, first: usize, register: usize) {
        let Block { first: channel, count, width } = self.block;
        let bias = std::array::from_fn(|o| self.bias[first + o]);
        let weights = self.weights.as_ptr().wrapping_add(first);
        let operands = Operands { offsets: self.offsets, weights, pitch: width };
        // SAFETY: the caller's promise; the block has `width` weights for each offset.
        let sums: [[S::Lanes; V]; O] = unsafe {
            let source = self.views.as_ptr().add(register * LANES);
            weighted_sums(self.simd, source, operands, bias)
        };
        let place = register * LANES;
        for (o, sums) in sums.into_iter().enumerate().take(count.saturating_sub(first)) {
            let out = self.target.start.wrapping_add((channel + first + o) * self.target.channel_len + place);
            for (v, sums) in sums.into_iter().enumerate() {
                let out = out.wrapping_add(v * LANES);
                let left = self.target.places - place - v * LANES;
                // SAFETY: `left` places of this channel are from `out` on.
                unsafe {
                    if left >= LANES {
                        self.simd.store(sums, out);
                    } else {
                        let mut last = [0.0; LANES];
                        self.simd.store(sums, last.as_mut_ptr());
                        std::ptr::copy_nonoverlapping(last.as_ptr(), out, left);
                    }
                }
            }
        }
    }
}

/// Writes numbers of the two in turn, until `out` is full.
#[inline(always)]
pub(super) fn interleave(even: &[f32], odd: &[f32], out: &mut [f32]) {
    let (pairs, last) = out.as_chunks_mut::<2>();
    if let [last] = last {
        *last = even[pairs.len()];
    }
    for (pair, (even, odd)) in pairs.iter_mut().zip(even.iter().zip(odd)) {
        *pair = [*even, *odd];
    }
}
