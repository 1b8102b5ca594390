//! Codes to bits and back: each code takes its group's width, with nothing between them.
//!
//! The bits of all groups follow each other without padding, the lowest bit of a code first, and fill
//! bytes from their lowest bit up. Only the last byte is filled up, with zeros. A group of width 0
//! takes no bits.

use crate::{BitWidth, Grouping};

/// Why codes cannot be packed or unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BitpackError {
    /// As many widths are needed as there are groups.
    #[error("{expected} groups need {expected} widths, found {found}")]
    WidthCount {
        /// Groups that are packed.
        expected: usize,
        /// Widths that were given.
        found: usize,
    },
    /// As many codes are needed as the groups have weights.
    #[error("the groups have {expected} weights, found {found} codes")]
    CodeCount {
        /// Weights in all groups.
        expected: usize,
        /// Codes that were given.
        found: usize,
    },
    /// A code needs more bits than its group has.
    #[error("code {code} at weight {index} does not fit in the {width} bits of its group")]
    CodeTooLarge {
        /// Position of the weight.
        index: usize,
        /// Its code.
        code: u16,
        /// The width of its group.
        width: BitWidth,
    },
    /// The packed bytes are fewer or more than the widths say.
    #[error("the widths need {expected} bytes of codes, found {found}")]
    ByteCount {
        /// Bytes that the widths need.
        expected: u64,
        /// Bytes that were given.
        found: usize,
    },
    /// The bits that fill up the last byte are not all zero.
    #[error("the last byte, {last_byte:#04x}, has bits beyond the {used} that codes use")]
    PaddingNotZero {
        /// The last byte.
        last_byte: u8,
        /// How many of its bits belong to codes.
        used: u32,
    },
    /// There is no memory for the codes.
    #[error("no memory for {codes} codes")]
    OutOfMemory {
        /// Codes that were to be unpacked.
        codes: usize,
    },
}

/// Bits that the codes of these groups take.
///
/// # Errors
/// [`BitpackError::WidthCount`] when there is not one width per group.
pub fn packed_bits(grouping: Grouping, widths: &[BitWidth]) -> Result<u64, BitpackError> {
    check_widths(grouping, widths)?;
    let groups = grouping.ranges().zip(widths);
    Ok(groups.map(|(group, width)| group.len() as u64 * u64::from(width.get())).sum())
}

/// The packed codes: [`packed_bits`] of them, in whole bytes.
///
/// # Errors
/// [`BitpackError`]: not one width per group or one code per weight, or a code that does not fit.
pub fn pack(codes: &[u16], grouping: Grouping, widths: &[BitWidth]) -> Result<Vec<u8>, BitpackError> {
    let bits = packed_bits(grouping, widths)?;
    if codes.len() != grouping.len() {
        return Err(BitpackError::CodeCount { expected: grouping.len(), found: codes.len() });
    }
    // At most 16 bits per code, so never more bytes than the codes take themselves.
    let mut packed = Vec::with_capacity(bits.div_ceil(8) as usize);
    let (mut pending, mut pending_bits) = (0u64, 0u32);
    for (group, &width) in grouping.ranges().zip(widths) {
        for index in group {
            let code = codes[index];
            if u32::from(code) >= width.levels() {
                return Err(BitpackError::CodeTooLarge { index, code, width });
            }
            pending |= u64::from(code) << pending_bits;
            pending_bits += u32::from(width.get());
            if pending_bits >= 32 {
                packed.extend_from_slice(&(pending as u32).to_le_bytes());
                pending >>= 32;
                pending_bits -= 32;
            }
        }
    }
    let rest = pending_bits.div_ceil(8) as usize;
    packed.extend_from_slice(&pending.to_le_bytes()[..rest]);
    Ok(packed)
}

/// The codes that were packed.
///
/// # Errors
/// [`BitpackError`]: not one width per group, fewer or more bytes than the widths need, padding that is
/// not zero, or no memory.
pub fn unpack(packed: &[u8], grouping: Grouping, widths: &[BitWidth]) -> Result<Vec<u16>, BitpackError> {
    let bits = packed_bits(grouping, widths)?;
    check_padding(packed, bits)?;
    let mut codes = Vec::new();
    codes
        .try_reserve_exact(grouping.len())
        .map_err(|_| BitpackError::OutOfMemory { codes: grouping.len() })?;
    let mut reader = BitReader::new(packed);
    for (group, width) in grouping.ranges().zip(widths) {
        let bits = u32::from(width.get());
        codes.extend(group.map(|_| reader.take(bits)));
    }
    Ok(codes)
}

/// Packs numbers that all take `bits` bits, 16 at most, and have no more.
pub(crate) fn pack_equal(numbers: impl Iterator<Item = u16>, bits: u32) -> Vec<u8> {
    let mut packed =
        Vec::with_capacity((numbers.size_hint().0 as u64 * u64::from(bits)).div_ceil(8) as usize);
    let (mut pending, mut pending_bits) = (0u32, 0u32);
    for number in numbers {
        pending |= u32::from(number) << pending_bits;
        pending_bits += bits;
        while pending_bits >= 8 {
            packed.push(pending as u8);
            pending >>= 8;
            pending_bits -= 8;
        }
    }
    if pending_bits > 0 {
        packed.push(pending as u8);
    }
    packed
}

/// Whether `packed` is exactly as long as so many bits need, and filled up with zeros.
pub(crate) fn check_padding(packed: &[u8], bits: u64) -> Result<(), BitpackError> {
    let expected = bits.div_ceil(8);
    if packed.len() as u64 != expected {
        return Err(BitpackError::ByteCount { expected, found: packed.len() });
    }
    let used = (bits % 8) as u32;
    match packed.last() {
        Some(&last_byte) if used != 0 && last_byte >> used != 0 => {
            Err(BitpackError::PaddingNotZero { last_byte, used })
        }
        _ => Ok(()),
    }
}

fn check_widths(grouping: Grouping, widths: &[BitWidth]) -> Result<(), BitpackError> {
    if widths.len() == grouping.count() {
        Ok(())
    } else {
        Err(BitpackError::WidthCount { expected: grouping.count(), found: widths.len() })
    }
}

/// Takes numbers of up to 16 bits from the front of a slice; zeros once it is used up.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits that were taken.
    position: u64,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    /// A reader that has already gone past `position` bits.
    pub(crate) const fn at(bytes: &'a [u8], position: u64) -> Self {
        Self { bytes, position }
    }

    /// The next `bits` bits, 16 at most.
    #[inline]
    pub(crate) fn take(&mut self, bits: u32) -> u16 {
        // Four bytes hold any such number, wherever in the first it begins. Each is loaded on its own,
        // so that the processor need not wait for the one before.
        let first = (self.position / 8) as usize;
        let word = match self.bytes.get(first..first + 4) {
            Some(bytes) => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            None => self.last_word(first),
        };
        let number = (word >> (self.position % 8)) & ((1 << bits) - 1);
        self.position += u64::from(bits);
        number as u16
    }

    /// What is left from byte `first`, three bytes at most, and zeros.
    #[cold]
    fn last_word(&self, first: usize) -> u32 {
        let rest = self.bytes.get(first..).unwrap_or_default();
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        u32::from_le_bytes(word)
    }
}
