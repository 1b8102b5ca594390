//! The recipes that come with fewbit.

use toml::Table;

use super::Recipe;

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        /// Names and texts, the quick start first.
        const RECIPES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../recipes/", $name, ".toml")))),*];
    };
}

recipes![
    "quick-start",
    "mnist",
    "resnet20",
    "lm-tiny",
    "lstm-tiny",
    "keywords",
    "resnet20-small",
    "resnet20-600",
    "resnet18-small",
    "resnet18",
    "wide-resnet-small",
    "wide-resnet",
    "mobilenet-small",
    "mobilenet",
    "vision-transformer-small",
    "vision-transformer",
    "deit-small-pictures",
    "deit-tiny",
    "deit-small",
    "deit-base",
    "wikitext-small",
    "wikitext103",
    "demucs-small",
    "musdb-demucs",
];

/// The names of the recipes that come with fewbit, the quick start first.
pub fn builtin_names() -> Vec<&'static str> {
    RECIPES.iter().map(|(name, _)| *name).collect()
}

/// The table of a recipe that comes with fewbit, not checked.
pub(super) fn table(name: &str) -> Option<Table> {
    let (_, text) = RECIPES.iter().find(|(known, _)| *known == name)?;
    // A test parses them all.
    Some(toml::from_str(text).expect("recipes that come with fewbit are TOML"))
}

impl Recipe {
    /// The recipe of this name that comes with fewbit, if there is one.
    pub fn builtin(name: &str) -> Option<Self> {
        table(name).map(|table| Self::from_table(table).expect("recipes that come with fewbit are valid"))
    }
}
