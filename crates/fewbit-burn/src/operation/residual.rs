//! A branch and the way past it: one tensor used twice, and the sum of two.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::buffers::{self, recycle, values};
use super::{Operation, apply};

/// `a + b`, of one shape.
pub(crate) fn sum<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    apply(Sum, [a.into(), b.into()])
}

/// `input` twice. Both must take part in the loss: the gradient is theirs together.
pub(crate) fn fork<const D: usize>(input: Tensor<D>) -> [Tensor<D>; 2] {
    let branch = Branch::default();
    [apply(branch.clone(), [input.clone().into()]), apply(branch, [input.into()])]
}

#[derive(Clone, Debug)]
struct Sum;

impl Operation<2> for Sum {
    type Kept = ();

    fn forward(&self, [a, b]: [FlexTensor; 2], _: bool) -> (FlexTensor, Option<()>) {
        let out = added(&a, &b);
        recycle(a);
        recycle(b);
        (out, Some(()))
    }

    fn backward(&self, (): (), gradient: FlexTensor, _: [bool; 2]) -> [Option<FlexTensor>; 2] {
        [Some(gradient.clone()), Some(gradient)]
    }
}

fn added(a: &FlexTensor, b: &FlexTensor) -> FlexTensor {
    let mut out = buffers::take(a.layout().num_elements());
    fewbit_kernels::sum_of(values(a), values(b), &mut out);
    buffers::tensor(out, a.layout().shape().clone())
}

/// One of the two. burn adds the gradients of a tensor on one thread and frees what it no longer needs;
/// here the second to come takes the first and adds on all cores, into a buffer that is used again.
#[derive(Clone, Debug, Default)]
struct Branch {
    first: Arc<Mutex<Option<FlexTensor>>>,
}

impl Operation<1> for Branch {
    type Kept = ();

    fn forward(&self, [input]: [FlexTensor; 1], _: bool) -> (FlexTensor, Option<()>) {
        (input, Some(()))
    }

    fn backward(&self, (): (), gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(other) = first.take() else {
            *first = Some(gradient);
            return [None];
        };
        let sum = added(&gradient, &other);
        recycle(gradient);
        recycle(other);
        [Some(sum)]
    }
}
