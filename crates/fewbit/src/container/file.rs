//! A file's bytes from its path, with errors that name the path.

use std::fs;
use std::path::Path;

use super::{ContainerReader, ReadFileError};

/// A reader of the file at `path`, all checksums compared.
///
/// # Errors
/// [`ReadFileError`] with the path: it cannot be read, is no regular file, or its content is not, or
/// no longer, a fewbit file.
pub fn read_file(path: &Path) -> Result<ContainerReader<Vec<u8>>, ReadFileError> {
    ContainerReader::new(read_bytes(path)?)
        .map_err(|source| ReadFileError::Format { path: path.to_owned(), source })
}

/// A file's bytes, whatever they are.
///
/// # Errors
/// [`ReadFileError`] with the path: it cannot be read or is no regular file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, ReadFileError> {
    let io = |source| ReadFileError::Io { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(io)?;
    // A device may have no end, a pipe no writer.
    if !found.is_file() {
        let found = if found.is_dir() { "a folder" } else { "a device, pipe or socket" };
        return Err(ReadFileError::NotAFile { path: path.to_owned(), found });
    }
    fs::read(path).map_err(io)
}
