//! The files of a tar archive, plain or gzip, that a stranger made.

use std::io::{self, Read};
use std::path::Path;

use super::{DataError, bounded};

/// A tar archive ends with two blocks of zeros.
const END_BYTES: u64 = 1_024;

/// Hands every regular file of an archive to `visit`, in the archive's order, with its path inside.
///
/// `visit` returns how many bytes it read, `None` where it passed the file over. Links, devices and the rest are
/// passed over here.
///
/// # Errors
/// What `visit` returns; [`DataError::Length`] with the place of a file that is cut, or with the archive if its end
/// is missing; [`DataError::Read`] if it is no archive or its checksum is wrong.
pub(super) fn each_file(
    path: &Path,
    mut visit: impl FnMut(&Path, &mut dyn Read) -> Result<Option<u64>, DataError>,
) -> Result<(), DataError> {
    let mut archive = tar::Archive::new(ZeroTail { source: bounded::open(path)?, zeros: 0 });
    // Raw: long-name extensions, which would be read whole into memory, are entries like any other. A name of
    // these sets fits the plain header.
    let entries = archive.entries().map_err(DataError::read(path))?.raw(true);
    for entry in entries {
        let mut entry = entry.map_err(DataError::read(path))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let inside = entry.path().map_err(DataError::read(path))?.into_owned();
        let needed = entry.size();
        if let Some(found) = visit(&inside, &mut entry)?.filter(|found| *found != needed) {
            let contents = "this entry of the archive".into();
            return Err(DataError::Length { path: path.join(&inside), found, needed, contents });
        }
    }
    let mut rest = archive.into_inner();
    // To the end, because only there a gzip stream's checksum is compared.
    io::copy(&mut rest, &mut io::sink()).map_err(DataError::read(path))?;
    if rest.zeros < END_BYTES {
        return Err(DataError::Length {
            path: path.to_owned(),
            found: rest.zeros,
            needed: END_BYTES,
            contents: "the zeros that end a tar archive (it is cut, or no tar)".into(),
        });
    }
    Ok(())
}

/// Passes a stream through and knows how many zeros it last read in a row.
struct ZeroTail {
    source: Box<dyn Read>,
    zeros: u64,
}

impl Read for ZeroTail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        let read = &buffer[..count];
        match read.iter().rposition(|&byte| byte != 0) {
            Some(last) => self.zeros = (count - 1 - last) as u64,
            None => self.zeros += count as u64,
        }
        Ok(count)
    }
}
