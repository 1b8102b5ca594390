//! A pickle's bytes, read from the file as the machine gets to them.

use std::ops::Range;

use crate::error::{Fault, FormatError, check_limit};
use crate::file::ByteFile;

/// Bytes that are read ahead.
const AHEAD: u64 = 16 << 10;

/// Bytes of a part of a file, kept from its beginning to as far as was read.
///
/// Texts of a pickle stay here and are referred to by their place.
pub(crate) struct Input<'a> {
    file: &'a ByteFile,
    /// The part of the file, and most of its bytes that may be read.
    part: Range<u64>,
    limit: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(file: &'a ByteFile, part: Range<u64>, limit: usize) -> Self {
        // Places are 32 bits wide.
        Self { file, part, limit: limit.min(u32::MAX as usize), bytes: Vec::new(), at: 0 }
    }

    /// Where the next byte is in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.part.start + self.at as u64
    }

    /// All bytes that were read.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The place of the next bytes, which are passed.
    pub(crate) fn take(&mut self, what: &'static str, count: u64) -> Result<Range<usize>, Fault> {
        let here = self.at as u64;
        let available = self.part.end - self.part.start - here;
        if count > available {
            let (what, offset) = (what.to_owned(), self.offset());
            return Err(FormatError::Truncated { what, offset, needed: count, found: available }.into());
        }
        let end = here + count;
        check_limit("bytes of a pickle", end, self.limit as u64)?;
        if end > self.bytes.len() as u64 {
            let known = self.bytes.len();
            let more = end.saturating_add(AHEAD).min(self.part.end - self.part.start).min(self.limit as u64);
            self.bytes.resize(more as usize, 0);
            self.file.read_at(self.part.start + known as u64, &mut self.bytes[known..])?;
        }
        self.at = end as usize;
        Ok(here as usize..end as usize)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Fault> {
        let place = self.take(what, N as u64)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[place]);
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>("an operation")?[0])
    }

    /// The place of what comes before the next line end, which is passed too.
    pub(crate) fn line(&mut self, longest: usize) -> Result<Range<usize>, Fault> {
        let start = self.at;
        for _ in 0..=longest {
            if self.byte()? == b'\n' {
                return Ok(start..self.at - 1);
            }
        }
        Err(FormatError::OverLimit {
            what: "bytes of a line",
            found: longest as u64 + 1,
            limit: longest as u64,
        }
        .into())
    }
}
