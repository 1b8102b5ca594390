//! What symbols stand for: codes, or the upper bits of codes.

use fewbit_kernels::rans::{FrequencyTable, Palette};

use crate::BitWidth;
use crate::encoding::cursor::Cursor;
use crate::encoding::{CodingError, EncodingError};

/// Bits of a symbol.
const SYMBOL_BITS: u8 = 8;

/// How the codes of one width become symbols, and how often each of these occurs.
///
/// The lowest [`raw_bits`](Self::raw_bits) of a code are left as they are, and the others are its upper
/// part. Up to eight bits that part is the symbol; above, the symbol is its place among those that occur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SymbolModel {
    pub(super) table: FrequencyTable,
    pub(super) raw_bits: u8,
    pub(super) palette: Option<Palette>,
}

/// The most bits of a code that can be left as they are: all but eight.
fn most_raw_bits(width: BitWidth) -> u8 {
    width.get().saturating_sub(SYMBOL_BITS)
}

impl SymbolModel {
    /// The model that takes the fewest bytes for codes that occur so often, or nearly; `None` without codes.
    ///
    /// `counts` has a place for each code of the width.
    pub(super) fn fit(width: BitWidth, counts: &[u64]) -> Option<Self> {
        let total: u64 = counts.iter().sum();
        let mut best: Option<(f64, u8, Vec<u16>, [u64; 256])> = None;
        for raw_bits in 0..=most_raw_bits(width) {
            let upper: Vec<u64> = counts.chunks(1 << raw_bits).map(|codes| codes.iter().sum()).collect();
            let occurring: Vec<u16> =
                (0..=u16::MAX).zip(&upper).filter(|(_, n)| **n > 0).map(|(part, _)| part).collect();
            let named = raw_bits < most_raw_bits(width);
            if occurring.len() > 256 {
                continue;
            }
            let mut symbols = [0; 256];
            if named {
                for (count, &part) in symbols.iter_mut().zip(&occurring) {
                    *count = upper[usize::from(part)];
                }
            } else {
                symbols[..upper.len()].copy_from_slice(&upper);
            }
            let table_bits = 8.0 * occurring.len() as f64;
            let bits = fewbit_kernels::rans::entropy_bits(&symbols)
                + total as f64 * f64::from(raw_bits)
                + if named { table_bits * 1.25 } else { table_bits };
            if best.as_ref().is_none_or(|(least, ..)| bits < *least) {
                best = Some((bits, raw_bits, occurring, symbols));
            }
        }
        let (_, raw_bits, occurring, symbols) = best?;
        let palette = if raw_bits < most_raw_bits(width) { Some(Palette::new(occurring)?) } else { None };
        Some(Self { table: FrequencyTable::fit(&symbols), raw_bits, palette })
    }

    /// The symbol of a code; `None` where it has none.
    pub(super) fn symbol_of(&self, code: u16) -> Option<u8> {
        // Of a width above 15 with 16 raw bits nothing would be left: there are 8 at most.
        let upper = code >> self.raw_bits;
        match &self.palette {
            Some(palette) => palette.symbol_of(upper),
            None => u8::try_from(upper).ok(),
        }
    }

    /// How often each symbol occurs where codes occur so often; `None` where one has no symbol.
    pub(super) fn symbol_counts(&self, counts: &[u64]) -> Option<[u64; 256]> {
        let mut symbols = [0; 256];
        for (code, &count) in (0..=u16::MAX).zip(counts).filter(|(_, count)| **count > 0) {
            symbols[usize::from(self.symbol_of(code)?)] += count;
        }
        Some(symbols)
    }

    /// What each symbol is in a code: the upper part, at its place.
    pub(super) fn upper_parts(&self) -> [u16; 256] {
        std::array::from_fn(|symbol| {
            let part = match &self.palette {
                Some(palette) => palette.numbers().get(symbol).copied().unwrap_or_default(),
                None => symbol as u16,
            };
            part << self.raw_bits
        })
    }

    /// Appends the frequencies; above eight bits, how many bits are left as they are; and which upper parts
    /// occur, if there could be more than 256.
    pub(super) fn put(&self, width: BitWidth, bytes: &mut Vec<u8>) {
        self.table.write(bytes);
        if width.get() > SYMBOL_BITS {
            bytes.push(self.raw_bits);
        }
        if let Some(palette) = &self.palette {
            palette.write(bytes);
        }
    }

    /// Bytes that [`put`](Self::put) appends.
    pub(super) fn bytes(&self, width: BitWidth) -> usize {
        let mut bytes = Vec::new();
        self.put(width, &mut bytes);
        bytes.len()
    }

    /// The model at the cursor.
    pub(super) fn read(cursor: &mut Cursor<'_>, width: BitWidth) -> Result<Self, EncodingError> {
        let failed = |source| EncodingError::Coding { what: "frequencies", source };
        let (table, used) =
            FrequencyTable::read(cursor.rest()).map_err(|error| failed(CodingError::Table(error)))?;
        cursor.take(used as u64, "a frequency table")?;
        let (bits, limit) = (width.get(), most_raw_bits(width));
        let mut raw_bits = 0;
        if bits > SYMBOL_BITS {
            [raw_bits] = cursor.array("the bits of codes that are left as they are")?;
            if raw_bits > limit {
                return Err(failed(CodingError::RawBits { found: raw_bits, bits, limit }));
            }
        }
        let symbol = table.largest_symbol();
        if raw_bits == limit {
            let largest = u8::MAX >> SYMBOL_BITS.saturating_sub(bits);
            if symbol > largest {
                return Err(failed(CodingError::SymbolTooLarge { symbol, bits, largest }));
            }
            return Ok(Self { table, raw_bits, palette: None });
        }
        let largest = u16::MAX >> (BitWidth::MAX.get() - bits + raw_bits);
        let (palette, used) = Palette::read(cursor.rest(), usize::from(symbol) + 1, largest)
            .map_err(|error| failed(CodingError::Palette(error)))?;
        cursor.take(used as u64, "what symbols stand for")?;
        Ok(Self { table, raw_bits, palette: Some(palette) })
    }
}
