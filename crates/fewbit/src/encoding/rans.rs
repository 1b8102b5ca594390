//! A static order-0 entropy coder: asymmetric numeral systems with ranges (Duda 2013, arXiv:1311.2540).
//!
//! One state, whole bytes, scalar. A symbol of frequency `f` out of `2^12`, whose range begins at `c`,
//! moves the state from `x` to `2^12·(x div f) + c + (x mod f)`, and the decoder goes back; symbols are
//! encoded from the last to the first. The state lies in `2^23..2^31`: a byte leaves it before it would
//! overflow and comes back when it has become too small. The encoder begins at `2^23`, so a decoder must
//! end there, with no byte left.

use super::CodingError;

/// Frequencies add up to `2^12`.
const PRECISION: u32 = 12;
/// What they add up to.
pub(crate) const TOTAL: u32 = 1 << PRECISION;
/// Smallest state between two symbols.
const LOWEST: u32 = 1 << 23;

/// How often each symbol occurs, out of [`TOTAL`]; the symbols from the first to the last that occur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrequencyTable {
    first: u8,
    frequencies: Vec<u16>,
}

impl FrequencyTable {
    /// The table for symbols that occur so often, each at least once in [`TOTAL`]; `None` for none.
    pub(crate) fn from_counts(counts: &[u64; 256]) -> Option<Self> {
        let total: u64 = counts.iter().sum();
        let first = counts.iter().position(|count| *count > 0)?;
        let last = counts.iter().rposition(|count| *count > 0)?;
        let counts = &counts[first..=last];
        let share = |count: u64| u128::from(count) * u128::from(TOTAL);
        let mut frequencies: Vec<u16> = counts
            .iter()
            .map(|&count| match count {
                0 => 0,
                _ => ((share(count) + u128::from(total) / 2) / u128::from(total)).max(1) as u16,
            })
            .collect();
        // What rounding left over goes where one more, or one less, costs least.
        loop {
            let sum: u32 = frequencies.iter().map(|frequency| u32::from(*frequency)).sum();
            let gain = |index: usize, frequency: f64| counts[index] as f64 * frequency.log2();
            let occurring = (0..counts.len()).filter(|index| counts[*index] > 0);
            let change = |index: usize, step: f64| {
                let frequency = f64::from(frequencies[index]);
                gain(index, frequency + step) - gain(index, frequency)
            };
            match sum.cmp(&TOTAL) {
                std::cmp::Ordering::Equal => break,
                std::cmp::Ordering::Less => {
                    let best = occurring.max_by(|a, b| change(*a, 1.0).total_cmp(&change(*b, 1.0)))?;
                    frequencies[best] += 1;
                }
                std::cmp::Ordering::Greater => {
                    let best = occurring
                        .filter(|index| frequencies[*index] > 1)
                        .max_by(|a, b| change(*a, -1.0).total_cmp(&change(*b, -1.0)))?;
                    frequencies[best] -= 1;
                }
            }
        }
        Some(Self { first: first as u8, frequencies })
    }

    /// The table of frequencies that add up to [`TOTAL`], from symbol `first` on; the ends occur.
    pub(crate) fn from_frequencies(first: u8, frequencies: Vec<u16>) -> Result<Self, CodingError> {
        let sum: u64 = frequencies.iter().map(|frequency| u64::from(*frequency)).sum();
        let ends = [frequencies.first(), frequencies.last()];
        if ends.iter().any(|end| end.is_none_or(|frequency| *frequency == 0)) {
            return Err(CodingError::Table("its first or last symbol never occurs"));
        }
        if usize::from(first) + frequencies.len() > 256 {
            return Err(CodingError::Table("it has symbols above 255"));
        }
        if sum != u64::from(TOTAL) {
            return Err(CodingError::Table("its frequencies do not add up"));
        }
        Ok(Self { first, frequencies })
    }

    /// The largest symbol.
    pub(crate) fn last(&self) -> u8 {
        self.first + (self.frequencies.len() - 1) as u8
    }

    /// Appends the first symbol, how many follow it, and every frequency but the last in one byte or
    /// two: seven bits each, the lowest first, the top bit set on the first of two.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.first, (self.frequencies.len() - 1) as u8]);
        for &frequency in &self.frequencies[..self.frequencies.len() - 1] {
            if frequency < 0x80 {
                bytes.push(frequency as u8);
            } else {
                bytes.extend([frequency as u8 | 0x80, (frequency >> 7) as u8]);
            }
        }
    }

    /// Bytes that [`put`](Self::put) appends.
    pub(crate) fn bytes(&self) -> usize {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes.len()
    }

    /// Bits that symbols occurring so often take; infinite where one occurs that the table has not.
    pub(crate) fn cost_bits(&self, counts: &[u64; 256]) -> f64 {
        let cost = |(symbol, &count): (usize, &u64)| {
            let place = symbol.checked_sub(self.first.into());
            let frequency = place.and_then(|place| self.frequencies.get(place)).copied().unwrap_or(0);
            match count {
                0 => 0.0,
                _ => count as f64 * (f64::from(TOTAL) / f64::from(frequency)).log2(),
            }
        };
        counts.iter().enumerate().map(cost).sum()
    }

    /// The table in front of some bytes, and how many it takes.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, usize), CodingError> {
        let mut rest = bytes.iter().copied();
        let mut next = || rest.next().ok_or(CodingError::Table("it is cut"));
        let (first, more) = (next()?, next()?);
        let mut frequencies = Vec::with_capacity(usize::from(more) + 1);
        let mut left = TOTAL;
        for _ in 0..more {
            let low = next()?;
            let mut frequency = u16::from(low & 0x7f);
            if low & 0x80 != 0 {
                let high = next()?;
                if high == 0 || high >= 0x80 {
                    return Err(CodingError::Table("a frequency is not in its shortest form"));
                }
                frequency |= u16::from(high) << 7;
            }
            left = left.saturating_sub(frequency.into());
            frequencies.push(frequency);
        }
        frequencies.push(left as u16);
        let used = bytes.len() - rest.len();
        Ok((Self::from_frequencies(first, frequencies)?, used))
    }

    /// Whether there is but one symbol, which then takes no bytes.
    pub(crate) fn is_certain(&self) -> bool {
        self.frequencies.len() == 1
    }
}

/// Appends the stream of symbols that all occur in the table.
pub(crate) fn encode(symbols: &[u8], table: &FrequencyTable, bytes: &mut Vec<u8>) {
    if table.is_certain() {
        return;
    }
    let starts = starts(table);
    let mut state = LOWEST;
    let mut reversed = Vec::new();
    for symbol in symbols.iter().rev() {
        let index = usize::from(symbol - table.first);
        let frequency = u32::from(table.frequencies[index]);
        while state >= (LOWEST >> PRECISION << 8) * frequency {
            reversed.push(state as u8);
            state >>= 8;
        }
        state = ((state / frequency) << PRECISION) + state % frequency + starts[index];
    }
    bytes.extend_from_slice(&state.to_le_bytes());
    bytes.extend(reversed.iter().rev());
}

fn starts(table: &FrequencyTable) -> Vec<u32> {
    let mut start = 0;
    let next = |frequency: &u16| {
        start += u32::from(*frequency);
        start - u32::from(*frequency)
    };
    table.frequencies.iter().map(next).collect()
}

/// A table made ready to decode many streams.
pub(crate) struct Decoder {
    first: u8,
    certain: bool,
    /// The place in the table of each of [`TOTAL`] slots.
    places: Vec<u8>,
    /// Frequency and start of each place.
    ranges: Vec<(u32, u32)>,
}

impl Decoder {
    pub(crate) fn new(table: &FrequencyTable) -> Self {
        let mut places = Vec::with_capacity(TOTAL as usize);
        for (place, &frequency) in table.frequencies.iter().enumerate() {
            places.resize(places.len() + usize::from(frequency), place as u8);
        }
        let frequencies = table.frequencies.iter().map(|frequency| u32::from(*frequency));
        let ranges = frequencies.zip(starts(table)).collect();
        Self { first: table.first, certain: table.is_certain(), places, ranges }
    }

    /// Whether there is but one symbol, which then takes no bytes.
    pub(crate) const fn is_certain(&self) -> bool {
        self.certain
    }

    /// Writes as many symbols as `symbols` has room for; the stream must be exactly that long.
    pub(crate) fn decode(&self, bytes: &[u8], symbols: &mut [u8]) -> Result<(), CodingError> {
        if self.certain {
            symbols.fill(self.first);
            return if bytes.is_empty() { Ok(()) } else { Err(CodingError::StreamEnd) };
        }
        let (state, rest) = bytes.split_first_chunk().ok_or(CodingError::StreamCut)?;
        let mut state = u32::from_le_bytes(*state);
        // So that no arithmetic below can overflow.
        if !(LOWEST..LOWEST << 8).contains(&state) {
            return Err(CodingError::StreamEnd);
        }
        let mut rest = rest.iter();
        for symbol in symbols {
            let slot = state % TOTAL;
            let place = self.places[slot as usize];
            let (frequency, start) = self.ranges[usize::from(place)];
            *symbol = self.first + place;
            state = frequency * (state >> PRECISION) + slot - start;
            while state < LOWEST {
                let byte = rest.next().ok_or(CodingError::StreamCut)?;
                state = state << 8 | u32::from(*byte);
            }
        }
        if state == LOWEST && rest.len() == 0 { Ok(()) } else { Err(CodingError::StreamEnd) }
    }
}
