//! Functions without parameters.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor, activation};

use crate::operation::{self, residual, runs_on};

/// `max(x, 0)` of each number.
pub fn relu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    if runs_on(&input) { operation::activation::relu(input) } else { activation::relu(input) }
}

/// `x·Φ(x)` of each number: the exact form of GELU.
pub fn gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    if runs_on(&input) { operation::activation::gelu(input) } else { activation::gelu(input) }
}

/// `a + b` of two tensors of one shape.
///
/// # Panics
/// If the shapes differ.
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    assert_eq!(a.dims(), b.dims(), "shapes of a sum");
    if runs_on(&a) && runs_on(&b) { residual::sum(a, b) } else { a + b }
}

/// `input` twice, for a branch and the way past it, whose gradients then meet in one pass.
///
/// Both must take part in the loss; where one may not, use the tensor and a clone of it.
///
/// # Panics
/// The backward pass, or it leaves the gradient out, where only one of the two takes part in the loss.
pub fn fork<const D: usize>(input: Tensor<D>) -> [Tensor<D>; 2] {
    if runs_on(&input) && input.is_autodiff() { residual::fork(input) } else { [input.clone(), input] }
}

/// The mean of each channel of images `[N, C, H, W]`: `[N, C]`.
pub fn mean_of_pixels(images: Tensor<4>) -> Tensor<2> {
    if runs_on(&images) {
        return operation::pooling::mean_of_pixels(images);
    }
    let pixels: Tensor<3> = images.flatten(2, 3);
    pixels.mean_dim(2).squeeze_dim(2)
}

/// The mean cross entropy in nats of logits `[rows, classes]` and classes `[rows]`: shape `[1]`.
///
/// # Panics
/// If a class is not among those of the logits.
pub fn cross_entropy(logits: Tensor<2>, classes: Tensor<1, Int>) -> Tensor<1> {
    if runs_on(&logits) {
        return operation::cross_entropy::cross_entropy(logits, classes);
    }
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, classes)
}

/// The mean cross entropy in nats of logits `[rows, classes]`, of which a `share` is against the
/// distribution that a teacher's logits stand for and the rest against classes `[rows]` (Hinton et al.
/// 2015, at a temperature of 1): shape `[1]`. Nothing flows back to the teacher.
///
/// # Panics
/// If a class is not among those of the logits.
pub fn distilled_cross_entropy(
    logits: Tensor<2>,
    classes: Tensor<1, Int>,
    teacher: Tensor<2>,
    share: f64,
) -> Tensor<1> {
    let ([rows, _], device) = (logits.dims(), logits.device());
    let weights = Tensor::<2>::from_floats([[1.0 - share, share]], &device) / rows.max(1) as f64;
    distilled_cross_entropy_of_rows(logits, classes, teacher, weights.repeat(&[rows, 1]))
}

/// The sum over rows of what [`distilled_cross_entropy`] takes the mean of, where each row has weights of its own: `[rows,
/// 2]`, of the cross entropy with its class and of that with what the teacher predicts.
///
/// # Panics
/// If a class is not among those of the logits.
pub fn distilled_cross_entropy_of_rows(
    logits: Tensor<2>,
    classes: Tensor<1, Int>,
    teacher: Tensor<2>,
    weights: Tensor<2>,
) -> Tensor<1> {
    if runs_on(&logits) && runs_on(&teacher) {
        return operation::cross_entropy::distilled_cross_entropy(logits, classes, teacher, weights);
    }
    let (likely, log) = (softmax(teacher.detach(), 1), log_softmax(logits, 1));
    let label = log.clone().gather(1, classes.unsqueeze_dim(1));
    let taught = (likely * log).sum_dim(1);
    (Tensor::cat(vec![label, taught], 1) * weights).sum().neg()
}
