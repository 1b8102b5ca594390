//! Exponential, logarithm and sigmoid that the compiler can turn into vector code.
//!
//! Polynomials fitted for the smallest largest error (Remez) and rounded to `f32`; the tests state
//! and check the error of each. Nothing here branches, so that a loop over lanes vectorizes, and
//! nothing calls the system's mathematics library, so that all machines give equal bits.

use std::f32::consts::{LN_2, LOG2_E};

/// `c[0] + c[1] x + c[2] x^2 + …`
#[inline(always)]
pub(crate) fn polynomial<const N: usize>(coefficients: [f32; N], x: f32) -> f32 {
    let mut sum = coefficients[N - 1];
    for place in (0..N - 1).rev() {
        sum = sum.mul_add(x, coefficients[place]);
    }
    sum
}

/// `ln(1 + f) / f` for `f` in -1/3 to 1/3: relative error below 2e-7 before rounding.
const LN_OVER_F: [f32; 8] = [
    0.999_999_8,
    -0.499_999_37,
    0.333_379_9,
    -0.250_076_2,
    0.197_950_38,
    -0.164_200_84,
    0.171_111_8,
    -0.153_657_03,
];
/// `2^f` for `f` in -1/2 to 1/2: relative error below 2e-9 before rounding.
const EXP2: [f32; 7] =
    [1.0, LN_2, 0.240_226_46, 0.055_503_286, 0.009_618_489, 0.001_339_993_1, 0.000_153_458_12];

/// The bits of 2/3: below it a number counts to the next lower power of two.
pub(crate) const TWO_THIRDS: u32 = 0x3f2a_aaab;

/// `log2 x` for finite, normal, positive `x`; NaN gives NaN.
#[inline(always)]
pub(crate) fn log2(x: f32) -> f32 {
    // x = 2^exponent (1 + f), with f around 0, so that log2 1 is exactly 0 and the logarithm keeps
    // its relative accuracy beside it.
    let exponent = (x.to_bits().wrapping_sub(TWO_THIRDS) as i32) >> 23;
    let f = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23) as u32)) - 1.0;
    // What is cut from a NaN's bits is a number again: `0 x` brings the NaN back.
    (f * polynomial(LN_OVER_F, f)).mul_add(LOG2_E, exponent as f32) + 0.0 * x
}

/// `2^x` for `x` in -126 to 127; NaN gives NaN.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    // Adding 1.5 * 2^23 leaves the nearest whole number in the low bits of the sum.
    const ROUNDER: f32 = 12_582_912.0;
    let shifted = x + ROUNDER;
    let whole = shifted - ROUNDER;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    polynomial(EXP2, x - whole) * power
}

/// `e^x` for `x` in -87 to 88; NaN gives NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    exp2(x * LOG2_E)
}

/// The logistic function of a logit and its derivative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sigmoid {
    /// `t = 1 / (1 + e^-l)`.
    pub(crate) t: f32,
    /// `dt/dl = t (1 - t)`.
    pub(crate) slope: f32,
}

/// The sigmoid of any finite logit; NaN gives NaN.
///
/// Beyond ±80 the slope stays at its value there, about 1e-35, in place of going below what `f32`
/// holds.
#[inline(always)]
pub(crate) fn sigmoid(logit: f32) -> Sigmoid {
    let distance = logit.abs();
    // Written so that NaN passes: `f32::min` would hide it.
    let distance = if distance > 80.0 { 80.0 } else { distance };
    let small = exp(-distance);
    let upper = 1.0 / (1.0 + small);
    let lower = small * upper;
    Sigmoid { t: if logit < 0.0 { lower } else { upper }, slope: upper * lower }
}

/// `log2 x` of a whole number above 0, within 1e-14, in operations that round alike on every machine:
/// which table an encoder takes, and so which bytes it writes, depends on it.
pub(crate) fn log2_of_whole(x: u64) -> f64 {
    // x = 2^e m with m in 3/4 to 3/2; ln m = 2 artanh y with y = (m - 1) / (m + 1) in -1/7 to 1/5.
    let exponent = (x + x / 3).ilog2();
    let m = x as f64 / (1u64 << exponent) as f64;
    let y = (m - 1.0) / (m + 1.0);
    let square = y * y;
    let mut sum = 0.0;
    for odd in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / odd;
    }
    f64::from(exponent) + 2.0 * y * sum * std::f64::consts::LOG2_E
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_of_whole_numbers_are_those_of_the_library() {
        for x in (1u64..100_000).chain((17..40).map(|power| (1 << power) + 12_345)) {
            // Both are rounded numbers of at most 40.
            assert!((log2_of_whole(x) - (x as f64).log2()).abs() < 2e-14, "{x}");
        }
    }

    /// Largest relative error over `count` points of `from..=to`, spaced evenly.
    fn worst(from: f32, to: f32, ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let count = 200_001;
        (0..count)
            .map(|place| from + (to - from) * (place as f32 / (count - 1) as f32))
            .map(|x| (f64::from(ours(x)) - exact(f64::from(x))).abs() / exact(f64::from(x)).abs().max(1e-30))
            .fold(0.0, f64::max)
    }

    /// One unit in the last place is 6e-8 to 1.2e-7 of a value; each bound is a few of them.
    #[test]
    fn polynomials_are_within_a_few_units_in_the_last_place() {
        assert!(worst(1.0, 1e6, |x| log2(x + 1.0), |x| (x + 1.0).log2()) < 3e-7);
        assert!(worst(-20.0, 20.0, exp2, f64::exp2) < 2e-7);
        // The argument's own rounding, |x| 2^-24, comes on top.
        assert!(worst(-1.0, 1.0, exp, f64::exp) < 3e-7);
        assert!(worst(-80.0, 80.0, exp, f64::exp) < 1e-5);
    }

    #[test]
    fn powers_of_two_are_exact() {
        for power in -126..=127 {
            assert_eq!(exp2(power as f32), 2f32.powi(power));
        }
        assert_eq!(log2(1.0), 0.0);
        assert_eq!(log2(1024.0), 10.0);
    }

    #[test]
    fn the_sigmoid_is_finite_everywhere_and_keeps_nan() {
        for logit in [0.0, -0.0, 1.0, -1.0, 79.0, -81.0, 1e30, -1e30, f32::MAX, f32::MIN] {
            let Sigmoid { t, slope } = sigmoid(logit);
            assert!((0.0..=1.0).contains(&t) && (0.0..=0.25).contains(&slope), "sigmoid of {logit}");
        }
        assert!(sigmoid(f32::NAN).t.is_nan() && sigmoid(f32::NAN).slope.is_nan());
        assert!(worst(-10.0, 10.0, |x| sigmoid(x).t, |x| 1.0 / (1.0 + (-x).exp())) < 2e-6);
    }
}
