//! Trains [burn] models for a small file: DiffQ as a reparameterization, the training loop,
//! export to a `.fewbit` file and loading it back.

pub mod calibration;
pub mod config;
pub mod control;
pub mod diffq;
pub mod guard;
pub mod layout;
pub mod nn;
pub mod noise;
mod operation;
mod optimizer;

pub mod penalty;
pub mod reparam;
pub mod site;
pub mod stored;
pub mod train;

pub use config::{AttachError, DiffQConfig};
pub use control::{Control, Mode, NoiseClock};
pub use diffq::DiffQ;
pub use fewbit_kernels::NoiseLaw;
pub use penalty::{SizePenalty, soft_size};
pub use reparam::PseudoQuantNoise;
pub use site::Site;
pub use stored::{ExportError, FloatStorage, LoadError, StoredModel, StoredTensor, load, value_count};

/// The README's example, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
