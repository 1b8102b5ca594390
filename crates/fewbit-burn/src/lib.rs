//! Trains [burn] models for a small file: the methods of [`fewbit::method`] as a reparameterization, a byte budget for
//! any training loop, a training loop of our own, export to a `.fewbit` file and loading it back.

#[macro_use]
mod words;

mod budget_loop;
pub mod calibration;
pub mod config;
pub mod control;
pub mod guard;
pub mod layout;
pub mod nn;
mod operation;
mod optimizer;
pub mod parameter;
pub mod penalty;
pub mod quantizer;
pub mod reparam;
pub mod stored;
pub mod train;

pub use budget_loop::{BudgetConfig, BudgetLoop, LoopError};
pub use config::{AttachError, QuantizationConfig};
pub use control::{Control, Mode, NoiseClock};
pub use parameter::QuantizedParameter;
pub use penalty::{SizePenalty, soft_size};
pub use quantizer::Quantizer;
pub use reparam::WeightQuantizer;
pub use stored::{LoadError, StoredModelExt, load, load_into};

/// The README's example, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
