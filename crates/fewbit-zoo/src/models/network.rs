//! What each network's settings say of it, and how code meets a network whose type it does not know.

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::setting::{Kind, SettingError};
use super::{ByteLanguageModel, ImageClassifier, Separator, WordLanguageModel};

/// What a network takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelInput {
    /// Images `[channels, height, width]` of so many classes.
    Images {
        /// Shape of one image.
        shape: [usize; 3],
        /// Number of classes.
        classes: usize,
    },
    /// Sequences of bytes.
    Bytes {
        /// The longest sequence, where there is one.
        longest: Option<usize>,
    },
    /// Sequences of words.
    Words {
        /// Number of words.
        vocabulary: usize,
    },
    /// Sounds that are the sum of others.
    Mixtures {
        /// Channels of each sound.
        channels: usize,
        /// Sounds that are told apart.
        sources: usize,
    },
}

impl ModelInput {
    /// What it is, in a word.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Images { .. } => "images",
            Self::Bytes { .. } => "bytes",
            Self::Words { .. } => "words",
            Self::Mixtures { .. } => "sounds",
        }
    }

    pub(crate) const fn images(shape: [usize; 3], classes: usize) -> Self {
        Self::Images { shape, classes }
    }
}

/// The settings of one kind of network: a table of a recipe, all keys with defaults.
pub trait NetworkConfig: Clone + Default + Serialize + DeserializeOwned {
    /// What the network takes in.
    fn input(&self) -> ModelInput;

    /// Number of stored values: the parameters and the batch-norm statistics. Burn's `num_params` counts the same.
    fn values(&self) -> u64;

    /// The ε of its batch norms; `None` for a network without any.
    fn batch_norm_epsilon(&self) -> Option<f64>;

    /// Hands `visitor` what builds the network.
    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output;
}

/// What the keys of a network's settings may hold.
pub(crate) trait Settings {
    /// Every key.
    const KEYS: &'static [(&'static str, Kind)];

    /// What no single key can say: that they fit each other. `section` is put before keys in errors.
    fn validate_together(&self, _section: &str) -> Result<(), SettingError> {
        Ok(())
    }
}

/// Something to do with a network of any type, apart for each use that a network can have.
pub trait NetworkVisitor {
    /// What comes of it.
    type Output;

    /// With a network that sorts images.
    fn images<M: ImageClassifier>(self, build: impl Fn(&Device) -> M) -> Self::Output;

    /// With a network that predicts bytes.
    fn bytes<M: ByteLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output;

    /// With a network that predicts words.
    fn words<M: WordLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output;

    /// With a network that tells the sources of a sound apart.
    fn mixtures<M: Separator>(self, build: impl Fn(&Device) -> M) -> Self::Output;
}

/// Something to do with a network whatever it is for.
pub trait AnyNetworkVisitor {
    /// What comes of it.
    type Output;

    /// With the network that `build` makes.
    fn network<M: Module>(self, build: impl Fn(&Device) -> M) -> Self::Output;
}

/// Makes a [`NetworkVisitor`] of an [`AnyNetworkVisitor`].
#[derive(Debug)]
pub struct ForAny<V>(pub V);

impl<V: AnyNetworkVisitor> NetworkVisitor for ForAny<V> {
    type Output = V::Output;

    fn images<M: ImageClassifier>(self, build: impl Fn(&Device) -> M) -> V::Output {
        self.0.network(build)
    }

    fn bytes<M: ByteLanguageModel>(self, build: impl Fn(&Device) -> M) -> V::Output {
        self.0.network(build)
    }

    fn words<M: WordLanguageModel>(self, build: impl Fn(&Device) -> M) -> V::Output {
        self.0.network(build)
    }

    fn mixtures<M: Separator>(self, build: impl Fn(&Device) -> M) -> V::Output {
        self.0.network(build)
    }
}
