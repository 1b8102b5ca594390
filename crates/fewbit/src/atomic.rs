//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Disk, OpenFile, SystemDisk};

/// Why a file could not be written; what was at the path before is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AtomicWriteError {
    /// The path leads to something that a file must not replace.
    #[error("cannot write {path}: it is {found}, not a file", path = path.display())]
    NotAFile {
        /// The path that was to be written.
        path: PathBuf,
        /// What is there: `a folder` or `a device, pipe or socket`.
        found: &'static str,
    },
    /// The path ends in nothing that could name a file.
    #[error("cannot write {path}: it names no file", path = path.display())]
    NoFileName {
        /// The path that was to be written.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot write {path}: {action} failed", path = path.display())]
    Io {
        /// The path that was to be written.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Writes a file, so that at every moment the path holds its old content or the new, never a part.
///
/// The bytes go to a scratch file in the same folder, are synced to the disk, and the scratch file is
/// renamed; then the folder is synced too. A link is followed, and the permissions of a file that is
/// replaced are kept. When an error comes back the scratch file is gone and the old file is untouched,
/// unless it was the last step, the folder's sync, that failed.
///
/// # Errors
/// [`AtomicWriteError`], which names the path: a folder or a device is there, the file there is
/// read-only, the folder does not exist or cannot be written, the disk is full.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), AtomicWriteError> {
    write_atomically_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomically`], of what `write` writes, so that it need not be in memory as a whole.
///
/// # Errors
/// [`AtomicWriteError`], as [`write_atomically`] does, or what `write` returns.
pub fn write_atomically_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), AtomicWriteError> {
    write_atomically_on(&SystemDisk, path, write)
}

/// As [`write_atomically_with`], on a disk that may be another than the system's.
///
/// # Errors
/// As [`write_atomically_with`].
pub fn write_atomically_on(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), AtomicWriteError> {
    let failed = |action| move |source| AtomicWriteError::Io { path: path.to_owned(), action, source };
    let (target, replaced) = resolve(path)?;
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let (mut scratch, file) =
        Scratch::create(disk, folder).map_err(failed("creating a scratch file beside it"))?;
    let mut buffered = BufWriter::new(file);
    write(&mut buffered).map_err(failed("writing"))?;
    let mut file = buffered.into_inner().map_err(|error| failed("writing")(error.into_error()))?;
    if let Some(permissions) = replaced {
        file.set_permissions(permissions).map_err(failed("keeping its permissions"))?;
    }
    file.sync().map_err(failed("syncing"))?;
    // Some systems do not rename a file that is open.
    drop(file);
    disk.rename(&scratch.path, &target).map_err(failed("renaming the scratch file"))?;
    scratch.renamed = true;
    disk.sync_folder(folder).map_err(failed("syncing its folder"))
}

/// Where the file really goes, and the permissions of the one that is there.
fn resolve(path: &Path) -> Result<(PathBuf, Option<fs::Permissions>), AtomicWriteError> {
    let failed = |action, source| AtomicWriteError::Io { path: path.to_owned(), action, source };
    if path.file_name().is_none() {
        return Err(AtomicWriteError::NoFileName { path: path.to_owned() });
    }
    let link = match fs::symlink_metadata(path) {
        Ok(found) => found.is_symlink(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((path.to_owned(), None));
        }
        Err(error) => return Err(failed("looking at the path", error)),
    };
    let target = if link {
        fs::canonicalize(path).map_err(|error| failed("following the link", error))?
    } else {
        path.to_owned()
    };
    let found = fs::metadata(&target).map_err(|error| failed("looking at the path", error))?;
    if !found.is_file() {
        return Err(AtomicWriteError::NotAFile {
            path: path.to_owned(),
            found: if found.is_dir() { "a folder" } else { "a device, pipe or socket" },
        });
    }
    let permissions = found.permissions();
    if permissions.readonly() {
        // A rename would not ask.
        let denied = io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only");
        return Err(failed("replacing it", denied));
    }
    Ok((target, Some(permissions)))
}

/// Removes what writers that were killed have left in `folder`. No other may be writing there.
pub fn remove_scratch_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(SCRATCH_START) && name.ends_with(SCRATCH_END) {
            // It takes room and does no other harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// How the names of scratch files begin and end.
const SCRATCH_START: &str = ".fewbit-";
const SCRATCH_END: &str = ".tmp";

/// A file beside the target that goes away unless it was renamed.
struct Scratch<'d> {
    disk: &'d dyn Disk,
    path: PathBuf,
    renamed: bool,
}

impl<'d> Scratch<'d> {
    fn create(disk: &'d dyn Disk, folder: &Path) -> io::Result<(Self, Box<dyn OpenFile>)> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            // Short, whatever the target's name, which may be as long as names can be.
            let name = format!("{SCRATCH_START}{}-{number}{SCRATCH_END}", std::process::id());
            let path = folder.join(name);
            match disk.create(&path) {
                Ok(file) => return Ok((Self { disk, path, renamed: false }, file)),
                // Left behind by a process that was killed, or of another machine on a shared disk.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // The error that led here is the one to tell.
            let _ = self.disk.remove(&self.path);
        }
    }
}
