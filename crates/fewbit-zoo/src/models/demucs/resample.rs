//! Twice the rate and back, by a fixed filter without parameters.
//!
//! A sequence whose rate doubles keeps its samples and gets the value at each half step between them: the sum of sinc
//! functions that pass through the samples, tapered by a Hann window of [`ZEROS`] zeros to each side. Going back, what
//! the half steps say of the whole ones is averaged with these: the low-pass filter that leaves no frequency which the
//! lower rate cannot hold.

use burn::tensor::module::conv1d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

/// Zeros of the sinc function to each side that the filter reaches.
const ZEROS: usize = 56;

/// `[N, channels, T]` to `[N, channels, 2T]`.
pub(super) fn double(x: Tensor<3>) -> Tensor<3> {
    let [batch, channels, length] = x.dims();
    let whole = x.reshape([batch * channels, 1, length]);
    let half = filtered(whole.clone(), (ZEROS - 1, ZEROS));
    // Whole and half steps in turn: the last axis is the faster one.
    Tensor::<3>::cat(vec![whole, half], 1).swap_dims(1, 2).reshape([batch, channels, 2 * length])
}

/// `[N, channels, 2T]` to `[N, channels, T]`.
///
/// # Panics
/// If the length is odd.
pub(super) fn half(x: Tensor<3>) -> Tensor<3> {
    let [batch, channels, length] = x.dims();
    let pairs = x.reshape([batch * channels, length / 2, 2]).swap_dims(1, 2);
    let whole = pairs.clone().narrow(1, 0, 1);
    let half = pairs.narrow(1, 1, 1);
    ((whole + filtered(half, (ZEROS, ZEROS - 1))) * 0.5).reshape([batch, channels, length / 2])
}

/// `[N, 1, T]` moved by half a step, whose sense `padding` decides; silence is beyond the ends.
fn filtered(x: Tensor<3>, padding: (usize, usize)) -> Tensor<3> {
    let filter = filter(&x.device());
    conv1d(x, filter, None, ConvOptions::new_with_padding([1], [padding], [1], 1))
}

/// The windowed sinc function at the half steps ±1/2, ±3/2, …, `[1, 1, 2 × ZEROS]`.
fn filter(device: &Device) -> Tensor<3> {
    use std::f64::consts::PI;
    let taps: Vec<f32> = (0..2 * ZEROS)
        .map(|tap| {
            let at = tap as f64 - ZEROS as f64 + 0.5;
            let window = (PI * at / (2.0 * ZEROS as f64)).cos().powi(2);
            ((PI * at).sin() / (PI * at) * window) as f32
        })
        .collect();
    Tensor::<1>::from_floats(taps.as_slice(), device).reshape([1, 1, 2 * ZEROS])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 400;

    /// Two sines of 1/20 and 1/5 of the rate, one per channel, at every `step` of a sample.
    fn sines(step: f64) -> Vec<f32> {
        let sine = |frequency: f64| {
            let count = (LENGTH as f64 / step) as usize;
            (0..count).map(move |i| (std::f64::consts::TAU * frequency * i as f64 * step).sin() as f32)
        };
        sine(0.05).chain(sine(0.2)).collect()
    }

    /// The largest difference of two signals `[1, 2, length]`, `margin` samples from the ends.
    fn difference(x: Tensor<3>, expected: &[f32], margin: usize) -> f32 {
        let [_, channels, length] = x.dims();
        assert_eq!(channels * length, expected.len());
        let found: Vec<f32> = x.into_data().try_to_vec().unwrap();
        let rows = found.chunks(length).zip(expected.chunks(length));
        let inner = |row: &[f32]| row[margin..length - margin].to_vec();
        rows.flat_map(|(a, b)| inner(a).into_iter().zip(inner(b)))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    }

    /// In float64 the filter is off by 8e-7 here (computed with numpy); a sum of 112 float32 products of at most 1
    /// rounds by a few 1e-7. The ends know of silence beyond.
    #[test]
    fn half_steps_are_those_of_the_sine_and_the_way_back_gives_the_samples() {
        let x = Tensor::<1>::from_floats(sines(1.0).as_slice(), &Device::default()).reshape([1, 2, LENGTH]);
        let doubled = double(x);
        assert_eq!(doubled.dims(), [1, 2, 2 * LENGTH]);
        let off = difference(doubled.clone(), &sines(0.5), 2 * ZEROS);
        assert!(off < 5e-6, "{off}");
        let halved = half(doubled);
        assert_eq!(halved.dims(), [1, 2, LENGTH]);
        let off = difference(halved, &sines(1.0), 2 * ZEROS);
        assert!(off < 5e-6, "{off}");
    }
}
