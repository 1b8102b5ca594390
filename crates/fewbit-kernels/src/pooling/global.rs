//! The mean of each plane.

use rayon::prelude::*;

use crate::dispatch::InstructionSet;
use crate::elementwise::{PIECE, check_length};
use crate::simd::{LaneKernel, Simd};
use crate::sums::{Plainly, stored, sum_of_lanes, sums_by_lane};

/// Writes the mean of each plane of `pixels` numbers; NaN where there are none.
///
/// # Panics
/// When `input` has not `pixels` numbers for each place of `out`.
pub fn global_average_pool(pixels: usize, input: &[f32], out: &mut [f32]) {
    global_average_pool_on(InstructionSet::detect(), pixels, input, out);
}

pub(crate) fn global_average_pool_on(set: InstructionSet, pixels: usize, input: &[f32], out: &mut [f32]) {
    check_length("input", input.len(), pixels * out.len());
    if input.is_empty() {
        return out.fill(f32::NAN);
    }
    let planes = (PIECE / pixels).max(1);
    if input.len() <= PIECE {
        return set.run_lanes(Means { pixels, input, out });
    }
    let pieces = input.par_chunks(planes * pixels).zip(out.par_chunks_mut(planes));
    pieces.for_each(|(input, out)| set.run_lanes(Means { pixels, input, out }));
}

struct Means<'a> {
    pixels: usize,
    input: &'a [f32],
    out: &'a mut [f32],
}

impl LaneKernel for Means<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        /// Numbers that are added in `f32` before these sums go on in `f64`.
        const RUN: usize = 1024;
        let planes = self.input.chunks_exact(self.pixels);
        for (plane, out) in planes.zip(self.out) {
            let mut sum = 0.0;
            for run in plane.chunks(RUN) {
                let [lanes] = sums_by_lane(simd, [run], Plainly);
                sum += f64::from(sum_of_lanes(stored(simd, lanes)));
            }
            *out = (sum / self.pixels as f64) as f32;
        }
    }
}

/// Writes the loss's gradient with respect to [`global_average_pool`]'s input: each plane's
/// `gradient / pixels`.
///
/// # Panics
/// When `input_gradient` has not `pixels` numbers for each one of `gradient`.
pub fn global_average_pool_gradient(pixels: usize, gradient: &[f32], input_gradient: &mut [f32]) {
    check_length("input_gradient", input_gradient.len(), pixels * gradient.len());
    if input_gradient.is_empty() {
        return;
    }
    let fill = |(g, out): (&f32, &mut [f32])| out.fill(g / pixels as f32);
    if input_gradient.len() <= PIECE {
        gradient.iter().zip(input_gradient.chunks_exact_mut(pixels)).for_each(fill);
    } else {
        let planes = gradient.par_iter().zip(input_gradient.par_chunks_exact_mut(pixels));
        planes.with_min_len((PIECE / pixels).max(1)).for_each(fill);
    }
}
