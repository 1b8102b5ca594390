//! Trains [burn] models for a small file: DiffQ as a reparameterization, the training loop,
//! export to a `.fewbit` file and loading it back.

#[macro_use]
mod words;

pub mod calibration;
mod coded;
pub mod config;
pub mod control;
pub mod guard;
pub mod layout;
pub mod method;
pub mod nn;
pub mod noise;
mod operation;
mod optimizer;
pub mod quantizer;

pub mod penalty;
pub mod reparam;
pub mod site;
mod step;
pub mod stored;
pub mod train;

pub use config::{AttachError, QuantizationConfig};
pub use control::{Control, Mode, NoiseClock};
pub use fewbit_kernels::NoiseLaw;
pub use method::{DiffQConfig, FixedWidth, Method, SizeEstimate, StepConfig, StepSpace};
pub use penalty::{SizePenalty, soft_size};
pub use quantizer::Quantizer;
pub use reparam::WeightQuantizer;
pub use site::{Scheme, Site, Trim};
pub use stored::{
    ExportError, FloatStorage, LoadError, StoredModel, StoredTensor, load, load_into, value_count,
};

/// The README's example, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
