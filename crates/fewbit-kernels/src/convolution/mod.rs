//! Convolutions of images and their gradients.
//!
//! Every pass brings the image in a form in which all products are of whole registers of pixels
//! with one weight (`views`), so that strides, dilations, groups and borders cost no branch in the
//! products (`product`). Forward and input gradient are one thing (`correlation`), which kernels of 3
//! by 3 do with fewer products (`winograd`).

mod apply;
mod blocks;
mod correlation;
mod patches;
mod product;
#[cfg(test)]
mod scalar;
mod shape;
#[cfg(test)]
mod tests;
mod tiles;
mod views;
mod weight_gradient;
mod winograd;

use rayon::prelude::*;

use self::correlation::Correlation;
pub use self::shape::{Convolution, ConvolutionError, ConvolutionOptions};
use crate::dispatch::{InstructionSet, Kernel};

/// Writes the convolution of `input` with `weight`, plus the `bias` of each output channel.
///
/// `input` is `[batch, in, height, width]`, `weight` `[out, in/groups, kh, kw]`, `bias` `[out]` and
/// `out` `[batch, out, …output_size]`. A number that is not finite makes the outputs that see it not
/// finite, and may do so to their next neighbours.
///
/// # Panics
/// When a slice has not the length that the shapes of `convolution` give.
pub fn convolve(
    convolution: &Convolution,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    convolve_on(InstructionSet::detect(), convolution, input, weight, bias, out);
}

/// Writes the gradient of the input, given the `gradient` of the output.
///
/// # Panics
/// When a slice has not the length that the shapes of `convolution` give.
pub fn convolution_input_gradient(
    convolution: &Convolution,
    gradient: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    convolution_input_gradient_on(InstructionSet::detect(), convolution, gradient, weight, out);
}

/// Writes the gradient of the weight, given the `gradient` of the output.
///
/// # Panics
/// When a slice has not the length that the shapes of `convolution` give.
pub fn convolution_weight_gradient(
    convolution: &Convolution,
    input: &[f32],
    gradient: &[f32],
    out: &mut [f32],
) {
    convolution_weight_gradient_on(InstructionSet::detect(), convolution, input, gradient, out);
}

/// Writes the gradient of the bias: for each output channel the sum of its `gradient`.
///
/// # Panics
/// When a slice has not the length that the shapes of `convolution` give.
pub fn convolution_bias_gradient(convolution: &Convolution, gradient: &[f32], out: &mut [f32]) {
    convolution_bias_gradient_on(InstructionSet::detect(), convolution, gradient, out);
}

pub(crate) fn convolve_on(
    set: InstructionSet,
    convolution: &Convolution,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    check("input", input, convolution.input_len());
    check("weight", weight, convolution.weight_len());
    if let Some(bias) = bias {
        check("bias", bias, convolution.channels_out);
    }
    check("out", out, convolution.output_len());
    let correlation = Correlation::forward(convolution);
    apply(set, convolution, &correlation, input, weight, bias, out);
}

pub(crate) fn convolution_input_gradient_on(
    set: InstructionSet,
    convolution: &Convolution,
    gradient: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    check("gradient", gradient, convolution.output_len());
    check("weight", weight, convolution.weight_len());
    check("out", out, convolution.input_len());
    let correlation = Correlation::input_gradient(convolution);
    apply(set, convolution, &correlation, gradient, weight, None, out);
}

pub(crate) fn convolution_weight_gradient_on(
    set: InstructionSet,
    convolution: &Convolution,
    input: &[f32],
    gradient: &[f32],
    out: &mut [f32],
) {
    check("input", input, convolution.input_len());
    check("gradient", gradient, convolution.output_len());
    check("out", out, convolution.weight_len());
    weight_gradient::weight_gradient(set, convolution, input, gradient, out);
}

pub(crate) fn convolution_bias_gradient_on(
    set: InstructionSet,
    convolution: &Convolution,
    gradient: &[f32],
    out: &mut [f32],
) {
    check("gradient", gradient, convolution.output_len());
    check("out", out, convolution.channels_out);
    let [rows, columns] = convolution.output_size();
    let sum = |(channel, out): (usize, &mut f32)| {
        *out = set.run(SumOfChannel {
            gradient,
            channel,
            channels: convolution.channels_out,
            len: rows * columns,
        });
    };
    if gradient.len() < apply::FEW {
        out.iter_mut().enumerate().for_each(sum);
    } else {
        out.par_iter_mut().enumerate().for_each(sum);
    }
}

/// Writes a correlation in the faster of the two ways.
fn apply(
    set: InstructionSet,
    convolution: &Convolution,
    correlation: &Correlation,
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    target: &mut [f32],
) {
    let way = if winograd::pays(convolution) { winograd::correlate } else { apply::correlate };
    way(set, correlation, convolution.batch, source, weight, bias, target);
}

fn check(name: &str, slice: &[f32], needed: usize) {
    assert_eq!(slice.len(), needed, "numbers in `{name}` (left) and needed (right)");
}

/// The sum of one channel over all images, `[batch, channels, len]`.
struct SumOfChannel<'a> {
    gradient: &'a [f32],
    channel: usize,
    channels: usize,
    len: usize,
}

impl Kernel for SumOfChannel<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        const WIDE: usize = 64;
        let mut total = 0.0;
        for image in self.gradient.chunks_exact(self.channels * self.len) {
            let mut lanes = [0.0f32; WIDE];
            let (whole, rest) = image[self.channel * self.len..][..self.len].as_chunks::<WIDE>();
            for numbers in whole {
                for (lane, number) in lanes.iter_mut().zip(numbers) {
                    *lane += number;
                }
            }
            for (lane, number) in lanes.iter_mut().zip(rest) {
                *lane += number;
            }
            for half in [32, 16, 8, 4, 2, 1] {
                let (low, high) = lanes.split_at_mut(half);
                for (low, high) in low.iter_mut().zip(high) {
                    *low += *high;
                }
            }
            total += lanes[0];
        }
        total
    }
}
