//! The losses of a classifier.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Int, Shape, Tensor};

use super::buffers::{self, recycle, values};
use super::{Operation, apply, integers};

/// The mean cross entropy of logits `[rows, classes]`: shape `[1]`.
pub(crate) fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let [_, classes] = logits.dims();
    apply(CrossEntropy { classes, targets: integers(targets).into() }, [logits.into()])
}

/// The sum over rows of the cross entropies of logits `[rows, classes]` with a target and with what a teacher's logits stand
/// for, times the row's weights `[rows, 2]`: shape `[1]`.
pub(crate) fn distilled_cross_entropy(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    teacher: Tensor<2>,
    weights: Tensor<2>,
) -> Tensor<1> {
    let [_, classes] = logits.dims();
    let weights: Vec<f32> =
        weights.into_data().convert::<f32>().try_into_vec().expect("float32 was asked for");
    let weights = weights.as_chunks().0.into();
    let operation = DistilledCrossEntropy { classes, targets: integers(targets).into(), weights };
    apply(operation, [logits.into(), teacher.into()])
}

#[derive(Clone, Debug)]
struct CrossEntropy {
    classes: usize,
    targets: Arc<[i64]>,
}

impl Operation<1> for CrossEntropy {
    /// The gradient of the loss.
    type Kept = FlexTensor;

    fn forward(&self, [logits]: [FlexTensor; 1], tracked: bool) -> (FlexTensor, Option<FlexTensor>) {
        let mut gradient = tracked.then(|| buffers::take(logits.layout().num_elements()));
        let loss = fewbit_kernels::cross_entropy(
            values(&logits),
            self.classes,
            &self.targets,
            gradient.as_deref_mut(),
        );
        let loss = loss.unwrap_or_else(|error| panic!("cross entropy: class {error}"));
        let kept = gradient.map(|gradient| buffers::tensor(gradient, logits.layout().shape().clone()));
        recycle(logits);
        (buffers::tensor(vec![loss], Shape::from([1])), kept)
    }

    fn backward(&self, kept: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(times(kept, gradient))]
    }
}

#[derive(Clone, Debug)]
struct DistilledCrossEntropy {
    classes: usize,
    targets: Arc<[i64]>,
    weights: Arc<[[f32; 2]]>,
}

impl Operation<2> for DistilledCrossEntropy {
    /// The gradient of the loss.
    type Kept = FlexTensor;

    fn forward(&self, [logits, teacher]: [FlexTensor; 2], _: bool) -> (FlexTensor, Option<FlexTensor>) {
        let mut gradient = buffers::take(logits.layout().num_elements());
        let loss = fewbit_kernels::distilled_cross_entropy(
            values(&logits),
            values(&teacher),
            self.classes,
            &self.targets,
            &self.weights,
            &mut gradient,
        );
        let loss = loss.unwrap_or_else(|error| panic!("distilled cross entropy: class {error}"));
        let kept = buffers::tensor(gradient, logits.layout().shape().clone());
        recycle(logits);
        recycle(teacher);
        (buffers::tensor(vec![loss], Shape::from([1])), Some(kept))
    }

    /// A teacher learns nothing.
    fn backward(&self, kept: FlexTensor, gradient: FlexTensor, _: [bool; 2]) -> [Option<FlexTensor>; 2] {
        [Some(times(kept, gradient)), None]
    }
}

/// The gradient of a loss times that of what became of it.
fn times(mut slopes: FlexTensor, gradient: FlexTensor) -> FlexTensor {
    let factor = values(&gradient)[0];
    if factor != 1.0 {
        slopes.storage_mut::<f32>().iter_mut().for_each(|slope| *slope *= factor);
    }
    slopes
}
