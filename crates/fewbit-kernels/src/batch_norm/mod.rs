//! Batch norm: each channel with mean 0 and variance 1 over the batch, scaled and shifted by what is
//! learned per channel; with relu, or a residual added and then relu, in the same pass.
//!
//! Memory sets the speed. A channel's sums are taken and its numbers normalized right after, while
//! they are still in the cache; the gradient does the same. Only where there are few channels are
//! images shared out instead, in two sweeps over the whole. Which of the two depends on the shape
//! alone, so that the number of threads changes no bit.

mod forward;
mod gradient;
mod plan;
#[cfg(test)]
mod tests;

pub use forward::{After, batch_norm, batch_norm_with};
pub use gradient::{AfterGradient, BatchNormInput, batch_norm_gradient};

/// What is normalized: `[batch, channels, pixels]`, where the pixels are those of an image, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormShape {
    /// Number of images.
    pub batch: usize,
    /// Number of channels, each with a mean and a variance.
    pub channels: usize,
    /// Height times width of an image; 1 behind a linear layer.
    pub pixels: usize,
}

impl BatchNormShape {
    /// Numbers of all channels.
    ///
    /// # Panics
    /// When they are too many to count.
    pub const fn numbers(&self) -> usize {
        match self.batch.checked_mul(self.channels) {
            Some(planes) => match planes.checked_mul(self.pixels) {
                Some(numbers) => numbers,
                None => panic!("a batch norm's numbers are too many to count"),
            },
            None => panic!("a batch norm's planes are too many to count"),
        }
    }

    /// Numbers of one channel.
    const fn per_channel(&self) -> usize {
        self.batch * self.pixels
    }

    /// Where a plane of pixels begins.
    #[inline(always)]
    const fn start(&self, image: usize, channel: usize) -> usize {
        (image * self.channels + channel) * self.pixels
    }
}

/// `1 / √(variance + epsilon)`, the same in every function here.
///
/// So the backward pass finds the very number that the forward pass compared with 0.
#[inline(always)]
fn inverse_deviation(variance: f32, epsilon: f32) -> f32 {
    1.0 / (variance + epsilon).sqrt()
}

/// What one channel's numbers go through: `(x - mean) scale + shift`.
#[derive(Clone, Copy)]
struct Affine {
    mean: f32,
    scale: f32,
    shift: f32,
}

impl Affine {
    #[inline(always)]
    fn at(self, x: f32) -> f32 {
        // Not `x scale + (shift - mean scale)`: a mean far from 0 would cost its accuracy.
        (x - self.mean).mul_add(self.scale, self.shift)
    }
}
