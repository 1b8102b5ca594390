//! Fast operations on the CPU with backward passes of their own.
//!
//! burn's set of backends is closed, so that a faster layer is an operation of ours between tensors of
//! burn's flex backend. Each is one [`Operation`]; [`apply`] puts it into the graph. Elsewhere (a GPU,
//! another type of number) the layers of [`nn`](crate::nn) use burn's own operations.

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex};
use burn::tensor::{DType, Device, GradientCheckpointingStrategy, Int, Tensor};

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod batch_norm;
pub(crate) mod buffers;
pub(crate) mod convolution;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod pooling;
pub(crate) mod quantize;
pub(crate) mod residual;

/// A function of `N` contiguous float32 tensors on the CPU, and its derivative.
pub(crate) trait Operation<const N: usize>: Clone + Debug + Send + 'static {
    /// What the backward pass needs beside the incoming gradient.
    type Kept: Clone + Debug + Send + 'static;

    /// The result and, where it is `tracked`, what a backward pass needs of the way to it.
    fn forward(&self, inputs: [FlexTensor; N], tracked: bool) -> (FlexTensor, Option<Self::Kept>);

    /// The gradient of each input that is `needed`.
    fn backward(&self, kept: Self::Kept, gradient: FlexTensor, needed: [bool; N]) -> [Option<FlexTensor>; N];
}

/// An input of an operation, of any rank.
pub(crate) enum Input {
    Plain(FlexTensor),
    Tracked(FloatTensor<Autodiff<Flex>>),
}

/// Whether `tensor` lives where the operations of this module run: the CPU, in float32, without gradient
/// checkpointing (which asks an operation to forget its input and to compute it again).
pub(crate) fn runs_on<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    let checkpoints =
        tensor.gradient_checkpointing_strategy() == Some(GradientCheckpointingStrategy::Balanced);
    device.without_autodiff() == Device::flex() && !checkpoints && tensor.dtype() == DType::F32
}

/// Does a pass for what it leaves in the modules, such as running statistics, on a `device` with autodiff; no
/// backward pass follows.
///
/// Autodiff takes note of what needs no gradient, too, and forgets what nobody holds any more when a backward
/// pass ends: a small one is made for that. Without gradients of the model's parameters, too, nothing is left.
pub(crate) fn forward_only(device: &Device, pass: impl FnOnce()) {
    buffers::apart(pass);
    let one = Tensor::<1>::ones([1], device).require_grad();
    drop((one * 2.0).backward());
}

/// The numbers of a tensor that the operations of this module [run on](runs_on), without a copy where they are
/// contiguous.
pub(crate) fn shared<const D: usize>(tensor: &Tensor<D>) -> FlexTensor {
    match Input::from(tensor.clone()) {
        Input::Plain(tensor) => tensor,
        Input::Tracked(tensor) => tensor.into_parts().0,
    }
    .to_contiguous()
}

impl<const D: usize> From<Tensor<D>> for Input {
    /// # Panics
    /// If the operations of this module do not run on the tensor: see [`runs_on`].
    fn from(tensor: Tensor<D>) -> Self {
        if tensor.is_autodiff() {
            let tensor = tensor.try_into_primitive::<Autodiff<Flex>>();
            Self::Tracked(tensor.expect("a float32 tensor on the CPU, without gradient checkpointing"))
        } else {
            Self::Plain(tensor.try_into_primitive::<Flex>().expect("a float32 tensor on the CPU"))
        }
    }
}

/// The result of `operation` as a tensor of rank `D`, in the graph where an input is.
pub(crate) fn apply<const N: usize, const D: usize>(
    operation: impl Operation<N>,
    inputs: [Input; N],
) -> Tensor<D> {
    if inputs.iter().all(|input| matches!(input, Input::Plain(_))) {
        let inputs = inputs.map(|input| match input {
            Input::Plain(tensor) => tensor.to_contiguous(),
            Input::Tracked(_) => unreachable!("all are plain"),
        });
        let result = buffers::apart(|| operation.forward(inputs, false).0);
        return Tensor::from_primitive::<Flex>(result);
    }
    let inputs = inputs.map(|input| match input {
        Input::Plain(tensor) => Autodiff::<Flex>::from_inner(tensor),
        Input::Tracked(tensor) => tensor,
    });
    let (tensors, nodes) = unzip(inputs.map(|input| input.into_parts()));
    let tensors = tensors.map(|tensor| tensor.to_contiguous());
    let prepared = Derivative(operation.clone()).prepare::<NoCheckpointing>(nodes).compute_bound().stateful();
    let result = match prepared {
        OpsKind::Tracked(prepared) => {
            let (out, kept) = operation.forward(tensors, true);
            prepared.finish(kept.expect("a tracked forward pass keeps what its backward pass needs"), out)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(operation.forward(tensors, false).0),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(result)
}

/// The whole numbers of a tensor, in its order.
fn integers<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i64> {
    tensor.into_data().convert::<i64>().try_into_vec().expect("whole numbers were asked for")
}

fn unzip<A, B, const N: usize>(pairs: [(A, B); N]) -> ([A; N], [B; N]) {
    let mut seconds = Vec::with_capacity(N);
    let firsts = pairs.map(|(first, second)| {
        seconds.push(second);
        first
    });
    let seconds = seconds.try_into().unwrap_or_else(|_| unreachable!("one of each pair"));
    (firsts, seconds)
}

#[derive(Debug)]
struct Derivative<O>(O);

impl<O: Operation<N>, const N: usize> Backward<Flex, N> for Derivative<O> {
    type State = O::Kept;

    fn backward(self, ops: Ops<O::Kept, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let needed = ops.parents.each_ref().map(Option::is_some);
        let of_inputs = self.0.backward(ops.state, gradient, needed);
        for (parent, gradient) in ops.parents.into_iter().zip(of_inputs) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
