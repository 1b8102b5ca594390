//! The folder of one run: `recipe.toml`, `metrics.jsonl`, `checkpoints/` and at the end
//! `model.fewbit`. One process at a time trains in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fewbit::atomic::{AtomicWriteError, remove_scratch_files, write_atomically, write_atomically_on};
use fewbit::disk::{Disk, OpenFile, SystemDisk};

/// The finished file.
pub const MODEL_FILE: &str = "model.fewbit";
/// The float network at the end of its training, as a file of its own.
pub const FLOAT_FILE: &str = "float.fewbit";
/// The weights that a run starts from, where it does not start from random ones.
pub const INITIAL_FILE: &str = "initial.fewbit";
/// The trained network that a run learns from, where that is another than its own float network.
pub const TEACHER_FILE: &str = "teacher.fewbit";
/// One JSON object per line.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// The resolved recipe.
pub const RECIPE_FILE: &str = "recipe.toml";
/// Where the data was read from, on this machine.
const DATA_PATH_FILE: &str = "data-path.txt";
/// Where checkpoints lie.
pub const CHECKPOINT_FOLDER: &str = "checkpoints";
/// Locked by the process that trains; the system unlocks it when that process ends, however it does.
const LOCK_FILE: &str = "run.lock";

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFolderError {
    /// Something is there already.
    #[error("`{}` already exists", .0.display())]
    Exists(PathBuf),
    /// It is no run folder.
    #[error("`{}` is not a run folder: it has no `{RECIPE_FILE}`", .0.display())]
    NotARun(PathBuf),
    /// Another process trains in it.
    #[error("another process is training in `{}`", .0.display())]
    Busy(PathBuf),
    /// A file of it could not be written.
    #[error(transparent)]
    Write(#[from] AtomicWriteError),
    /// The metrics are shorter than they were.
    #[error(
        "`{}` has {found} bytes, {needed} were written before the checkpoint",
        path.display()
    )]
    MetricsCut {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// Its length at the checkpoint.
        needed: u64,
    },
    /// Reading or writing failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl RunFolderError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// An open run folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    metrics: Option<Box<dyn OpenFile>>,
    /// Held as long as this is there.
    lock: Option<File>,
}

impl RunFolder {
    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), disk: Arc::new(SystemDisk), metrics: None, lock: None }
    }

    /// Makes a run folder with its recipe and `more` files, each with its name. It appears under its name whole:
    /// built beside, then renamed.
    ///
    /// # Errors
    /// [`RunFolderError`] where something is there already or it cannot be made.
    pub fn create_with(path: &Path, recipe: &str, more: &[(&str, &[u8])]) -> Result<Self, RunFolderError> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(RunFolderError::Exists(path.to_owned()));
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(RunFolderError::io("make the folder", parent))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let scratch = parent.join(format!(".{name}.{}", std::process::id()));
        let built = build(&scratch, recipe, more).and_then(|()| {
            let named = fs::rename(&scratch, path).and_then(|()| SystemDisk.sync_folder(parent));
            named.map_err(RunFolderError::io("make the run folder", path))
        });
        if built.is_err() {
            // Best effort: the error that matters is the one already in hand.
            let _ = fs::remove_dir_all(&scratch);
        }
        built?;
        Ok(Self::at(path))
    }

    /// Makes a run folder with nothing but its recipe, as [`create_with`](Self::create_with) does.
    ///
    /// # Errors
    /// As [`create_with`](Self::create_with).
    pub fn create(path: &Path, recipe: &str) -> Result<Self, RunFolderError> {
        Self::create_with(path, recipe, &[])
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    /// [`RunFolderError::NotARun`] where `path` holds no recipe.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        if !path.join(RECIPE_FILE).is_file() {
            return Err(RunFolderError::NotARun(path.to_owned()));
        }
        Ok(Self::at(path))
    }

    /// Writes on another disk than the system's from now on.
    #[must_use]
    pub fn on(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Keeps all other processes from training here until this is dropped or the process ends, and removes
    /// what one that was killed has left half written. A second call does nothing.
    ///
    /// # Errors
    /// [`RunFolderError::Busy`] where another process, or another `RunFolder`, has it.
    pub fn lock(&mut self) -> Result<(), RunFolderError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = self.path.join(LOCK_FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(RunFolderError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RunFolderError::Busy(self.path.clone())),
            // A file system without locks: better unguarded than not at all.
            Err(TryLockError::Error(_)) => {}
        }
        self.lock = Some(file);
        remove_scratch_files(&self.path);
        remove_scratch_files(&self.path.join(CHECKPOINT_FOLDER));
        Ok(())
    }

    /// Removes a file for good.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)?;
        self.disk.sync_folder(path.parent().unwrap_or(&self.path))
    }

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// [`AtomicWriteError`], which names the path.
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<(), AtomicWriteError> {
        write_atomically_on(&*self.disk, &self.path.join(name), |file| file.write_all(bytes))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The recipe that the run was started with.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn recipe(&self) -> Result<String, RunFolderError> {
        let path = self.path.join(RECIPE_FILE);
        fs::read_to_string(&path).map_err(RunFolderError::io("read", &path))
    }

    /// Keeps another recipe from now on.
    ///
    /// # Errors
    /// [`AtomicWriteError`], which names the path.
    pub fn set_recipe(&self, recipe: &str) -> Result<(), AtomicWriteError> {
        self.write(RECIPE_FILE, recipe.as_bytes())
    }

    /// The path that the data was read from, if the run reads any.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn data_path(&self) -> Result<Option<PathBuf>, RunFolderError> {
        let path = self.path.join(DATA_PATH_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(PathBuf::from(text.trim_end_matches('\n')))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RunFolderError::io("read", &path)(error)),
        }
    }

    /// Notes where the data is, so that the folder is enough to resume.
    ///
    /// # Errors
    /// [`RunFolderError::Write`].
    pub fn set_data_path(&self, data: Option<&Path>) -> Result<(), RunFolderError> {
        let Some(data) = data else { return Ok(()) };
        Ok(self.write(DATA_PATH_FILE, format!("{}\n", data.display()).as_bytes())?)
    }

    /// Cuts the metrics to their first `bytes`, as they were at a checkpoint, and appends from there.
    pub(crate) fn rewind_metrics(&mut self, bytes: u64) -> Result<(), RunFolderError> {
        let path = self.path.join(METRICS_FILE);
        let open = || {
            let mut file = self.disk.append(&path)?;
            // The name of one that was made just now must not be lost, as checkpoints count on its rows.
            self.disk.sync_folder(&self.path)?;
            let found = file.length()?;
            if found > bytes {
                file.cut(bytes)?;
            }
            Ok((file, found))
        };
        let (file, found) = open().map_err(RunFolderError::io("write", &path))?;
        if found < bytes {
            return Err(RunFolderError::MetricsCut { path, found, needed: bytes });
        }
        self.metrics = Some(file);
        Ok(())
    }

    /// Appends a row to the metrics and hands it to the operating system.
    pub(crate) fn append_metrics(&mut self, row: &[u8]) -> Result<(), RunFolderError> {
        let path = self.path.join(METRICS_FILE);
        self.open_metrics()?.write_all(row).map_err(RunFolderError::io("write", &path))
    }

    /// The length of the metrics, once all of it is on the disk.
    pub(crate) fn sync_metrics(&mut self) -> Result<u64, RunFolderError> {
        let path = self.path.join(METRICS_FILE);
        let file = self.open_metrics()?;
        file.sync().and_then(|()| file.length()).map_err(RunFolderError::io("write", &path))
    }

    fn open_metrics(&mut self) -> Result<&mut Box<dyn OpenFile>, RunFolderError> {
        if self.metrics.is_none() {
            self.rewind_metrics(0)?;
        }
        self.metrics.as_mut().ok_or_else(|| RunFolderError::NotARun(self.path.clone()))
    }
}

fn build(scratch: &Path, recipe: &str, more: &[(&str, &[u8])]) -> Result<(), RunFolderError> {
    let checkpoints = scratch.join(CHECKPOINT_FOLDER);
    fs::create_dir_all(&checkpoints).map_err(RunFolderError::io("make the folder", &checkpoints))?;
    write_atomically(&scratch.join(RECIPE_FILE), recipe.as_bytes())?;
    more.iter().try_for_each(|(name, bytes)| Ok(write_atomically(&scratch.join(name), bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_folder_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        RunFolder::create(&path, "name = \"a\"").unwrap();
        let error = RunFolder::create(&path, "name = \"b\"").unwrap_err();
        assert!(matches!(error, RunFolderError::Exists(_)), "{error}");
        assert_eq!(RunFolder::open(&path).unwrap().recipe().unwrap(), "name = \"a\"");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no scratch folder is left");
    }

    #[test]
    fn a_folder_below_a_file_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = RunFolder::create(&file.join("run"), "").unwrap_err();
        assert!(matches!(error, RunFolderError::Io { .. }), "{error}");
    }

    #[test]
    fn one_at_a_time_trains_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let mut first = RunFolder::create(&path, "").unwrap();
        first.lock().unwrap();
        first.lock().unwrap();
        let mut second = RunFolder::open(&path).unwrap();
        assert!(matches!(second.lock(), Err(RunFolderError::Busy(_))));
        fs::write(path.join(CHECKPOINT_FOLDER).join(".fewbit-1-0.tmp"), "half").unwrap();
        drop(first);
        second.lock().unwrap();
        assert_eq!(fs::read_dir(path.join(CHECKPOINT_FOLDER)).unwrap().count(), 0, "what was left is gone");
    }

    #[test]
    fn rewinding_cuts_what_came_after_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let mut run = RunFolder::create(&path, "").unwrap();
        run.append_metrics(b"one\ntwo\n").unwrap();
        run.rewind_metrics(4).unwrap();
        run.append_metrics(b"2\n").unwrap();
        assert_eq!(fs::read_to_string(path.join(METRICS_FILE)).unwrap(), "one\n2\n");
    }
}
