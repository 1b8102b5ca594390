//! The two laws of the noise, as a pure function of key and index.
//!
//! Weights are numbered in memory order and cut in blocks of 32: weight `j` and weight `j + 16` of
//! a block, `j` in 0..16, are a *pair*. A pair's number and the key are mixed to two words of 32
//! bits, and these are turned into the two weights' noise. Sixteen pairs side by side fill one
//! vector register, whatever its width, without moving numbers between lanes.

use crate::key::{KeyWords, NoiseKey};
use crate::math::{TWO_THIRDS, polynomial};

/// Weights of one block: the first half takes the first word of each pair, the second the second.
pub(crate) const BLOCK: usize = 32;
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
pub(crate) trait Law: Copy + Send + Sync {
    fn draw(self, words: (u32, u32)) -> (f32, f32);

    /// The noise of both weights of a pair.
    #[inline(always)]
    fn pair(self, pair: u32, key: KeyWords) -> (f32, f32) {
        self.draw(words(pair, key))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Gaussian;
#[derive(Clone, Copy)]
pub(crate) struct Uniform;

impl Law for Gaussian {
    /// Box and Muller 1958: radius from the first word, angle from the second.
    #[inline(always)]
    fn draw(self, (first, second): (u32, u32)) -> (f32, f32) {
        // u = (1..=2^24) / 2^24, never 0; the radius of N(0,1)/2 is sqrt(-ln(u) / 2).
        let radius = minus_half_ln(((first & 0x00ff_ffff) + 1) as i32 as f32).sqrt();
        // The second word, read as signed, is an angle from -1 to 1 quarter turns: the right half
        // of the circle. A bit that the radius left over sends the cosine to the left half.
        let angle = second as i32 as f32 * (1.0 / 2_147_483_648.0);
        let square = angle * angle;
        let cos = f32::from_bits(polynomial(COS, square).to_bits() ^ (first & 0x8000_0000));
        (radius * cos, radius * angle * polynomial(SIN_OVER_ANGLE, square))
    }
}

/// `sin(pi/2 s) / s` in powers of `s^2`, `s` in -1 to 1: error below 1.2e-6.
///
/// These three are shorter than those of [`crate::math`]: a relative error of 1e-5 in the noise
/// takes 10^9 draws to be seen.
const SIN_OVER_ANGLE: [f32; 4] = [1.570_795_2, -0.645_925_94, 0.079_500_65, -0.004_371_015];
/// `cos(pi/2 s)` in powers of `s^2`: error below 6.8e-6.
const COS: [f32; 4] = [0.999_993_3, -1.233_484_5, 0.252_580_23, -0.019_095_736];
/// `-ln(1 + f) / 2f` for `f` in -1/3 to 1/3: relative error below 3.7e-6.
const MINUS_HALF_LN_OVER_F: [f32; 6] =
    [-0.500_003_6, 0.250_010_1, -0.166_096, 0.124_248_46, -0.113_232_74, 0.096_749_14];

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

impl Law for Uniform {
    #[inline(always)]
    fn draw(self, (first, second): (u32, u32)) -> (f32, f32) {
        // A word read as signed is -2^31..2^31; the conversion rounds to 24 bits.
        let scale = 1.0 / 4_294_967_296.0;
        (first as i32 as f32 * scale, second as i32 as f32 * scale)
    }
}

/// Writes the noise of whole blocks, from block number `first_block` on.
///
/// `out` holds a whole number of blocks.
#[inline(always)]
pub(crate) fn fill_blocks<L: Law>(law: L, key: NoiseKey, first_block: u64, mut out: &mut [f32]) {
    // Blocks whose pairs differ in the low 32 bits of their numbers only.
    const BLOCKS_PER_KEY: u64 = (1 << 32) / PAIRS as u64;
    let mut block = first_block;
    while !out.is_empty() {
        let left = (BLOCKS_PER_KEY - block % BLOCKS_PER_KEY) as usize;
        let (now, later) = out.split_at_mut(out.len().min(left.saturating_mul(BLOCK)));
        let first_pair = block * PAIRS as u64;
        fill_under_one_key(law, key.words(first_pair >> 32), first_pair as u32, now);
        block += left as u64;
        out = later;
    }
}

#[inline(always)]
fn fill_under_one_key<L: Law>(law: L, key: KeyWords, mut first_pair: u32, out: &mut [f32]) {
    for block in out.as_chunks_mut::<BLOCK>().0 {
        let (first, second) = block.split_at_mut(PAIRS);
        for lane in 0..PAIRS {
            (first[lane], second[lane]) = law.pair(first_pair.wrapping_add(lane as u32), key);
        }
        first_pair = first_pair.wrapping_add(PAIRS as u32);
    }
}
