//! Pictures of any size in class folders, as ImageNet is kept: `train/CLASS/*.jpeg`, `val/CLASS/…`.
//!
//! Such a set does not fit in memory. What is kept is the list of its files; a picture is read, decoded and resized
//! each time it is wanted, on all cores. What it looks like is a pure function of the file and (seed, epoch, record).

mod crop;
mod folder_set;
mod index;
mod resize;

use std::path::Path;

pub use self::folder_set::FolderSet;
use self::index::Class;
use super::corrupt::OnCorrupt;
use super::{DataError, DataSetKind};

const TRAIN: &str = "train";
/// The first that is there is taken: of ImageNet, `test` has no labels.
const TEST: [&str; 2] = ["val", "test"];

/// A training and a test set of the same classes.
#[derive(Clone, Debug)]
pub struct ClassFolders {
    /// Pictures to train (and to validate) on.
    pub train: FolderSet,
    /// Pictures of the reported metric.
    pub test: FolderSet,
    /// The names of the folders of `train`, in order of their bytes; a label is a place in this list.
    pub classes: Vec<String>,
}

/// Lists the pictures below `path/train`, and `path/val` or, where that is not there, `path/test`.
///
/// A picture is a `.jpg`, `.jpeg` or `.png` in a class folder; symbolic links, hidden files and all others are passed
/// over. Records go round the classes, each in the order of its names and all of them evenly from first to last, so that a
/// validation split taken from the end has every class in it.
///
/// With [`OnCorrupt::Fail`] this opens every file and looks at its first 4,096 bytes; a picture that is damaged further
/// on is an error of the batch that it would be in. With [`OnCorrupt::Skip`] it reads and decodes every picture once,
/// on all cores, which for ImageNet is all of its 150 GB. Both ways the same files give the same records.
///
/// # Errors
/// [`DataError::NotFound`]; [`DataError::NoRecords`] with a class that has no picture, or none left;
/// [`DataError::ClassesDiffer`]; with [`OnCorrupt::Fail`] [`DataError::NotAPicture`] with the first file that is none;
/// a file that cannot be read is [`DataError::Read`] either way.
pub fn load(path: &Path, on_corrupt: OnCorrupt) -> Result<ClassFolders, DataError> {
    let train = Some(path.join(TRAIN)).filter(|folder| folder.is_dir());
    let test = TEST.map(|name| path.join(name)).into_iter().find(|folder| folder.is_dir());
    let (Some(train), Some(test)) = (train, test) else {
        return Err(DataError::NotFound {
            kind: DataSetKind::ClassFolders,
            path: path.to_owned(),
            looked_for: "train/CLASS/*.jpg|jpeg|png and val/CLASS/…, or test/CLASS/…".to_owned(),
        });
    };
    let [of_train, of_test] = [index::classes(&train)?, index::classes(&test)?];
    let names = |classes: &[Class]| classes.iter().map(|class| class.name.clone()).collect::<Vec<_>>();
    let (classes, others) = (names(&of_train), names(&of_test));
    if classes != others {
        let without = |these: &[String], those: &[String]| {
            these.iter().filter(|name| those.binary_search(name).is_err()).cloned().collect::<Vec<_>>()
        };
        return Err(DataError::ClassesDiffer {
            path: test,
            missing: without(&classes, &others),
            unknown: without(&others, &classes),
        });
    }
    Ok(ClassFolders {
        train: FolderSet::check(of_train, on_corrupt)?,
        test: FolderSet::check(of_test, on_corrupt)?,
        classes,
    })
}

impl ClassFolders {
    /// The pictures to be judged by alone.
    pub(crate) fn without_training(self) -> Self {
        Self { train: self.train.last(0), ..self }
    }

    /// The last `records` pictures of the training set, and no others to be judged by.
    pub(crate) fn last(self, records: usize) -> Self {
        Self { train: self.train.last(records), test: self.test.last(0), classes: self.classes }
    }

    /// CRC-32 of the paths, the files' lengths and the first 4,096 bytes of each, in the order of records: tells a
    /// resumed run that its data changed. Reads nothing; a change further on that keeps the length is not seen.
    pub fn fingerprint(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        self.train.add_to(&self.classes, &mut sum);
        self.test.add_to(&self.classes, &mut sum);
        sum.finalize()
    }
}

#[cfg(test)]
mod tests;
