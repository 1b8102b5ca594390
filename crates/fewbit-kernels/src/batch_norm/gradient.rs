//! The way back through batch norm, its statistics included, and through the relu after it.

use std::ops::Range;

use super::plan::{Accumulator, ChannelWork, PlanesMut, Sums, fetch_next_plane, for_each_channel, plane};
use super::{Affine, BatchNormShape, inverse_deviation};
use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::check_length;
use crate::simd::{LaneKernel, Simd};
use crate::sums::Terms;

/// What [`batch_norm`](super::batch_norm) read and found, which its gradient needs again.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormInput<'a> {
    /// The numbers, of the shape.
    pub input: &'a [f32],
    /// The factor of each channel.
    pub gamma: &'a [f32],
    /// The mean of each channel.
    pub mean: &'a [f32],
    /// The biased variance of each channel.
    pub variance: &'a [f32],
    /// What was added to the variance.
    pub epsilon: f32,
}

/// What was done with a normalized number in the same pass, and what its way back needs.
#[derive(Debug)]
pub enum AfterGradient<'a> {
    /// Nothing.
    Nothing,
    /// `relu(normalized)`. Whether that was above 0 is found again from the input, which saves
    /// reading the output.
    Relu {
        /// What was added in each channel.
        beta: &'a [f32],
    },
    /// `relu(normalized + residual)`.
    AddRelu {
        /// What came out, of the shape.
        output: &'a [f32],
        /// Where the gradient of the residual goes, of the shape.
        residual_gradient: &'a mut [f32],
    },
}

/// Writes the loss's gradients with respect to the input, `gamma` and `beta` of
/// [`batch_norm`](super::batch_norm), and the residual where there is one.
///
/// `gradient`, that of the output, and `input_gradient` are of the `shape`, the others `[channels]`.
///
/// # Panics
/// When a slice has not the length that `shape` asks for.
///
/// Ioffe, Szegedy 2015, section 3.
pub fn batch_norm_gradient(
    shape: BatchNormShape,
    forward: BatchNormInput<'_>,
    after: AfterGradient<'_>,
    gradient: &[f32],
    input_gradient: &mut [f32],
    gamma_gradient: &mut [f32],
    beta_gradient: &mut [f32],
) {
    let set = InstructionSet::detect();
    batch_norm_gradient_on(
        set,
        shape,
        forward,
        after,
        gradient,
        input_gradient,
        gamma_gradient,
        beta_gradient,
    );
}

#[expect(clippy::too_many_arguments, reason = "the public function's, and the instruction set")]
pub(crate) fn batch_norm_gradient_on(
    set: InstructionSet,
    shape: BatchNormShape,
    forward: BatchNormInput<'_>,
    after: AfterGradient<'_>,
    gradient: &[f32],
    input_gradient: &mut [f32],
    gamma_gradient: &mut [f32],
    beta_gradient: &mut [f32],
) {
    let (numbers, channels) = (shape.numbers(), shape.channels);
    check_length("input", forward.input.len(), numbers);
    check_length("gamma", forward.gamma.len(), channels);
    check_length("mean", forward.mean.len(), channels);
    check_length("variance", forward.variance.len(), channels);
    check_length("gradient", gradient.len(), numbers);
    check_length("input_gradient", input_gradient.len(), numbers);
    check_length("gamma_gradient", gamma_gradient.len(), channels);
    check_length("beta_gradient", beta_gradient.len(), channels);
    let after = match after {
        AfterGradient::Nothing => Mask::Nothing,
        AfterGradient::Relu { beta } => {
            check_length("beta", beta.len(), channels);
            Mask::Relu(beta)
        }
        AfterGradient::AddRelu { output, residual_gradient } => {
            check_length("output", output.len(), numbers);
            check_length("residual_gradient", residual_gradient.len(), numbers);
            Mask::AddRelu(output, PlanesMut::new(residual_gradient, shape))
        }
    };
    if numbers == 0 {
        gamma_gradient.fill(0.0);
        return beta_gradient.fill(0.0);
    }
    let input_gradient = PlanesMut::new(input_gradient, shape);
    let work = Backward { set, shape, forward, after, gradient, input_gradient };
    for_each_channel(shape, &work, gamma_gradient.iter_mut().zip(beta_gradient).collect());
}

/// [`AfterGradient`], for threads to share.
#[derive(Clone, Copy)]
enum Mask<'a> {
    Nothing,
    Relu(&'a [f32]),
    AddRelu(&'a [f32], PlanesMut<'a>),
}

struct Backward<'a> {
    set: InstructionSet,
    shape: BatchNormShape,
    forward: BatchNormInput<'a>,
    after: Mask<'a>,
    gradient: &'a [f32],
    input_gradient: PlanesMut<'a>,
}

impl Backward<'_> {
    /// What the forward pass did with a channel's numbers, before the relu.
    #[inline(always)]
    fn affine(&self, channel: usize) -> Affine {
        let BatchNormInput { gamma, mean, variance, epsilon, .. } = self.forward;
        let scale = gamma[channel] * inverse_deviation(variance[channel], epsilon);
        let shift = if let Mask::Relu(beta) = self.after { beta[channel] } else { 0.0 };
        Affine { mean: mean[channel], scale, shift }
    }
}

/// `∂L/∂x = scale g + slope (x - mean) + constant`
#[derive(Clone, Copy)]
struct Coefficients {
    slope: f32,
    constant: f32,
}

impl ChannelWork for Backward<'_> {
    type Coefficients = Coefficients;
    type Out<'a> = (&'a mut f32, &'a mut f32);

    unsafe fn sums(&self, channel: usize, images: Range<usize>) -> Sums {
        self.set.run_lanes(GradientSums { work: self, channel, images })
    }

    /// With `g` the gradient behind the relu, `N` numbers and `r = 1 / √(variance + epsilon)`:
    /// `∂L/∂beta = Σ g`, `∂L/∂gamma = r Σ g (x - mean)` and
    /// `∂L/∂x = gamma r (g - ∂L/∂beta / N - r (x - mean) ∂L/∂gamma / N)`.
    fn finish(&self, channel: usize, [sum, product]: Sums, (gamma, beta): Self::Out<'_>) -> Coefficients {
        let BatchNormInput { variance, epsilon, .. } = self.forward;
        let inverse = f64::from(inverse_deviation(variance[channel], epsilon));
        let scale = f64::from(self.affine(channel).scale);
        let count = self.shape.per_channel() as f64;
        let product = product * inverse;
        *gamma = product as f32;
        *beta = sum as f32;
        Coefficients {
            slope: (-scale * inverse * product / count) as f32,
            constant: (-scale * sum / count) as f32,
        }
    }

    unsafe fn apply(&self, channel: usize, images: Range<usize>, coefficients: Coefficients) {
        self.set.run(InputGradient { work: self, channel, images, coefficients });
    }
}

/// `Σ g` and `Σ g (x - mean)`; writes the gradient of the residual on the way.
struct GradientSums<'a> {
    work: &'a Backward<'a>,
    channel: usize,
    images: Range<usize>,
}

impl LaneKernel for GradientSums<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        /// Numbers whose gradient behind the relu is kept in the nearest cache for the sums.
        const STRETCH: usize = 512;
        let Self { work, channel, images } = self;
        let Backward { shape, forward: BatchNormInput { input, .. }, gradient, .. } = *work;
        let affine = work.affine(channel);
        let terms = Products { mean: affine.mean };
        let mut stretch = [0.0; STRETCH];
        let mut sums = Accumulator::new(simd);
        for image in images {
            fetch_next_plane(input.as_ptr(), shape, image, channel);
            fetch_next_plane(gradient.as_ptr(), shape, image, channel);
            let (x, g) = (plane(input, shape, image, channel), plane(gradient, shape, image, channel));
            match work.after {
                Mask::Nothing => sums.add_plane([x, g], terms),
                Mask::Relu(_) => {
                    for (x, g) in x.chunks(STRETCH).zip(g.chunks(STRETCH)) {
                        let masked = &mut stretch[..x.len()];
                        for ((masked, &x), &g) in masked.iter_mut().zip(x).zip(g) {
                            *masked = if affine.at(x) > 0.0 { g } else { 0.0 };
                        }
                        sums.add_plane([x, masked], terms);
                    }
                }
                Mask::AddRelu(output, residual_gradient) => {
                    fetch_next_plane(output.as_ptr(), shape, image, channel);
                    // SAFETY: whoever runs this was given these images of this channel.
                    let masked = unsafe { residual_gradient.plane(image, channel) };
                    let output = plane(output, shape, image, channel);
                    for ((masked, &g), &output) in masked.iter_mut().zip(g).zip(output) {
                        *masked = if output > 0.0 { g } else { 0.0 };
                    }
                    sums.add_plane([x, masked], terms);
                }
            }
        }
        sums.finish()
    }
}

/// `g` and `g (x - mean)`.
#[derive(Clone, Copy)]
struct Products {
    mean: f32,
}

impl Terms<2, 2> for Products {
    #[inline(always)]
    fn nothing(self) -> [f32; 2] {
        [0.0; 2]
    }

    #[inline(always)]
    fn add<S: Simd>(self, simd: S, [sum, products]: [S::Lanes; 2], [x, g]: [S::Lanes; 2]) -> [S::Lanes; 2] {
        let difference = simd.add(x, simd.splat(-self.mean));
        [simd.add(sum, g), simd.multiply_add(g, difference, products)]
    }
}

struct InputGradient<'a> {
    work: &'a Backward<'a>,
    channel: usize,
    images: Range<usize>,
    coefficients: Coefficients,
}

impl Kernel for InputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { work, channel, images, coefficients } = self;
        let Backward { shape, forward: BatchNormInput { input, .. }, gradient, .. } = *work;
        let affine = work.affine(channel);
        // What was read last is nearest, so that one begins there.
        for image in images.rev() {
            // SAFETY: whoever runs this was given these images of this channel.
            let out = unsafe { work.input_gradient.plane(image, channel) };
            let (x, g) = (plane(input, shape, image, channel), plane(gradient, shape, image, channel));
            match work.after {
                Mask::Nothing => write::<false>(affine, coefficients, x, g, out),
                Mask::Relu(_) => write::<true>(affine, coefficients, x, g, out),
                Mask::AddRelu(_, masked) => {
                    // SAFETY: as above.
                    let masked = unsafe { masked.plane(image, channel) };
                    write::<false>(affine, coefficients, x, masked, out);
                }
            }
        }
    }
}

/// The input's gradient of a plane; `MASKS` where relu has not been gone back through yet.
#[inline(always)]
fn write<const MASKS: bool>(
    affine: Affine,
    Coefficients { slope, constant }: Coefficients,
    x: &[f32],
    g: &[f32],
    out: &mut [f32],
) {
    for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
        // Not `<= 0`: where that is NaN nothing goes back either.
        let g = if !MASKS || affine.at(x) > 0.0 { g } else { 0.0 };
        *out = g.mul_add(affine.scale, (x - affine.mean).mul_add(slope, constant));
    }
}
