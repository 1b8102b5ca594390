//! Why a file could not be downloaded.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::CheckSum;
use crate::data::DataSetKind;

/// Why a file could not be downloaded, with its address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The set has no address.
    #[error("data set `{kind}` cannot be downloaded; get {}", kind.where_to_get())]
    NoSource {
        /// The set that was asked for.
        kind: DataSetKind,
    },
    /// The environment names no place for downloads.
    #[error("no folder for downloads: neither FEWBIT_CACHE nor the home folder is set")]
    NoCacheFolder,
    /// Another process is downloading the same file.
    #[error("`{}` is being downloaded by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// No answer: no network, no such host, no trusted certificate.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// An answer that is not the file.
    #[error("{address} answers with status {found}, 200 needed")]
    Status {
        /// The address.
        address: String,
        /// The status; 206 is a part of the file other than the one that was asked for.
        found: u16,
    },
    /// The connection ended early; what came is kept.
    #[error("{address}: the connection ended after {done} of {bytes} bytes: {source}")]
    Interrupted {
        /// The address.
        address: String,
        /// Bytes that are here.
        done: u64,
        /// Bytes of the file.
        bytes: u64,
        /// The cause.
        source: io::Error,
    },
    /// The file there has another length.
    #[error("{address}: {} bytes found, {needed} needed", LengthFound(*found, *needed))]
    Length {
        /// The address.
        address: String,
        /// Bytes of the file there; one above the need is where reading stopped.
        found: u64,
        /// Bytes it should have.
        needed: u64,
    },
    /// The file there is another.
    #[error("{address}: SHA-256 {found} found, {needed} needed")]
    CheckSum {
        /// The address.
        address: String,
        /// What came.
        found: CheckSum,
        /// What should have come.
        needed: CheckSum,
    },
    /// The disk.
    #[error("cannot download to `{}`: {action} failed: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
}

impl DownloadError {
    /// What a person can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCacheFolder => Some("set FEWBIT_CACHE to a folder"),
            Self::Busy { .. } => Some("wait until it is there, then give the same command again"),
            Self::Unreachable { .. } => {
                Some("without a network, get the files on another machine and pass their folder by `--data`")
            }
            Self::Interrupted { .. } => Some("the same command goes on where it ended"),
            Self::Status { .. } | Self::Length { .. } | Self::CheckSum { .. } => {
                Some("the file may have moved: get it by hand and pass its folder by `--data`")
            }
            _ => None,
        }
    }

    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { path: path.to_owned(), action, source }
    }
}

/// Prints a count of bytes; one above the need is where reading stopped, so "more than" is all that is known.
struct LengthFound(u64, u64);

impl std::fmt::Display for LengthFound {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(found, needed) = *self;
        if found == needed + 1 { write!(out, "more than {needed}") } else { write!(out, "{found}") }
    }
}
