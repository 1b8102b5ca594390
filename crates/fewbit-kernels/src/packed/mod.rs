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
//! What weight a code means, [`Levels`] tell: points between a minimum and a maximum or about zero, computed
//! in double precision and rounded to `f32`; at 0 bits every weight is 0.0. Every instruction set and
//! number of threads gives the same bits.
//!
//! ```
//! use std::num::NonZeroUsize;
//! use fewbit_kernels::packed::{Levels, Widths, check, dequantize, pack, unpack};
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
//! dequantize(&bytes, widths, Levels::MinMax { minimum: 0.0, maximum: 105.0 }, &mut weights)?;
//! assert_eq!(weights, [75.0, 45.0, 90.0, 63.0, 7.0]);
//! dequantize(&bytes, widths, Levels::Stepped { step: 0.5 }, &mut weights)?;
//! assert_eq!(weights, [0.5, -0.5, 1.0, 0.5, -3.5]);
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
pub use levels::Levels;
pub use pack::pack;
pub use place::{
    RUN_SLACK, SortedGroups, WIDTHS, place_channels, place_codes, place_weights, place_weights_on, run_bytes,
};

use crate::dispatch::InstructionSet;
use crate::tile::CHUNK;
use levels::{ChannelWeights, Codes, Grids, Weights};
use stretch::Stretch;
use walk::{Part, Sink, decode};

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
    decode_all(set, bytes, widths, 0, &Codes, codes)
}

/// Writes the weights that packed codes mean, all by the same levels, on all cores.
///
/// # Errors
/// [`PackedError`], as [`check`]; `weights` then keeps what it held.
pub fn dequantize(
    bytes: &[u8],
    widths: Widths<'_>,
    levels: Levels,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    dequantize_on(InstructionSet::detect(), bytes, widths, levels, weights)
}

/// [`dequantize`] with the instructions of `set`, for tests and benches.
///
/// # Errors
/// As [`dequantize`].
pub fn dequantize_on(
    set: InstructionSet,
    bytes: &[u8],
    widths: Widths<'_>,
    levels: Levels,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    let grids = Grids::new(levels);
    if grids.are_formulas() {
        decode_all(set, bytes, widths, 0, &Weights::<false>(&grids), weights)
    } else {
        decode_all(set, bytes, widths, 0, &Weights::<true>(&grids), weights)
    }
}

/// [`dequantize`] where each channel, a run of `channel_size` consecutive weights, has levels of its own:
/// those of channel `k`, counted from 0, are `levels(k)`. The first of `weights` is the tensor's weight
/// number `first`.
///
/// Groups need not end where channels do.
///
/// # Errors
/// [`PackedError`], as [`check`]; `weights` then keeps what it held.
pub fn dequantize_channels(
    bytes: &[u8],
    widths: Widths<'_>,
    first: usize,
    channel_size: NonZeroUsize,
    levels: impl Fn(usize) -> Levels + Sync,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    dequantize_channels_on(InstructionSet::detect(), bytes, widths, first, channel_size, levels, weights)
}

/// [`dequantize_channels`] with the instructions of `set`, for tests and benches.
///
/// # Errors
/// As [`dequantize_channels`].
pub fn dequantize_channels_on(
    set: InstructionSet,
    bytes: &[u8],
    widths: Widths<'_>,
    first: usize,
    channel_size: NonZeroUsize,
    levels: impl Fn(usize) -> Levels + Sync,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    decode_all(set, bytes, widths, first, &ChannelWeights { levels, channel_size }, weights)
}

/// Checks the bytes, then writes what becomes of the codes, the first of which has number `first`, on all
/// cores.
fn decode_all<S: Sink>(
    set: InstructionSet,
    bytes: &[u8],
    widths: Widths<'_>,
    mut first: usize,
    sink: &S,
    out: &mut [S::Element],
) -> Result<(), PackedError> {
    let whole = Stretch::new(&widths, out.len())?;
    if out.len() <= CHUNK {
        check_bits(bytes, whole.bits())?;
        decode(set, bytes, Part { first, position: 0, stretch: whole }, sink, out);
        return Ok(());
    }
    let mut parts = Vec::with_capacity(out.len().div_ceil(CHUNK));
    let (mut position, mut rest) = (0, whole);
    while rest.codes() > 0 {
        let (stretch, later) = rest.split(CHUNK.min(rest.codes()));
        parts.push(Part { first, position, stretch });
        first += stretch.codes();
        position += stretch.bits();
        rest = later;
    }
    check_bits(bytes, position)?;
    let parts = parts.into_par_iter().zip(out.par_chunks_mut(CHUNK));
    parts.for_each(|(part, out)| decode(set, bytes, part, sink, out));
    Ok(())
}
