//! Models, data sets and recipes of the fewbit benchmarks.

pub mod data;
mod device;
mod experiment;
mod import;
pub mod models;
pub mod recipe;
pub mod step_timing;
pub mod task;

pub use burn::tensor::Device;
pub use device::{DeviceError, DeviceKind};
pub use experiment::{
    Beginning, Calibrator, Evaluation, Experiment, ExperimentError, Plan, PlannedTensor, TeacherNetwork,
    as_file_of, as_float_network_of, as_network_of, data_set_of, evaluate_file, expected_memory, plan,
    shortened,
};
pub use import::import;
