//! The two laws of the noise, as a pure function of key and index.
//!
//! Weights are numbered in memory order and cut in blocks of 256: weight `j` and weight `j + 128`
//! of a block, `j` in 0..128, are a *pair*. A pair's number and the key are mixed to two words of 32
//! bits, and these are turned into the two weights' noise. So pairs side by side fill a vector
//! register of any width, and nothing moves between its lanes.

use crate::key::{KeyWords, NoiseKey};
use crate::math::{TWO_THIRDS, polynomial};

/// Weights of one block: the first half takes the first number of each pair, the second the second.
pub(crate) const BLOCK: usize = 256;
/// Pairs of one block.
pub(crate) const PAIRS: usize = BLOCK / 2;

/// How the noise of one weight is distributed, in steps of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseLaw {
    /// Normal with mean 0 and standard deviation 1/2, the default of DiffQ; cut at 5.8 deviations.
    Gaussian,
    /// Uniform on -1/2 to 1/2: the law of a rounding error.
    Uniform,
}

/// Two words for the pair with this low number.
///
/// Two rounds of multiply and fold, with the key mixed in between; the multipliers are from the
/// search for 32-bit mixers with least bias by C. Wellons and T. J. Brown (hash-prospector). The
/// second word is one more round of the first.
#[inline(always)]
fn words(pair: u32, key: KeyWords) -> (u32, u32) {
    let mut first = pair.wrapping_add(key.offset);
    first = (first ^ (first >> 16)).wrapping_mul(0x21f0_aaad);
    first = (first ^ (first >> 15) ^ key.middle).wrapping_mul(0xd35a_2d97);
    first ^= first >> 15;
    (first, (first ^ (first >> 16)).wrapping_mul(0x7feb_352d))
}

/// Two independent draws from a law, from two words.
///
/// In two parts, between which a tile's numbers wait in the nearest cache: a processor keeps only
/// so many instructions in flight, and with shorter chains of them it works on more pairs at once.
pub(crate) trait Law: Copy + Send + Sync {
    /// Whether there is a first part.
    const IS_PREPARED: bool;
    /// The first part, from the first word.
    fn prepare(self, first: u32) -> f32;
    /// The noise of both weights of a pair, from its words and what was prepared.
    fn finish(self, words: (u32, u32), prepared: f32) -> (f32, f32);
}

#[derive(Clone, Copy)]
pub(crate) struct Gaussian;
#[derive(Clone, Copy)]
pub(crate) struct Uniform;

/// Box and Muller 1958: a radius from the first word, an angle from the second.
impl Law for Gaussian {
    const IS_PREPARED: bool = true;

    /// The square of the radius: of N(0,1)/2 it is `-ln(u) / 2`, `u = (1..=2^24) / 2^24`, never 0.
    #[inline(always)]
    fn prepare(self, first: u32) -> f32 {
        minus_half_ln(((first & 0x00ff_ffff) + 1) as i32 as f32)
    }

    #[inline(always)]
    fn finish(self, (first, second): (u32, u32), prepared: f32) -> (f32, f32) {
        // The second word, read as signed, is an angle from -1 to 1 quarter turns: the right half
        // of the plane. A bit that the radius left over is its sign, and reaches the left half.
        let radius = f32::from_bits(sqrt(prepared).to_bits() | (first & 0x8000_0000));
        let angle = second as i32 as f32 * (1.0 / 2_147_483_648.0);
        let square = angle * angle;
        let sin = angle * polynomial(SIN_OVER_ANGLE, square);
        (radius * polynomial(COS, square), radius * sin)
    }
}

impl Law for Uniform {
    const IS_PREPARED: bool = false;

    #[inline(always)]
    fn prepare(self, _: u32) -> f32 {
        0.0
    }

    #[inline(always)]
    fn finish(self, (first, second): (u32, u32), _: f32) -> (f32, f32) {
        // A word read as signed is -2^31..2^31; the conversion rounds to 24 bits.
        let scale = 1.0 / 4_294_967_296.0;
        (first as i32 as f32 * scale, second as i32 as f32 * scale)
    }
}

// These polynomials are shorter than those of `crate::math`: together they move the size of a draw
// by less than 6e-5 of itself, which takes 10^8 draws to be seen in the variance. All are fitted for
// the smallest largest error (Remez).

/// `sin(pi/2 s) / s` in powers of `s^2`, `s` in -1 to 1: error below 1.2e-6.
const SIN_OVER_ANGLE: [f32; 4] = [1.570_795_2, -0.645_925_94, 0.079_500_65, -0.004_371_015];
/// `cos(pi/2 s)` in powers of `s^2`: error below 6.8e-6.
const COS: [f32; 4] = [0.999_993_3, -1.233_484_5, 0.252_580_23, -0.019_095_736];
/// `-ln(1 + f) / 2f` for `f` in -1/3 to 1/3: relative error below 5e-5.
const MINUS_HALF_LN_OVER_F: [f32; 5] = [-0.500_003, 0.249_637_1, -0.166_137_96, 0.137_682_66, -0.112_854_73];
/// `t^(-1/2)` for `t` in 0.933 to 1.072: relative error below 2.6e-5.
const INVERSE_ROOT: [f32; 3] = [1.875_139_1, -1.249_172_7, 0.374_035_48];

/// The square root of 0 or of a normal positive number, with a relative error below 3e-5.
///
/// A guess from halving the exponent, off by at most 3.5 %, and one step that makes up for it: the
/// machine's own root is exact, but holds up one of its pipes ten times as long as a product.
#[inline(always)]
fn sqrt(x: f32) -> f32 {
    let guess = f32::from_bits(0x5f37_8160 - (x.to_bits() >> 1));
    let near = x * guess;
    near * polynomial(INVERSE_ROOT, near * guess)
}

/// `-ln(whole / 2^24) / 2` for whole numbers 1 to 2^24: never negative, 0 at 2^24.
#[inline(always)]
fn minus_half_ln(whole: f32) -> f32 {
    // ln(2)/2 cut to 19 bits, so that its products with 0..=24 are exact and cancel exactly.
    const HALF_LN_2: f32 = 0.346_573_83;
    const EXPONENT_UNIT: f32 = 8_388_608.0;
    let distance = whole.to_bits().wrapping_sub(TWO_THIRDS) & 0xff80_0000;
    let f = f32::from_bits(whole.to_bits() - distance) - 1.0;
    // The exponent is left where it stands, 23 bits up: what it is multiplied with makes up for it.
    let from_exponent = (distance as i32 as f32).mul_add(-HALF_LN_2 / EXPONENT_UNIT, 24.0 * HALF_LN_2);
    f.mul_add(polynomial(MINUS_HALF_LN_OVER_F, f), from_exponent)
}

/// Number of the first pair of a block: its low word, and the key that the rest is folded into.
#[inline(always)]
pub(crate) fn first_pair(key: NoiseKey, block: u64) -> (u32, KeyWords) {
    let pair = block * PAIRS as u64;
    (pair as u32, key.words(pair >> 32))
}

/// Writes both words of each pair of a block.
#[inline(always)]
pub(crate) fn write_words(
    (first_pair, key): (u32, KeyWords),
    first: &mut [u32; PAIRS],
    second: &mut [u32; PAIRS],
) {
    for lane in 0..PAIRS {
        (first[lane], second[lane]) = words(first_pair.wrapping_add(lane as u32), key);
    }
}

/// The noise of the weight at `index`.
pub(crate) fn noise_at<L: Law>(law: L, key: NoiseKey, index: u64) -> f32 {
    let place = (index % BLOCK as u64) as usize;
    let (pair, key) = first_pair(key, index / BLOCK as u64);
    let words = words(pair + (place % PAIRS) as u32, key);
    let (first, second) = law.finish(words, law.prepare(words.0));
    if place < PAIRS { first } else { second }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomials_are_as_close_as_their_comments_say() {
        for place in 0..=100_000 {
            let whole = (2f32.powf(place as f32 * 24.0 / 100_000.0)).round();
            let exact = -(f64::from(whole) / 16_777_216.0).ln() / 2.0;
            let square = f64::from(minus_half_ln(whole));
            // The polynomial's error, and that of ln(2)/2 cut to 19 bits.
            assert!((square - exact).abs() <= 5.2e-5 * exact, "{whole}: {square}, not {exact}");
            let root = f64::from(sqrt(exact as f32));
            assert!((root - exact.sqrt()).abs() <= 3e-5 * exact.sqrt(), "root of {exact}: {root}");

            let s = place as f32 / 50_000.0 - 1.0;
            let angle = f64::from(s) * std::f64::consts::FRAC_PI_2;
            let sin = f64::from(s * polynomial(SIN_OVER_ANGLE, s * s));
            let cos = f64::from(polynomial(COS, s * s));
            assert!((sin - angle.sin()).abs() < 1.5e-6 && (cos - angle.cos()).abs() < 7e-6, "{s}");
        }
    }

    /// The only words whose logarithm could be that of 0, or of more than 1.
    #[test]
    fn the_first_word_at_its_ends_gives_finite_noise() {
        for first in [0, 0x00ff_fffe, 0x00ff_ffff, 0x0100_0000, u32::MAX] {
            for second in [0, 1, i32::MAX as u32, i32::MIN as u32, u32::MAX] {
                let (left, right) = Gaussian.finish((first, second), Gaussian.prepare(first));
                assert!(left.abs() < 3.0 && right.abs() < 3.0, "{first:x} {second:x}: {left} {right}");
            }
        }
    }
}
