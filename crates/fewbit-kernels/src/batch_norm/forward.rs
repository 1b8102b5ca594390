//! Normalizing, while the statistics are taken or with those given.

use std::ops::Range;

use super::plan::{Accumulator, ChannelWork, PlanesMut, Sums, fetch_next_plane, for_each_channel, plane};
use super::{Affine, BatchNormShape, inverse_deviation};
use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::{PIECE, check_length};
use crate::simd::{LaneKernel, Simd};
use crate::sums::Moments;

/// What is done with a normalized number in the same pass.
#[derive(Clone, Copy, Debug)]
pub enum After<'a> {
    /// Nothing.
    Nothing,
    /// `relu(normalized)`.
    Relu,
    /// `relu(normalized + residual)`, with a residual of the shape of the input.
    AddRelu(&'a [f32]),
}

impl After<'_> {
    fn check(&self, shape: BatchNormShape) {
        if let Self::AddRelu(residual) = self {
            check_length("residual", residual.len(), shape.numbers());
        }
    }
}

/// Writes `(x - mean) gamma / √(variance + epsilon) + beta`, and what comes `after`, of each number `x`.
///
/// Mean and biased variance are those of the number's channel over the batch; they come out too.
/// `input` and `out` are of the `shape`, the others `[channels]`. Sums are taken of the differences
/// from some of the channel's numbers, in `f32` over short runs and then in `f64`: a mean far from
/// 0 costs no accuracy. Where a channel has no numbers its mean and variance are NaN.
///
/// # Panics
/// When a slice has not the length that `shape` asks for.
///
/// Ioffe, Szegedy 2015, algorithm 1.
#[expect(clippy::too_many_arguments, reason = "each a tensor of the layer; none belong together")]
pub fn batch_norm(
    shape: BatchNormShape,
    input: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    after: After<'_>,
    out: &mut [f32],
    mean: &mut [f32],
    variance: &mut [f32],
) {
    let set = InstructionSet::detect();
    batch_norm_on(set, shape, input, gamma, beta, epsilon, after, out, mean, variance);
}

#[expect(clippy::too_many_arguments, reason = "the public function's, and the instruction set")]
pub(crate) fn batch_norm_on(
    set: InstructionSet,
    shape: BatchNormShape,
    input: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    after: After<'_>,
    out: &mut [f32],
    mean: &mut [f32],
    variance: &mut [f32],
) {
    let channels = shape.channels;
    check_length("input", input.len(), shape.numbers());
    check_length("gamma", gamma.len(), channels);
    check_length("beta", beta.len(), channels);
    check_length("out", out.len(), shape.numbers());
    check_length("mean", mean.len(), channels);
    check_length("variance", variance.len(), channels);
    after.check(shape);
    if out.is_empty() {
        mean.fill(f32::NAN);
        return variance.fill(f32::NAN);
    }
    let out = PlanesMut::new(out, shape);
    let work = Training { set, shape, input, gamma, beta, epsilon, after, out };
    for_each_channel(shape, &work, mean.iter_mut().zip(variance).collect());
}

/// Writes what [`batch_norm`] does, with a given mean and variance of each channel.
///
/// # Panics
/// When a slice has not the length that `shape` asks for.
#[expect(clippy::too_many_arguments, reason = "each a tensor of the layer; none belong together")]
pub fn batch_norm_with(
    shape: BatchNormShape,
    input: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
    after: After<'_>,
    out: &mut [f32],
) {
    let set = InstructionSet::detect();
    batch_norm_with_on(set, shape, input, gamma, beta, mean, variance, epsilon, after, out);
}

#[expect(clippy::too_many_arguments, reason = "the public function's, and the instruction set")]
pub(crate) fn batch_norm_with_on(
    set: InstructionSet,
    shape: BatchNormShape,
    input: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
    after: After<'_>,
    out: &mut [f32],
) {
    use rayon::prelude::*;
    let channels = shape.channels;
    check_length("input", input.len(), shape.numbers());
    check_length("gamma", gamma.len(), channels);
    check_length("beta", beta.len(), channels);
    check_length("mean", mean.len(), channels);
    check_length("variance", variance.len(), channels);
    check_length("out", out.len(), shape.numbers());
    after.check(shape);
    if out.is_empty() {
        return;
    }
    // Nothing is summed, so that the planes may be taken as they lie.
    let planes = |first: usize, out: &mut [f32]| {
        for (number, out) in (first..).zip(out.chunks_exact_mut(shape.pixels)) {
            let channel = number % channels;
            let scale = gamma[channel] * inverse_deviation(variance[channel], epsilon);
            let affine = Affine { mean: mean[channel], scale, shift: beta[channel] };
            let (image, input) = (number / channels, &input[number * shape.pixels..][..shape.pixels]);
            set.run(NormalizePlane {
                input,
                affine,
                after: after_of_plane(after, shape, image, channel),
                out,
            });
        }
    };
    if out.len() <= PIECE {
        return planes(0, out);
    }
    let per_piece = (PIECE / shape.pixels).max(1);
    out.par_chunks_mut(per_piece * shape.pixels)
        .enumerate()
        .for_each(|(place, out)| planes(place * per_piece, out));
}

/// The forward pass of training.
struct Training<'a> {
    set: InstructionSet,
    shape: BatchNormShape,
    input: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
    after: After<'a>,
    out: PlanesMut<'a>,
}

impl ChannelWork for Training<'_> {
    type Coefficients = Affine;
    type Out<'a> = (&'a mut f32, &'a mut f32);

    unsafe fn sums(&self, channel: usize, images: Range<usize>) -> Sums {
        self.set.run_lanes(ChannelMoments { work: self, channel, images, origin: self.origin(channel) })
    }

    fn finish(&self, channel: usize, [sum, squares]: Sums, (mean, variance): Self::Out<'_>) -> Affine {
        let count = self.shape.per_channel() as f64;
        let distance = sum / count;
        *mean = (f64::from(self.origin(channel)) + distance) as f32;
        *variance = (squares / count - distance * distance).max(0.0) as f32;
        if distance.is_nan() {
            // `max` hides it.
            *variance = f32::NAN;
        }
        let scale = self.gamma[channel] * inverse_deviation(*variance, self.epsilon);
        Affine { mean: *mean, scale, shift: self.beta[channel] }
    }

    unsafe fn apply(&self, channel: usize, images: Range<usize>, affine: Affine) {
        self.set.run(Normalize { work: self, channel, images, affine });
    }
}

impl Training<'_> {
    /// A number near the mean of a channel: the mean of its first ones.
    ///
    /// Of `n` of the channel's `N` numbers: their mean's squared distance from that of all is at most
    /// `N / n` times the variance, so that the sums of the differences lose at most so much.
    fn origin(&self, channel: usize) -> f32 {
        const MOST: usize = 256;
        let pixels = self.shape.pixels.min(MOST);
        let images = (MOST / pixels).min(self.shape.batch);
        let first = |image| plane(self.input, self.shape, image, channel)[..pixels].iter();
        (0..images).flat_map(first).sum::<f32>() / (images * pixels) as f32
    }
}

/// The sums of the differences from `origin`, and of their squares.
struct ChannelMoments<'a> {
    work: &'a Training<'a>,
    channel: usize,
    images: Range<usize>,
    origin: f32,
}

impl LaneKernel for ChannelMoments<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        let Self { work: Training { shape, input, .. }, channel, images, origin } = self;
        let mut sums = Accumulator::new(simd);
        for image in images {
            fetch_next_plane(input.as_ptr(), *shape, image, channel);
            sums.add_plane([plane(input, *shape, image, channel)], Moments { origin });
        }
        sums.finish()
    }
}

struct Normalize<'a> {
    work: &'a Training<'a>,
    channel: usize,
    images: Range<usize>,
    affine: Affine,
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { work: Training { shape, input, after, out, .. }, channel, images, affine } = self;
        // What was read last is nearest, so that one begins there.
        for image in images.rev() {
            let input = plane(input, *shape, image, channel);
            // SAFETY: whoever runs this was given these images of this channel.
            let out = unsafe { out.plane(image, channel) };
            NormalizePlane { input, affine, after: after_of_plane(*after, *shape, image, channel), out }
                .run();
        }
    }
}

#[inline(always)]
fn after_of_plane(after: After<'_>, shape: BatchNormShape, image: usize, channel: usize) -> After<'_> {
    match after {
        After::AddRelu(residual) => After::AddRelu(plane(residual, shape, image, channel)),
        other => other,
    }
}

struct NormalizePlane<'a> {
    input: &'a [f32],
    affine: Affine,
    after: After<'a>,
    out: &'a mut [f32],
}

impl Kernel for NormalizePlane<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { input, affine, after, out } = self;
        let input = &input[..out.len()];
        match after {
            After::Nothing => {
                for (out, &x) in out.iter_mut().zip(input) {
                    *out = affine.at(x);
                }
            }
            After::Relu => {
                for (out, &x) in out.iter_mut().zip(input) {
                    *out = relu(affine.at(x));
                }
            }
            After::AddRelu(residual) => {
                for ((out, &x), &residual) in out.iter_mut().zip(input).zip(residual) {
                    *out = relu(affine.at(x) + residual);
                }
            }
        }
    }
}

/// Written so that NaN passes: `f32::max` would hide it.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}
