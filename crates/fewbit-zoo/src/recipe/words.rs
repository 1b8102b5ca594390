//! The settings that are one of a few words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An enum of words, written in a recipe as its variants' names in kebab case.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// The words, as a recipe writes them.
            pub const WORDS: &[&str] = &[$($word),*];

            /// The word, as a recipe writes it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// What is done to a training image before it is shown.
    Augment {
        /// Nothing.
        None = "none",
        /// A random crop of the image padded by four, and a mirror image every second time.
        CropFlip = "crop-flip",
        /// A random shift in time of a spectrogram, by up to five frames.
        TimeShift = "time-shift",
    }
}

words! {
    /// What happens when a loss, a gradient, a weight or a precision is no longer a number.
    OnNonFinite {
        /// The run stops and says where; it can go on from its last checkpoint.
        Stop = "stop",
        /// It goes back to its last checkpoint and on from there with half the learning rates.
        RollBack = "roll-back",
    }
}

words! {
    /// How training makes weights small.
    Method {
        /// Learned steps under a penalty on the bytes that will be written; keeps a budget.
        Fewbit = "fewbit",
        /// Differentiable bit widths through pseudo quantization noise, as published; keeps a budget.
        Diffq = "diffq",
        /// One width, learned steps.
        Lsq = "lsq",
        /// One width, weights rounded in training.
        Qat = "qat",
        /// One width, a random share of the weights rounded in each step.
        QuantNoise = "quant-noise",
        /// One width, rounded after training from the smallest to the largest weight.
        Rounding = "rounding",
        /// One width, rounded after training with the least squared error.
        NearestRounding = "nearest-rounding",
    }
}

words! {
    /// What has a range or step of its own.
    Granularity {
        /// The tensor.
        Tensor = "tensor",
        /// Each output channel.
        Channel = "channel",
        /// Each group of `group_size` weights.
        Group = "group",
    }
}

words! {
    /// What the penalty of `fewbit` counts.
    SizeEstimate {
        /// The bits that the entropy coder will write.
        Coded = "coded",
        /// The bits of codes without a coder.
        Nominal = "nominal",
    }
}

words! {
    /// The law of the pseudo quantization noise.
    Noise {
        /// Normal with standard deviation of half a step.
        Gaussian = "gaussian",
        /// Uniform over one step.
        Uniform = "uniform",
    }
}

words! {
    /// Which number of a group is learned through a sigmoid.
    Parametrisation {
        /// The number of bits.
        Bits = "bits",
        /// The size of the noise.
        Noise = "noise",
    }
}

words! {
    /// What moves the weights.
    OptimizerKind {
        /// Gradient descent with momentum.
        Sgd = "sgd",
        /// Adam, weight decay added to the gradient.
        Adam = "adam",
        /// Adam, weight decay apart from the gradient.
        Adamw = "adamw",
    }
}

words! {
    /// How the learning rate changes within a phase.
    Schedule {
        /// Not at all after the warm-up.
        Constant = "constant",
        /// Half a cosine, down to zero at the end of the phase.
        Cosine = "cosine",
        /// Multiplied with `schedule_factor` every `schedule_period` steps.
        Step = "step",
        /// Half a cosine down to zero in `schedule_period` steps, and again in twice as many from `schedule_factor` times
        /// the rate, and so on.
        Restarts = "restarts",
    }
}

words! {
    /// In how many bits a value is stored that is not quantized.
    Floats {
        /// 32: eight of exponent, 24 of precision.
        Float32 = "float32",
        /// 16: five of exponent, eleven of precision.
        Float16 = "float16",
        /// 16: eight of exponent, eight of precision.
        Bfloat16 = "bfloat16",
    }
}
