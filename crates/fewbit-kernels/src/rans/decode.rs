//! Bytes to symbols.

use std::fmt;

use rayon::prelude::*;

use super::lanes::Block;
use super::slots::{self, PACKED_SLOTS, Packed, SPLIT_SLOTS, Split};
use super::table::FrequencyTable;
use super::{BLOCK, LENGTH_BYTES, LaneCount, header_bytes};
use crate::dispatch::InstructionSet;

/// Bytes that no encoder made of that many symbols with this table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the last symbol.
    Truncated {
        /// The block that ends too early.
        block: usize,
        /// Bytes it has; where it ends among its rare symbols, those that are left for them.
        found: usize,
    },
    /// A block is longer than what its symbols need.
    LeftOver {
        /// The block.
        block: usize,
        /// Bytes it has.
        found: usize,
        /// Bytes that were needed.
        needed: usize,
    },
    /// A lane does not end in the state that encoders start from, or begins below it.
    WrongState {
        /// The block.
        block: usize,
        /// The lane.
        lane: usize,
        /// The state.
        found: u32,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { block, found } => {
                write!(formatter, "block {block} of coded symbols goes on after its {found} bytes")
            }
            Self::LeftOver { block, found, needed } => {
                write!(formatter, "block {block} of coded symbols has {found} bytes, {needed} are needed")
            }
            Self::WrongState { block, lane, found } => {
                write!(formatter, "lane {lane} of block {block} of coded symbols has the state {found:#x}")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// A table made ready to decode with.
#[derive(Clone, Debug)]
pub struct Decoder {
    slots: Lookup,
    precision: u32,
    rare: Option<Rare>,
}

#[derive(Clone, Debug)]
enum Lookup {
    Only(u8),
    Packed(Box<[u32; PACKED_SLOTS]>),
    Split { symbols: Box<[u8; SPLIT_SLOTS + 3]>, shares: Box<[u32; 256]> },
}

impl Decoder {
    /// Makes a table ready.
    pub fn new(table: &FrequencyTable) -> Self {
        let precision = table.precision();
        let slots = match table.only_symbol() {
            Some(symbol) => Lookup::Only(symbol),
            None if 1 << precision <= PACKED_SLOTS => Lookup::Packed(slots::packed(table)),
            None => {
                let (symbols, shares) = slots::split(table);
                Lookup::Split { symbols, shares }
            }
        };
        let rare = table.rare().map(|(stand_in, rare)| Rare { stand_in, decoder: Box::new(Self::new(rare)) });
        Self { slots, precision, rare }
    }

    /// Fills `out` with the symbols of the stream that `bytes` begin with, and gives the length of the
    /// stream; on all cores, when there are many.
    ///
    /// Whoever knows that nothing follows the stream should compare its length.
    ///
    /// # Errors
    /// [`DecodeError`] of the first block that has a fault; what `out` then holds is not specified.
    pub fn decode(&self, bytes: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
        self.decode_on(InstructionSet::detect(), bytes, out)
    }

    /// As [`decode`](Self::decode), with the instructions of a set; for tests and benches.
    ///
    /// # Errors
    /// [`DecodeError`], as [`decode`](Self::decode).
    pub fn decode_on(&self, set: InstructionSet, bytes: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
        if out.len() <= BLOCK || matches!(self.slots, Lookup::Only(_)) {
            return self.decode_block_on(set, 0, LaneCount::of(out.len()), bytes, out);
        }
        let blocks = self.blocks(bytes, out.len())?;
        let faults: Vec<Option<DecodeError>> = out
            .par_chunks_mut(BLOCK)
            .zip(&blocks)
            .enumerate()
            .map(|(block, (out, bytes))| {
                self.decode_whole_block_on(set, block, LaneCount::of(out.len()), bytes, out).err()
            })
            .collect();
        match faults.into_iter().flatten().next() {
            Some(fault) => Err(fault),
            None => Ok(header_bytes(out.len()) + blocks.iter().map(|block| block.len()).sum::<usize>()),
        }
    }

    /// The bytes of each block of a stream of `symbols` symbols that `bytes` begin with, for
    /// [`decode_block`](Self::decode_block).
    ///
    /// All but the last hold [`BLOCK`] symbols. The one block of a short stream is all of `bytes`, as
    /// nothing says where it ends.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], where the lengths go beyond the bytes.
    pub fn blocks<'a>(&self, bytes: &'a [u8], symbols: usize) -> Result<Vec<&'a [u8]>, DecodeError> {
        if matches!(self.slots, Lookup::Only(_)) {
            return Ok(vec![&[]; symbols.div_ceil(BLOCK)]);
        }
        if symbols <= BLOCK {
            return Ok(vec![bytes]);
        }
        let truncated = |block| DecodeError::Truncated { block, found: bytes.len() };
        let (lengths, mut rest) =
            bytes.split_at_checked(header_bytes(symbols)).ok_or_else(|| truncated(0))?;
        let lengths = lengths.as_chunks::<LENGTH_BYTES>().0.iter().enumerate();
        lengths
            .map(|(block, &[low, middle, high])| {
                let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
                let (bytes, after) = rest.split_at_checked(length).ok_or_else(|| truncated(block))?;
                rest = after;
                Ok(bytes)
            })
            .collect()
    }

    /// Fills `out` with the symbols of one block, `bytes`, on the calling thread.
    ///
    /// # Errors
    /// [`DecodeError`], where the block is said to be number 0; what `out` then holds is not specified.
    ///
    /// # Panics
    /// When `out` has more than [`BLOCK`] symbols.
    pub fn decode_block(&self, bytes: &[u8], out: &mut [u8]) -> Result<(), DecodeError> {
        self.decode_block_of(LaneCount::of(out.len()), bytes, out)
    }

    /// As [`decode_block`](Self::decode_block), of a block that was written with so many lanes.
    ///
    /// # Errors
    /// As [`decode_block`](Self::decode_block).
    ///
    /// # Panics
    /// As [`decode_block`](Self::decode_block).
    pub fn decode_block_of(&self, lanes: LaneCount, bytes: &[u8], out: &mut [u8]) -> Result<(), DecodeError> {
        assert!(out.len() <= BLOCK, "out has {} symbols, a block has {BLOCK} at most", out.len());
        self.decode_whole_block_on(InstructionSet::detect(), 0, lanes, bytes, out)
    }

    fn decode_whole_block_on(
        &self,
        set: InstructionSet,
        block: usize,
        lanes: LaneCount,
        bytes: &[u8],
        out: &mut [u8],
    ) -> Result<(), DecodeError> {
        match self.decode_block_on(set, block, lanes, bytes, out)? {
            needed if needed == bytes.len() => Ok(()),
            needed => Err(DecodeError::LeftOver { block, found: bytes.len(), needed }),
        }
    }

    /// The length of the block that `bytes` begin with.
    fn decode_block_on(
        &self,
        set: InstructionSet,
        block: usize,
        lanes: LaneCount,
        bytes: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DecodeError> {
        let precision = self.precision;
        let whole = Block { set, block, lanes, bytes };
        let used = match &self.slots {
            Lookup::Only(symbol) => {
                out.fill(*symbol);
                0
            }
            Lookup::Packed(slots) => whole.fill(Packed { slots, precision }, out)?,
            Lookup::Split { symbols, shares } => whole.fill(Split { symbols, shares, precision }, out)?,
        };
        match &self.rare {
            Some(rare) => Ok(used + rare.replace(set, block, &bytes[used..], out)?),
            None => Ok(used),
        }
    }
}

/// The table of the rare symbols, which all have one symbol's code in the first.
#[derive(Clone, Debug)]
struct Rare {
    stand_in: u8,
    decoder: Box<Decoder>,
}

impl Rare {
    /// Puts the rare symbols that `bytes` begin with where their stand-in is, and gives how many bytes
    /// they take.
    fn replace(
        &self,
        set: InstructionSet,
        block: usize,
        bytes: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DecodeError> {
        /// At most 255, so that a byte counts them.
        const CHUNK: usize = 64;
        let stand_in = self.stand_in;
        let count_in = |chunk: &[u8]| chunk.iter().map(|&symbol| u8::from(symbol == stand_in)).sum::<u8>();
        let count = out.chunks(CHUNK).map(|chunk| usize::from(count_in(chunk))).sum();
        let mut rare = vec![0; count];
        let used = self.decoder.decode_block_on(set, block, LaneCount::of(count), bytes, &mut rare)?;
        let mut rare = rare.into_iter();
        for chunk in out.chunks_mut(CHUNK).filter(|chunk| count_in(chunk) > 0) {
            for symbol in chunk.iter_mut().filter(|symbol| **symbol == stand_in) {
                *symbol = rare.next().unwrap_or(stand_in);
            }
        }
        Ok(used)
    }
}
