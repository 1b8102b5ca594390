//! What a recipe means to the training loop.

use std::sync::Arc;

use fewbit::method::{
    self, DiffQ, Fewbit, FixedWidth, Lsq, NoiseLaw, PtqMinMax, PtqMse, Qat, QuantNoise, ScaleSpace,
};
use fewbit::{
    BitWidth, BitsParametrisation, FloatEncoding, FloatStorage, GroupSize, RangeGranularity, Selection,
};
use fewbit_burn::{QuantizationConfig, train};

use super::{
    Augment, Floats, Granularity, GroupSetting, Method, Noise, OptimizerKind, Parametrisation, Recipe,
    SizeEstimate,
};
use crate::data::augment::Augmentation;
use crate::data::mixing::Mixing;
use crate::data::variation::Variation;

impl GroupSetting {
    fn weights(self) -> GroupSize {
        match self {
            Self::Weights(weights) => {
                GroupSize::new(weights.get() as usize).unwrap_or(GroupSize::WholeTensor)
            }
            Self::Tensor => GroupSize::WholeTensor,
        }
    }
}

impl Recipe {
    /// How training images are varied.
    pub fn variation(&self) -> Variation {
        let data = &self.data;
        Variation {
            crop: match data.augment {
                Augment::None => Augmentation::NONE,
                Augment::CropFlip => Augmentation::CIFAR10,
                Augment::TimeShift => Augmentation::TIME_SHIFT,
            },
            rand_augment: data.rand_augment as f32,
            erasing: data.erasing as f32,
            mixing: Mixing { mixup: data.mixup, cutmix: data.cutmix },
        }
    }

    /// Which weights are quantized, and how.
    pub fn quantization_config(&self) -> QuantizationConfig {
        let q = &self.quantization;
        let selection = Selection {
            min_tensor_size: q.min_tensor_size,
            include: q.include.clone(),
            exclude: q.exclude.clone(),
            ..Selection::default()
        };
        QuantizationConfig { method: self.method(), selection }
    }

    /// The method that the recipe names, with its settings: the only place that tells methods apart.
    fn method(&self) -> Arc<dyn method::Method> {
        let q = &self.quantization;
        let granularity = match q.granularity {
            Granularity::Tensor => RangeGranularity::Tensor,
            Granularity::Channel => RangeGranularity::Channel,
            Granularity::Group => RangeGranularity::Group,
        };
        let group_size = q.group_size.weights();
        let width = BitWidth::new(q.bits).expect("bits are checked when a recipe is read");
        let fixed = FixedWidth { width, granularity, group_size };
        match q.method {
            Method::Fewbit => {
                let estimate = match q.size_estimate {
                    SizeEstimate::Coded => method::SizeEstimate::Coded,
                    SizeEstimate::Nominal => method::SizeEstimate::Nominal,
                };
                Arc::new(Fewbit { granularity, group_size, estimate, rounding_share: q.rounding_share })
            }
            Method::Diffq => Arc::new(DiffQ {
                group_size,
                noise: match q.noise {
                    Noise::Gaussian => NoiseLaw::Gaussian,
                    Noise::Uniform => NoiseLaw::Uniform,
                },
                parametrisation: match q.parametrisation {
                    Parametrisation::Bits => BitsParametrisation::Bits,
                    Parametrisation::Noise => BitsParametrisation::Noise,
                },
                min_bits: q.min_bits as f32,
                max_bits: q.max_bits as f32,
                init_bits: q.init_bits as f32,
            }),
            Method::Lsq => {
                let space = match self.training.optimizer {
                    OptimizerKind::Sgd => ScaleSpace::Linear,
                    _ => ScaleSpace::Logarithm,
                };
                Arc::new(Lsq { fixed, space })
            }
            Method::Qat => Arc::new(Qat(fixed)),
            Method::QuantNoise => Arc::new(QuantNoise { fixed, share: q.noise_share as f32 }),
            Method::PtqMinMax => Arc::new(PtqMinMax(fixed)),
            Method::PtqMse => Arc::new(PtqMse(fixed)),
        }
    }

    /// The settings of the training loop.
    pub fn train_config(&self) -> train::TrainConfig {
        let (t, q) = (&self.training, &self.quantization);
        let storage = FloatStorage {
            encoding: match self.storage.floats {
                Floats::Float32 => FloatEncoding::Float32,
                Floats::Float16 => FloatEncoding::Float16,
                Floats::Bfloat16 => FloatEncoding::BFloat16,
            },
            fold_batch_norm: self.storage.fold_batch_norm,
        };
        train::TrainConfig::default()
            .with_seed(self.seed)
            .with_batch_size(t.batch_size)
            .with_repeats(self.data.repeats)
            .with_float_steps(t.float_steps as u64)
            .with_quantized_steps(t.quantized_steps as u64)
            .with_optimizer(t.optimizer)
            .with_momentum(t.momentum)
            .with_nesterov(t.nesterov)
            .with_weight_decay(t.weight_decay)
            .with_learning_rate(t.learning_rate)
            .with_quantized_learning_rate(t.quantized_learning_rate.unwrap_or(t.learning_rate))
            .with_schedule(t.schedule)
            .with_schedule_period(t.schedule_period as u64)
            .with_schedule_factor(t.schedule_factor)
            .with_warmup_steps(t.warmup_steps as u64)
            .with_bits_learning_rate(q.bits_learning_rate)
            .with_bits_schedule(q.bits_schedule)
            .with_penalty(q.penalty)
            .with_clip_norm(t.clip_norm)
            .with_evaluate_every(t.evaluate_every as u64)
            .with_evaluation_batch_size(t.evaluation_batch_size)
            .with_norm_batches(t.norm_batches as u64)
            .with_checkpoint_every(t.checkpoint_every as u64)
            .with_quantization(self.quantization_config())
            .with_storage(storage)
            .with_budget(self.budget.bytes_of(self.model.values()))
            .with_distillation(t.distillation)
            .with_on_non_finite(t.on_non_finite)
    }
}
