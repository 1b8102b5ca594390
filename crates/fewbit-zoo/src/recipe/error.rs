//! Why a recipe was refused.

use std::path::PathBuf;

use thiserror::Error;

use crate::models::SettingError;

/// Why a recipe was refused.
#[derive(Debug, Error)]
pub enum RecipeError {
    /// Neither a recipe that comes with fewbit nor a path.
    #[error(
        "unknown recipe `{found}`{}; there are {}, or give the path of a `.toml` file",
        nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default(),
        known.join(", ")
    )]
    UnknownRecipe {
        /// The name as given.
        found: String,
        /// The known name that is closest in spelling, where one is close.
        nearest: Option<String>,
        /// The recipes that come with fewbit.
        known: Vec<&'static str>,
    },
    /// The file could not be read as text.
    #[error("recipe `{}` cannot be read: {source}", path.display())]
    Read {
        /// The path as given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is longer than any recipe.
    #[error("recipe `{}` is longer than {limit} bytes: is it a recipe?", path.display())]
    TooLong {
        /// The path as given.
        path: PathBuf,
        /// The longest recipe that is read.
        limit: u64,
    },
    /// The text is not TOML.
    #[error("not a recipe in TOML: {0}")]
    Toml(#[from] toml::de::Error),
    /// A key or a value is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A recipe from a file is wrong.
    #[error("recipe `{}`: {source}", path.display())]
    InFile {
        /// The path as given.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<RecipeError>,
    },
}
