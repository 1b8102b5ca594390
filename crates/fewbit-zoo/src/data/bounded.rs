//! Reading a file that a stranger made: plain or gzip, never more than a limit into memory.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::DataError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A file's contents as a stream, decompressed if its first two bytes are those of gzip.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let mut file = File::open(path).map_err(DataError::read(path))?;
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    (&mut file).take(GZIP_MAGIC.len() as u64).read_to_end(&mut start).map_err(DataError::read(path))?;
    file.seek(SeekFrom::Start(0)).map_err(DataError::read(path))?;
    let file = BufReader::with_capacity(1 << 16, file);
    Ok(if start == GZIP_MAGIC { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// A file's contents, decompressed if it is gzip.
///
/// # Errors
/// [`DataError::TooLarge`] if they are longer than `limit`, which is found out without reading on.
pub(super) fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let contents = take(&mut open(path)?, limit.saturating_add(1), path)?;
    if contents.len() as u64 > limit {
        return Err(DataError::TooLarge { path: path.to_owned(), limit, unit: "bytes" });
    }
    Ok(contents)
}

/// The next `limit` bytes of a stream, or what is left of it.
pub(super) fn take(source: &mut dyn Read, limit: u64, path: &Path) -> Result<Vec<u8>, DataError> {
    // Nothing is reserved on the word of a header: the buffer grows with what is really there.
    let mut contents = Vec::new();
    source.take(limit).read_to_end(&mut contents).map_err(DataError::read(path))?;
    Ok(contents)
}
