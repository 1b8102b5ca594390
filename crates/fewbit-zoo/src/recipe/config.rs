//! The sections of a recipe and their defaults.

use std::num::NonZeroU32;

use fewbit::Selection;
use fewbit_burn::train::TrainConfig;
use serde::{Deserialize, Serialize};

use super::words::{
    Augment, Floats, Granularity, Method, Noise, OnNonFinite, OptimizerKind, Parametrisation, Schedule,
    SizeEstimate,
};
use crate::data::{DataSetKind, OnCorrupt, Records};
use crate::models::SettingError;

/// The `[data]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The data set.
    pub set: DataSetKind,
    /// What is done to training images. Pictures in class folders are always cropped at random and mirrored, and sounds
    /// put together anew.
    #[serde(default = "DataConfig::default_augment")]
    pub augment: Augment,
    /// How strongly two operations change the colours and the shape of a training picture (RandAugment), from 0 to 10; 0 is not
    /// at all.
    #[serde(default)]
    pub rand_augment: f64,
    /// The chance that a rectangle of a training image is replaced by noise.
    #[serde(default)]
    pub erasing: f64,
    /// α of the Beta(α, α) from which the shares of two images that are added are drawn; 0 adds none.
    #[serde(default)]
    pub mixup: f64,
    /// α of the Beta(α, α) from which the area of a rectangle that comes from another image is drawn; 0 is none. Where both are
    /// given, each batch is mixed one way or the other.
    #[serde(default)]
    pub cutmix: f64,
    /// How many times in a row each training image is shown, varied anew.
    #[serde(default = "DataConfig::default_repeats")]
    pub repeats: usize,
    /// Records (of text: bytes or words; of sound: tracks) at the end of the training set that are kept for validation.
    #[serde(default = "DataConfig::default_validation")]
    pub validation: usize,
    /// What becomes of items that cannot be read.
    #[serde(default)]
    pub on_corrupt: OnCorrupt,
}

/// The `[quantization]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantizationConfig {
    /// How weights are made small.
    pub method: Method,
    /// The law of the noise.
    pub noise: Noise,
    /// What the logits stand for.
    pub parametrisation: Parametrisation,
    /// Weights that share one width.
    pub group_size: GroupSetting,
    /// The fewest bits a group can learn, above 0 and at most 16.
    pub min_bits: f64,
    /// The most bits a group can learn, at most 16.
    pub max_bits: f64,
    /// The bits that each group starts with, between the two.
    pub init_bits: f64,
    /// A tensor of this many elements or fewer stays float.
    pub min_tensor_size: usize,
    /// Patterns of parameter paths to quantize, with `*` and `?`; none stands for all.
    pub include: Vec<String>,
    /// Patterns of parameter paths that stay float; these win over `include`.
    pub exclude: Vec<String>,
    /// λ, the loss per MiB of the size; left out, what training finds under a budget, or 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// Learning rate of bit widths and scales; left out, what follows from the number of steps under a budget, or 0.001.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_learning_rate: Option<f64>,
    /// How that rate changes within the quantized steps.
    pub bits_schedule: Schedule,
    /// What has a range or step of its own; of `diffq` the tensor has.
    pub granularity: Granularity,
    /// What the penalty of `fewbit` counts.
    pub size_estimate: SizeEstimate,
    /// The width of methods that have one for all weights, 1 to 16.
    pub bits: u8,
    /// Of the weights that `quant-noise` rounds in a step.
    pub noise_share: f64,
    /// The share of the quantized steps, the last, in which `fewbit` rounds weights and adds no noise.
    pub rounding_share: f64,
}

/// Weights that share one width: a number, or all of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GroupSetting {
    /// So many weights in storage order; written as the number.
    Weights(NonZeroU32),
    /// The whole tensor; written `"tensor"`.
    #[serde(with = "tensor_word")]
    Tensor,
}

/// The `[budget]` section: how large the file may be, everything included, in one of three ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many times smaller than float32 values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Bits for each value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<f64>,
}

impl BudgetConfig {
    /// The bytes that a file of a network with so many values may have, where that is limited.
    pub fn bytes_of(&self, values: u64) -> Option<u64> {
        let bits = self.bits.or_else(|| self.ratio.map(|ratio| 32.0 / ratio));
        // A fraction of a byte is not there.
        self.bytes.or_else(|| bits.map(|bits| (values as f64 * bits / 8.0) as u64))
    }

    pub(super) fn validate_together(&self, method: Method) -> Result<(), SettingError> {
        let given =
            [("bytes", self.bytes.map(|bytes| bytes as f64)), ("ratio", self.ratio), ("bits", self.bits)];
        let mut given = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let Some((first, _)) = given.next() else {
            return match method {
                Method::Fewbit => Err(SettingError::MissingKey {
                    key: "budget".to_owned(),
                    needed: "`bytes`, `ratio` or `bits`, as the method `fewbit` learns for a size".to_owned(),
                }),
                _ => Ok(()),
            };
        };
        if let Some((second, value)) = given.next() {
            let needed = format!("to be left out where `budget.{first}` is given");
            return Err(SettingError::invalid(format!("budget.{second}"), value, needed));
        }
        if !matches!(method, Method::Fewbit | Method::Diffq) {
            let needed =
                "\"fewbit\" or \"diffq\" where there is a budget: a file of one width has the size it has";
            return Err(SettingError::invalid("quantization.method", format!("\"{method}\""), needed));
        }
        Ok(())
    }
}

/// The `[training]` section: first `float_steps` without quantization, then `quantized_steps` with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Records (of text: sequences) in one step.
    pub batch_size: usize,
    /// Steps before quantization begins.
    pub float_steps: usize,
    /// Steps with quantization.
    pub quantized_steps: usize,
    /// What moves the weights.
    pub optimizer: OptimizerKind,
    /// Rate of the weights in the float phase, after the warm-up.
    pub learning_rate: f64,
    /// Rate of the weights in quantized steps; the float phase's where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantized_learning_rate: Option<f64>,
    /// Momentum of `sgd`, without dampening; 0 turns it off.
    pub momentum: f64,
    /// Whether the momentum of `sgd` is Nesterov's.
    pub nesterov: bool,
    /// The share of a teacher's predictions in what is learned from, the rest are the labels: of the float network in quantized
    /// steps, or of a network that the run is given in all steps.
    pub distillation: f64,
    /// Of images: the share of each label that is spread over all classes.
    pub label_smoothing: f64,
    /// Weight decay; the bits have none.
    pub weight_decay: f64,
    /// How the rate changes within each phase.
    pub schedule: Schedule,
    /// Steps until the rate changes, where it changes in steps or begins anew.
    pub schedule_period: usize,
    /// What it is then multiplied with.
    pub schedule_factor: f64,
    /// Steps at the start of each phase in which the rate rises from zero.
    pub warmup_steps: usize,
    /// Largest norm of all gradients together; 0 turns clipping off.
    pub clip_norm: f64,
    /// Tokens in one sequence of text.
    pub context: usize,
    /// Samples in one piece of sound.
    pub segment: usize,
    /// Samples from one piece of a track of sound to the next.
    pub segment_stride: usize,
    /// Steps between evaluations on the validation records.
    pub evaluate_every: usize,
    /// Records in one step of an evaluation.
    pub evaluation_batch_size: usize,
    /// Training batches on which batch-norm statistics are measured anew with rounded weights, before
    /// each evaluation and for the file; 0 keeps those of the noisy weights.
    pub norm_batches: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// What happens when a number stops being one.
    pub on_non_finite: OnNonFinite,
}

/// The `[storage]` section: how the tensors are stored that are not quantized. Evaluations during
/// training are of what is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Their precision. A tensor with a value that is too large for it stays float32.
    pub floats: Floats,
    /// Whether batch norms are stored as one scale and one shift per channel.
    pub fold_batch_norm: bool,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { floats: Floats::Float16, fold_batch_norm: true }
    }
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        Self {
            method: Method::Diffq,
            noise: Noise::Gaussian,
            parametrisation: Parametrisation::Bits,
            group_size: GroupSetting::Weights(NonZeroU32::new(8).expect("8 is not 0")),
            min_bits: 2.0,
            max_bits: 15.0,
            init_bits: 8.0,
            min_tensor_size: Selection::PUBLISHED_MIN_TENSOR_SIZE,
            include: Vec::new(),
            exclude: Vec::new(),
            penalty: None,
            bits_learning_rate: None,
            bits_schedule: Schedule::Constant,
            granularity: Granularity::Tensor,
            size_estimate: SizeEstimate::Coded,
            bits: 4,
            noise_share: 0.5,
            rounding_share: 0.5,
        }
    }
}

impl Default for TrainingConfig {
    /// The defaults of [`TrainConfig`], and those of what is the benchmarks' own.
    fn default() -> Self {
        let defaults = TrainConfig::default();
        Self {
            batch_size: defaults.batch_size,
            float_steps: defaults.float_steps as usize,
            quantized_steps: defaults.quantized_steps as usize,
            optimizer: defaults.optimizer,
            learning_rate: defaults.learning_rate,
            quantized_learning_rate: None,
            momentum: defaults.momentum,
            nesterov: defaults.nesterov,
            distillation: defaults.distillation,
            label_smoothing: 0.0,
            weight_decay: defaults.weight_decay,
            schedule: defaults.schedule,
            schedule_period: defaults.schedule_period as usize,
            schedule_factor: defaults.schedule_factor,
            warmup_steps: defaults.warmup_steps as usize,
            clip_norm: defaults.clip_norm,
            context: 128,
            segment: 44_100,
            segment_stride: 44_100,
            evaluate_every: defaults.evaluate_every as usize,
            evaluation_batch_size: defaults.evaluation_batch_size,
            norm_batches: defaults.norm_batches as usize,
            checkpoint_every: defaults.checkpoint_every as usize,
            on_non_finite: defaults.on_non_finite,
        }
    }
}

impl DataConfig {
    const fn default_augment() -> Augment {
        Augment::None
    }

    const fn default_repeats() -> usize {
        1
    }

    const fn default_validation() -> usize {
        5000
    }

    pub(super) fn validate_together(&self) -> Result<(), SettingError> {
        let variation = match self.set {
            DataSetKind::Keywords => Some(Augment::TimeShift),
            set if set.is_of_fixed_images() => Some(Augment::CropFlip),
            _ => None,
        };
        if ![Some(Augment::None), variation].contains(&Some(self.augment)) {
            let other = variation.map_or(String::new(), |word| format!(" or \"{word}\""));
            let (found, needed) =
                (format!("\"{}\"", self.augment), format!("\"none\"{other} for `{}`", self.set));
            return Err(SettingError::invalid("data.augment", found, needed));
        }
        if self.on_corrupt == OnCorrupt::Skip && !self.set.is_of_files() {
            let needed = format!("\"fail\" for `{}`, which is not a file for each record", self.set);
            return Err(SettingError::invalid("data.on_corrupt", "\"skip\"", needed));
        }
        let (is_image, is_colour) = match self.set.records() {
            Records::Images { shape: [channels, ..], .. } => (true, channels == Some(3)),
            _ => (false, false),
        };
        let needs = [
            ("rand_augment", self.rand_augment, 0.0, is_colour, "images in colour"),
            ("erasing", self.erasing, 0.0, is_image, "images"),
            ("mixup", self.mixup, 0.0, is_image, "images"),
            ("cutmix", self.cutmix, 0.0, is_image, "images"),
            ("repeats", self.repeats as f64, 1.0, is_image, "images"),
        ];
        let is_refused = |(_, value, none, fits, _): &(_, f64, f64, bool, _)| value > none && !fits;
        if let Some((key, value, none, _, of)) = needs.into_iter().find(is_refused) {
            let needed = format!("{none} for `{}`, which has no {of}", self.set);
            return Err(SettingError::invalid(format!("data.{key}"), value, needed));
        }
        match self.set.training_images() {
            Some(records) if self.validation >= records => Err(SettingError::invalid(
                "data.validation",
                self.validation,
                format!("fewer than the {records} training records of `{}`", self.set),
            )),
            _ => Ok(()),
        }
    }
}

impl QuantizationConfig {
    pub(super) fn validate_together(&self) -> Result<(), SettingError> {
        let Self { min_bits, init_bits, max_bits, .. } = *self;
        if min_bits >= max_bits {
            let needed = format!("less than `quantization.max_bits`, {max_bits}");
            return Err(SettingError::invalid("quantization.min_bits", min_bits, needed));
        }
        // At an end the sigmoid is saturated: no finite logit starts there.
        if init_bits <= min_bits || init_bits >= max_bits {
            let needed = format!("a number between {min_bits} and {max_bits}, neither included");
            return Err(SettingError::invalid("quantization.init_bits", init_bits, needed));
        }
        Ok(())
    }
}

impl TrainingConfig {
    pub(super) fn validate_together(&self, method: Method) -> Result<(), SettingError> {
        let phases = [self.float_steps, self.quantized_steps];
        // Who only rounds needs no step, where the weights are there.
        let only_rounds = matches!(method, Method::PtqMinMax | Method::PtqMse);
        if phases == [0, 0] && !only_rounds {
            let needed = "steps here or in `training.float_steps`";
            return Err(SettingError::invalid("training.quantized_steps", 0, needed));
        }
        let shortest = phases.into_iter().filter(|&steps| steps > 0).min();
        if shortest.is_some_and(|steps| self.warmup_steps >= steps) {
            return Err(SettingError::invalid(
                "training.warmup_steps",
                self.warmup_steps,
                "fewer steps than each phase has",
            ));
        }
        if self.nesterov && self.momentum == 0.0 && self.optimizer == OptimizerKind::Sgd {
            let needed = "false where `training.momentum` is 0";
            return Err(SettingError::invalid("training.nesterov", true, needed));
        }
        Ok(())
    }

    /// The rate of the weights in quantized steps.
    pub fn quantized_learning_rate(&self) -> f64 {
        self.quantized_learning_rate.unwrap_or(self.learning_rate)
    }
}

/// The word `tensor`, as serde writes and reads it.
mod tensor_word {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("tensor")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "tensor" => Ok(()),
            other => Err(D::Error::custom(format!("`{other}` where a number or `tensor` is needed"))),
        }
    }
}
