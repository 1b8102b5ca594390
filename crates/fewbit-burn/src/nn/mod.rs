//! Layers that are fast on the CPU, in the shape of burn's own.
//!
//! Each has the fields, names and records of burn's layer of the same name, so that a model takes one in
//! place of the other field for field: checkpoints, reparameterizations and files do not see the
//! difference. On the CPU in float32 they run operations of ours with backward passes of their own, on
//! all cores; on any other device, and with gradient checkpointing, they run burn's.
//!
//! ```
//! use burn::nn::LinearConfig;
//! use burn::tensor::{Device, Tensor};
//! use fewbit_burn::nn::Linear;
//!
//! let device = Device::default();
//! let layer = Linear::new(&LinearConfig::new(3, 2), &device);
//! let same: Linear = LinearConfig::new(3, 2).init(&device).into();
//! assert_eq!(layer.forward(Tensor::<2>::ones([5, 3], &device)).dims(), [5, 2]);
//! assert_eq!(same.weight.dims(), layer.weight.dims());
//! ```
//!
//! A model of burn's own layers works as well and stays as fast as burn is.

mod attention;
mod batch_norm;
mod conv2d;
mod embedding;
mod functions;
mod layer_norm;
mod linear;
mod max_pool2d;
pub(crate) mod observer;
mod padding;

pub use attention::self_attention;
pub use batch_norm::BatchNorm;
pub use conv2d::Conv2d;
pub use embedding::Embedding;
pub use functions::{
    add, cross_entropy, distilled_cross_entropy, distilled_cross_entropy_of_rows, fork, gelu, mean_of_pixels,
    relu,
};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use max_pool2d::MaxPool2d;
