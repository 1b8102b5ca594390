//! How likely each symbol is, in whole parts of a power of two.

use super::shape::Shape;
use super::{BLOCK, lanes_of};
use crate::math::log2_of_whole;

/// Frequencies of the 256 symbols, summing to `2^precision`.
///
/// Where only one symbol can be encoded, it takes no bits.
///
/// Many symbols that hardly ever occur would each need a slot all the same. So they may share the slots
/// of one, their stand-in, and which of them is meant is said by a second table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrequencyTable {
    pub(super) precision: u32,
    pub(super) frequencies: [u16; 256],
    pub(super) form: Form,
    /// Of at least two symbols. The first of them is the stand-in, and the only one of them that has a
    /// frequency here. It has no rare symbols itself.
    pub(super) rare: Option<Box<FrequencyTable>>,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Every frequency, or the only symbol there is.
    Listed,
    /// The few numbers that all frequencies follow from.
    Shaped(Shape),
}

/// How often each symbol occurs.
pub fn histogram(symbols: &[u8]) -> [u64; 256] {
    // Four counts of each, so that runs of one symbol need not wait for the addition before.
    let mut counts = [[0u64; 256]; 4];
    let (fours, rest) = symbols.as_chunks::<4>();
    for four in fours {
        for (count, &symbol) in counts.iter_mut().zip(four) {
            count[usize::from(symbol)] += 1;
        }
    }
    for &symbol in rest {
        counts[0][usize::from(symbol)] += 1;
    }
    std::array::from_fn(|symbol| counts.iter().map(|count| count[symbol]).sum())
}

/// Bits that symbols occurring so often need on average, whatever codes each by itself: `Σ c log2(n / c)`.
pub fn entropy_bits(counts: &[u64; 256]) -> f64 {
    let total: u64 = counts.iter().sum();
    let bits =
        |&count: &u64| if count == 0 { 0.0 } else { count as f64 * (total as f64 / count as f64).log2() };
    counts.iter().map(bits).sum()
}

impl FrequencyTable {
    /// The least and the most that `precision` can be.
    pub const PRECISIONS: std::ops::RangeInclusive<u32> = 8..=14;

    /// The table with which symbols that occur so often take the fewest bytes, its own counted.
    ///
    /// Each precision is tried, a second table for rare symbols, and, where symbols are few, frequencies that
    /// follow from a few numbers. A precision above 12 or rare symbols, which decode slower, are taken where
    /// they save one byte in a thousand. No symbols at all give the table of symbol 0 alone.
    pub fn fit(counts: &[u64; 256]) -> Self {
        let levels = counts.iter().filter(|&&count| count > 0).count();
        let total: u64 = counts.iter().sum();
        if levels < 2 {
            return Self::with_precision(counts, 12);
        }
        let bytes = |table: &Self| {
            let slower = if table.precision > 12 || table.rare.is_some() { 1.001 } else { 1.0 };
            (table.cost_bits(counts) / 8.0 + table.byte_len() as f64) * slower + table.rare_lane_bytes(counts)
        };
        let mut candidates: Vec<Self> =
            Self::PRECISIONS.map(|precision| Self::with_precision(counts, precision)).collect();
        // Symbols that would get less than one slot, or less than two.
        for precision in [12, 14] {
            candidates.extend([1, 2].into_iter().filter_map(|slots| {
                Self::with_rare(counts, precision, ((u128::from(total) * slots) >> precision) as u64)
            }));
        }
        // With more symbols than this, listing every level weighs less than a bad fit.
        if total < 1 << 17 {
            candidates.extend(Shape::fit(counts).map(Self::shaped));
        }
        // One of them to begin with: that of precision 12.
        let mut best = candidates.swap_remove(4);
        let mut least = bytes(&best);
        for candidate in candidates {
            let found = bytes(&candidate);
            if found < least {
                (best, least) = (candidate, found);
            }
        }
        best
    }

    /// The table of a precision with which symbols that occur so often take the fewest bits.
    ///
    /// Every symbol that occurs has a frequency of at least 1. No symbols at all give the table of
    /// symbol 0 alone.
    ///
    /// # Panics
    /// When `precision` is not in [`Self::PRECISIONS`].
    pub fn with_precision(counts: &[u64; 256], precision: u32) -> Self {
        assert!(Self::PRECISIONS.contains(&precision), "precision {precision}: 8 to 14 is needed");
        let mut occurring = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let only = match (occurring.next(), occurring.next()) {
            (None, _) => Some(0),
            (Some((symbol, _)), None) => Some(symbol),
            _ => None,
        };
        let frequencies = match only {
            Some(symbol) => {
                let mut frequencies = [0; 256];
                frequencies[symbol] = 1 << precision;
                frequencies
            }
            None => Apportionment::new(counts, 1 << precision).frequencies(),
        };
        Self { precision, frequencies, form: Form::Listed, rare: None }
    }

    /// The table of these frequencies; `None` unless they sum to `2^precision`, or where `precision` is not in
    /// [`Self::PRECISIONS`].
    ///
    /// For frequencies that follow from something that a reader knows.
    pub fn from_frequencies(precision: u32, frequencies: [u16; 256]) -> Option<Self> {
        let sum: u32 = frequencies.iter().map(|&frequency| u32::from(frequency)).sum();
        let sound = Self::PRECISIONS.contains(&precision) && sum == 1 << precision;
        sound.then_some(Self { precision, frequencies, form: Form::Listed, rare: None })
    }

    /// The table of a precision that has those symbols for rare that occur less often than `limit`, and a
    /// second one for these; `None` where they are fewer than two, or all.
    fn with_rare(counts: &[u64; 256], precision: u32, limit: u64) -> Option<Self> {
        let is_rare = |&count: &u64| 0 < count && count < limit;
        let stand_in = counts.iter().position(is_rare)?;
        let rare = counts.map(|count| if is_rare(&count) { count } else { 0 });
        let mut frequent = counts.map(|count| if is_rare(&count) { 0 } else { count });
        let levels = |counts: &[u64; 256]| counts.iter().filter(|&&count| count > 0).count();
        if levels(&rare) < 2 || levels(&frequent) < 1 {
            return None;
        }
        frequent[stand_in] = rare.iter().sum();
        let bytes = |table: &Self| table.cost_bits(&rare) / 8.0 + table.byte_len() as f64;
        let rare = (8..=12)
            .map(|precision| Self::with_precision(&rare, precision))
            .min_by(|a, b| bytes(a).total_cmp(&bytes(b)))?;
        Some(Self { rare: Some(Box::new(rare)), ..Self::with_precision(&frequent, precision) })
    }

    /// What the lanes of rare symbols take in the blocks of so many symbols, about.
    fn rare_lane_bytes(&self, counts: &[u64; 256]) -> f64 {
        let Some((_, rare)) = self.rare() else {
            return 0.0;
        };
        let blocks = counts.iter().sum::<u64>().div_ceil(BLOCK as u64);
        let symbols: u64 =
            counts.iter().zip(&rare.frequencies).filter(|(_, f)| **f > 0).map(|(c, _)| c).sum();
        (blocks * 4 * lanes_of((symbols / blocks) as usize) as u64) as f64
    }

    pub(super) fn shaped(shape: Shape) -> Self {
        Self {
            precision: Shape::PRECISION,
            frequencies: shape.frequencies(),
            form: Form::Shaped(shape),
            rare: None,
        }
    }

    /// Bits of the slots: the frequencies sum to `2^precision`.
    pub const fn precision(&self) -> u32 {
        self.precision
    }

    /// The frequency of each symbol: 0 for those that cannot be encoded, and for those that are encoded
    /// as their stand-in.
    pub const fn frequencies(&self) -> &[u16; 256] {
        &self.frequencies
    }

    /// The symbol that takes no bits, where there is no other.
    pub fn only_symbol(&self) -> Option<u8> {
        let whole = 1 << self.precision;
        self.frequencies.iter().position(|&frequency| frequency == whole).map(|symbol| symbol as u8)
    }

    /// Whether there is but one symbol, which takes no bits.
    pub fn is_certain(&self) -> bool {
        self.only_symbol().is_some()
    }

    /// The largest symbol that can come out of a decoder, a rare one or not.
    pub fn largest_symbol(&self) -> u8 {
        let last = |table: &Self| table.frequencies.iter().rposition(|&frequency| frequency > 0);
        last(self).max(self.rare.as_deref().and_then(last)).unwrap_or_default() as u8
    }

    /// The symbol that stands for all rare ones and is one of them, and their table.
    pub fn rare(&self) -> Option<(u8, &Self)> {
        let rare = self.rare.as_deref()?;
        let stand_in = rare.frequencies.iter().position(|&frequency| frequency > 0)?;
        Some((stand_in as u8, rare))
    }

    /// The symbol whose slots a symbol takes: itself, or the stand-in of the rare ones.
    pub fn coded_as(&self, symbol: u8) -> u8 {
        match self.rare() {
            Some((stand_in, rare)) if rare.frequencies[usize::from(symbol)] > 0 => stand_in,
            _ => symbol,
        }
    }

    /// Bits that symbols occurring so often take by this table, the states of the lanes not counted.
    ///
    /// Infinite, where one occurs that cannot be encoded.
    pub fn cost_bits(&self, counts: &[u64; 256]) -> f64 {
        let mut frequent = *counts;
        let mut bits = 0.0;
        if let Some((stand_in, table)) = self.rare() {
            let mut rare = [0; 256];
            for symbol in (0..256).filter(|&symbol| table.frequencies[symbol] > 0) {
                rare[symbol] = std::mem::take(&mut frequent[symbol]);
            }
            frequent[usize::from(stand_in)] = rare.iter().sum();
            bits = table.cost_bits(&rare);
        }
        let bits_of = |(&count, &frequency): (&u64, &u16)| match (count, frequency) {
            (0, _) => 0.0,
            (_, 0) => f64::INFINITY,
            _ => count as f64 * (f64::from(self.precision) - log2_of_whole(u64::from(frequency))),
        };
        bits + frequent.iter().zip(&self.frequencies).map(bits_of).sum::<f64>()
    }

    /// Where the slots of each symbol begin.
    pub(super) fn starts(&self) -> [u16; 256] {
        let mut sum = 0;
        self.frequencies.map(|frequency| {
            sum += frequency;
            sum - frequency
        })
    }
}

/// Slots being given to the symbols that save most by them.
struct Apportionment<'a> {
    counts: &'a [u64; 256],
    slots: u32,
    frequencies: [u16; 256],
    /// Bits saved by one slot more; nothing for symbols that do not occur.
    gain: [f64; 256],
    /// Bits lost with one slot less; infinite, where it is the last one.
    loss: [f64; 256],
}

impl<'a> Apportionment<'a> {
    /// A start from proportional shares, rounded down, and 1 at least.
    fn new(counts: &'a [u64; 256], slots: u32) -> Self {
        let total: u128 = counts.iter().map(|&count| u128::from(count)).sum();
        let share = |count| match count {
            0 => 0,
            count => ((u128::from(count) * u128::from(slots) / total) as u16).max(1),
        };
        let frequencies = counts.map(share);
        let mut start = Self { counts, slots, frequencies, gain: [0.0; 256], loss: [f64::INFINITY; 256] };
        (0..256).for_each(|symbol| start.weigh(symbol));
        start
    }

    /// The cost `-c log2 f` is convex in `f`, so that single slots, each given or moved to where it saves
    /// most, lead to the least sum.
    fn frequencies(mut self) -> [u16; 256] {
        let sum = |frequencies: &[u16; 256]| frequencies.iter().map(|&f| u32::from(f)).sum::<u32>();
        for _ in sum(&self.frequencies)..self.slots {
            let richer = self.most_gained();
            self.give(richer);
        }
        for _ in self.slots..sum(&self.frequencies) {
            let poorer = self.least_lost();
            self.take(poorer);
        }
        // Rounding errors must not let two symbols swap a slot for ever.
        for _ in 0..self.slots {
            let (richer, poorer) = (self.most_gained(), self.least_lost());
            if self.gain[richer] <= self.loss[poorer] {
                break;
            }
            self.give(richer);
            self.take(poorer);
        }
        self.frequencies
    }

    fn give(&mut self, symbol: usize) {
        self.frequencies[symbol] += 1;
        self.weigh(symbol);
    }

    fn take(&mut self, symbol: usize) {
        self.frequencies[symbol] -= 1;
        self.weigh(symbol);
    }

    fn weigh(&mut self, symbol: usize) {
        let (count, frequency) = (self.counts[symbol] as f64, u64::from(self.frequencies[symbol]));
        if frequency > 0 {
            let bits = log2_of_whole(frequency);
            self.gain[symbol] = count * (log2_of_whole(frequency + 1) - bits);
            self.loss[symbol] =
                if frequency > 1 { count * (bits - log2_of_whole(frequency - 1)) } else { f64::INFINITY };
        }
    }

    fn most_gained(&self) -> usize {
        (1..256).fold(0, |most, symbol| if self.gain[symbol] > self.gain[most] { symbol } else { most })
    }

    fn least_lost(&self) -> usize {
        (1..256).fold(0, |least, symbol| if self.loss[symbol] < self.loss[least] { symbol } else { least })
    }
}
