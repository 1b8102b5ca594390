//! What has come of a file so far.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use fewbit::disk::{Disk, SystemDisk};
use sha2::{Digest, Sha256};

use super::{CheckSum, DownloadError, Source};

/// The beginning of a file, on disk, and its checksum.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    sum: Sha256,
}

impl Part {
    /// What an earlier download left at `path`, or nothing; what is longer than `most` bytes is no beginning.
    pub(super) fn open(path: PathBuf, most: u64) -> Result<Self, DownloadError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(DownloadError::disk("opening", &path))?;
        let mut part = Self { path, file, length: 0, sum: Sha256::new() };
        part.read_back().map_err(DownloadError::disk("reading back", &part.path))?;
        if part.length > most {
            part.clear()?;
        }
        Ok(part)
    }

    fn read_back(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.sum.update(&buffer[..count]);
                    self.length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Bytes that are there.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.file.write_all(bytes).map_err(DownloadError::disk("writing", &self.path))?;
        self.sum.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what is there.
    pub(super) fn clear(&mut self) -> Result<(), DownloadError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(DownloadError::disk("emptying", &self.path))?;
        self.length = 0;
        self.sum = Sha256::new();
        Ok(())
    }

    /// Puts the whole file at `target`; if it has another checksum, nothing of it is left.
    pub(super) fn finish(self, source: &Source<'_>, target: &Path) -> Result<(), DownloadError> {
        let Self { path, file, sum, .. } = self;
        let found = CheckSum::new(sum.finalize().into());
        if found != source.sha256 {
            drop(file);
            fs::remove_file(&path).map_err(DownloadError::disk("removing what is damaged", &path))?;
            let address = source.address.to_owned();
            return Err(DownloadError::CheckSum { address, found, needed: source.sha256 });
        }
        file.sync_all().map_err(DownloadError::disk("syncing", &path))?;
        // Some systems do not rename a file that is open.
        drop(file);
        let renamed = SystemDisk.rename(&path, target);
        renamed.map_err(DownloadError::disk("renaming what came", target))?;
        let folder = target.parent().unwrap_or(Path::new("."));
        SystemDisk.sync_folder(folder).map_err(DownloadError::disk("syncing the folder", folder))
    }
}
