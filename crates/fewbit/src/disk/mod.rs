//! The disk as code that writes sees it, so that tests can put one in its place that fails.

mod faulty;

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::Path;

pub use faulty::{Fault, FaultyDisk};

/// What is done to a disk when files are written.
pub trait Disk: Debug + Send + Sync {
    /// A new, empty file to write.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where something is there, and whatever the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// The file at `path` to write on at its end, made where it is not there.
    ///
    /// # Errors
    /// Whatever the system says.
    fn append(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Gives the file or folder `from` the name `to`.
    ///
    /// # Errors
    /// Whatever the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns once the names in `folder` are on the disk.
    ///
    /// # Errors
    /// Whatever the system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait OpenFile: Debug + Send + Write {
    /// Returns once what was written is on the disk.
    ///
    /// # Errors
    /// Whatever the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file to its first `bytes`; what comes is written behind them.
    ///
    /// # Errors
    /// Whatever the system says.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;

    /// Who may do what with it.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_permissions(&self, permissions: Permissions) -> io::Result<()>;
}

/// The disk that there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(OpenOptions::new().append(true).create(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match File::open(folder)?.sync_all() {
            // Some network file systems cannot sync a folder; the file itself is synced.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    #[cfg(not(unix))]
    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl OpenFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        Self::set_permissions(self, permissions)
    }
}
