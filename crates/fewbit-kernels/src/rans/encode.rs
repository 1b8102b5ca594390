//! Symbols to bytes.

use std::fmt;

use rayon::prelude::*;

use super::table::FrequencyTable;
use super::{BLOCK, LENGTH_BYTES, LaneCount, MOST_LANES, START};

/// A symbol of frequency 0, which a table has no code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInTable {
    /// Place of the first such symbol.
    pub index: usize,
    /// The symbol.
    pub symbol: u8,
}

impl fmt::Display for NotInTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "symbol {} at place {} has frequency 0 in the table", self.symbol, self.index)
    }
}

impl std::error::Error for NotInTable {}

/// A table made ready to encode with.
#[derive(Clone, Debug)]
pub struct Encoder {
    shares: Box<[Share; 256]>,
    precision: u32,
    only_symbol: Option<u8>,
    rare: Option<Rare>,
}

/// What follows in each block, where rare symbols are encoded as their stand-in: which of them each is.
#[derive(Clone, Debug)]
struct Rare {
    is_rare: Box<[bool; 256]>,
    encoder: Box<Encoder>,
}

/// What it takes to push one symbol on a state, by a multiplication in place of a division.
///
/// With `m = ceil(2^64 / f)`, `(x m) div 2^64` is `x div f` for all `x` below `2^32`: `m f` is less than
/// `f` above `2^64`, so `x m / 2^64` is less than `x / 2^64` above `x / f`, and the next whole number is
/// at least `1 / f` away. With the quotient `q` the new state is `x + start + q (2^p - f)`.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    reciprocal: u64,
    start: u32,
    /// `2^p - f`; `2^p` for symbols that the table does not have.
    complement: u32,
    /// A state from here on must first drop its low 16 bits.
    limit: u32,
}

impl Share {
    fn new(frequency: u16, start: u16, precision: u32) -> Self {
        let (frequency, start) = (u32::from(frequency), u32::from(start));
        let complement = (1 << precision) - frequency;
        // Never 2^32: that is the whole table's.
        let limit = (u64::from(frequency) << (32 - precision)) as u32;
        match frequency {
            0 => Self { complement, ..Self::default() },
            // 2^64 does not fit. With one less the quotient is x - 1 in place of x.
            1 => Self { reciprocal: u64::MAX, start: start + complement, complement, limit },
            _ => Self { reciprocal: u64::MAX / u64::from(frequency) + 1, start, complement, limit },
        }
    }

    /// The state with the symbol on it.
    #[inline(always)]
    fn push(self, state: u32) -> u32 {
        let quotient = ((u128::from(state) * u128::from(self.reciprocal)) >> 64) as u32;
        state.wrapping_add(self.start).wrapping_add(quotient.wrapping_mul(self.complement))
    }
}

impl Encoder {
    /// Makes a table ready.
    pub fn new(table: &FrequencyTable) -> Self {
        let (starts, precision) = (table.starts(), table.precision());
        let mut shares = Box::new([Share::default(); 256]);
        for ((share, &frequency), start) in shares.iter_mut().zip(table.frequencies()).zip(starts) {
            *share = Share::new(frequency, start, precision);
        }
        let rare = table.rare().map(|(stand_in, rare)| {
            let is_rare = Box::new(rare.frequencies().map(|frequency| frequency > 0));
            for symbol in (0..256).filter(|&symbol| is_rare[symbol]) {
                shares[symbol] = shares[usize::from(stand_in)];
            }
            Rare { is_rare, encoder: Box::new(Self::new(rare)) }
        });
        Self { shares, precision, only_symbol: table.only_symbol(), rare }
    }

    /// Appends the stream of `symbols` to `out`; on all cores, when there are many.
    ///
    /// # Errors
    /// [`NotInTable`] with the first symbol of frequency 0; `out` is then as it was.
    pub fn encode(&self, symbols: &[u8], out: &mut Vec<u8>) -> Result<(), NotInTable> {
        if let Some(only) = self.only_symbol {
            return match symbols.iter().position(|&symbol| symbol != only) {
                Some(index) => Err(NotInTable { index, symbol: symbols[index] }),
                None => Ok(()),
            };
        }
        if symbols.len() <= BLOCK {
            return match self.push_block(LaneCount::of(symbols.len()), symbols, &mut vec![], out) {
                true => Ok(()),
                false => Err(self.not_in_table(symbols)),
            };
        }
        let encode = |words: &mut Vec<[u8; 2]>, block: &[u8]| {
            let mut bytes = vec![];
            self.push_block(LaneCount::of(block.len()), block, words, &mut bytes).then_some(bytes)
        };
        let blocks: Option<Vec<Vec<u8>>> = symbols.par_chunks(BLOCK).map_init(Vec::new, encode).collect();
        let blocks = blocks.ok_or_else(|| self.not_in_table(symbols))?;
        out.reserve(blocks.iter().map(|block| LENGTH_BYTES + block.len()).sum());
        for block in &blocks {
            // At most one word per symbol and the states: less than 2^20 bytes.
            out.extend_from_slice(&block.len().to_le_bytes()[..LENGTH_BYTES]);
        }
        for block in &blocks {
            out.extend_from_slice(block);
        }
        Ok(())
    }

    /// Appends the block of at most [`BLOCK`] symbols, with so many lanes; nothing, where the table has one
    /// level.
    ///
    /// # Errors
    /// [`NotInTable`] with the first symbol of frequency 0.
    ///
    /// # Panics
    /// When there are more than [`BLOCK`] symbols.
    pub fn encode_block(
        &self,
        lanes: LaneCount,
        symbols: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), NotInTable> {
        assert!(symbols.len() <= BLOCK, "{} symbols, a block has {BLOCK} at most", symbols.len());
        if self.only_symbol.is_some() {
            return self.encode(symbols, out);
        }
        match self.push_block(lanes, symbols, &mut vec![], out) {
            true => Ok(()),
            false => Err(self.not_in_table(symbols)),
        }
    }

    /// One symbol on a state that needs no renormalisation.
    #[cfg(test)]
    pub(super) fn push(&self, symbol: u8, state: u32) -> u32 {
        self.shares[usize::from(symbol)].push(state)
    }

    #[cold]
    fn not_in_table(&self, symbols: &[u8]) -> NotInTable {
        let absent = |&symbol: &u8| self.shares[usize::from(symbol)].limit == 0;
        let index = symbols.iter().position(absent).unwrap_or_default();
        NotInTable { index, symbol: symbols[index] }
    }

    /// Appends a block of at most [`BLOCK`] symbols. `false` where one is not in the table, and then nothing.
    ///
    /// `words` is room to work in, whatever it holds.
    fn push_block(
        &self,
        lanes: LaneCount,
        symbols: &[u8],
        words: &mut Vec<[u8; 2]>,
        out: &mut Vec<u8>,
    ) -> bool {
        let all_in_table = match lanes {
            _ if symbols.is_empty() => true,
            LaneCount::One => self.encode_lanes::<1>(symbols, words, out),
            LaneCount::Four => self.encode_lanes::<4>(symbols, words, out),
            LaneCount::ThirtyTwo => self.encode_lanes::<MOST_LANES>(symbols, words, out),
        };
        match &self.rare {
            Some(rare) if all_in_table => {
                let is_rare = |symbol: &u8| rare.is_rare[usize::from(*symbol)];
                let symbols: Vec<u8> = symbols.iter().copied().filter(is_rare).collect();
                rare.encoder.push_block(LaneCount::of(symbols.len()), &symbols, words, out)
            }
            _ => all_in_table,
        }
    }

    fn encode_lanes<const LANES: usize>(
        &self,
        symbols: &[u8],
        words: &mut Vec<[u8; 2]>,
        out: &mut Vec<u8>,
    ) -> bool {
        // A symbol drops one word at most, and one place more is written to and not kept.
        if words.len() <= symbols.len() {
            words.resize(symbols.len() + 1, [0; 2]);
        }
        let mut pushing = Pushing { states: [START; LANES], first: words.len(), words, complements: 0 };
        let (groups, tail) = symbols.as_chunks::<LANES>();
        for (lane, &symbol) in tail.iter().enumerate().rev() {
            pushing.push(lane, self.shares[usize::from(symbol)]);
        }
        for group in groups.iter().rev() {
            for lane in (0..LANES).rev() {
                pushing.push(lane, self.shares[usize::from(group[lane])]);
            }
        }
        let Pushing { states, first, words, complements } = pushing;
        // Only of a frequency of 0 is the complement 2^p.
        if complements >> self.precision != 0 {
            return false;
        }
        let words = words[first..].as_flattened();
        out.reserve(4 * LANES + words.len());
        out.extend(states.map(u32::to_le_bytes).as_flattened());
        out.extend_from_slice(words);
        true
    }
}

/// A block being encoded, from its end to its start.
struct Pushing<'a, const LANES: usize> {
    states: [u32; LANES],
    /// Filled from the end.
    words: &'a mut [[u8; 2]],
    /// The first word that was filled.
    first: usize,
    /// All bits of all complements.
    complements: u32,
}

impl<const LANES: usize> Pushing<'_, LANES> {
    /// Without a branch: whether a word is dropped is as good as random.
    #[inline(always)]
    fn push(&mut self, lane: usize, share: Share) {
        let state = self.states[lane];
        self.words[self.first - 1] = (state as u16).to_le_bytes();
        let drops = state >= share.limit;
        self.first -= usize::from(drops);
        self.states[lane] = share.push(if drops { state >> 16 } else { state });
        self.complements |= share.complement;
    }
}
