//! Which of many numbers occur, for symbols that stand for them: 256 at most, ascending.
//!
//! The first number and the gaps to the next ones, less one each, are written in the code of exponential
//! Golomb: the low `k` bits plainly after the rest, plus one, in Elias' gamma code. `k`, from 0 to 15, is
//! the first 4 bits. Numbers side by side so take one bit each, those scattered over 16 bits hardly more
//! than their distances' bits. Zeros fill the last byte.

use std::fmt;

use super::bit_string::{BitReader, BitWriter};

/// Bits of `k`.
const ORDER_BITS: u32 = 4;

/// Numbers of 16 bits at most, ascending, at least one and at most 256: symbol `s` stands for the one at
/// place `s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette {
    numbers: Vec<u16>,
}

/// Bytes that are no palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PaletteError {
    /// The bytes end before the last number.
    Truncated,
    /// A number is above the largest that there can be.
    TooLarge,
    /// The order is not the one that takes the fewest bits, or the bits that fill up the last byte are not
    /// zero.
    NotShortest,
}

impl fmt::Display for PaletteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Truncated => "the numbers that symbols stand for are cut",
            Self::TooLarge => "a number that a symbol stands for is larger than any can be",
            Self::NotShortest => "the numbers that symbols stand for are not in their shortest form",
        })
    }
}

impl std::error::Error for PaletteError {}

impl Palette {
    /// The palette of these numbers; `None` unless they ascend and are 1 to 256.
    pub fn new(numbers: Vec<u16>) -> Option<Self> {
        let ascending = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        (ascending && (1..=256).contains(&numbers.len())).then_some(Self { numbers })
    }

    /// The numbers, in the order of their symbols.
    pub fn numbers(&self) -> &[u16] {
        &self.numbers
    }

    /// The symbol of a number that is there.
    pub fn symbol_of(&self, number: u16) -> Option<u8> {
        self.numbers.binary_search(&number).ok().map(|place| place as u8)
    }

    /// Appends the palette, but for how many numbers it has.
    pub fn write(&self, out: &mut Vec<u8>) {
        let order = self.best_order();
        let mut bits = BitWriter::default();
        bits.put(order, ORDER_BITS);
        for step in self.steps() {
            bits.put_gamma((step >> order) + 1);
            bits.put(step & ((1 << order) - 1), order);
        }
        out.extend(bits.finish());
    }

    /// The palette of `count` numbers, none above `largest`, at the start of `bytes`, and how many of them it
    /// takes.
    ///
    /// # Errors
    /// [`PaletteError`]: the bytes end too early, or are none that [`write`](Self::write) could have written.
    ///
    /// # Panics
    /// When `count` is not 1 to 256.
    pub fn read(bytes: &[u8], count: usize, largest: u16) -> Result<(Self, usize), PaletteError> {
        assert!((1..=256).contains(&count), "a palette of {count} numbers: 1 to 256 are possible");
        let mut bits = BitReader::new(bytes);
        let order = bits.take(ORDER_BITS).ok_or(PaletteError::Truncated)?;
        let mut numbers = Vec::with_capacity(count);
        let mut next = 0u32;
        for _ in 0..count {
            let high = gamma(&mut bits)? - 1;
            let low = bits.take(order).ok_or(PaletteError::Truncated)?;
            // At most 17 bits and 15 more.
            let number = u64::from(next) + (u64::from(high) << order) + u64::from(low);
            let number = u16::try_from(number).ok().filter(|&number| number <= largest);
            let number = number.ok_or(PaletteError::TooLarge)?;
            next = u32::from(number) + 1;
            numbers.push(number);
        }
        let used = bits.finish().ok_or(PaletteError::NotShortest)?;
        let palette = Self { numbers };
        if palette.best_order() == order { Ok((palette, used)) } else { Err(PaletteError::NotShortest) }
    }

    /// How far each number is above the least that it could be.
    fn steps(&self) -> impl Iterator<Item = u32> {
        let mut next = 0;
        self.numbers.iter().map(move |&number| {
            let step = u32::from(number) - next;
            next = u32::from(number) + 1;
            step
        })
    }

    /// The order with which all steps take the fewest bits, the smallest of several.
    fn best_order(&self) -> u32 {
        let bits = |order: u32| -> u32 {
            self.steps().map(|step| 2 * ((step >> order) + 1).ilog2() + 1 + order).sum()
        };
        (0..1 << ORDER_BITS).min_by_key(|&order| bits(order)).unwrap_or_default()
    }
}

/// The next number in gamma code, of 17 bits at most.
fn gamma(bits: &mut BitReader<'_>) -> Result<u32, PaletteError> {
    const MOST_BITS: u32 = 16;
    let zeros = bits.run(false, MOST_BITS + 1).ok_or(PaletteError::Truncated)?;
    if zeros > MOST_BITS {
        return Err(PaletteError::TooLarge);
    }
    Ok(1 << zeros | bits.take(zeros).ok_or(PaletteError::Truncated)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(numbers: &[u16]) -> usize {
        let palette = Palette::new(numbers.to_vec()).unwrap();
        let mut bytes = vec![];
        palette.write(&mut bytes);
        let largest = *numbers.last().unwrap();
        bytes.push(0xaa);
        let used = bytes.len() - 1;
        assert_eq!(Palette::read(&bytes, numbers.len(), largest), Ok((palette, used)));
        for cut in 0..used {
            assert_eq!(Palette::read(&bytes[..cut], numbers.len(), largest), Err(PaletteError::Truncated));
        }
        if largest > 0 {
            let found = Palette::read(&bytes, numbers.len(), largest - 1);
            assert_eq!(found, Err(PaletteError::TooLarge));
        }
        used
    }

    #[test]
    fn palettes_come_back() {
        // Order 0: 4 bits, then a one for each of the 256.
        assert_eq!(round_trip(&(0..256).collect::<Vec<_>>()), 33);
        assert_eq!(round_trip(&[0]), 1);
        assert_eq!(round_trip(&[65535]), 3);
        round_trip(&[0, 65535]);
        // Gaps of 2^12: 13 bits each at order 12 or nearly so, and the order.
        let even: Vec<u16> = (0..16).map(|place| place << 12 | 0xfff).collect();
        assert!(round_trip(&even) <= (4 + 16 * 13usize).div_ceil(8));
        round_trip(&[3, 4, 5, 900, 901, 60_000]);
    }

    /// Whatever is read as a palette is what would have been written.
    #[test]
    fn any_bytes_are_one_palette_or_none() {
        let mut numbers = fewbit_testing::Numbers::seeded(8);
        let mut read = 0;
        for _ in 0..100_000 {
            let bytes: Vec<u8> = (0..8).map(|_| (numbers.bits() >> numbers.below(8)) as u8).collect();
            let count = 1 + numbers.below(12);
            if let Ok((palette, used)) = Palette::read(&bytes, count, u16::MAX >> numbers.below(8)) {
                let mut again = vec![];
                palette.write(&mut again);
                assert_eq!(again, bytes[..used]);
                read += 1;
            }
        }
        assert!(read > 1000, "{read} were read");
    }

    #[test]
    fn what_does_not_ascend_is_no_palette() {
        for numbers in [vec![], vec![1, 1], vec![2, 1], (0..257).collect()] {
            assert_eq!(Palette::new(numbers), None);
        }
        assert_eq!(Palette::new(vec![7, 9]).unwrap().symbol_of(9), Some(1));
        assert_eq!(Palette::new(vec![7, 9]).unwrap().symbol_of(8), None);
    }
}
