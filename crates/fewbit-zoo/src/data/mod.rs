//! The data sets of the benchmarks: one that is generated, the others read from files.
//!
//! Nothing here knows a tensor library: images are bytes, [`augment`] turns one into floats.

mod archive;
pub mod augment;
mod bounded;
pub mod cifar10;
pub mod cifar100;
mod cifar_records;
pub mod class_folders;
mod corrupt;
pub mod download;
pub mod erasing;
mod error;
pub mod glyphs;
mod image_set;
pub mod keywords;
pub mod mixing;
pub mod mnist;
mod picture;
pub mod rand_augment;
mod random;
pub mod stems;
pub mod text;
pub mod variation;
mod wav;
pub mod words;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::corrupt::OnCorrupt;
pub use self::error::DataError;
pub use self::image_set::{ImageData, ImageSet, ImageShape};
pub use self::text::TextSet;
pub use self::words::WordSet;

/// The data sets, by the names they have in recipes and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataSetKind {
    /// Generated, distorted digits, 1 × 28 × 28: needs no files.
    Glyphs,
    /// Handwritten digits, 1 × 28 × 28.
    Mnist,
    /// Photographs of ten kinds of things, 3 × 32 × 32.
    Cifar10,
    /// Photographs of a hundred kinds of things, 3 × 32 × 32.
    Cifar100,
    /// Pictures of any size in a folder for each class.
    #[serde(rename = "class-folders")]
    ClassFolders,
    /// Recordings of spoken words, 1 × frames × bands.
    Keywords,
    /// Any text as bytes.
    Text,
    /// A text of words parted by spaces.
    Words,
    /// Tracks of music with the sounds that they are the sum of.
    Stems,
}

impl DataSetKind {
    /// Every data set.
    pub const ALL: [Self; 9] = [
        Self::Glyphs,
        Self::Mnist,
        Self::Cifar10,
        Self::Cifar100,
        Self::ClassFolders,
        Self::Keywords,
        Self::Text,
        Self::Words,
        Self::Stems,
    ];

    /// The names of all, in the order of [`ALL`](Self::ALL).
    pub const NAMES: [&str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut place = 0;
        while place < names.len() {
            names[place] = Self::ALL[place].name();
            place += 1;
        }
        names
    };

    /// The name in recipes and on the command line; [`FromStr`] takes it back.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Glyphs => "glyphs",
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::ClassFolders => "class-folders",
            Self::Keywords => "keywords",
            Self::Text => "text",
            Self::Words => "words",
            Self::Stems => "stems",
        }
    }

    /// What its records are.
    pub const fn records(self) -> Records {
        match self {
            Self::Glyphs | Self::Mnist => Records::images([1, 28, 28], 10),
            Self::Cifar10 => Records::images([3, 32, 32], 10),
            Self::Cifar100 => Records::images([3, 32, 32], 100),
            Self::ClassFolders => Records::Images { shape: [Some(3), None, None], classes: None },
            Self::Keywords => Records::Images { shape: [Some(1), None, None], classes: None },
            Self::Text => Records::Bytes,
            Self::Words => Records::Words,
            Self::Stems => Records::Mixtures,
        }
    }

    /// Whether all its images have one size that the set says.
    pub(crate) const fn is_of_fixed_images(self) -> bool {
        matches!(self.records(), Records::Images { shape: [Some(_), Some(_), Some(_)], .. })
    }

    /// Whether each record is a file of its own, which can be damaged and left out.
    pub(crate) const fn is_of_files(self) -> bool {
        matches!(self, Self::ClassFolders | Self::Keywords | Self::Stems)
    }

    /// Training images of the sets that are the same everywhere.
    pub(crate) const fn training_images(self) -> Option<usize> {
        match self {
            Self::Mnist => Some(60_000),
            Self::Cifar10 | Self::Cifar100 => Some(50_000),
            _ => None,
        }
    }

    /// Whether a path has to be given.
    pub const fn needs_path(self) -> bool {
        !matches!(self, Self::Glyphs)
    }

    /// What stands for the path in a message that says what to pass.
    pub const fn path_hint(self) -> &'static str {
        match self {
            Self::Glyphs => "NOTHING",
            Self::Mnist => "FOLDER",
            Self::Cifar10 | Self::Cifar100 | Self::Keywords => "FOLDER_OR_TAR",
            Self::ClassFolders | Self::Words | Self::Stems => "FOLDER",
            Self::Text => "FILE",
        }
    }

    /// Where people get the set, to follow the word "get".
    pub const fn where_to_get(self) -> &'static str {
        match self {
            Self::Glyphs => "nothing: the set is generated",
            Self::Mnist => {
                "the IDX files, e.g. from yann.lecun.com/exdb/mnist or the Hugging Face set ylecun/mnist"
            }
            Self::Cifar10 | Self::Cifar100 => "the binary version from www.cs.toronto.edu/~kriz/cifar.html",
            Self::ClassFolders => {
                "pictures in train/CLASS and val/CLASS, e.g. ImageNet from www.image-net.org"
            }
            Self::Keywords => {
                "Speech Commands from www.tensorflow.org/datasets, or the Free Spoken Digit Dataset from GitHub"
            }
            Self::Text => "any text, e.g. a book from www.gutenberg.org",
            Self::Words => {
                "WikiText-103 or WikiText-2 at word level, e.g. the Hugging Face set Salesforce/wikitext"
            }
            Self::Stems => "MUSDB18-HQ, e.g. from zenodo.org",
        }
    }
}

/// What a record of a set is, as far as the set's name says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// An image with its class.
    Images {
        /// Channels, height and width, where the set and not the network says them.
        shape: [Option<usize>; 3],
        /// Number of classes, where the set's name says it.
        classes: Option<usize>,
    },
    /// A sequence of bytes.
    Bytes,
    /// A sequence of words.
    Words,
    /// A sound and those that it is the sum of.
    Mixtures,
}

impl Records {
    const fn images([channels, height, width]: [usize; 3], classes: usize) -> Self {
        Self::Images { shape: [Some(channels), Some(height), Some(width)], classes: Some(classes) }
    }
}

impl fmt::Display for DataSetKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for DataSetKind {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| DataError::UnknownKind { found: name.to_owned() })
    }
}

/// Training and test images of a set.
///
/// `seed` makes the generated set and has no part in the others; the generated set reads no path.
///
/// # Errors
/// [`DataError::PathNotGiven`], [`DataError::NotFound`], whatever is wrong with the files, and
/// [`DataError::NotImages`] for sets that are not of images of one size.
pub fn load_images(kind: DataSetKind, path: Option<&Path>, seed: u64) -> Result<ImageData, DataError> {
    let given = || path_given(kind, path);
    match kind {
        DataSetKind::Glyphs => Ok(glyphs::generate(seed, glyphs::DEFAULT_TRAIN_IMAGES)),
        DataSetKind::Mnist => mnist::load(given()?),
        DataSetKind::Cifar10 => cifar10::load(given()?),
        DataSetKind::Cifar100 => cifar100::load(given()?, cifar100::Labels::Fine),
        _ => Err(DataError::NotImages { kind }),
    }
}

/// Training and held-out bytes of a text.
///
/// # Errors
/// [`DataError::PathNotGiven`] and those of [`text::load`].
pub fn load_text(path: Option<&Path>) -> Result<TextSet, DataError> {
    let kind = DataSetKind::Text;
    text::load(path_given(kind, path)?)
}

/// The path, which the set needs.
pub(crate) fn path_given(kind: DataSetKind, path: Option<&Path>) -> Result<&Path, DataError> {
    path.ok_or(DataError::PathNotGiven { kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for kind in DataSetKind::ALL {
            assert_eq!(kind.to_string().parse::<DataSetKind>().unwrap(), kind);
        }
        let error = "minst".parse::<DataSetKind>().unwrap_err().to_string();
        assert!(error.contains("`minst`") && error.contains("mnist, cifar10"), "{error}");
    }

    #[test]
    fn a_set_without_its_path_says_what_to_pass_and_where_people_get_it() {
        let missing = |kind| load_images(kind, None, 0).unwrap_err().to_string();
        let mnist = missing(DataSetKind::Mnist);
        assert!(mnist.contains("--data FOLDER") && mnist.contains("ylecun/mnist"), "{mnist}");
        let cifar = missing(DataSetKind::Cifar10);
        assert!(cifar.contains("--data FOLDER_OR_TAR") && cifar.contains("kriz/cifar.html"), "{cifar}");
        let text = load_text(None).unwrap_err().to_string();
        assert!(text.contains("--data FILE"), "{text}");
    }

    #[test]
    fn a_path_that_is_not_there_is_named_with_what_was_looked_for() {
        let nowhere = Path::new("no/such/place");
        for (kind, file) in [
            (DataSetKind::Mnist, "train-images-idx3-ubyte[.gz]"),
            (DataSetKind::Cifar10, "a folder or a tar[.gz] archive"),
        ] {
            let error = load_images(kind, Some(nowhere), 0).unwrap_err().to_string();
            assert!(error.contains("no/such/place") && error.contains(file), "{error}");
        }
    }

    #[test]
    fn text_has_no_images() {
        let error = load_images(DataSetKind::Text, None, 0).unwrap_err();
        assert!(matches!(error, DataError::NotImages { .. }), "{error}");
    }
}
