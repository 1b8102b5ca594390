//! Entropy coding of bytes: interleaved rANS with static tables.
//!
//! Asymmetric numeral systems (Duda 2013) keep all symbols in one number, the state. A symbol of
//! frequency `f` out of `2^p`, whose slots begin at `c`, is pushed on it by
//!
//! ```text
//! x <- (x div f) 2^p + c + x mod f
//! ```
//!
//! and comes off again by looking up which symbol has the slot `s = x mod 2^p`:
//!
//! ```text
//! x <- f (x div 2^p) + s - c
//! ```
//!
//! States are of 32 bits and stay at [`START`] or above: the encoder first drops 16 low bits when the
//! state would grow out of its 32, the decoder takes 16 bits back when it fell below `START`. What the
//! encoder pushes last comes off first, so it runs from the last symbol to the first.
//!
//! Several states, the lanes, take turns, so that a processor can work on all at once (Giesen 2014).
//! Symbol `i` belongs to lane `i mod lanes`, and all lanes share one row of words in the order in which
//! the decoder needs them. What that order is depends on the number of symbols alone, so every
//! instruction set reads the same bytes.
//!
//! # The bytes of a stream
//!
//! Neither the table nor the number of symbols is part of it. All numbers are little-endian.
//!
//! - No symbol at all, or a table of one level: no bytes.
//! - Up to [`BLOCK`] symbols: one block.
//! - More: for each block of `BLOCK` symbols (the last may be shorter) its length in bytes, 3 bytes;
//!   then the blocks.
//!
//! A block begins with the state of each lane, 4 bytes each; there are [`lanes_of`] of them. Words of 2
//! bytes follow. When all symbols are read, all words are used up and every state is `START`.
//!
//! Where the table has rare symbols, these were replaced by their stand-in. A block of their own follows,
//! by their own table: as many symbols as there are stand-ins, each saying which one it stands for. It
//! takes no bytes where there are none.
//!
//! ```
//! use fewbit_kernels::rans::{Decoder, Encoder, FrequencyTable, histogram};
//!
//! let codes: Vec<u8> = (0..10_000u32).map(|i| (i * i % 17 % 5) as u8).collect();
//! let table = FrequencyTable::fit(&histogram(&codes));
//! let mut bytes = vec![];
//! Encoder::new(&table).encode(&codes, &mut bytes)?;
//! assert!(bytes.len() < codes.len() / 3);
//!
//! let mut decoded = vec![0; codes.len()];
//! assert_eq!(Decoder::new(&table).decode(&bytes, &mut decoded), Ok(bytes.len()));
//! assert_eq!(decoded, codes);
//! # Ok::<(), fewbit_kernels::rans::NotInTable>(())
//! ```

mod arbitrary;
mod bit_string;
mod decode;
mod encode;
mod lanes;
mod palette;
pub mod scalar;
mod shape;
mod slots;
mod table;
mod table_bytes;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use arbitrary::decode_arbitrary;
pub use decode::{DecodeError, Decoder};
pub use encode::{Encoder, NotInTable};
pub use palette::{Palette, PaletteError};
pub use table::{FrequencyTable, entropy_bits, histogram};
pub use table_bytes::TableError;

/// Most symbols that share their lanes: each block of so many can be decoded without the others.
pub const BLOCK: usize = 1 << 18;

/// The state of every lane before the first symbol is encoded, and the smallest that a state can be.
pub const START: u32 = 1 << 16;

/// Most lanes of a block.
const MOST_LANES: usize = 32;

/// Bytes of a block's length.
const LENGTH_BYTES: usize = 3;

/// How many states take turns in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneCount {
    /// One after the other.
    One,
    /// As many as a processor works on side by side without vector instructions.
    Four,
    /// What vector instructions want.
    ThirtyTwo,
}

impl LaneCount {
    /// For so many symbols: 32, and fewer where 4 bytes each would weigh much.
    pub const fn of(symbols: usize) -> Self {
        match symbols {
            0..1024 => Self::One,
            1024..32_768 => Self::Four,
            _ => Self::ThirtyTwo,
        }
    }

    /// The number.
    pub const fn get(self) -> usize {
        match self {
            Self::One => 1,
            Self::Four => 4,
            Self::ThirtyTwo => MOST_LANES,
        }
    }
}

/// Number of lanes of a block of so many symbols, where nobody asks for another: [`LaneCount::of`].
pub const fn lanes_of(symbols: usize) -> usize {
    LaneCount::of(symbols).get()
}

/// How a decode of `symbols` symbols by `table` begins: the blocks of a long stream have a length each.
const fn header_bytes(symbols: usize) -> usize {
    if symbols <= BLOCK { 0 } else { symbols.div_ceil(BLOCK) * LENGTH_BYTES }
}
