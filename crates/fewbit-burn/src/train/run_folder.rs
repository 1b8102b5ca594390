//! The folder of one run: `recipe.toml`, `metrics.jsonl`, `checkpoints/` and at the end
//! `model.fewbit`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The finished file.
pub const MODEL_FILE: &str = "model.fewbit";
/// The float network at the end of its training, as a file of its own.
pub const FLOAT_FILE: &str = "float.fewbit";
/// One JSON object per line.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// The resolved recipe.
pub const RECIPE_FILE: &str = "recipe.toml";
/// Where checkpoints lie.
pub const CHECKPOINT_FOLDER: &str = "checkpoints";

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
    metrics: Option<File>,
}

impl RunFolder {
    /// Makes a run folder with its recipe in it. It appears under its name whole: built beside, then
    /// renamed.
    ///
    /// # Errors
    /// [`RunFolderError`] where something is there already or it cannot be made.
    pub fn create(path: &Path, recipe: &str) -> Result<Self, RunFolderError> {
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
        let built = build(&scratch, recipe).and_then(|()| {
            fs::rename(&scratch, path).map_err(RunFolderError::io("make the run folder", path))
        });
        if built.is_err() {
            // Best effort: the error that matters is the one already in hand.
            let _ = fs::remove_dir_all(&scratch);
        }
        built?;
        Ok(Self { path: path.to_owned(), metrics: None })
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    /// [`RunFolderError::NotARun`] where `path` holds no recipe.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        if !path.join(RECIPE_FILE).is_file() {
            return Err(RunFolderError::NotARun(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), metrics: None })
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

    /// Cuts the metrics to their first `bytes`, as they were at a checkpoint, and appends from there.
    pub(crate) fn rewind_metrics(&mut self, bytes: u64) -> Result<(), RunFolderError> {
        let path = self.path.join(METRICS_FILE);
        let open = || {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.set_len(bytes)?;
            io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
            Ok(file)
        };
        self.metrics = Some(open().map_err(RunFolderError::io("write", &path))?);
        Ok(())
    }

    /// Appends rows to the metrics and hands them to the operating system.
    pub(crate) fn append_metrics(&mut self, rows: &[u8]) -> Result<(), RunFolderError> {
        if self.metrics.is_none() {
            self.rewind_metrics(0)?;
        }
        let path = self.path.join(METRICS_FILE);
        let Some(file) = &mut self.metrics else { return Ok(()) };
        file.write_all(rows).and_then(|()| file.flush()).map_err(RunFolderError::io("write", &path))
    }
}

fn build(scratch: &Path, recipe: &str) -> Result<(), RunFolderError> {
    let checkpoints = scratch.join(CHECKPOINT_FOLDER);
    fs::create_dir_all(&checkpoints).map_err(RunFolderError::io("make the folder", &checkpoints))?;
    let recipe_path = scratch.join(RECIPE_FILE);
    fs::write(&recipe_path, recipe).map_err(RunFolderError::io("write", &recipe_path))
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
