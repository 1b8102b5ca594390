//! The activations relu and gelu, and their gradients.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::{Formula, PIECE, check_length, map};
use crate::math::{exp, polynomial};

/// Writes `max(x, 0)` of each number; NaN stays NaN.
///
/// # Panics
/// When `out` has not the length of `input`.
pub fn relu(input: &[f32], out: &mut [f32]) {
    map(InstructionSet::detect(), Relu, [input], out);
}

/// Writes the loss's gradient with respect to relu's input: `gradient` where its output is above 0.
///
/// # Panics
/// When `gradient` or `out` has not the length of `output`.
pub fn relu_gradient(output: &[f32], gradient: &[f32], out: &mut [f32]) {
    check_length("gradient", gradient.len(), output.len());
    map(InstructionSet::detect(), ReluGradient, [output, gradient], out);
}

/// Writes `x Φ(x)` of each number, with the normal distribution function `Φ`; NaN stays NaN.
///
/// This is the exact gelu, not its approximation by tanh. The error is below `3e-7 max(1, |x|)`, and
/// for `|x| < 5` some units in the last place of the result.
///
/// # Panics
/// When `out` has not the length of `input`.
///
/// Hendrycks, Gimpel 2016, eq. (1).
pub fn gelu(input: &[f32], out: &mut [f32]) {
    map(InstructionSet::detect(), Gelu, [input], out);
}

/// Writes the loss's gradient with respect to gelu's input: `gradient (Φ(x) + x φ(x))`.
///
/// # Panics
/// When `gradient` or `out` has not the length of `input`.
pub fn gelu_gradient(input: &[f32], gradient: &[f32], out: &mut [f32]) {
    check_length("gradient", gradient.len(), input.len());
    map(InstructionSet::detect(), GeluGradient, [input, gradient], out);
}

/// Adds `bias` to each row of `product` and writes the [`gelu`] of that.
///
/// `product` is `[rows, width]`, with the width of `bias`; with the bias added it is what
/// [`gelu_gradient`] needs.
///
/// # Panics
/// When `product` is not whole rows of the length of `bias`, or `out` has not its length.
pub fn bias_gelu(product: &mut [f32], bias: &[f32], out: &mut [f32]) {
    bias_gelu_on(InstructionSet::detect(), product, bias, out);
}

pub(crate) fn bias_gelu_on(set: InstructionSet, product: &mut [f32], bias: &[f32], out: &mut [f32]) {
    check_length("out", out.len(), product.len());
    if product.is_empty() {
        return;
    }
    let rows = product.len().checked_div(bias.len()).unwrap_or(0);
    check_length("product", product.len(), rows * bias.len());
    if product.len() <= PIECE {
        return set.run(BiasGelu { product, bias, out });
    }
    let piece = (PIECE / bias.len()).max(1) * bias.len();
    product
        .par_chunks_mut(piece)
        .zip(out.par_chunks_mut(piece))
        .for_each(|(product, out)| set.run(BiasGelu { product, bias, out }));
}

#[derive(Clone, Copy)]
pub(crate) struct Relu;
#[derive(Clone, Copy)]
pub(crate) struct ReluGradient;
#[derive(Clone, Copy)]
pub(crate) struct Gelu;
#[derive(Clone, Copy)]
pub(crate) struct GeluGradient;

impl Formula<1> for Relu {
    #[inline(always)]
    fn at(self, [x]: [f32; 1]) -> f32 {
        // Written so that NaN passes: `f32::max` would hide it.
        if x < 0.0 { 0.0 } else { x }
    }
}

impl Formula<2> for ReluGradient {
    #[inline(always)]
    fn at(self, [output, gradient]: [f32; 2]) -> f32 {
        if output > 0.0 { gradient } else { 0.0 }
    }
}

impl Formula<1> for Gelu {
    #[inline(always)]
    fn at(self, [x]: [f32; 1]) -> f32 {
        x * normal(x).0
    }
}

impl Formula<2> for GeluGradient {
    #[inline(always)]
    fn at(self, [x, gradient]: [f32; 2]) -> f32 {
        let (below, density) = normal(x);
        gradient * x.mul_add(density, below)
    }
}

/// `1 / √(2 π)`, the normal density at 0.
const DENSITY_AT_0: f32 = 0.398_942_3;
/// The scale `s` of `t = 1 / (1 + s a)`, chosen with the polynomial below for the smallest error.
const TAIL_SCALE: f32 = 0.305;
/// `Φ(-a) e^(a²/2) / t` as a polynomial in `t`, for `a` in 0 to 13.3: relative error below 1e-7
/// before rounding (weighted least squares, reweighted until all extrema are equal).
const TAIL: [f32; 8] = [
    0.121_639_736,
    0.122_466_82,
    0.103_420_87,
    0.121_021_67,
    -0.037_976_816,
    0.185_716_9,
    -0.152_988_31,
    0.036_699_19,
];

/// The normal distribution function and its density: `Φ(x)` and `φ(x)`; NaN gives NaN.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let distance = x.abs();
    let exponent = 0.5 * distance * distance;
    // Beyond 13.2 both are 0, as far as f32 knows. Written so that NaN passes.
    let beyond = exponent > 87.0;
    let bell = exp(-if beyond { 87.0 } else { exponent });
    let bell = if beyond { 0.0 } else { bell };
    let t = 1.0 / distance.mul_add(TAIL_SCALE, 1.0);
    let tail = bell * (t * polynomial(TAIL, t));
    (if x < 0.0 { tail } else { 1.0 - tail }, bell * DENSITY_AT_0)
}

struct BiasGelu<'a> {
    product: &'a mut [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for BiasGelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        const LANES: usize = 64;
        let Self { product, bias, out } = self;
        let width = bias.len();
        let (bias, bias_rest) = bias.as_chunks::<LANES>();
        for (product, out) in product.chunks_exact_mut(width).zip(out.chunks_exact_mut(width)) {
            let (product, product_rest) = product.as_chunks_mut::<LANES>();
            let (out, out_rest) = out.as_chunks_mut::<LANES>();
            for ((product, bias), out) in product.iter_mut().zip(bias).zip(out) {
                add_bias(product, bias, out);
            }
            for ((product, bias), out) in product_rest.iter_mut().zip(bias_rest).zip(out_rest) {
                *product += bias;
                *out = Gelu.at([*product]);
            }
        }
    }
}

#[inline(always)]
fn add_bias<const N: usize>(product: &mut [f32; N], bias: &[f32; N], out: &mut [f32; N]) {
    for lane in 0..N {
        product[lane] += bias[lane];
        out[lane] = Gelu.at([product[lane]]);
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::{Numbers, RAGGED_LENGTHS};

    use super::*;

    /// `Φ(x)` by Simpson's rule over the density from 0, the tail's own from 16 down.
    fn exact_normal(x: f64) -> f64 {
        let density = |y: f64| (-0.5 * y * y).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let simpson = |from: f64, to: f64| {
            let steps = 2000;
            let width = (to - from) / f64::from(steps);
            let weight =
                |step| if step == 0 || step == steps { 1.0 } else { 2.0 + 2.0 * f64::from(step % 2) };
            let sum: f64 =
                (0..=steps).map(|step| weight(step) * density(from + width * f64::from(step))).sum();
            sum * width / 3.0
        };
        // Integrated from where nothing is left, the small tail keeps its relative accuracy.
        let tail = simpson(x.abs(), x.abs() + 8.0);
        if x < 0.0 { tail } else { 1.0 - tail }
    }

    #[test]
    fn the_normal_distribution_is_within_a_few_units_in_the_last_place() {
        for step in -1300..=1300 {
            let x = step as f32 / 100.0;
            let exact = exact_normal(f64::from(x));
            let (below, density) = normal(x);
            // A few units, and what rounding x²/2 does to the exponential.
            let bound = 5e-7 + f64::from(x * x) * 1e-7;
            let error = (f64::from(below) - exact).abs() / exact;
            assert!(error < bound, "Φ({x}) = {below}, off by {error}");
            let exact = (-0.5 * f64::from(x * x)).exp() * f64::from(DENSITY_AT_0);
            assert!((f64::from(density) - exact).abs() < bound * exact, "φ({x}) = {density}");
            let gelu = f64::from(Gelu.at([x]));
            let error = (gelu - f64::from(x) * exact_normal(f64::from(x))).abs();
            assert!(error < 3e-7 * f64::from(x.abs().max(1.0)), "gelu({x}) = {gelu}, off by {error}");
        }
    }

    #[test]
    fn far_out_gelu_is_the_identity_or_0() {
        for x in [14.0, 100.0, 1e30, f32::MAX, f32::INFINITY] {
            assert_eq!(Gelu.at([x]), x);
            assert_eq!(GeluGradient.at([x.min(1e30), 3.0]), 3.0);
        }
        for x in [-14.0, -100.0, -1e30, f32::MIN] {
            assert_eq!(Gelu.at([x]), 0.0);
            assert_eq!(GeluGradient.at([x, 3.0]), 0.0);
        }
        assert_eq!(Gelu.at([0.0]), 0.0);
        assert!(Gelu.at([f32::NAN]).is_nan() && GeluGradient.at([f32::NAN, 1.0]).is_nan());
        assert!(Relu.at([f32::NAN]).is_nan());
    }

    #[test]
    fn the_gradient_of_gelu_is_its_slope() {
        let exact = |x: f64| x * exact_normal(x);
        for step in -60..=60 {
            let x = step as f32 / 10.0;
            let slope = (exact(f64::from(x) + 1e-4) - exact(f64::from(x) - 1e-4)) / 2e-4;
            // The difference quotient is off by 1e-8 / 6 times the third derivative, below 2.
            assert!((f64::from(GeluGradient.at([x, 1.0])) - slope).abs() < 1e-6, "at {x}");
        }
    }

    #[test]
    fn every_length_and_set_gives_the_numbers_of_the_formulas() {
        let mut numbers = Numbers::seeded(3);
        for length in RAGGED_LENGTHS.into_iter().chain([1027, 2 * PIECE + 5]) {
            let (x, gradient) = (numbers.weights(length), numbers.weights(length));
            for set in InstructionSet::available() {
                let mut out = vec![f32::NAN; length];
                map(set, Gelu, [&x], &mut out);
                assert!(out.iter().zip(&x).all(|(out, &x)| *out == Gelu.at([x])), "gelu, {length}, {set:?}");
                map(set, GeluGradient, [&x, &gradient], &mut out);
                let expected = x.iter().zip(&gradient).map(|(&x, &g)| GeluGradient.at([x, g]));
                assert!(out.iter().copied().eq(expected), "gradient of gelu, {length}, {set:?}");
                map(set, Relu, [&x], &mut out);
                assert!(out.iter().zip(&x).all(|(out, &x)| *out == x.max(0.0)), "relu, {length}, {set:?}");
                map(set, ReluGradient, [&x, &gradient], &mut out);
                let expected = x.iter().zip(&gradient).map(|(&x, &g)| if x > 0.0 { g } else { 0.0 });
                assert!(out.iter().copied().eq(expected), "gradient of relu, {length}, {set:?}");
            }
        }
    }

    #[test]
    fn a_bias_is_added_to_each_row_before_gelu() {
        let mut numbers = Numbers::seeded(4);
        for (rows, width) in [(0, 3), (1, 1), (3, 7), (5, 64), (2, 129), (40, 1000), (3, 20_000)] {
            let (product, bias) = (numbers.weights(rows * width), numbers.weights(width));
            let expected: Vec<f32> = (0..rows * width).map(|i| product[i] + bias[i % width]).collect();
            for set in InstructionSet::available() {
                let (mut sum, mut out) = (product.clone(), vec![f32::NAN; rows * width]);
                bias_gelu_on(set, &mut sum, &bias, &mut out);
                assert!(sum == expected, "{rows} x {width}, {set:?}");
                assert!(
                    out.iter().zip(&sum).all(|(out, &x)| *out == Gelu.at([x])),
                    "{rows} x {width}, {set:?}"
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "`product` has 7 elements, 6 are needed")]
    fn a_product_of_broken_rows_is_refused() {
        bias_gelu(&mut [0.0; 7], &[0.0; 3], &mut [0.0; 7]);
    }
}
