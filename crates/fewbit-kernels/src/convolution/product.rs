//! The two products in which all the time goes, a tile of registers at a time.

use super::views::LANES;
use crate::simd::Simd;

/// What the taps of all channels read and are weighed with.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// First pixel of each tap of each channel in the views.
    pub(super) offsets: &'a [usize],
    /// The weights of the tile's first channel: those of all channels, for each offset, `pitch` apart.
    pub(super) weights: *const f32,
    pub(super) pitch: usize,
}

/// `start[o] + sum over k of weights[k][o] source[offsets[k]..]`, for `O` channels and `V` registers.
///
/// # Safety
/// From each offset on `source` has `16 V` numbers, and for each offset `weights` has `O`.
#[inline(always)]
pub(super) unsafe fn weighted_sums<S: Simd, const O: usize, const V: usize>(
    simd: S,
    source: *const f32,
    operands: Operands<'_>,
    start: [f32; O],
) -> [[S::Lanes; V]; O] {
    // Loops, not closures: in a large caller a closure is compiled by itself, without the instructions.
    let mut sums = [[simd.splat(0.0); V]; O];
    for (sums, start) in sums.iter_mut().zip(start) {
        *sums = [simd.splat(start); V];
    }
    let mut weights = operands.weights;
    for &offset in operands.offsets {
        // SAFETY: the caller's promise.
        unsafe {
            let mut pixels = [simd.splat(0.0); V];
            for (v, pixels) in pixels.iter_mut().enumerate() {
                *pixels = simd.load(source.add(offset + v * LANES));
            }
            for (o, sums) in sums.iter_mut().enumerate() {
                let weight = simd.splat(*weights.add(o));
                for v in 0..V {
                    sums[v] = simd.multiply_add(weight, pixels[v], sums[v]);
                }
            }
        }
        weights = weights.wrapping_add(operands.pitch);
    }
    sums
}

/// Rows of numbers of several images: how far apart the images are, how many registers a row has.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) images: usize,
    pub(super) registers: usize,
    pub(super) left_stride: usize,
    pub(super) right_stride: usize,
}

/// For each of four left rows with each of four right rows the sum of their products, at `4 left + right`.
///
/// Added in an order that only `rows` decides.
///
/// # Safety
/// From each pointer on, each of the images has `16 registers` numbers.
#[inline(always)]
pub(super) unsafe fn dot_products<S: Simd>(
    simd: S,
    rows: Rows,
    left: [*const f32; 4],
    right: [*const f32; 4],
) -> [f32; 16] {
    let mut sums = [simd.splat(0.0); 16];
    // SAFETY: the caller's promise.
    unsafe {
        if S::REGISTERS == 1 {
            let products = lane_products(simd, rows, left, right);
            for place in 0..16 {
                sums[place] = products[place / 4][place % 4];
            }
        } else {
            // Sixteen sums do not fit this machine's registers.
            for block in 0..4 {
                let [a, b] = [block / 2 * 2, block % 2 * 2];
                let products = lane_products(simd, rows, [left[a], left[a + 1]], [right[b], right[b + 1]]);
                for place in 0..4 {
                    sums[4 * (a + place / 2) + b + place % 2] = products[place / 2][place % 2];
                }
            }
        }
    }
    let mut lanes = simd.transpose(sums);
    for apart in [8, 4, 2, 1] {
        for first in 0..apart {
            lanes[first] = simd.add(lanes[first], lanes[first + apart]);
        }
    }
    let mut out = [0.0; 16];
    // SAFETY: `out` has sixteen numbers.
    unsafe { simd.store(lanes[0], out.as_mut_ptr()) };
    out
}

/// The products of `A` rows with `B` rows, summed lane by lane.
///
/// # Safety
/// As [`dot_products`].
#[inline(always)]
unsafe fn lane_products<S: Simd, const A: usize, const B: usize>(
    simd: S,
    rows: Rows,
    left: [*const f32; A],
    right: [*const f32; B],
) -> [[S::Lanes; B]; A] {
    let mut sums = [[simd.splat(0.0); B]; A];
    for image in 0..rows.images {
        for register in 0..rows.registers {
            // SAFETY: the caller's promise.
            unsafe {
                let mut pixels = [simd.splat(0.0); B];
                for (pixels, row) in pixels.iter_mut().zip(right) {
                    *pixels = simd.load(row.add(image * rows.right_stride + register * LANES));
                }
                for (a, sums) in sums.iter_mut().enumerate() {
                    let left = simd.load(left[a].add(image * rows.left_stride + register * LANES));
                    for b in 0..B {
                        sums[b] = simd.multiply_add(left, pixels[b], sums[b]);
                    }
                }
            }
        }
    }
    sums
}
