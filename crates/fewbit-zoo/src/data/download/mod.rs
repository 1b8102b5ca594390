//! Data sets from where their makers put them, into a folder for what can be had again.
//!
//! A file is at its place only whole and with the right checksum. Until then what came of it is in `NAME.part`, which
//! the next download goes on with, whatever ended the one before.

mod cache;
mod checksum;
mod error;
mod part;
mod sources;
mod transfer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;

pub use self::cache::cache_folder;
pub use self::checksum::CheckSum;
pub use self::error::DownloadError;
pub use self::sources::Source;
use super::DataSetKind;

/// How long a server may take to be there.
const CONNECT: Duration = Duration::from_secs(30);
/// How long it may send nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// Downloads what is not there yet of a data set; the folder that it is in comes back, a path as `--data` takes it.
///
/// The folder is the set's name in [`cache_folder`]. `progress` is told how many bytes of how many are there, those of
/// files that were there before included.
///
/// # Errors
/// [`DownloadError::NoSource`] for a set that has no address, and those of [`cache_folder`] and [`fetch`].
pub fn fetch_set(kind: DataSetKind, progress: &mut dyn FnMut(u64, u64)) -> Result<PathBuf, DownloadError> {
    let sources = kind.sources();
    if sources.is_empty() {
        return Err(DownloadError::NoSource { kind });
    }
    let folder = cache_folder()?.join(kind.name());
    let bytes: u64 = sources.iter().map(|source| source.bytes).sum();
    let mut before = 0;
    for source in sources {
        fetch(source, &folder, &mut |done, _| progress(before + done, bytes))?;
        before += source.bytes;
    }
    Ok(folder)
}

/// Downloads a file into a folder, which is made where it is not there; the file's path comes back.
///
/// A file of the right name and length that is there is taken as it is: it had the right checksum when it was put
/// there, and what reads it has checksums of its own. `progress` is told how many bytes of how many are there. The
/// part that an earlier download left is gone on with, and a connection that ends early is made anew a few times, as
/// long as each brings something. That a part is of the same file is seen at the end, by the checksum.
///
/// # Errors
/// [`DownloadError`]. What came is kept, but for one: of a file that is longer than it should be, or has another check
/// sum, nothing is left.
pub fn fetch(
    source: &Source<'_>,
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, DownloadError> {
    transfer::fetch(&agent(), source, folder, progress)
}

fn agent() -> Agent {
    Agent::config_builder()
        .https_only(true)
        .http_status_as_error(false)
        .user_agent(concat!("fewbit/", env!("CARGO_PKG_VERSION")))
        // What is packed stays packed: the lengths and checksums are those of the file.
        .accept_encoding("identity")
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(SILENCE))
        .build()
        .new_agent()
}

#[cfg(test)]
mod tests;
