//! Seconds of a training step of two networks on made-up data: what `fewbit bench step` prints.
//!
//! A residual network of 20 layers on 128 images with SGD, and a byte-level transformer of 6 layers
//! and width 256 on 16 sequences of 128 with Adam. The PyTorch program to compare with does the same.

use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fewbit::Selection;
use fewbit::method::{Method, Phase};
use fewbit_burn::nn::cross_entropy;
use fewbit_burn::train::{OptimizerKind, Optimizers, Rates, Schedule, TrainConfig};
use fewbit_burn::{AttachError, Mode, QuantizationConfig, Quantizer};

use crate::models::{
    Activation, BYTES, ByteLanguageModel, ImageClassifier, ResNetConfig, Shortcut, TransformerLmConfig,
};

/// Steps before those that count: they touch every page and wake every thread.
pub const UNMEASURED_STEPS: u32 = 2;

/// The weight of the size penalty, per MiB.
const LAMBDA: f64 = 1e-3;

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// ResNet-20 with 1×1 convolutions as shortcuts, `[128, 3, 32, 32]`.
    ResNet,
    /// A transformer, `[16, 128]` bytes.
    LanguageModel,
}

/// What is timed.
#[derive(Clone, Debug)]
pub struct StepTiming {
    /// The network.
    pub network: Network,
    /// The method, with its size penalty where it has one; the float network alone where there is none.
    pub method: Option<Arc<dyn Method>>,
    /// Whether weights get noise or are rounded.
    pub phase: Phase,
    /// Only evaluation, without gradients and with the rounded weights.
    pub forward: bool,
    /// Steps that count.
    pub steps: u32,
}

impl StepTiming {
    /// Seconds of each step: forward, loss and penalty, backward, both optimizers.
    ///
    /// # Errors
    /// [`AttachError`], which these networks and settings do not cause.
    pub fn seconds(&self, device: &Device) -> Result<Vec<f64>, AttachError> {
        device.seed(0);
        match self.network {
            Network::ResNet => {
                let config = ResNetConfig { shortcut: Shortcut::Projection, ..Default::default() };
                let pixels = (0..128 * 3 * 32 * 32).map(|i| ((i * 7919 % 10_007) as f32 / 2900.0) - 1.725);
                let pixels = TensorData::new(pixels.collect::<Vec<f32>>(), [128, 3, 32, 32]);
                let labels = (0..128).map(|i| i % 10).collect();
                let images = |device: &Device| Tensor::<4>::from_data(pixels.clone(), device);
                self.time(|device| config.init(device), images, |m, x| m.logits(x), labels, device)
            }
            Network::LanguageModel => {
                let config = TransformerLmConfig {
                    dim: 256,
                    layers: 6,
                    heads: 8,
                    positions: false,
                    context: 128,
                    activation: Activation::Gelu,
                    dropout: 0.0,
                };
                let bytes =
                    TensorData::new((0..2048).map(|i| i * 7919 % 256).collect::<Vec<i64>>(), [16, 128]);
                let targets = (0..2048).map(|i| i * 104_729 % 256).collect();
                let tokens = |device: &Device| Tensor::<2, Int>::from_data(bytes.clone(), device);
                let logits = |m: &_, x: Tensor<2, Int>| {
                    let [batch, time] = x.dims();
                    ByteLanguageModel::logits(m, x).reshape([batch * time, BYTES])
                };
                self.time(|device| config.init(device), tokens, logits, targets, device)
            }
        }
    }

    fn config(&self) -> TrainConfig {
        let (optimizer, learning_rate) = match self.network {
            Network::ResNet => (OptimizerKind::Sgd, 0.1),
            Network::LanguageModel => (OptimizerKind::Adam, 1e-3),
        };
        TrainConfig::default()
            .with_float_steps(u64::MAX / 2)
            .with_quantized_steps(0)
            .with_optimizer(optimizer)
            .with_nesterov(false)
            .with_weight_decay(0.0)
            .with_learning_rate(learning_rate)
            .with_schedule(Schedule::Constant)
            .with_penalty(Some(LAMBDA))
    }

    fn time<M: Module, X: Clone>(
        &self,
        init: impl Fn(&Device) -> M,
        input: impl Fn(&Device) -> X,
        logits: impl Fn(&M, X) -> Tensor<2>,
        targets: Vec<i64>,
        device: &Device,
    ) -> Result<Vec<f64>, AttachError> {
        let device = if self.forward { device.clone() } else { device.clone().autodiff() };
        let config = self.config();
        let mut model = init(&device);
        let mut quantizer: Option<Quantizer> = None;
        if let Some(method) = &self.method {
            let quantization = QuantizationConfig { method: method.clone(), selection: Selection::default() };
            let (attached, handle) = quantization.attach(model, config.seed)?;
            handle.control().set_mode(match self.phase {
                Phase::Noise => Mode::Noise,
                Phase::Rounding => Mode::StraightThrough,
            });
            model = if self.forward { attached.materialize() } else { attached };
            quantizer = Some(handle);
        }
        let input = input(&device);
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets.clone(), [targets.len()]), &device);
        let mut optimizers = Optimizers::new(&config, &model, quantizer.as_ref());
        let mut seconds = Vec::new();
        for step in 0..self.steps + UNMEASURED_STEPS {
            let began = Instant::now();
            if self.forward {
                wait_for(logits(&model, input.clone()));
            } else {
                let loss = cross_entropy(logits(&model, input.clone()), targets.clone());
                let _: f32 = loss.clone().detach().into_scalar();
                let rates = Rates { weights: config.learning_rate, learned: 1e-3 };
                let moved = optimizers.learn(&config, model, quantizer.as_ref(), loss, LAMBDA, rates);
                (model, _) = moved.expect("made-up data give finite gradients");
            }
            if step >= UNMEASURED_STEPS {
                seconds.push(began.elapsed().as_secs_f64());
            }
        }
        Ok(seconds)
    }
}

/// Reads one number of the result, which on a GPU waits for all of it.
fn wait_for(logits: Tensor<2>) {
    let _: f32 = logits.slice([0..1, 0..1]).into_scalar();
}
