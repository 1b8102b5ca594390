//! Everything that a run needs to go on, in one checksummed file that is renamed into place.
//!
//! Layout: magic, length of the header, header (JSON), then burn's records of the model and of both
//! optimizers, then a CRC-32 of all that. Step, mode and position are not part of burn's records.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fewbit::Budget;
use serde::{Deserialize, Serialize};

use super::identity::{Difference, Identity, in_words};
use super::run_folder::{CHECKPOINT_FOLDER, RunFolder};

const MAGIC: &[u8; 8] = b"FEWBCKP2";
/// Newest checkpoints kept; the one before serves where the newest is damaged.
const KEPT: usize = 2;

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Writing failed; the checkpoint before is untouched.
    #[error(transparent)]
    Write(#[from] fewbit::atomic::AtomicWriteError),
    /// Reading failed.
    #[error("cannot read checkpoint `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Removing failed.
    #[error("cannot remove checkpoint `{}`", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The bytes are not what was written.
    #[error("checkpoint `{}` is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// burn cannot make or apply a record.
    #[error("checkpoint of step {step}: {source}")]
    Record {
        /// Optimizer steps done.
        step: u64,
        /// burn's word on it.
        source: burn::store::RecordError,
    },
    /// The checkpoint is of another run.
    #[error("checkpoint `{}` is of another run: {}", path.display(), in_words(differences))]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// In what the runs differ.
        differences: Vec<Difference>,
    },
}

/// What the records do not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) step: u64,
    pub(crate) quantized: bool,
    pub(crate) identity: Identity,
    pub(crate) metrics_bytes: u64,
    pub(crate) seconds: f64,
    /// What learning rates are multiplied with.
    pub(crate) rate_factor: f64,
    pub(crate) budget: Option<Budget>,
    /// Lengths of the records; known once they are.
    #[serde(default)]
    pub(crate) records: [u64; 3],
}

/// A checkpoint in memory.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) header: Header,
    /// Model, optimizer of the weights, optimizer of the bits.
    pub(crate) records: [Vec<u8>; 3],
}

impl Checkpoint {
    /// Writes the checkpoint into the run folder and removes all but the newest few.
    pub(crate) fn save(mut self, folder: &RunFolder) -> Result<(), CheckpointError> {
        self.header.records = [0, 1, 2].map(|i| self.records[i].len() as u64);
        let header = serde_json::to_vec(&self.header).expect("a header is plain data");
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(&header);
        self.records.iter().for_each(|record| bytes.extend(record));
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        folder.write(Path::new(CHECKPOINT_FOLDER).join(file_name(self.header.step)), &bytes)?;
        let old = list(folder.path())?.into_iter().rev().skip(KEPT);
        for (_, path) in old {
            // A checkpoint that cannot be removed does no harm.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Removes every checkpoint of more than `step` steps.
    pub(crate) fn remove_after(folder: &RunFolder, step: u64) -> Result<(), CheckpointError> {
        for (_, path) in list(folder.path())?.into_iter().filter(|(found, _)| *found > step) {
            folder.remove(&path).map_err(|source| CheckpointError::Remove { path, source })?;
        }
        Ok(())
    }

    /// Where it lies in its run's folder.
    pub(crate) fn path_in(&self, folder: &RunFolder) -> PathBuf {
        folder.path().join(CHECKPOINT_FOLDER).join(file_name(self.header.step))
    }

    /// The newest sound checkpoint of the run folder, and what is wrong with newer ones. `None` where
    /// there is none.
    pub(crate) fn newest(run: &Path) -> Result<(Option<Self>, Vec<CheckpointError>), CheckpointError> {
        Self::newest_before(run, u64::MAX)
    }

    /// As [`newest`](Self::newest), of those of fewer than `end` steps.
    pub(crate) fn newest_before(
        run: &Path,
        end: u64,
    ) -> Result<(Option<Self>, Vec<CheckpointError>), CheckpointError> {
        let mut damaged = Vec::new();
        for (_, path) in list(run)?.into_iter().rev().filter(|(step, _)| *step < end) {
            match fs::read(&path).map(|bytes| parse(&bytes)) {
                Ok(Ok(checkpoint)) => return Ok((Some(checkpoint), damaged)),
                Ok(Err(what)) => damaged.push(CheckpointError::Damaged { path, what: what.to_owned() }),
                Err(source) => damaged.push(CheckpointError::Read { path, source }),
            }
        }
        Ok((None, damaged))
    }
}

/// Where the checkpoint of a step lies.
fn file_name(step: u64) -> String {
    format!("step-{step:08}.ckpt")
}

/// The checkpoints of a run, oldest first.
fn list(run: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let folder = run.join(CHECKPOINT_FOLDER);
    let read = |source| CheckpointError::Read { path: folder.clone(), source };
    let mut found = Vec::new();
    match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(read(error)),
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(read)?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let step = name.strip_prefix("step-").and_then(|rest| rest.strip_suffix(".ckpt"));
                if let Some(step) = step.and_then(|digits| digits.parse().ok()) {
                    found.push((step, path));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

fn parse(bytes: &[u8]) -> Result<Checkpoint, &'static str> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as a checkpoint does")?;
    let (body, sum) = bytes
        .split_last_chunk::<4>()
        .map(|(body, sum)| (body, u32::from_le_bytes(*sum)))
        .ok_or("it is cut")?;
    if crc32fast::hash(body) != sum {
        return Err("its checksum differs");
    }
    let (len, rest) = rest.split_first_chunk::<4>().ok_or("it is cut")?;
    let (header, mut rest) =
        rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or("its header is cut")?;
    let header: Header = serde_json::from_slice(header).map_err(|_| "its header is unreadable")?;
    let mut records: [Vec<u8>; 3] = Default::default();
    for (record, &len) in records.iter_mut().zip(&header.records) {
        let (bytes, behind) = rest.split_at_checked(len as usize).ok_or("a record is cut")?;
        *record = bytes.to_vec();
        rest = behind;
    }
    Ok(Checkpoint { header, records })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fewbit::disk::{Fault, FaultyDisk};

    use super::*;

    fn checkpoint(step: u64) -> Checkpoint {
        let header = Header {
            step,
            quantized: true,
            identity: Identity::default(),
            metrics_bytes: 11,
            seconds: 1.5,
            rate_factor: 1.0,
            budget: None,
            records: [0; 3],
        };
        Checkpoint { header, records: [vec![1, 2], vec![], vec![3]] }
    }

    fn run_folder() -> (tempfile::TempDir, RunFolder) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&scratch.path().join("run"), "").unwrap();
        (scratch, folder)
    }

    #[test]
    fn the_newest_comes_back_and_old_ones_go() {
        let (_scratch, run) = run_folder();
        for step in [5, 10, 15] {
            checkpoint(step).save(&run).unwrap();
        }
        let (found, damaged) = Checkpoint::newest(run.path()).unwrap();
        let found = found.unwrap();
        assert_eq!(found.header.step, 15);
        assert_eq!(found.records, checkpoint(15).records);
        assert!(damaged.is_empty());
        assert_eq!(list(run.path()).unwrap().len(), KEPT);
    }

    #[test]
    fn any_damaged_byte_falls_back_to_the_one_before() {
        let (_scratch, run) = run_folder();
        checkpoint(5).save(&run).unwrap();
        checkpoint(10).save(&run).unwrap();
        let path = run.path().join(CHECKPOINT_FOLDER).join(file_name(10));
        let sound = fs::read(&path).unwrap();
        for i in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[i] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let (found, damaged) = Checkpoint::newest(run.path()).unwrap();
            assert_eq!(found.unwrap().header.step, 5, "byte {i}");
            assert_eq!(damaged.len(), 1);
            fs::write(&path, &sound[..i]).unwrap();
            assert_eq!(Checkpoint::newest(run.path()).unwrap().0.unwrap().header.step, 5, "cut at {i}");
        }
    }

    /// Saves a second checkpoint with the fault at every operation that it concerns: the first or the second is
    /// the newest, and an error says so.
    fn save_under(fault: Fault) {
        // Of some length: buffers are written out more than once.
        let large = |step| Checkpoint { records: [vec![1, 2], vec![], vec![3; 20_000]], ..checkpoint(step) };
        for at in 0.. {
            let (_scratch, run) = run_folder();
            large(5).save(&run).unwrap();
            let disk = FaultyDisk::new(fault, at);
            let saved = large(10).save(&RunFolder::open(run.path()).unwrap().on(Arc::new(disk.clone())));
            let (found, damaged) = Checkpoint::newest(run.path()).unwrap();
            let found = found.unwrap();
            assert!(damaged.is_empty(), "{fault:?} at {at} left a part");
            assert_eq!(found.records, large(5).records);
            assert!([5, 10].contains(&found.header.step));
            assert!(saved.is_err() || found.header.step == 10, "{fault:?} at {at} was not told");
            assert!(saved.is_ok() || fault != Fault::ShortWrite, "{fault:?} at {at}");
            if !disk.has_struck() {
                assert!(at > 0 && saved.is_ok(), "{fault:?} was never there");
                break;
            }
        }
    }

    #[test]
    fn a_short_write_of_a_checkpoint_is_completed() {
        save_under(Fault::ShortWrite);
    }

    #[test]
    fn a_full_disk_leaves_the_old_checkpoint() {
        save_under(Fault::DiskFull);
    }

    #[test]
    fn a_broken_write_leaves_the_old_checkpoint() {
        save_under(Fault::BrokenWrite);
    }

    #[test]
    fn a_failed_sync_leaves_the_old_checkpoint_or_the_new() {
        save_under(Fault::FailedSync);
    }

    #[test]
    fn a_failed_rename_leaves_the_old_checkpoint() {
        save_under(Fault::FailedRename);
    }

    #[test]
    fn death_at_any_moment_leaves_the_old_checkpoint_or_the_new() {
        save_under(Fault::Death);
    }
}
