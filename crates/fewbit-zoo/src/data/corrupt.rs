//! What becomes of a set with items in it that cannot be read.

use serde::{Deserialize, Serialize};

/// What is done about an item that is damaged, too large or not what its name says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCorrupt {
    /// It is an error that names the file.
    #[default]
    Fail,
    /// It is left out of the set, named and counted.
    Skip,
}

impl OnCorrupt {
    /// The words, as a recipe writes them.
    pub const WORDS: &[&str] = &[Self::Fail.word(), Self::Skip.word()];

    /// The word, as a recipe and a file write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}
