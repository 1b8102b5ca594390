//! The data sets of the benchmarks: one that is generated, three that are read from files.
//!
//! Nothing here knows a tensor library: images are bytes, [`augment`] turns one into floats.

pub mod augment;
mod bounded;
pub mod cifar10;
mod error;
pub mod glyphs;
mod image_set;
pub mod mnist;
mod random;
pub mod text;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::error::DataError;
pub use self::image_set::{ImageData, ImageSet, ImageShape};
pub use self::text::TextSet;

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
    /// Any text as bytes.
    Text,
}

impl DataSetKind {
    /// Every data set.
    pub const ALL: [Self; 4] = [Self::Glyphs, Self::Mnist, Self::Cifar10, Self::Text];

    /// The names of all, in the order of [`ALL`](Self::ALL).
    pub const NAMES: [&str; 4] =
        [Self::ALL[0].name(), Self::ALL[1].name(), Self::ALL[2].name(), Self::ALL[3].name()];

    /// The name in recipes and on the command line; [`FromStr`] takes it back.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Glyphs => "glyphs",
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Text => "text",
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
            Self::Cifar10 => "FOLDER_OR_TAR",
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
            Self::Cifar10 => "the binary version from www.cs.toronto.edu/~kriz/cifar.html",
            Self::Text => "any text, e.g. a book from www.gutenberg.org",
        }
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
/// [`DataError::NotImages`] for text.
pub fn load_images(kind: DataSetKind, path: Option<&Path>, seed: u64) -> Result<ImageData, DataError> {
    let given = || path.ok_or(DataError::PathNotGiven { kind });
    match kind {
        DataSetKind::Glyphs => Ok(glyphs::generate(seed, glyphs::DEFAULT_TRAIN_IMAGES)),
        DataSetKind::Mnist => mnist::load(given()?),
        DataSetKind::Cifar10 => cifar10::load(given()?),
        DataSetKind::Text => Err(DataError::NotImages { kind }),
    }
}

/// Training and held-out bytes of a text.
///
/// # Errors
/// [`DataError::PathNotGiven`] and those of [`text::load`].
pub fn load_text(path: Option<&Path>) -> Result<TextSet, DataError> {
    let kind = DataSetKind::Text;
    text::load(path.ok_or(DataError::PathNotGiven { kind })?)
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
