//! A trained network of whatever size that a task learns from, beside its labels.

use std::fmt;

use burn::tensor::{Device, Int, Tensor};

/// A network with its type forgotten: what it predicts of inputs `I`.
pub struct Tutor<I, O> {
    predict: Box<dyn Fn(I) -> O>,
    /// The share of its predictions in what is learned from; the rest is the labels'.
    pub(super) share: f64,
    /// Where it is; without autodiff.
    pub(super) device: Device,
}

/// Of images `[N, channels, height, width]`: the logit of each class, `[N, classes]`.
pub type ImageTutor = Tutor<Tensor<4>, Tensor<2>>;

/// Of bytes `[N, T]`: the logit of each next one, `[N, T, 256]`.
pub type ByteTutor = Tutor<Tensor<2, Int>, Tensor<3>>;

impl<I, O> Tutor<I, O> {
    /// The network on `device` that `predict` runs.
    pub fn new(predict: impl Fn(I) -> O + 'static, share: f64, device: Device) -> Self {
        Self { predict: Box::new(predict), share, device }
    }

    /// What it predicts of `inputs`, which must be where it is.
    pub(super) fn predict(&self, inputs: I) -> O {
        (self.predict)(inputs)
    }
}

impl<I, O> fmt::Debug for Tutor<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tutor").field("share", &self.share).finish_non_exhaustive()
    }
}
