//! Transformers for images: that of DiffQ's CIFAR experiments, and DeiT.
//!
//! Dosovitskiy et al., "An image is worth 16×16 words", 2021; Touvron et al., "Training data-efficient image
//! transformers", 2021, whose tiny, small and base have width 192, 384 and 768 with heads of 64.

use burn::module::{Module, Param};
use burn::nn::conv::Conv2dConfig;
use burn::nn::{Dropout, DropoutConfig, Initializer, LayerNormConfig, LinearConfig};
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::{Conv2d, LayerNorm, Linear, add, fork, gelu, self_attention};
use serde::{Deserialize, Serialize};

use super::ImageClassifier;
use super::counts::linear_values;
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{self, CLASSES, DROPOUT, Kind, LAYERS, SettingError, WIDTH, dotted};

/// The ε of the norms, as in DeiT.
const EPSILON: f64 = 1e-6;

/// Every token sees all others, so that a stranger's description must not make them many.
const MAX_TOKENS: usize = 1 << 13;

/// Standard deviation of fresh weights, as in DeiT.
const WEIGHT_STD: f64 = 0.02;

/// Sizes of a [`VisionTransformer`]; the defaults are those of DiffQ's CIFAR experiments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisionTransformerConfig {
    /// Side of an image.
    pub image_size: usize,
    /// Side of a patch; divides the image's.
    pub patch_size: usize,
    /// Width of every layer.
    pub dim: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads per layer; divides `dim`.
    pub heads: usize,
    /// Width between the two layers of each perceptron.
    pub hidden: usize,
    /// Whether queries, keys and values have a bias.
    pub attention_bias: bool,
    /// Probability of dropping an activation in training, from 0 to 0.9.
    pub dropout: f64,
    /// Probability that what the last layer adds is left out of an image in training, from 0 to 0.9; less in those before
    /// it, down to 0 in the first (Huang et al. 2016, *Deep networks with stochastic depth*).
    pub drop_path: f64,
    /// Number of classes.
    pub classes: usize,
}

impl Default for VisionTransformerConfig {
    fn default() -> Self {
        Self {
            image_size: 32,
            patch_size: 4,
            dim: 512,
            layers: 6,
            heads: 8,
            hidden: 512,
            attention_bias: false,
            dropout: 0.1,
            drop_path: 0.0,
            classes: 10,
        }
    }
}

/// Logits of images `[N, 3, H, W]`: patches and one token more, layers, norm, a linear layer of that token.
#[derive(Module, Debug)]
pub struct VisionTransformer {
    /// `[1, 1, dim]`: the token that gathers what is seen.
    pub cls_token: Param<Tensor<3>>,
    /// `[1, 1 + patches, dim]`, added to the tokens.
    pub pos_embed: Param<Tensor<3>>,
    /// From pixels to tokens.
    pub patch_embed: PatchEmbedding,
    /// After the positions.
    pub dropout: Dropout,
    /// The layers.
    pub blocks: Vec<VisionBlock>,
    /// After the last layer.
    pub norm: LayerNorm,
    /// `dim` to the classes.
    pub head: Linear,
}

/// One linear map of each patch.
#[derive(Module, Debug)]
pub struct PatchEmbedding {
    /// A convolution whose stride is its side.
    pub proj: Conv2d,
}

/// Self-attention and a two-layer perceptron, each on the normalised input and added to it.
#[derive(Module, Debug)]
pub struct VisionBlock {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// The attention.
    pub attn: VisionAttention,
    /// Before the perceptron.
    pub norm2: LayerNorm,
    /// The perceptron.
    pub mlp: VisionPerceptron,
    /// Before each of the two is added.
    pub dropout: Dropout,
    /// Of what each of the two adds, image by image.
    pub drop_path: Dropout,
}

/// Every token sees all.
#[derive(Module, Debug)]
pub struct VisionAttention {
    /// `dim` to queries, keys and values, in this order, each all heads side by side.
    pub qkv: Linear,
    /// `dim` to `dim`.
    pub proj: Linear,
    /// Attention heads.
    pub heads: usize,
}

/// Two linear layers with a GELU between them.
#[derive(Module, Debug)]
pub struct VisionPerceptron {
    /// `dim` to `hidden`.
    pub fc1: Linear,
    /// `hidden` to `dim`.
    pub fc2: Linear,
}

impl VisionTransformerConfig {
    /// A network with fresh random weights.
    ///
    /// # Panics
    /// If a size is zero; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> VisionTransformer {
        let patches = Conv2dConfig::new([3, self.dim], [self.patch_size; 2])
            .with_stride([self.patch_size; 2])
            .with_initializer(normal());
        VisionTransformer {
            cls_token: normal().init([1, 1, self.dim], device),
            pos_embed: normal().init([1, self.tokens(), self.dim], device),
            patch_embed: PatchEmbedding { proj: Conv2d::new(&patches, device) },
            dropout: DropoutConfig::new(self.dropout).init(),
            blocks: (0..self.layers).map(|layer| VisionBlock::new(self, layer, device)).collect(),
            norm: norm(self.dim, device),
            head: linear(self.dim, self.classes, true, device),
        }
    }

    /// Patches of an image, and one.
    fn tokens(&self) -> usize {
        1 + (self.image_size / self.patch_size).pow(2)
    }
}

impl NetworkConfig for VisionTransformerConfig {
    fn input(&self) -> ModelInput {
        ModelInput::images([3, self.image_size, self.image_size], self.classes)
    }

    fn values(&self) -> u64 {
        let dim = self.dim;
        let norm = 2 * dim as u64;
        let qkv = 3 * dim as u64 * (dim as u64 + u64::from(self.attention_bias));
        let layer = 2 * norm
            + qkv
            + linear_values(dim, dim)
            + linear_values(dim, self.hidden)
            + linear_values(self.hidden, dim);
        (1 + self.tokens() as u64) * dim as u64
            + linear_values(3 * self.patch_size.pow(2), dim)
            + self.layers as u64 * layer
            + norm
            + linear_values(dim, self.classes)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        None
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.images(|device| self.init(device))
    }
}

impl Settings for VisionTransformerConfig {
    const KEYS: &'static [(&'static str, Kind)] = &[
        ("image_size", Kind::Count { least: 1, most: 1024 }),
        ("patch_size", Kind::Count { least: 1, most: 1024 }),
        ("dim", WIDTH),
        ("layers", LAYERS),
        ("heads", WIDTH),
        ("hidden", WIDTH),
        ("attention_bias", Kind::Flag),
        DROPOUT,
        ("drop_path", DROPOUT.1),
        CLASSES,
    ];

    fn validate_together(&self, section: &str) -> Result<(), SettingError> {
        setting::divides(section, ("heads", self.heads), ("dim", self.dim))?;
        setting::divides(section, ("patch_size", self.patch_size), ("image_size", self.image_size))?;
        if self.tokens() <= MAX_TOKENS {
            return Ok(());
        }
        let needed =
            format!("larger: an image is then {} patches, at most {MAX_TOKENS} can be", self.tokens() - 1);
        Err(SettingError::invalid(dotted(section, "patch_size"), self.patch_size, needed))
    }
}

impl VisionTransformer {
    /// Images `[N, 3, H, W]` to logits `[N, classes]`.
    ///
    /// # Panics
    /// If the images are not of the size that the network was made for.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        // [N, dim, rows, columns] to [N, patches, dim], row after row.
        let patches = self.patch_embed.proj.forward(images).flatten::<3>(2, 3).swap_dims(1, 2);
        let [batch, _, dim] = patches.dims();
        let first = self.cls_token.val().expand([batch, 1, dim]);
        let mut x = self.dropout.forward(Tensor::cat(vec![first, patches], 1) + self.pos_embed.val());
        for block in &self.blocks {
            x = block.forward(x);
        }
        let first = self.norm.forward(x.narrow(1, 0, 1));
        self.head.forward(first.reshape([batch, dim]))
    }
}

impl VisionBlock {
    fn new(config: &VisionTransformerConfig, layer: usize, device: &Device) -> Self {
        let (dim, hidden) = (config.dim, config.hidden);
        let drop_path = config.drop_path * layer as f64 / (config.layers - 1).max(1) as f64;
        Self {
            norm1: norm(dim, device),
            attn: VisionAttention {
                qkv: linear(dim, 3 * dim, config.attention_bias, device),
                proj: linear(dim, dim, true, device),
                heads: config.heads,
            },
            norm2: norm(dim, device),
            mlp: VisionPerceptron {
                fc1: linear(dim, hidden, true, device),
                fc2: linear(hidden, dim, true, device),
            },
            dropout: DropoutConfig::new(config.dropout).init(),
            drop_path: DropoutConfig::new(drop_path).init(),
        }
    }

    /// `[N, tokens, dim]` to the same shape.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [x, past] = fork(x);
        let attended = self_attention(self.attn.qkv.forward(self.norm1.forward(x)), self.attn.heads, false);
        let [x, past] = fork(add(past, self.kept(self.attn.proj.forward(attended))));
        let wide = gelu(self.mlp.fc1.forward(self.norm2.forward(x)));
        add(past, self.kept(self.mlp.fc2.forward(wide)))
    }

    /// What a branch adds in training: all of it or nothing, image by image, and of that what dropout leaves.
    fn kept(&self, added: Tensor<3>) -> Tensor<3> {
        let added = self.dropout.forward(added);
        if self.drop_path.prob == 0.0 {
            return added;
        }
        let images = added.dims()[0];
        let ones = Tensor::ones([images, 1, 1], &added.device());
        added * self.drop_path.forward(ones)
    }
}

fn linear(inputs: usize, outputs: usize, bias: bool, device: &Device) -> Linear {
    let config = LinearConfig::new(inputs, outputs).with_bias(bias).with_initializer(normal());
    Linear::new(&config, device)
}

fn norm(dim: usize, device: &Device) -> LayerNorm {
    LayerNorm::new(&LayerNormConfig::new(dim).with_epsilon(EPSILON), device)
}

fn normal() -> Initializer {
    Initializer::Normal { mean: 0.0, std: WEIGHT_STD }
}

impl ImageClassifier for VisionTransformer {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{learning, sizes};

    fn deit(dim: usize) -> VisionTransformerConfig {
        VisionTransformerConfig {
            image_size: 224,
            patch_size: 16,
            dim,
            layers: 12,
            heads: dim / 64,
            hidden: 4 * dim,
            attention_bias: true,
            dropout: 0.0,
            drop_path: 0.1,
            classes: 1000,
        }
    }

    /// 330.2 MB of 2^20 bytes is DeiT-B: notes on DiffQ, section 2. Touvron et al., table 1, round the others to 5 and 22
    /// million.
    #[test]
    fn deit_is_as_large_as_published() {
        assert_eq!(deit(192).values(), 5_717_416);
        assert_eq!(deit(384).values(), 22_050_664);
        assert_eq!(deit(768).values(), 86_567_656);
        sizes::is_of_megabytes(86_567_656, 330.23);
    }

    /// 400 images of which each keeps what a branch adds with a chance of 1/2, and then twice of it: a deviation of 10, of
    /// which 5 are allowed.
    #[test]
    fn layers_are_left_out_image_by_image_and_later_ones_more_often() {
        let config = VisionTransformerConfig {
            dim: 8,
            layers: 3,
            heads: 2,
            hidden: 8,
            dropout: 0.0,
            drop_path: 0.5,
            ..Default::default()
        };
        let device = Device::flex().autodiff();
        device.seed(1);
        let model = config.init(&device);
        let chances: Vec<f64> = model.blocks.iter().map(|block| block.drop_path.prob).collect();
        assert_eq!(chances, [0.0, 0.25, 0.5]);
        let added = model.blocks[2].kept(Tensor::ones([400, 2, 3], &device));
        let added: Vec<f32> = added.into_data().try_into_vec().unwrap();
        let images = added.chunks(6);
        let kept = images.clone().filter(|image| image.iter().all(|value| *value == 2.0)).count();
        let dropped = images.filter(|image| image.iter().all(|value| *value == 0.0)).count();
        assert_eq!(kept + dropped, 400);
        assert!((150..=250).contains(&kept), "{kept}");
        // Evaluation has all layers whole.
        let plain = config.init(&Device::flex());
        let whole: Vec<f32> = plain.blocks[2]
            .kept(Tensor::ones([4, 2, 3], &Device::flex()))
            .into_data()
            .try_into_vec()
            .unwrap();
        assert_eq!(whole, [1.0; 24]);
    }

    #[test]
    fn values_agree_with_burn() {
        for attention_bias in [false, true] {
            let config = VisionTransformerConfig {
                dim: 24,
                layers: 2,
                hidden: 20,
                attention_bias,
                ..Default::default()
            };
            assert_eq!(config.init(&Device::default()).num_params() as u64, config.values());
        }
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        let config = VisionTransformerConfig {
            patch_size: 8,
            dim: 32,
            layers: 1,
            heads: 4,
            hidden: 32,
            dropout: 0.0,
            ..Default::default()
        };
        learning::classifier_learns_one_batch(|device| config.init(device), [3, 32, 32]);
    }
}
