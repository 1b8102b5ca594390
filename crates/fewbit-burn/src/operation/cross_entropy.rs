//! The loss of a classifier.

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

    fn backward(&self, mut kept: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let factor = values(&gradient)[0];
        if factor != 1.0 {
            kept.storage_mut::<f32>().iter_mut().for_each(|slope| *slope *= factor);
        }
        [Some(kept)]
    }
}
