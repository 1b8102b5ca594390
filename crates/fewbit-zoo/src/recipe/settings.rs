//! What a recipe means to the training loop.

use fewbit::{BitWidth, BitsParametrisation, FloatEncoding, GroupSize, RangeGranularity};
use fewbit_burn::Method as Of;
use fewbit_burn::{
    DiffQConfig, FixedWidth, FloatStorage, NoiseLaw, QuantizationConfig, StepConfig, StepSpace, train,
};

use super::{
    Augment, Floats, Granularity, GroupSetting, Method, Noise, OnNonFinite, OptimizerKind, Parametrisation,
    Recipe, Schedule, SizeEstimate, TrainingConfig,
};
use crate::data::augment::Augmentation;
use crate::data::mixing::Mixing;
use crate::data::variation::Variation;

impl Schedule {
    /// The schedule that this word and the two keys beside it mean.
    fn of(self, training: &TrainingConfig) -> train::Schedule {
        let (period, factor) = (training.schedule_period as u64, training.schedule_factor);
        match self {
            Self::Constant => train::Schedule::Constant,
            Self::Cosine => train::Schedule::Cosine,
            Self::Step => train::Schedule::Step { period, factor },
            Self::Restarts => train::Schedule::Restarts { period, factor },
        }
    }
}

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

    /// The settings of the method.
    pub fn quantization_config(&self) -> QuantizationConfig {
        let q = &self.quantization;
        let granularity = match q.granularity {
            Granularity::Tensor => RangeGranularity::Tensor,
            Granularity::Channel => RangeGranularity::Channel,
            Granularity::Group => RangeGranularity::Group,
        };
        let group_size = q.group_size.weights();
        let width = BitWidth::new(q.bits).unwrap_or(BitWidth::MAX);
        let fixed = FixedWidth { width, granularity, group_size };
        let method = match q.method {
            Method::Fewbit => {
                let group_size = match q.group_size {
                    GroupSetting::Weights(weights) => weights.get() as usize,
                    GroupSetting::Tensor => usize::MAX,
                };
                let estimate = match q.size_estimate {
                    SizeEstimate::Coded => fewbit_burn::SizeEstimate::Coded,
                    SizeEstimate::Nominal => fewbit_burn::SizeEstimate::Nominal,
                };
                Of::Fewbit(StepConfig { granularity, group_size, estimate })
            }
            Method::Diffq => Of::DiffQ(self.diffq_config()),
            Method::Lsq => Of::Lsq(
                fixed,
                match self.training.optimizer {
                    OptimizerKind::Sgd => StepSpace::Linear,
                    OptimizerKind::Adam | OptimizerKind::Adamw => StepSpace::Logarithm,
                },
            ),
            Method::Qat => Of::Qat(fixed),
            Method::QuantNoise => Of::QuantNoise(fixed, q.noise_share as f32),
            Method::Rounding => Of::Rounding(fixed),
            Method::NearestRounding => Of::NearestRounding(fixed),
        };
        QuantizationConfig {
            method,
            min_tensor_size: q.min_tensor_size,
            include: q.include.clone(),
            exclude: q.exclude.clone(),
        }
    }

    fn diffq_config(&self) -> DiffQConfig {
        let q = &self.quantization;
        DiffQConfig {
            group_size: q.group_size.weights(),
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
        }
    }

    /// The settings of the training loop.
    pub fn train_config(&self) -> train::TrainConfig {
        let t = &self.training;
        train::TrainConfig {
            seed: self.seed,
            batch_size: t.batch_size,
            repeats: self.data.repeats,
            float_steps: t.float_steps as u64,
            quantized_steps: t.quantized_steps as u64,
            optimizer: match t.optimizer {
                OptimizerKind::Sgd => train::OptimizerKind::Sgd,
                OptimizerKind::Adam => train::OptimizerKind::Adam,
                OptimizerKind::Adamw => train::OptimizerKind::AdamW,
            },
            momentum: t.momentum,
            nesterov: t.nesterov,
            weight_decay: t.weight_decay,
            learning_rate: t.learning_rate,
            quantized_learning_rate: t.quantized_learning_rate.unwrap_or(t.learning_rate),
            schedule: t.schedule.of(t),
            warmup_steps: t.warmup_steps as u64,
            bits_learning_rate: self.quantization.bits_learning_rate,
            bits_schedule: self.quantization.bits_schedule.of(t),
            penalty: self.quantization.penalty,
            clip_norm: t.clip_norm,
            evaluate_every: t.evaluate_every as u64,
            evaluation_batch_size: t.evaluation_batch_size,
            norm_batches: t.norm_batches as u64,
            checkpoint_every: t.checkpoint_every as u64,
            quantization: self.quantization_config(),
            budget: self.budget.bytes_of(self.model.values()),
            rounding_share: self.quantization.rounding_share,
            distillation: t.distillation,
            on_non_finite: match t.on_non_finite {
                OnNonFinite::Stop => train::OnNonFinite::Stop,
                OnNonFinite::RollBack => train::OnNonFinite::RollBack,
            },
            storage: FloatStorage {
                encoding: match self.storage.floats {
                    Floats::Float32 => FloatEncoding::Float32,
                    Floats::Float16 => FloatEncoding::Float16,
                    Floats::Bfloat16 => FloatEncoding::BFloat16,
                },
                fold_batch_norm: self.storage.fold_batch_norm,
            },
        }
    }
}
