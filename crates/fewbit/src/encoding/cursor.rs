//! Numbers and texts from the front of a slice; every length is compared with what is left.

use std::fmt::Display;
use std::str::Utf8Error;

/// Why the next bytes of a slice are not what should be there.
#[derive(Debug)]
pub(crate) enum CursorError {
    /// Fewer bytes are left than `what` needs.
    Truncated { what: String, offset: usize, needed: u64, found: usize },
    /// A number is not in its shortest form, or too large.
    BadNumber { what: String, offset: usize },
    /// A text is not UTF-8.
    NotText { what: String, offset: usize, source: Utf8Error },
}

/// A slice and how far it has been read. `what` names, for an error, the thing that is read.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// All bytes, whether they have been read or not.
    pub(crate) const fn whole(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// The next so many bytes.
    pub(crate) fn take(&mut self, count: u64, what: impl Display) -> Result<&'a [u8], CursorError> {
        let rest = &self.bytes[self.position..];
        let taken = usize::try_from(count).ok().and_then(|n| rest.get(..n));
        let taken = taken.ok_or_else(|| CursorError::Truncated {
            what: what.to_string(),
            offset: self.position,
            needed: count,
            found: rest.len(),
        })?;
        self.position += taken.len();
        Ok(taken)
    }

    /// The next so many bytes, as an array.
    pub(crate) fn array<const N: usize>(&mut self, what: impl Display) -> Result<[u8; N], CursorError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    /// A number in groups of seven bits, the lowest first; every byte but the last has its top bit set.
    pub(crate) fn number(&mut self, what: impl Display) -> Result<u64, CursorError> {
        let offset = self.position;
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array(&what)?;
            let bits = u64::from(byte & 0x7f);
            let fits = (bits << shift) >> shift == bits;
            // A last byte of zero could be left out: each number has one form only.
            let shortest = byte != 0 || shift == 0;
            if !fits || !shortest {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CursorError::BadNumber { what: what.to_string(), offset })
    }

    /// A number that counts things in memory.
    pub(crate) fn count(&mut self, what: impl Display) -> Result<usize, CursorError> {
        let offset = self.position;
        let number = self.number(&what)?;
        usize::try_from(number).map_err(|_| CursorError::BadNumber { what: what.to_string(), offset })
    }

    /// A text behind its length in bytes.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, CursorError> {
        let count = self.number(what)?;
        let offset = self.position;
        std::str::from_utf8(self.take(count, what)?).map_err(|source| CursorError::NotText {
            what: what.to_owned(),
            offset,
            source,
        })
    }
}

/// Appends a number as [`Cursor::number`] reads it.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Bytes that a number takes.
pub(crate) fn number_bytes(number: u64) -> u64 {
    u64::from(number.checked_ilog2().unwrap_or(0)) / 7 + 1
}

/// Appends a text as [`Cursor::text`] reads it.
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}
