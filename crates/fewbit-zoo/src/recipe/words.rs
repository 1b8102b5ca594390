//! The settings that are one of a few words.

pub use fewbit_burn::train::{OnNonFinite, OptimizerKind, Schedule};
use fewbit_burn::words;

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
    /// How training makes weights small.
    Method {
        /// Learned scales under a penalty on the bytes that will be written; keeps a budget.
        Fewbit = "fewbit",
        /// Differentiable bit widths through pseudo quantization noise, as published; keeps a budget.
        Diffq = "diffq",
        /// One bit width, learned scales.
        Lsq = "lsq",
        /// One width, weights rounded in training.
        Qat = "qat",
        /// One width, a random share of the weights rounded in each step.
        QuantNoise = "quant-noise",
        /// One bit width, rounded after training from the smallest to the largest weight.
        PtqMinMax = "ptq-minmax",
        /// One bit width, rounded after training with the scale of least squared error.
        PtqMse = "ptq-mse",
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
