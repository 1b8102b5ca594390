//! Packed codes: bits read straight from a file's bytes, to codes or to `f32` at the speed of memory.
//!
//! # The layout
//!
//! Codes `c[0], c[1], …` in stored order have widths `b[0], b[1], …` of 0 to 16 bits: one width for the
//! whole tensor, or one for each group of `g` consecutive codes (the last group may be shorter).
//!
//! - The codes are one string of bits, each code's lowest bit first and nothing between them: bit `k` of
//!   code `i` has the place `p = b[0] + … + b[i-1] + k`.
//! - Place `p` is bit `p mod 8` of byte `floor(p / 8)`, where bit 0 is the byte's lowest.
//! - There are `ceil((b[0] + … + b[n-1]) / 8)` bytes. What the last has left over is zero, and checked.
//!
//! For instance the codes 5, 3, 6 of 3 bits and then 9, 1 of 4 are the places `101 110 011 1001 1000`,
//! read from the left, and so the bytes `9D 33 00`: 17 bits of codes and seven of zeros.
//!
//! Widths are stored elsewhere. No byte is spent on places: a place is a sum of widths, and where a
//! reader wants to jump it sums once. Eight codes of one width are that many whole bytes, so with a group
//! size that 8 divides every group begins at a byte, and any piece of the tensor that begins at a
//! multiple of eight codes and its bytes can be read by themselves. Vector code takes eight codes at once:
//! they lie in 16 bytes, from which one shuffle brings each code's bytes to a lane of 32 bits, a shift by
//! the lane's own count and a mask leave the code.
//!
//! A code `c` of `b` bits means `minimum + c (maximum - minimum) / (2^b - 1)`, each operation in double
//! precision and the result rounded to `f32`; the last code means the maximum exactly, and at 0 bits
//! every weight is 0.0. Every instruction set and number of threads gives the same bits.
//!
//! ```
//! use std::num::NonZeroUsize;
//! use fewbit_kernels::packed::{Widths, check, dequantize, pack, unpack};
//!
//! let group_size = NonZeroUsize::new(3).unwrap();
//! let widths = Widths::PerGroup { widths: &[3, 4], group_size };
//! let mut bytes = Vec::new();
//! pack(&[5, 3, 6, 9, 1], widths, &mut bytes)?;
//! assert_eq!(bytes, [0x9d, 0x33, 0x00]);
//! check(&bytes, widths, 5)?;
//!
//! let mut codes = [0; 5];
//! unpack(&bytes, widths, &mut codes)?;
//! assert_eq!(codes, [5, 3, 6, 9, 1]);
//! let mut weights = [0.0; 5];
//! dequantize(&bytes, widths, 0.0, 105.0, &mut weights)?;
//! assert_eq!(weights, [75.0, 45.0, 90.0, 63.0, 7.0]);
//! # Ok::<(), fewbit_kernels::packed::PackedError>(())
//! ```

mod arbitrary;
mod error;
mod lanes;
mod levels;
mod pack;
mod place;
pub mod scalar;
mod stretch;
#[cfg(test)]
mod tests;
mod walk;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::num::NonZeroUsize;

use rayon::prelude::*;

#[doc(hidden)]
pub use arbitrary::unpack_arbitrary;
pub use error::PackedError;
pub use pack::pack;
pub use place::{RUN_SLACK, SortedGroups, WIDTHS, place_codes, place_weights, place_weights_on, run_bytes};

use crate::dispatch::InstructionSet;
use crate::tile::CHUNK;
use levels::{Codes, Levels};
use stretch::Stretch;
use walk::decode;

/// The most bits that a code can have.
pub const MAX_WIDTH: u8 = 16;

/// How many bits each code has, 0 to [`MAX_WIDTH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widths<'a> {
    /// The same for all.
    Uniform(u8),
    /// One width for each `group_size` consecutive codes; the last group may have fewer.
    PerGroup {
        /// A width per group, in order.
        widths: &'a [u8],
        /// Codes of a group.
        group_size: NonZeroUsize,
    },
}

/// A range for each channel, which is a run of consecutive weights.
///
/// Groups need not end where channels do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelRanges<'a> {
    /// The value of code 0 in each channel, finite.
    pub minima: &'a [f32],
    /// The value of the last code in each channel, finite.
    pub maxima: &'a [f32],
    /// Weights of a channel; the last may have fewer.
    pub channel_size: NonZeroUsize,
}

/// How many bytes so many codes take.
///
/// # Errors
/// [`PackedError::WidthCount`] or [`PackedError::WidthTooLarge`].
pub fn packed_len(widths: Widths<'_>, codes: usize) -> Result<u64, PackedError> {
    Ok(Stretch::new(&widths, codes)?.bits().div_ceil(8))
}

/// Nothing, where `bytes` are so many codes of these widths: the right number of bytes, zeros behind the
/// last code.
///
/// Every other bit belongs to a code, and every bit pattern is one: what passes can be unpacked.
///
/// # Errors
/// [`PackedError`] with the first fault.
pub fn check(bytes: &[u8], widths: Widths<'_>, codes: usize) -> Result<(), PackedError> {
    check_bits(bytes, Stretch::new(&widths, codes)?.bits())
}

fn check_bits(bytes: &[u8], bits: u64) -> Result<(), PackedError> {
    let expected = bits.div_ceil(8);
    if bytes.len() as u64 != expected {
        return Err(PackedError::ByteCount { expected, found: bytes.len() });
    }
    let used = (bits % 8) as u32;
    match bytes.last() {
        Some(&byte) if used != 0 && byte >> used != 0 => {
            Err(PackedError::PaddingNotZero { offset: bytes.len() - 1, byte, used })
        }
        _ => Ok(()),
    }
}

/// Writes the codes that were packed, on all cores.
///
/// # Errors
/// [`PackedError`], as [`check`]; `codes` then keeps what it held.
pub fn unpack(bytes: &[u8], widths: Widths<'_>, codes: &mut [u16]) -> Result<(), PackedError> {
    unpack_on(InstructionSet::detect(), bytes, widths, codes)
}

/// [`unpack`] with the instructions of `set`, for tests and benches.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_on(
    set: InstructionSet,
    bytes: &[u8],
    widths: Widths<'_>,
    codes: &mut [u16],
) -> Result<(), PackedError> {
    for_each_chunk(bytes, widths, codes, |chunk, codes| {
        decode(set, bytes, chunk.position, chunk.stretch, &Codes, codes);
    })
}

/// Writes the weights that packed codes mean in a range, on all cores.
///
/// `minimum` and `maximum` are the range of all groups. Where one is not finite, nothing is said of the
/// weights.
///
/// # Errors
/// [`PackedError`], as [`check`]; `weights` then keeps what it held.
///
/// Défossez et al. 2022, section 3.1.
pub fn dequantize(
    bytes: &[u8],
    widths: Widths<'_>,
    minimum: f32,
    maximum: f32,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    dequantize_on(InstructionSet::detect(), bytes, widths, minimum, maximum, weights)
}

/// [`dequantize`] with the instructions of `set`, for tests and benches.
///
/// # Errors
/// As [`dequantize`].
pub fn dequantize_on(
    set: InstructionSet,
    bytes: &[u8],
    widths: Widths<'_>,
    minimum: f32,
    maximum: f32,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    let levels = Levels::new(minimum, maximum);
    for_each_chunk(bytes, widths, weights, |chunk, weights| {
        levels.decode(set, bytes, chunk.position, chunk.stretch, weights);
    })
}

/// [`dequantize`] with a range per channel.
///
/// # Errors
/// [`PackedError`], as [`check`], and [`PackedError::ChannelCount`] when there is not one minimum and one
/// maximum per channel; `weights` then keeps what it held.
pub fn dequantize_channels(
    bytes: &[u8],
    widths: Widths<'_>,
    ranges: ChannelRanges<'_>,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    dequantize_channels_on(InstructionSet::detect(), bytes, widths, ranges, weights)
}

/// [`dequantize_channels`] with the instructions of `set`, for tests and benches.
///
/// # Errors
/// As [`dequantize_channels`].
pub fn dequantize_channels_on(
    set: InstructionSet,
    bytes: &[u8],
    widths: Widths<'_>,
    ranges: ChannelRanges<'_>,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    let ChannelRanges { minima, maxima, channel_size } = ranges;
    let channel_size = channel_size.get();
    let expected = weights.len().div_ceil(channel_size);
    for found in [minima.len(), maxima.len()] {
        if found != expected {
            return Err(PackedError::ChannelCount { expected, found });
        }
    }
    for_each_chunk(bytes, widths, weights, |chunk, mut weights| {
        let Chunk { first, mut position, mut stretch } = chunk;
        let mut weight = first;
        while !weights.is_empty() {
            let channel = weight / channel_size;
            let here = (channel_size - weight % channel_size).min(weights.len());
            let (now, later) = stretch.split(here);
            let (out, rest) = weights.split_at_mut(here);
            Levels::new(minima[channel], maxima[channel]).decode(set, bytes, position, now, out);
            weight += here;
            position += now.bits();
            (stretch, weights) = (later, rest);
        }
    })
}

/// A piece of work for one thread: the codes from number `first` on, the first of which begins at bit
/// `position`.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    first: usize,
    position: u64,
    stretch: Stretch<'a>,
}

/// Checks the bytes, then gives each chunk and its part of `out` to `work`.
fn for_each_chunk<T: Send>(
    bytes: &[u8],
    widths: Widths<'_>,
    out: &mut [T],
    work: impl Fn(Chunk<'_>, &mut [T]) + Send + Sync,
) -> Result<(), PackedError> {
    let whole = Stretch::new(&widths, out.len())?;
    if out.len() <= CHUNK {
        check_bits(bytes, whole.bits())?;
        work(Chunk { first: 0, position: 0, stretch: whole }, out);
        return Ok(());
    }
    let mut chunks = Vec::with_capacity(out.len().div_ceil(CHUNK));
    let (mut first, mut position, mut rest) = (0, 0, whole);
    while rest.codes() > 0 {
        let (stretch, later) = rest.split(CHUNK.min(rest.codes()));
        chunks.push(Chunk { first, position, stretch });
        first += stretch.codes();
        position += stretch.bits();
        rest = later;
    }
    check_bits(bytes, position)?;
    chunks.into_par_iter().zip(out.par_chunks_mut(CHUNK)).for_each(|(chunk, out)| work(chunk, out));
    Ok(())
}
