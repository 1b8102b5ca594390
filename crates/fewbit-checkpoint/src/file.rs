//! A file that is read in places.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Fault, FormatError};

/// An open file, its path and its length when it was opened.
#[derive(Debug)]
pub(crate) struct ByteFile {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    file: Mutex<File>,
}

impl ByteFile {
    /// The file of a path; an error for anything that has no end.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Asked before it is opened, as opening a pipe waits for a writer.
        if !path.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        let file = File::open(path)?;
        Ok(Self { path: path.to_owned(), len: file.metadata()?.len(), file: Mutex::new(file) })
    }

    /// Fills `bytes` from a place in the file.
    pub(crate) fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }

    /// So many bytes from a place, which is first compared with the file's length.
    pub(crate) fn bytes_at(&self, what: &str, offset: u64, count: usize) -> Result<Vec<u8>, Fault> {
        self.check(what, offset, count as u64)?;
        let mut bytes = vec![0; count];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// An error unless so many bytes are at a place.
    pub(crate) fn check(&self, what: &str, offset: u64, needed: u64) -> Result<(), FormatError> {
        let found = self.len.saturating_sub(offset);
        if needed <= found {
            return Ok(());
        }
        Err(FormatError::Truncated { what: what.to_owned(), offset, needed, found })
    }
}
