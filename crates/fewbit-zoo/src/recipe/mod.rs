//! One experiment as a file: the typed form of `recipes/*.toml`.
//!
//! A recipe says which data, which network, how it is quantized and how it is trained. [`resolve`] reads one by its name or
//! its path and applies what the command line sets; [`Recipe::to_toml`] writes it with every default filled in, which is
//! the record that a run keeps. Every key is checked, so that what is misspelt is an error and not a default.

mod builtin;
mod config;
mod error;
mod keys;
mod overrides;
mod settings;
#[cfg(test)]
mod tests;
mod words;

pub use builtin::builtin_names;
pub use config::{BudgetConfig, DataConfig, GroupSetting, QuantizationConfig, StorageConfig, TrainingConfig};
pub use error::RecipeError;
pub use overrides::{resolve, set};
pub use words::{
    Augment, Floats, Granularity, Method, Noise, OnNonFinite, OptimizerKind, Parametrisation, Schedule,
    SizeEstimate,
};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::data::stems::SOURCES;
use crate::data::{DataSetKind, Records};
use crate::models::{ModelConfig, ModelInput, SettingError};

/// Most records evaluated at once. A file says how it was evaluated, so this bounds what a stranger's
/// can make us allocate.
pub const MAX_EVALUATION_BATCH: usize = 8192;

/// Longest sequence of text, for the same reason.
pub const MAX_CONTEXT: usize = 2048;

/// Fewest samples of a piece of sound; shorter ones would be more passes than a track has milliseconds.
pub const MIN_SEGMENT: usize = 1024;

/// Most samples of a piece of sound: six minutes of music.
pub const MAX_SEGMENT: usize = 1 << 24;

/// The values of a table and of the tables in it, under their dotted keys.
pub fn flatten(table: &Table) -> BTreeMap<String, Value> {
    fn collect(prefix: &str, table: &Table, into: &mut BTreeMap<String, Value>) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(table) => collect(&key, table, into),
                value => {
                    into.insert(key, value.clone());
                }
            }
        }
    }
    let mut settings = BTreeMap::new();
    collect("", table, &mut settings);
    settings
}

/// One experiment: data, network, quantization, training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the experiment is called; the run folder is named after it.
    pub name: String,
    /// Where all randomness starts: weights, order, augmentation, noise.
    #[serde(default)]
    pub seed: u64,
    /// The recipe of the same experiment that two cores can run, where this one is too long for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
    /// What is learned from.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// How weights are made small.
    #[serde(default)]
    pub quantization: QuantizationConfig,
    /// How large the file may be.
    #[serde(default)]
    pub budget: BudgetConfig,
    /// How the rest is stored.
    #[serde(default)]
    pub storage: StorageConfig,
    /// How the network learns.
    #[serde(default)]
    pub training: TrainingConfig,
}

impl Recipe {
    /// The recipe that this TOML describes.
    ///
    /// ```
    /// # use fewbit_zoo::recipe::Recipe;
    /// let recipe = Recipe::parse("name = 'mine'\n[data]\nset = 'mnist'\n[model]\nkind = 'mnist-cnn'")?;
    /// assert_eq!(recipe.training.batch_size, 128);
    /// assert_eq!(Recipe::parse(&recipe.to_toml())?, recipe);
    /// # Ok::<(), fewbit_zoo::recipe::RecipeError>(())
    /// ```
    ///
    /// # Errors
    /// [`RecipeError`] naming the key, what was found and what is needed; an unknown key suggests the nearest known one.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        Self::from_table(toml::from_str(text)?)
    }

    /// As [`parse`](Self::parse), from a table already read.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_table(table: Table) -> Result<Self, RecipeError> {
        keys::check(&table)?;
        let recipe: Self = table.try_into()?;
        recipe.validate_together()?;
        Ok(recipe)
    }

    /// The recipe as TOML, every default written out; parsing it gives an equal recipe.
    ///
    /// # Panics
    /// If a whole number is above 2^63 − 1, which [`validate`](Self::validate) refuses.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe holds what TOML can hold")
    }

    /// Every setting under its dotted key, defaults included.
    pub fn settings(&self) -> BTreeMap<String, Value> {
        Table::try_from(self).map_or_else(|_| BTreeMap::new(), |table| flatten(&table))
    }

    /// Whether every setting is in its range and all agree.
    ///
    /// [`parse`](Self::parse) has done this already; it is for a recipe that a program has built or changed.
    ///
    /// # Errors
    /// [`RecipeError`] for the first setting that is wrong.
    pub fn validate(&self) -> Result<(), RecipeError> {
        let table = Table::try_from(self)
            .map_err(|error| SettingError::invalid("recipe", error, "whole numbers of at most 2^63 - 1"))?;
        keys::check(&table)?;
        self.model.validate()?;
        self.validate_together()
    }

    /// What no single key can say: that they fit each other.
    fn validate_together(&self) -> Result<(), RecipeError> {
        self.validate_name()?;
        self.quantization.validate_together()?;
        self.training.validate_together(self.quantization.method)?;
        self.budget.validate_together(self.quantization.method)?;
        self.data.validate_together()?;
        self.validate_model_against_data()
    }

    /// The name becomes a folder's, so it must not lead anywhere else.
    fn validate_name(&self) -> Result<(), RecipeError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(allowed) {
            let needed = "letters, digits, `-`, `_` and `.`, not beginning with `.`";
            return Err(
                SettingError::invalid("name", format!("\"{}\"", self.name.escape_debug()), needed).into()
            );
        }
        Ok(())
    }

    fn validate_model_against_data(&self) -> Result<(), RecipeError> {
        let set = self.data.set;
        if !is_for(&self.model, set) {
            let fitting: Vec<_> = ModelConfig::defaults()
                .iter()
                .filter(|model| is_for(model, set))
                .map(ModelConfig::kind)
                .collect();
            return Err(SettingError::invalid(
                "model.kind",
                format!("\"{}\"", self.model.kind()),
                format!("a model for the data set `{set}`: {}", fitting.join(", ")),
            )
            .into());
        }
        let smoothing = self.training.label_smoothing;
        if smoothing > 0.0 && !matches!(set.records(), Records::Images { .. }) {
            let needed = format!("0 for `{set}`, which has no images");
            return Err(SettingError::invalid("training.label_smoothing", smoothing, needed).into());
        }
        match (self.model.input(), set.records()) {
            (ModelInput::Images { classes, .. }, Records::Images { classes: Some(needed), .. })
                if classes != needed =>
            {
                let needed = format!("{needed}, the classes of `{set}`");
                Err(SettingError::invalid("model.classes", classes, needed).into())
            }
            (ModelInput::Mixtures { sources, .. }, Records::Mixtures) if sources != SOURCES.len() => {
                let needed = format!("{}, the sources of `{set}`", SOURCES.len());
                Err(SettingError::invalid("model.sources", sources, needed).into())
            }
            (ModelInput::Bytes { longest: Some(most) }, _) if self.training.context > most => {
                let needed = format!("at most `model.context`, {most}");
                let found = self.training.context;
                Err(SettingError::invalid("training.context", found, needed).into())
            }
            _ => Ok(()),
        }
    }

    /// Bytes or words of a text, or samples of a sound, in one record; 1 for images.
    pub fn window(&self) -> usize {
        match self.model.input() {
            ModelInput::Images { .. } => 1,
            ModelInput::Bytes { .. } | ModelInput::Words { .. } => self.training.context,
            ModelInput::Mixtures { .. } => self.training.segment,
        }
    }
}

/// Whether a model takes what a set holds.
fn is_for(model: &ModelConfig, set: DataSetKind) -> bool {
    match (model.input(), set.records()) {
        (ModelInput::Images { shape, .. }, Records::Images { shape: needed, .. }) => {
            shape.iter().zip(needed).all(|(side, needed)| needed.is_none_or(|needed| *side == needed))
        }
        (ModelInput::Bytes { .. }, Records::Bytes)
        | (ModelInput::Words { .. }, Records::Words)
        | (ModelInput::Mixtures { .. }, Records::Mixtures) => true,
        _ => false,
    }
}
