//! A table of frequencies as bytes.
//!
//! The first byte holds `precision - 8` in bits 0 to 2, the form in bits 3 and 4, zeros above.
//!
//! - Form 0, one symbol: the symbol, 1 byte.
//! - Form 1, listed: the last symbol that occurs, 1 byte, then a string of bits. First which symbols
//!   occur, as lengths of runs in gamma codes: the run of those that do not, plus 1, then by turns the run
//!   of those that do and of those that do not, until the last symbol. Then the frequency of each that
//!   occurs but the last, whose frequency is what is left. Zeros fill the last byte.
//! - Form 2, shaped: see [`Shape`].
//! - Form 3, listed and with rare symbols: as form 1, then the table of the rare symbols, of form 1 or 2.
//!   The first symbol of that one is the stand-in; of all in it, only the stand-in is in the list.
//!
//! A frequency is written as its distance `d` from a guess, the mean of the two before it (the first
//! guess is an equal share), folded to `u = 2 d` or `-2 d - 1`. Of `u`, `k` low bits are written plainly,
//! after the rest in unary: so many ones and a zero (Rice 1979). From [`ESCAPE`] ones on no zero follows, but `u` in
//! 15 bits. `k` follows the size of what was written before.

use std::fmt;

use super::bit_string::{BitReader, BitWriter};
use super::shape::Shape;
use super::table::{Form, FrequencyTable};

/// Ones after which a distance is written plainly.
const ESCAPE: u32 = 12;

/// Bytes that are no table of frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// The bytes end before the table does.
    Truncated {
        /// Bytes there are.
        found: usize,
    },
    /// The first byte has no meaning.
    UnknownForm {
        /// The byte.
        found: u8,
    },
    /// The symbols that occur are not those that a writer would have written.
    BadSymbols,
    /// A frequency is not positive, or the sum is not a power of two.
    BadFrequency {
        /// The symbol whose frequency it is.
        symbol: u8,
    },
    /// The bits that fill up the last byte of a list are not all zero.
    PaddingNotZero,
    /// The numbers of a shape are out of their range.
    BadShape,
}

impl fmt::Display for TableError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { found } => {
                write!(formatter, "the table of frequencies goes on after its {found} bytes")
            }
            Self::UnknownForm { found } => {
                write!(formatter, "a table of frequencies begins with {found:#04x}, which no form does")
            }
            Self::BadSymbols => {
                write!(formatter, "the table of frequencies does not say which symbols occur")
            }
            Self::BadFrequency { symbol } => {
                write!(formatter, "the frequency of symbol {symbol} leaves none for those after it")
            }
            Self::PaddingNotZero => {
                write!(formatter, "the bits after the table of frequencies are not zero")
            }
            Self::BadShape => write!(formatter, "the shape of the frequencies is out of range"),
        }
    }
}

impl std::error::Error for TableError {}

impl FrequencyTable {
    /// Appends the table.
    pub fn write(&self, out: &mut Vec<u8>) {
        let precision = (self.precision - 8) as u8;
        if let Some(symbol) = self.only_symbol() {
            out.extend([precision, symbol]);
        } else if let Form::Shaped(shape) = &self.form {
            out.push(precision | 2 << 3);
            out.extend(shape.to_bytes());
        } else {
            let last = self.frequencies.iter().rposition(|&frequency| frequency > 0).unwrap_or_default();
            let form = if self.rare.is_some() { 3 } else { 1 };
            out.extend([precision | form << 3, last as u8]);
            let mut bits = BitWriter::default();
            write_runs(&self.frequencies[..=last], &mut bits);
            let mut guess = Guess::new(self);
            for &frequency in self.frequencies[..last].iter().filter(|&&frequency| frequency > 0) {
                guess.write(frequency, &mut bits);
            }
            out.extend(bits.finish());
            if let Some(rare) = &self.rare {
                rare.write(out);
            }
        }
    }

    /// Bytes that [`write`](Self::write) appends.
    pub fn byte_len(&self) -> usize {
        let mut bytes = vec![];
        self.write(&mut bytes);
        bytes.len()
    }

    /// The table at the start of `bytes`, and how many of them it takes.
    ///
    /// # Errors
    /// [`TableError`]: the bytes end too early, or are none that [`write`](Self::write) could have written.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), TableError> {
        let (table, used) = Self::read_one(bytes)?;
        if bytes[0] >> 3 != 3 {
            return Ok((table, used));
        }
        let (rare, rare_used) = match Self::read_one(&bytes[used..]) {
            Err(TableError::Truncated { .. }) => return Err(TableError::Truncated { found: bytes.len() }),
            rare => rare?,
        };
        let table = Self { rare: Some(Box::new(rare)), ..table };
        let (stand_in, rare) = table.rare().ok_or(TableError::BadSymbols)?;
        let in_both = |symbol: usize| table.frequencies[symbol] > 0 && rare.frequencies[symbol] > 0;
        let fits = (0..256).all(|symbol| in_both(symbol) == (symbol == usize::from(stand_in)));
        if !matches!(bytes[used] >> 3, 1 | 2) || !fits {
            return Err(TableError::BadSymbols);
        }
        Ok((table, used + rare_used))
    }

    /// Reads a table, and where it has rare symbols, only the first part.
    fn read_one(bytes: &[u8]) -> Result<(Self, usize), TableError> {
        let truncated = TableError::Truncated { found: bytes.len() };
        let &[first, ref rest @ ..] = bytes else {
            return Err(truncated);
        };
        let (precision, form) = (u32::from(first & 7) + 8, first >> 3);
        if !Self::PRECISIONS.contains(&precision) {
            return Err(TableError::UnknownForm { found: first });
        }
        let mut frequencies = [0; 256];
        let used = match (form, rest) {
            (0 | 1 | 3, []) => return Err(truncated),
            (0, &[symbol, ..]) => {
                frequencies[usize::from(symbol)] = 1 << precision;
                2
            }
            (1 | 3, &[last, ref rest @ ..]) => {
                let mut bits = BitReader::new(rest);
                read_listed(precision, usize::from(last), &mut frequencies, &mut bits, truncated)?;
                2 + bits.finish().ok_or(TableError::PaddingNotZero)?
            }
            (2, rest) if precision == Shape::PRECISION => {
                let shape = rest.first_chunk().ok_or(truncated)?;
                let shape = Shape::from_bytes(shape).ok_or(TableError::BadShape)?;
                return Ok((Self::shaped(shape), 1 + Shape::BYTES));
            }
            _ => return Err(TableError::UnknownForm { found: first }),
        };
        Ok((Self { precision, frequencies, form: Form::Listed, rare: None }, used))
    }
}

/// Writes which frequencies are not zero; the last is not.
fn write_runs(frequencies: &[u16], bits: &mut BitWriter) {
    let holes = frequencies.iter().take_while(|&&frequency| frequency == 0).count();
    bits.put_gamma(holes as u32 + 1);
    for run in frequencies[holes..].chunk_by(|a, b| (*a > 0) == (*b > 0)) {
        bits.put_gamma(run.len() as u32);
    }
}

/// Reads the frequencies up to the symbol `last`.
fn read_listed(
    precision: u32,
    last: usize,
    frequencies: &mut [u16; 256],
    bits: &mut BitReader<'_>,
    truncated: TableError,
) -> Result<(), TableError> {
    let (mut symbol, mut occurs, mut levels) = (0, false, 0);
    while symbol <= last {
        let run = bits.take_gamma(8).ok_or(truncated)? as usize;
        let run = if symbol == 0 && !occurs && levels == 0 { run - 1 } else { run };
        let end = symbol + run;
        if end > last + 1 {
            return Err(TableError::BadSymbols);
        }
        frequencies[symbol..end].fill(u16::from(occurs));
        levels += if occurs { run } else { 0 };
        (symbol, occurs) = (end, !occurs);
    }
    // The last symbol occurs, and is not the only one.
    if frequencies[last] == 0 || levels < 2 {
        return Err(TableError::BadSymbols);
    }
    let mut guess = Guess::of(precision, levels);
    let mut left = 1u32 << precision;
    for (symbol, place) in frequencies[..=last].iter_mut().enumerate().filter(|(_, place)| **place > 0) {
        levels -= 1;
        let frequency = if levels == 0 { left } else { guess.read(bits).ok_or(truncated)? };
        // Each of those that follow takes one at least.
        if frequency == 0 || frequency + levels as u32 > left {
            return Err(TableError::BadFrequency { symbol: symbol as u8 });
        }
        left -= frequency;
        *place = frequency as u16;
    }
    Ok(())
}

/// What the next frequency may be, and how far off that was so far.
struct Guess {
    before: [u32; 2],
    /// Sixteen times the mean size of a folded distance.
    size: u32,
}

impl Guess {
    fn new(table: &FrequencyTable) -> Self {
        Self::of(table.precision, table.frequencies.iter().filter(|&&frequency| frequency > 0).count())
    }

    fn of(precision: u32, levels: usize) -> Self {
        let share = (1 << precision) / levels as u32;
        Self { before: [share; 2], size: 16 * share }
    }

    fn value(&self) -> i32 {
        self.before.iter().sum::<u32>().div_ceil(2) as i32
    }

    /// Bits of a folded distance that are written plainly.
    fn plain_bits(&self) -> u32 {
        // With a mean of `m`, about as many distances lie above 2^k as below where 2^k = 0.7 m.
        (self.size * 11 / 256).checked_ilog2().map_or(0, |bits| bits + 1).min(14)
    }

    fn learn(&mut self, frequency: u32, folded: u32) {
        self.before = [self.before[1], frequency];
        self.size = (3 * self.size + 16 * folded) / 4;
    }

    fn write(&mut self, frequency: u16, bits: &mut BitWriter) {
        let distance = i32::from(frequency) - self.value();
        let folded = (distance << 1 ^ distance >> 31) as u32;
        let plain = self.plain_bits();
        let ones = folded >> plain;
        if ones < ESCAPE {
            bits.put((1 << ones) - 1, ones + 1);
            bits.put(folded & ((1 << plain) - 1), plain);
        } else {
            bits.put((1 << ESCAPE) - 1, ESCAPE);
            bits.put(folded, 15);
        }
        self.learn(frequency.into(), folded);
    }

    /// The next frequency, 0 for one that is negative or too large; `None` where the bits end.
    fn read(&mut self, bits: &mut BitReader<'_>) -> Option<u32> {
        let plain = self.plain_bits();
        let ones = bits.run(true, ESCAPE)?;
        let folded = if ones < ESCAPE { ones << plain | bits.take(plain)? } else { bits.take(15)? };
        // An escape where none is needed is no writer's.
        if ones == ESCAPE && folded >> plain < ESCAPE {
            return Some(0);
        }
        let distance = (folded >> 1) as i32 ^ -((folded & 1) as i32);
        let frequency = u32::try_from(self.value() + distance).unwrap_or(0);
        self.learn(frequency, folded);
        Some(frequency)
    }
}
