//! What every run of a sweep is given: the weights to start from, where they are not random, and who teaches.

use std::fs;
use std::path::{Path, PathBuf};

use fewbit::StoredModel;
use fewbit::atomic::write_atomically;
use fewbit_burn::train::{INITIAL_FILE, MODEL_FILE, TEACHER_FILE};
use fewbit_checkpoint::Checkpoint;
use fewbit_zoo::TeacherNetwork;
use fewbit_zoo::recipe::Recipe;

use crate::args::SweepArgs;
use crate::commands::checkpoint_failure;
use crate::failure::Failure;
use crate::runs::has_checkpoint;

/// The checkpoint and the teacher, as far as there are any.
pub(super) struct Start {
    initial: Option<(StoredModel, Kept)>,
    teacher: Option<Kept>,
}

/// A file that each run keeps.
struct Kept {
    /// Where it came from.
    path: PathBuf,
    bytes: Vec<u8>,
}

/// How what is given is spoken of.
struct Words {
    file: &'static str,
    option: &'static str,
    given: &'static str,
    without: &'static str,
}

const INITIAL: Words =
    Words { file: INITIAL_FILE, option: "--from", given: "a checkpoint", without: "random weights" };
const TEACHER: Words =
    Words { file: TEACHER_FILE, option: "--teacher", given: "a teacher", without: "no teacher" };

impl Start {
    /// What the arguments name.
    pub(super) fn read(args: &SweepArgs) -> Result<Self, Failure> {
        let initial = args.from.as_deref().map(initial).transpose()?;
        let kept = |path: &Path| -> Result<Kept, Failure> {
            Ok(Kept { path: path.to_owned(), bytes: fewbit::read_file(path)?.into_bytes() })
        };
        Ok(Self { initial, teacher: args.teacher.as_deref().map(kept).transpose()? })
    }

    /// Whether the weights are those of the recipe's network, and the teacher knows what it learns.
    pub(super) fn check_fits(&self, recipe: &Recipe) -> Result<(), Failure> {
        if let Some((weights, kept)) = &self.initial {
            fewbit_zoo::as_network_of(recipe, weights).map_err(|error| kept.failure(error))?;
        }
        if let Some(kept) = &self.teacher {
            TeacherNetwork::of_file(&kept.bytes, recipe).map_err(|error| kept.failure(error))?;
        }
        Ok(())
    }

    /// Leaves what is given, and nothing else, in the run folder `run`, where a run that has no checkpoint finds it.
    pub(super) fn put_in(&self, run: &Path) -> Result<(), Failure> {
        for (words, kept) in self.kept() {
            let file = run.join(words.file);
            match kept {
                Some(kept) => write_atomically(&file, &kept.bytes)?,
                None if file.exists() => {
                    fs::remove_file(&file).map_err(|error| Failure::from(error).about(&file))?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Whether the run in the folder `run` was given what it would be given now; one that has not started may be given
    /// anything.
    pub(super) fn check_same(&self, run: &Path) -> Result<(), Failure> {
        if !has_checkpoint(run) && !run.join(MODEL_FILE).exists() {
            return Ok(());
        }
        for (words, given) in self.kept() {
            let path = given.map(|kept| kept.path.display().to_string());
            let (found, needed) = match (fs::read(run.join(words.file)).ok(), given, path) {
                (Some(kept), Some(given), _) if kept == given.bytes => continue,
                (Some(_), Some(_), Some(path)) => (words.given.replace("a ", "another "), path),
                (Some(_), ..) => (words.given.to_owned(), words.without.to_owned()),
                (None, Some(_), Some(path)) => (words.without.to_owned(), path),
                (None, ..) => continue,
            };
            let message = format!("`{}` started with {found}, a start with {needed} needed", run.display());
            let hint =
                format!("pass the same `{}` as before, or name another folder by `--out`", words.option);
            return Err(Failure::new(message).hint(hint));
        }
        Ok(())
    }

    fn kept(&self) -> [(Words, Option<&Kept>); 2] {
        [(INITIAL, self.initial.as_ref().map(|(_, kept)| kept)), (TEACHER, self.teacher.as_ref())]
    }
}

impl Kept {
    fn failure(&self, error: impl Into<Failure>) -> Failure {
        error.into().about(&self.path)
    }
}

/// The weights of the checkpoint at `path`, and the file that a run keeps of it.
fn initial(path: &Path) -> Result<(StoredModel, Kept), Failure> {
    let checkpoint = Checkpoint::open(path).map_err(checkpoint_failure)?;
    let weights = fewbit_zoo::import(&checkpoint).map_err(checkpoint_failure)?;
    let bytes = weights.to_bytes().map_err(|error| Failure::from(error).about(path))?;
    Ok((weights, Kept { path: path.to_owned(), bytes }))
}
