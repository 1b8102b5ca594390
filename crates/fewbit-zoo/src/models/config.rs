//! Which network, and how large: the `[model]` section of a recipe and the model's description in a file.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::{Table, Value};

use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{self, Kind, Setting, SettingError};
use super::{
    AdaptiveTransformerConfig, BasicResNetConfig, DemucsConfig, DsCnnConfig, GlyphsCnnConfig, LstmLmConfig,
    MnistCnnConfig, MobileNetConfig, ResNetConfig, TransformerLmConfig, VisionTransformerConfig,
    WideResNetConfig,
};

/// The most values a described network may have: 2^28, one gibibyte of floats.
///
/// A description may come from a stranger's file; this bounds what building the network costs.
pub const MAX_VALUES: u64 = 1 << 28;

/// The enum of all networks from one list: a variant, its settings and its word.
macro_rules! networks {
    ($($(#[$doc:meta])* $variant:ident($config:ident) = $kind:literal,)*) => {
        /// A network and its size, `{"kind": "resnet", "depth": 20, …}`.
        ///
        /// Keys that are left out have defaults. Reading one, from TOML or JSON, checks every key and value as
        /// [`validate`](Self::validate) does.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", try_from = "Unchecked")]
        pub enum ModelConfig {
            $($(#[$doc])* #[serde(rename = $kind)] $variant($config),)*
        }

        impl ModelConfig {
            /// The kinds that exist, as they are written.
            pub const KINDS: &[&str] = &[$($kind),*];

            /// A network of each kind, of the size that it has where nothing else is said.
            pub fn defaults() -> Vec<Self> {
                vec![$(Self::$variant($config::default())),*]
            }

            /// The kind, as it is written.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }

            /// What the network takes in.
            pub fn input(&self) -> ModelInput {
                match self { $(Self::$variant(config) => config.input(),)* }
            }

            /// Number of stored values: the parameters and the batch-norm statistics. Burn's `num_params` counts the
            /// same.
            pub fn values(&self) -> u64 {
                match self { $(Self::$variant(config) => config.values(),)* }
            }

            /// The ε of its batch norms; `None` for a network without any.
            pub fn batch_norm_epsilon(&self) -> Option<f64> {
                match self { $(Self::$variant(config) => config.batch_norm_epsilon(),)* }
            }

            /// Hands `visitor` what builds the network.
            pub fn accept<V: NetworkVisitor>(&self, visitor: V) -> V::Output {
                match self.clone() { $(Self::$variant(config) => config.accept(visitor),)* }
            }

            fn settings_fit(&self, section: &str) -> Result<(), SettingError> {
                match self { $(Self::$variant(config) => config.validate_together(section),)* }
            }

            /// The network of this kind with these settings, which have been checked.
            fn of_kind(kind: &str, settings: Value) -> Result<Self, toml::de::Error> {
                match kind {
                    $($kind => settings.try_into().map(Self::$variant),)*
                    _ => Err(serde::de::Error::custom("no such kind")),
                }
            }

            fn keys(kind: &str) -> &'static [(&'static str, Kind)] {
                match kind { $($kind => $config::KEYS,)* _ => &[] }
            }
        }
    };
}

networks! {
    /// `mnist-cnn`: a [`MnistCnn`](super::MnistCnn).
    MnistCnn(MnistCnnConfig) = "mnist-cnn",
    /// `glyphs-cnn`: a [`GlyphsCnn`](super::GlyphsCnn).
    GlyphsCnn(GlyphsCnnConfig) = "glyphs-cnn",
    /// `resnet`: a [`ResNet`](super::ResNet).
    ResNet(ResNetConfig) = "resnet",
    /// `basic-resnet`: a [`BasicResNet`](super::BasicResNet), ResNet-18 for CIFAR.
    BasicResNet(BasicResNetConfig) = "basic-resnet",
    /// `wide-resnet`: a [`WideResNet`](super::WideResNet).
    WideResNet(WideResNetConfig) = "wide-resnet",
    /// `mobilenet`: a [`MobileNet`](super::MobileNet).
    MobileNet(MobileNetConfig) = "mobilenet",
    /// `vision-transformer`: a [`VisionTransformer`](super::VisionTransformer).
    VisionTransformer(VisionTransformerConfig) = "vision-transformer",
    /// `ds-cnn`: a [`DsCnn`](super::DsCnn).
    DsCnn(DsCnnConfig) = "ds-cnn",
    /// `demucs`: a [`Demucs`](super::Demucs).
    Demucs(DemucsConfig) = "demucs",
    /// `lstm-lm`: a [`LstmLm`](super::LstmLm).
    LstmLm(LstmLmConfig) = "lstm-lm",
    /// `transformer-lm`: a [`TransformerLm`](super::TransformerLm).
    TransformerLm(TransformerLmConfig) = "transformer-lm",
    /// `adaptive-transformer-lm`: an [`AdaptiveTransformer`](super::AdaptiveTransformer).
    AdaptiveTransformer(AdaptiveTransformerConfig) = "adaptive-transformer-lm",
}

/// Why a description of a network was refused.
#[derive(Debug, Error)]
pub enum ModelError {
    /// Not TOML at all.
    #[error("the description of the model is not TOML")]
    Toml(#[from] toml::de::Error),
    /// A key or a value is wrong.
    #[error("description of the model: {0}")]
    Setting(#[from] SettingError),
}

impl ModelConfig {
    /// Whether every setting is in its range, the settings agree and the network is at most [`MAX_VALUES`] large.
    ///
    /// # Errors
    /// [`SettingError`] for the first setting that is wrong.
    pub fn validate(&self) -> Result<(), SettingError> {
        let table = Table::try_from(self)
            .map_err(|error| SettingError::invalid("model", error, "numbers that TOML can hold"))?;
        check(&table, "")?;
        self.validate_together("")
    }

    /// The network described by a table of `section`, whose name is put before the keys in errors.
    pub(crate) fn from_table(table: &Table, section: &str) -> Result<Self, SettingError> {
        check(table, section)?;
        let mut rest = table.clone();
        let kind = rest.remove("kind");
        // `check` has seen to the keys, the types and the kind, so that what fails here fails by name already.
        let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
        let config = Self::of_kind(kind, Value::Table(rest))
            .map_err(|error| SettingError::invalid(section, error.message(), "a model"))?;
        config.validate_together(section)?;
        Ok(config)
    }

    /// The description as a recipe's `[model]` has it, for the metadata of a file.
    ///
    /// # Panics
    /// If a whole number is above 2^63 − 1, which [`validate`](Self::validate) refuses.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a description holds what TOML can hold").trim_end().to_owned()
    }

    /// The network that this TOML describes.
    ///
    /// # Errors
    /// [`ModelError`] naming the key, what was found and what is needed; an unknown kind lists the known ones.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        Ok(Self::from_table(&toml::from_str(text)?, "")?)
    }

    /// The keys of `section` for a network of this kind; of an unknown kind, `kind` alone.
    pub(crate) fn settings(kind: Option<&str>, section: &str) -> Vec<Setting> {
        let mut settings = vec![Setting::required(section, "kind", Kind::Choice(Self::KINDS))];
        settings.extend(Setting::optional(section, Self::keys(kind.unwrap_or_default())));
        settings
    }

    /// What no single key can say: that they fit each other, and how large the network is.
    fn validate_together(&self, section: &str) -> Result<(), SettingError> {
        self.settings_fit(section)?;
        let values = self.values();
        if values > MAX_VALUES {
            return Err(SettingError::invalid(
                if section.is_empty() { "model" } else { section },
                format!("{values} values large"),
                format!("at most {MAX_VALUES}"),
            ));
        }
        Ok(())
    }
}

/// A table whose keys are not checked yet, so that every way of reading a [`ModelConfig`] passes the check.
#[derive(Deserialize)]
#[serde(transparent)]
struct Unchecked(Table);

impl TryFrom<Unchecked> for ModelConfig {
    type Error = SettingError;

    fn try_from(unchecked: Unchecked) -> Result<Self, SettingError> {
        Self::from_table(&unchecked.0, "")
    }
}

fn check(table: &Table, section: &str) -> Result<(), SettingError> {
    let settings = ModelConfig::settings(table.get("kind").and_then(Value::as_str), section);
    // The kind first: it decides which other keys there are.
    let kind = table.get_key_value("kind").into_iter();
    let values = kind.chain(table.iter().filter(|(name, _)| *name != "kind"));
    setting::check_all(values.map(|(name, value)| (setting::dotted(section, name), value)), &settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_written_and_read_again_is_equal() {
        for (config, kind) in ModelConfig::defaults().into_iter().zip(ModelConfig::KINDS) {
            assert_eq!(config.kind(), *kind);
            config.validate().unwrap();
            let text = config.to_toml();
            assert!(text.starts_with(&format!("kind = \"{kind}\"\n")), "{text}");
            assert_eq!(ModelConfig::parse(&text).unwrap(), config);
            assert_eq!(toml::from_str::<ModelConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn a_kind_alone_gives_the_defaults() {
        for (config, kind) in ModelConfig::defaults().into_iter().zip(ModelConfig::KINDS) {
            assert_eq!(ModelConfig::parse(&format!("kind = '{kind}'")).unwrap(), config);
        }
    }

    #[test]
    fn a_wrong_description_is_refused_with_its_key() {
        for (text, part) in [
            ("", "key `kind` is missing"),
            ("3", "not TOML"),
            ("kind = 'resnet'\ndepth = ", "not TOML"),
            ("kind = 3", "`kind` is 3"),
            ("kind = 'resnett'", "did you mean `resnet`?"),
            ("kind = 'mamba'", &ModelConfig::KINDS.join(", ")),
            ("kind = 'resnet'\ndept = 20", "did you mean `depth`?"),
            ("kind = 'resnet'\ndepth = 21", "a multiple of 6, plus 2"),
            ("kind = 'resnet'\ndepth = 1e9", "a whole number from 8"),
            ("kind = 'transformer-lm'\nheads = 3", "a divisor of `dim`, 128"),
            ("kind = 'transformer-lm'\ndropout = 1", "a number from 0 to 0.9"),
            ("kind = 'lstm-lm'\nhidden = 65536", "at most 268435456"),
            ("kind = 'lstm-lm'\nhidden = 99999999999999999999", "not TOML"),
        ] {
            let error = ModelConfig::parse(text).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }

    /// The largest sizes that single keys allow, all at once, are counted without overflow and refused.
    #[test]
    fn the_largest_description_is_refused_before_it_is_built() {
        let text = "kind = 'transformer-lm'\ndim = 65536\nlayers = 256\ncontext = 65536";
        assert!(ModelConfig::parse(text).unwrap_err().to_string().contains("at most 268435456"));
    }
}
