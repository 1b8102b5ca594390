//! The pictures of a training or a test set: a list of files, decoded when they are wanted.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::index::Class;
use super::resize::View;
use crate::data::augment::Draw;
use crate::data::corrupt::OnCorrupt;
use crate::data::picture::{self, Format, Picture};
use crate::data::{DataError, bounded};

/// Most rows, and most columns, of a picture.
const MAX_SIDE: usize = 1 << 14;
/// 201 MB decoded, on each core.
const MAX_PIXELS: usize = 1 << 26;
const MAX_FILE_BYTES: u64 = 1 << 28;
/// How much of each file is looked at when a set is loaded.
const HEAD_BYTES: usize = 4_096;

/// Labelled pictures on disk.
#[derive(Clone, Debug)]
pub struct FolderSet {
    /// Of each class.
    folders: Vec<PathBuf>,
    files: Vec<PictureFile>,
    skipped: Vec<String>,
}

#[derive(Clone, Debug)]
struct PictureFile {
    label: u16,
    name: OsString,
    head: Head,
}

/// What is known of a file without decoding it.
#[derive(Clone, Debug)]
struct Head {
    length: u64,
    /// CRC-32 of the first [`HEAD_BYTES`].
    crc: u32,
}

impl FolderSet {
    /// The pictures of these classes, as far as `on_corrupt` looks into them.
    pub(super) fn check(classes: Vec<Class>, on_corrupt: OnCorrupt) -> Result<Self, DataError> {
        let (folders, pictures): (Vec<_>, Vec<_>) =
            classes.into_iter().map(|class| (class.folder, class.pictures)).unzip();
        let counts: Vec<u64> = pictures.iter().map(|names| names.len() as u64).collect();
        let mut listed: Vec<(usize, u16, OsString)> = (0..=u16::MAX)
            .zip(pictures)
            .flat_map(|(label, names)| {
                names.into_iter().enumerate().map(move |(rank, name)| (rank, label, name))
            })
            .collect();
        // By the place in its own class, so that classes of all sizes end together.
        let place =
            |rank: usize, label: u16| ((2 * rank as u64 + 1) << 31) / counts[usize::from(label)].max(1);
        listed.sort_unstable_by_key(|&(rank, label, _)| (place(rank, label), label, rank));
        let heads: Vec<Result<Head, DataError>> = listed
            .par_iter()
            .map(|(_, label, name)| Head::check(&folders[usize::from(*label)].join(name), on_corrupt))
            .collect();
        let mut set = Self { folders, files: Vec::with_capacity(listed.len()), skipped: Vec::new() };
        let mut left = vec![0usize; set.folders.len()];
        for ((_, label, name), head) in listed.into_iter().zip(heads) {
            match head {
                Ok(head) => {
                    left[usize::from(label)] += 1;
                    set.files.push(PictureFile { label, name, head });
                }
                Err(reason) if on_corrupt == OnCorrupt::Skip && is_of_the_picture(&reason) => {
                    set.skipped.push(reason.to_string());
                }
                // The first in the order of records, so that the message does not depend on the threads.
                Err(error) => return Err(error),
            }
        }
        match left.iter().position(|&count| count == 0) {
            Some(label) => Err(DataError::NoRecords { path: set.folders.swap_remove(label) }),
            None => Ok(set),
        }
    }

    /// Adds the paths, and what is known of each file, in the order of records.
    pub(super) fn add_to(&self, classes: &[String], sum: &mut crc32fast::Hasher) {
        sum.update(&(self.len() as u64).to_le_bytes());
        for file in &self.files {
            let class = classes[usize::from(file.label)].as_bytes();
            for part in [class, file.name.as_encoded_bytes()] {
                sum.update(&(part.len() as u64).to_le_bytes());
                sum.update(part);
            }
            sum.update(&file.head.length.to_le_bytes());
            sum.update(&file.head.crc.to_le_bytes());
        }
    }

    /// The last pictures alone.
    pub(super) fn last(mut self, records: usize) -> Self {
        self.files = self.files.split_off(self.files.len().saturating_sub(records));
        self
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no picture; a set that was loaded has some.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The label of one picture: the place of its class in [`classes`](super::ClassFolders::classes).
    ///
    /// # Panics
    /// If there is no such record.
    pub fn label(&self, record: usize) -> u16 {
        self.files[record].label
    }

    /// The file of one picture.
    ///
    /// # Panics
    /// If there is no such record.
    pub fn path(&self, record: usize) -> PathBuf {
        let file = &self.files[record];
        self.folders[usize::from(file.label)].join(&file.name)
    }

    /// Why each picture that is missing was left out, in the order that the records would have had; nothing with [`OnCorrupt::Fail`].
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// One picture as `[3, side, side]`, into `out` of that length.
    ///
    /// With a draw a random part of it, mirrored every other time, as in training; without, its middle, as in
    /// evaluation: the shorter side becomes 8/7 of `side` (256 of 224) and what is beyond `side` is cut.
    ///
    /// # Errors
    /// [`DataError`] with the file, if it cannot be read, is no whole picture, or is larger than 2^14 a side or 2^26
    /// pixels.
    ///
    /// # Panics
    /// If there is no such record, `side` is 0 or `out` has another length.
    pub fn render(
        &self,
        record: usize,
        draw: Option<Draw>,
        side: usize,
        out: &mut [u8],
    ) -> Result<(), DataError> {
        let path = self.path(record);
        let picture = decode(&path, &read(&path)?)?;
        let (height, width) = (picture.height, picture.width);
        let view = match draw {
            Some(draw) => View::drawn(height, width, side, draw),
            None => View::centre(height, width, side),
        };
        view.render(&picture, side, out);
        Ok(())
    }

    /// Several pictures as `[records, 3, side, side]`, on all cores.
    ///
    /// # Errors
    /// As [`render`](Self::render), of the first in `wanted` that has one.
    ///
    /// # Panics
    /// As [`render`](Self::render).
    pub fn render_all(&self, wanted: &[(usize, Option<Draw>)], side: usize) -> Result<Vec<u8>, DataError> {
        let values = 3 * side * side;
        let mut images = vec![0; wanted.len() * values];
        let first_error = wanted
            .par_iter()
            .zip(images.par_chunks_exact_mut(values))
            .find_map_first(|(&(record, draw), image)| self.render(record, draw, side, image).err());
        match first_error {
            Some(error) => Err(error),
            None => Ok(images),
        }
    }
}

impl Head {
    fn check(path: &Path, on_corrupt: OnCorrupt) -> Result<Self, DataError> {
        let (length, mut start) = match on_corrupt {
            OnCorrupt::Fail => {
                let mut file = File::open(path).map_err(DataError::read(path))?;
                let length = file.metadata().map_err(DataError::read(path))?.len();
                let start = bounded::take(&mut file, HEAD_BYTES as u64, path)?;
                Format::of(&start).ok_or_else(|| DataError::NotAPicture { path: path.to_owned() })?;
                (length, start)
            }
            OnCorrupt::Skip => {
                let contents = read(path)?;
                decode(path, &contents)?;
                (contents.len() as u64, contents)
            }
        };
        start.truncate(HEAD_BYTES);
        Ok(Self { length, crc: crc32fast::hash(&start) })
    }
}

/// Whether it would be the same another time; a disk that does not answer may do so later.
fn is_of_the_picture(error: &DataError) -> bool {
    !matches!(error, DataError::Read { .. })
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut file = File::open(path).map_err(DataError::read(path))?;
    let contents = bounded::take(&mut file, MAX_FILE_BYTES + 1, path)?;
    if contents.len() as u64 > MAX_FILE_BYTES {
        return Err(DataError::TooLarge { path: path.to_owned(), limit: MAX_FILE_BYTES, unit: "bytes" });
    }
    Ok(contents)
}

fn decode(path: &Path, contents: &[u8]) -> Result<Picture, DataError> {
    picture::decode(path, contents, |height, width| {
        let too_large = |limit: usize, unit| {
            Err(DataError::TooLarge { path: path.to_owned(), limit: limit as u64, unit })
        };
        if height.max(width) > MAX_SIDE {
            return too_large(MAX_SIDE, "pixels a side");
        }
        if height * width > MAX_PIXELS {
            return too_large(MAX_PIXELS, "pixels");
        }
        Ok(())
    })
}
