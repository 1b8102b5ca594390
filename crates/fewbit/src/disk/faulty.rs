//! A disk that fails when it is told to.

use std::fs::Permissions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Disk, OpenFile, SystemDisk};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One write takes half of its bytes, which a system may do at any time; nothing fails.
    ShortWrite,
    /// One write takes half of its bytes, and from then on the disk is full.
    DiskFull,
    /// One write fails, as on a broken disk.
    BrokenWrite,
    /// One sync, of a file or of a folder, fails.
    FailedSync,
    /// One rename fails.
    FailedRename,
    /// The process has died: nothing happens any more.
    Death,
}

/// The system's disk, with one [`Fault`] at one of the operations that it concerns.
#[derive(Clone, Debug)]
pub struct FaultyDisk {
    fault: Fault,
    at: usize,
    /// Operations so far that the fault concerns.
    seen: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Sync,
    Rename,
    Other,
}

impl FaultyDisk {
    /// A disk on which `fault` is at operation `at`, counted from 0, of those that it concerns.
    pub fn new(fault: Fault, at: usize) -> Self {
        Self { fault, at, seen: Arc::default() }
    }

    /// Whether the fault has been there.
    pub fn has_struck(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > self.at
    }

    /// Whether the fault is at this operation.
    fn strikes(&self, operation: Operation) -> bool {
        let concerns = match self.fault {
            Fault::ShortWrite | Fault::DiskFull | Fault::BrokenWrite => operation == Operation::Write,
            Fault::FailedSync => operation == Operation::Sync,
            Fault::FailedRename => operation == Operation::Rename,
            Fault::Death => true,
        };
        if !concerns {
            return false;
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::DiskFull | Fault::Death => number >= self.at,
            _ => number == self.at,
        }
    }

    fn check(&self, operation: Operation) -> io::Result<()> {
        if self.strikes(operation) { Err(broken()) } else { Ok(()) }
    }

    fn wrap(&self, file: Box<dyn OpenFile>) -> Box<dyn OpenFile> {
        Box::new(FaultyFile { file, disk: self.clone() })
    }
}

fn broken() -> io::Error {
    io::Error::other("input/output error (injected)")
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.check(Operation::Other)?;
        Ok(self.wrap(SystemDisk.create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.check(Operation::Other)?;
        Ok(self.wrap(SystemDisk.append(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Operation::Rename)?;
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Operation::Other)?;
        SystemDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.check(Operation::Sync)?;
        SystemDisk.sync_folder(folder)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn OpenFile>,
    disk: FaultyDisk,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.disk.strikes(Operation::Write) {
            return self.file.write(bytes);
        }
        let half = &bytes[..bytes.len() / 2];
        match self.disk.fault {
            Fault::ShortWrite if !half.is_empty() => self.file.write(half),
            Fault::ShortWrite => self.file.write(bytes),
            Fault::DiskFull => {
                self.file.write_all(half)?;
                Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device (injected)"))
            }
            _ => Err(broken()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl OpenFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.check(Operation::Sync)?;
        self.file.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.disk.check(Operation::Other)?;
        self.file.cut(bytes)
    }

    fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.disk.check(Operation::Other)?;
        self.file.set_permissions(permissions)
    }
}
