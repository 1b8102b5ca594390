//! A table of vectors.

use burn::module::{Module, Param};
use burn::nn::EmbeddingConfig;
use burn::tensor::{Device, Int, Tensor};

use crate::operation::{embedding, runs_on};

/// A vector for each of a number of indices; see [`burn::nn::Embedding`].
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[indices, width]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// A table with fresh vectors.
    pub fn new(config: &EmbeddingConfig, device: &Device) -> Self {
        config.init(device).into()
    }

    /// The vectors of `indices`: `[N, T]` to `[N, T, width]`.
    ///
    /// # Panics
    /// If an index is not in the table.
    pub fn forward(&self, indices: Tensor<2, Int>) -> Tensor<3> {
        let weight = self.weight.val();
        if runs_on(&weight) {
            embedding::embedding(weight, indices)
        } else {
            burn::tensor::module::embedding(weight, indices)
        }
    }
}

impl From<burn::nn::Embedding> for Embedding {
    fn from(burn::nn::Embedding { weight }: burn::nn::Embedding) -> Self {
        Self { weight }
    }
}
