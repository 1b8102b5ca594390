//! Gathers the files of the set, still encoded, from folders and archives alike.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::batches::{BATCH_FOLDER, is_batch_name};
use super::{DataError, SPLITS};
use crate::data::{archive, bounded};

/// No picture of 32 × 32 needs more.
const MAX_PICTURE_BYTES: u64 = 1 << 20;
/// A batch of 10,000 records has 30,730,000 bytes.
const MAX_BATCH_BYTES: u64 = 32 << 20;
/// All files together, as stored. CIFAR-10 has 184 MB as batches.
const MAX_TOTAL_BYTES: u64 = 1 << 30;
/// 805 MB of pixels once decoded. CIFAR-10 has 60,000.
const MAX_PICTURES: usize = 1 << 18;

/// A file's bytes and where they came from, for messages.
pub(super) struct Encoded {
    pub(super) place: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// Class → file name → picture, both in alphabetical order.
pub(super) type ClassFolders = BTreeMap<String, BTreeMap<String, Encoded>>;

/// Every file of the set that was found. A file found twice counts once: the later one, as when a tar is unpacked.
#[derive(Default)]
pub(super) struct Collected {
    /// Binary batches by file name.
    pub(super) batches: BTreeMap<String, Encoded>,
    /// Pictures of each of [`SPLITS`].
    pub(super) pictures: [ClassFolders; 2],
    picture_count: usize,
    total_bytes: u64,
}

/// What a file is, by its path alone.
enum Role {
    Batch(String),
    Picture { split: usize, class: String, name: String },
}

impl Role {
    /// The role of `…/<split>/<class>/<name>` or `…/<batch>.bin`; any other file has none.
    fn of(path: &Path) -> Option<Self> {
        let mut from_the_end =
            path.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let name = from_the_end.next()?;
        if is_batch_name(&name) {
            return Some(Self::Batch(name));
        }
        let (stem, extension) = name.rsplit_once('.')?;
        let is_picture = ["jpg", "jpeg", "png"].contains(&extension.to_ascii_lowercase().as_str());
        // Names that begin with a dot are hidden files; archives made on macOS hold one per picture.
        if !is_picture || stem.is_empty() || name.starts_with('.') {
            return None;
        }
        let class = from_the_end.next()?;
        let folder = from_the_end.next()?;
        let split = SPLITS.iter().position(|split| *split == folder)?;
        Some(Self::Picture { split, class, name })
    }
}

impl Collected {
    /// Looks for batches, then class folders, then archives; the first form that is there is taken.
    pub(super) fn from_folder(folder: &Path) -> Result<Self, DataError> {
        let mut collected = Self::default();
        for batches in [folder.to_owned(), folder.join(BATCH_FOLDER)] {
            for file in sorted_entries(&batches)?.iter().filter(|entry| entry.is_file()) {
                if let Some(role @ Role::Batch(_)) = Role::of(file) {
                    collected.add_file(role, file)?;
                }
            }
        }
        if !collected.batches.is_empty() {
            return Ok(collected);
        }
        for split in SPLITS {
            for class in sorted_entries(&folder.join(split))? {
                for file in sorted_entries(&class)?.iter().filter(|entry| entry.is_file()) {
                    if let Some(role) = Role::of(file) {
                        collected.add_file(role, file)?;
                    }
                }
            }
        }
        if collected.picture_count > 0 {
            return Ok(collected);
        }
        for file in sorted_entries(folder)? {
            let name = file.to_string_lossy().to_ascii_lowercase();
            let is_tar = [".tar", ".tar.gz", ".tgz"].iter().any(|end| name.ends_with(end));
            if is_tar && file.is_file() {
                collected.add_tar(&file)?;
            }
        }
        Ok(collected)
    }

    fn add_file(&mut self, role: Role, path: &Path) -> Result<(), DataError> {
        let mut file = File::open(path).map_err(DataError::read(path))?;
        self.add(role, path.to_owned(), &mut file)?;
        Ok(())
    }

    /// Adds the regular files of an archive that have a role in the set; links, devices and the rest are passed over.
    pub(super) fn add_tar(&mut self, path: &Path) -> Result<(), DataError> {
        archive::each_file(path, |inside, contents| match Role::of(inside) {
            Some(role) => self.add(role, path.join(inside), contents).map(Some),
            None => Ok(None),
        })
    }

    /// Reads and keeps one file; the number of its bytes comes back.
    fn add(&mut self, role: Role, place: PathBuf, source: &mut dyn Read) -> Result<u64, DataError> {
        let limit = match role {
            Role::Batch(_) => MAX_BATCH_BYTES,
            Role::Picture { .. } => MAX_PICTURE_BYTES,
        };
        let bytes = bounded::take(source, limit + 1, &place)?;
        let found = bytes.len() as u64;
        self.total_bytes += found;
        let too_large = |limit, unit| DataError::TooLarge { path: place.clone(), limit, unit };
        if found > limit {
            return Err(too_large(limit, "bytes"));
        }
        if self.total_bytes > MAX_TOTAL_BYTES {
            return Err(too_large(MAX_TOTAL_BYTES, "bytes in all files up to this one"));
        }
        match role {
            Role::Batch(name) => {
                self.batches.insert(name, Encoded { place, bytes });
            }
            Role::Picture { split, class, name } => {
                self.picture_count += 1;
                if self.picture_count > MAX_PICTURES {
                    return Err(too_large(MAX_PICTURES as u64, "pictures up to this one"));
                }
                let folder = self.pictures[split].entry(class).or_default();
                folder.insert(name, Encoded { place, bytes });
            }
        }
        Ok(found)
    }
}

/// What a folder holds, in name order; nothing if it is not a folder.
fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut entries = fs::read_dir(folder)
        .map_err(DataError::read(folder))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(DataError::read(folder))?;
    entries.sort();
    Ok(entries)
}
