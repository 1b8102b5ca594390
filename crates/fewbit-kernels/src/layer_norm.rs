//! Layer norm: each row with mean 0 and variance 1, scaled and shifted by what is learned per column.

use rayon::prelude::*;

use crate::dispatch::InstructionSet;
use crate::elementwise::{PIECE, check_length};
use crate::simd::{LaneKernel, Simd};
use crate::sums::{Moments, Plainly, Terms, stored, sum_of_lanes, sums_by_lane};

/// Rows whose sums are taken one after the other: each has to be finished before it is used, which the
/// machine does while it adds the next.
const ROWS: usize = 8;

/// Writes `(x - mean) inverse_deviation gamma + beta` of each row `x`, and these two of each row.
///
/// `input` and `out` are `[rows, width]`, `gamma` and `beta` `[width]`, `mean` and `inverse_deviation`
/// `[rows]`. The inverse deviation is `1 / √(variance + epsilon)`, with the biased variance. No `beta`
/// counts as 0.
///
/// # Panics
/// When a slice has not the length that those of `gamma` and `mean` ask for.
///
/// Ba, Kiros, Hinton 2016, eqs. (3) and (4).
pub fn layer_norm(
    input: &[f32],
    gamma: &[f32],
    beta: Option<&[f32]>,
    epsilon: f32,
    out: &mut [f32],
    mean: &mut [f32],
    inverse_deviation: &mut [f32],
) {
    layer_norm_on(InstructionSet::detect(), input, gamma, beta, epsilon, out, mean, inverse_deviation);
}

#[expect(clippy::too_many_arguments, reason = "the public function's, and the instruction set")]
pub(crate) fn layer_norm_on(
    set: InstructionSet,
    input: &[f32],
    gamma: &[f32],
    beta: Option<&[f32]>,
    epsilon: f32,
    out: &mut [f32],
    mean: &mut [f32],
    inverse_deviation: &mut [f32],
) {
    let width = gamma.len();
    let numbers = width * mean.len();
    check_length("input", input.len(), numbers);
    check_length("beta", beta.map_or(width, |beta| beta.len()), width);
    check_length("out", out.len(), numbers);
    check_length("inverse_deviation", inverse_deviation.len(), mean.len());
    if numbers == 0 {
        // Rows of nothing have the mean 0 and no variance.
        mean.fill(0.0);
        return inverse_deviation.fill(1.0 / epsilon.sqrt());
    }
    if numbers <= PIECE {
        return set.run_lanes(Normalize { input, gamma, beta, epsilon, out, mean, inverse_deviation });
    }
    let rows = (PIECE / width).max(1);
    let pieces = (input.par_chunks(rows * width), out.par_chunks_mut(rows * width));
    pieces
        .into_par_iter()
        .zip(mean.par_chunks_mut(rows))
        .zip(inverse_deviation.par_chunks_mut(rows))
        .for_each(|(((input, out), mean), inverse_deviation)| {
            set.run_lanes(Normalize { input, gamma, beta, epsilon, out, mean, inverse_deviation });
        });
}

struct Normalize<'a> {
    input: &'a [f32],
    gamma: &'a [f32],
    beta: Option<&'a [f32]>,
    epsilon: f32,
    out: &'a mut [f32],
    mean: &'a mut [f32],
    inverse_deviation: &'a mut [f32],
}

impl LaneKernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.gamma.len();
        let rows = self.input.chunks(ROWS * width).zip(self.out.chunks_mut(ROWS * width));
        let statistics = self.mean.chunks_mut(ROWS).zip(self.inverse_deviation.chunks_mut(ROWS));
        for ((input, out), (mean, inverse)) in rows.zip(statistics) {
            let input = || input.chunks_exact(width);
            for (row, mean) in input().zip(&mut *mean) {
                let [sum] = sums(simd, [row], Plainly);
                *mean = sum / width as f32;
            }
            for (row, (mean, inverse)) in input().zip(mean.iter_mut().zip(&mut *inverse)) {
                let variance;
                (*mean, variance) = moments(simd, row, *mean);
                *inverse = 1.0 / (variance + self.epsilon).sqrt();
            }
            let rows = input().zip(out.chunks_exact_mut(width));
            for ((input, out), (&mut mean, &mut inverse)) in rows.zip(mean.iter_mut().zip(inverse)) {
                write_row(input, self.gamma, self.beta, (mean, inverse), out);
            }
        }
    }
}

#[inline(always)]
fn write_row(
    input: &[f32],
    gamma: &[f32],
    beta: Option<&[f32]>,
    (mean, inverse): (f32, f32),
    out: &mut [f32],
) {
    let numbers = out.iter_mut().zip(input).zip(gamma);
    match beta {
        Some(beta) => {
            for (((out, &x), &gamma), &beta) in numbers.zip(beta) {
                *out = ((x - mean) * inverse).mul_add(gamma, beta);
            }
        }
        None => {
            for ((out, &x), &gamma) in numbers {
                *out = (x - mean) * inverse * gamma;
            }
        }
    }
}

/// Mean and biased variance of a row, given about its mean.
///
/// The sum of the differences from that corrects it: a mean far from 0 costs no accuracy.
#[inline(always)]
fn moments<S: Simd>(simd: S, row: &[f32], origin: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let [rest, squares] = sums(simd, [row], Moments { origin });
    let correction = rest / count;
    (origin + correction, squares / count - correction * correction)
}

#[inline(always)]
fn sums<S: Simd, T: Terms<N, M>, const N: usize, const M: usize>(
    simd: S,
    slices: [&[f32]; N],
    terms: T,
) -> [f32; M] {
    sums_by_lane(simd, slices, terms).map(|lanes| sum_of_lanes(stored(simd, lanes)))
}

/// What [`layer_norm`] read and found, which its gradient needs again.
#[derive(Clone, Copy, Debug)]
pub struct NormalizedRows<'a> {
    /// The rows, `[rows, width]`.
    pub input: &'a [f32],
    /// The factor of each column, `[width]`.
    pub gamma: &'a [f32],
    /// The mean of each row.
    pub mean: &'a [f32],
    /// `1 / √(variance + epsilon)` of each row.
    pub inverse_deviation: &'a [f32],
}

/// Writes the loss's gradients with respect to [`layer_norm`]'s input, `gamma` and `beta`.
///
/// `gradient`, that of its output, and `input_gradient` are `[rows, width]`, the others `[width]`.
///
/// # Panics
/// When a slice has not the length that those of `gamma` and `mean` ask for.
pub fn layer_norm_gradient(
    forward: NormalizedRows<'_>,
    gradient: &[f32],
    input_gradient: &mut [f32],
    gamma_gradient: &mut [f32],
    beta_gradient: Option<&mut [f32]>,
) {
    let set = InstructionSet::detect();
    layer_norm_gradient_on(set, forward, gradient, input_gradient, gamma_gradient, beta_gradient);
}

pub(crate) fn layer_norm_gradient_on(
    set: InstructionSet,
    forward: NormalizedRows<'_>,
    gradient: &[f32],
    input_gradient: &mut [f32],
    gamma_gradient: &mut [f32],
    beta_gradient: Option<&mut [f32]>,
) {
    let NormalizedRows { input, gamma, mean, inverse_deviation } = forward;
    let width = gamma.len();
    let numbers = width * mean.len();
    check_length("input", input.len(), numbers);
    check_length("inverse_deviation", inverse_deviation.len(), mean.len());
    check_length("gradient", gradient.len(), numbers);
    check_length("input_gradient", input_gradient.len(), numbers);
    check_length("gamma_gradient", gamma_gradient.len(), width);
    check_length("beta_gradient", beta_gradient.as_ref().map_or(width, |beta| beta.len()), width);
    gamma_gradient.fill(0.0);
    if numbers == 0 {
        return beta_gradient.into_iter().for_each(|beta| beta.fill(0.0));
    }
    // Enough rows that their sums are few beside them, few enough that `f32` adds them well.
    let rows = (PIECE / width).clamp(16, 256);
    let piece = rows * width;
    let mut sums = vec![0.0; numbers.div_ceil(piece) * 2 * width];
    let work = |place: usize, input_gradient: &mut [f32], sums: &mut [f32]| {
        let first = place * rows;
        let here = first..(first + rows).min(mean.len());
        let numbers = here.start * width..here.end * width;
        let (gamma_sums, beta_sums) = sums.split_at_mut(width);
        set.run_lanes(Gradient {
            forward: NormalizedRows {
                input: &input[numbers.clone()],
                gamma,
                mean: &mean[here.clone()],
                inverse_deviation: &inverse_deviation[here],
            },
            gradient: &gradient[numbers],
            input_gradient,
            gamma_sums,
            beta_sums,
        });
    };
    if numbers <= PIECE {
        let pieces = input_gradient.chunks_mut(piece).zip(sums.chunks_mut(2 * width));
        pieces.enumerate().for_each(|(place, (input_gradient, sums))| work(place, input_gradient, sums));
    } else {
        let pieces = input_gradient.par_chunks_mut(piece).zip(sums.par_chunks_mut(2 * width));
        pieces.enumerate().for_each(|(place, (input_gradient, sums))| work(place, input_gradient, sums));
    }
    add_pieces(sums.chunks(2 * width).map(|sums| &sums[..width]), gamma_gradient);
    if let Some(beta_gradient) = beta_gradient {
        add_pieces(sums.chunks(2 * width).map(|sums| &sums[width..]), beta_gradient);
    }
}

/// Writes the sum of the pieces' sums, added in `f64` in the order of the pieces.
fn add_pieces<'a>(pieces: impl Iterator<Item = &'a [f32]>, out: &mut [f32]) {
    let mut totals = vec![0.0f64; out.len()];
    for sums in pieces {
        totals.iter_mut().zip(sums).for_each(|(total, &sum)| *total += f64::from(sum));
    }
    out.iter_mut().zip(totals).for_each(|(out, total)| *out = total as f32);
}

struct Gradient<'a> {
    forward: NormalizedRows<'a>,
    gradient: &'a [f32],
    input_gradient: &'a mut [f32],
    gamma_sums: &'a mut [f32],
    beta_sums: &'a mut [f32],
}

impl LaneKernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let NormalizedRows { input, gamma, mean, inverse_deviation } = self.forward;
        let width = gamma.len();
        let share = 1.0 / width as f32;
        let rows = input.chunks(ROWS * width).zip(self.gradient.chunks(ROWS * width));
        let rows = rows.zip(self.input_gradient.chunks_mut(ROWS * width));
        let statistics = mean.chunks(ROWS).zip(inverse_deviation.chunks(ROWS));
        for (((x, g), out), (mean, inverse)) in rows.zip(statistics) {
            // With x̂ the normalized row and h = γ g: ∂L/∂x = (h - mean of h - x̂ mean of (h x̂)) / deviation
            let mut means = [[0.0; 2]; ROWS];
            let rows = x.chunks_exact(width).zip(g.chunks_exact(width));
            for (((x, g), means), (&mean, &inverse)) in
                rows.clone().zip(&mut means).zip(mean.iter().zip(inverse))
            {
                let [sum, product] = sums(simd, [x, g, gamma], Products { mean });
                *means = [sum * share, product * inverse * share];
            }
            let rows = rows.zip(out.chunks_exact_mut(width)).zip(means);
            for ((((x, g), out), [mean_h, mean_product]), (&mean, &inverse)) in
                rows.zip(mean.iter().zip(inverse))
            {
                let (x, g, out, gamma) = (&x[..width], &g[..width], &mut out[..width], &gamma[..width]);
                let (gamma_sums, beta_sums) = (&mut self.gamma_sums[..width], &mut self.beta_sums[..width]);
                for i in 0..width {
                    let normalized = (x[i] - mean) * inverse;
                    out[i] = (g[i] * gamma[i] - mean_h - normalized * mean_product) * inverse;
                    gamma_sums[i] += g[i] * normalized;
                    beta_sums[i] += g[i];
                }
            }
        }
    }
}

/// `h = γ g` and `h (x - mean)`.
#[derive(Clone, Copy)]
struct Products {
    mean: f32,
}

impl Terms<3, 2> for Products {
    #[inline(always)]
    fn nothing(self) -> [f32; 3] {
        [0.0; 3]
    }

    #[inline(always)]
    fn add<S: Simd>(
        self,
        simd: S,
        [sum, products]: [S::Lanes; 2],
        [x, g, gamma]: [S::Lanes; 3],
    ) -> [S::Lanes; 2] {
        let h = simd.multiply_add(g, gamma, simd.splat(0.0));
        let difference = simd.add(x, simd.splat(-self.mean));
        [simd.add(sum, h), simd.multiply_add(h, difference, products)]
    }
}

#[cfg(test)]
mod tests;
