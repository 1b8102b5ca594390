//! What layers are given, shown to whoever asks for it on the same thread.

use std::cell::RefCell;

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;

/// The input of one call of a layer.
#[derive(Clone, Debug)]
pub(crate) enum LayerInput {
    /// Vectors `[rows, in]` of a linear layer.
    Vectors(Tensor<2>),
    /// Images `[N, C, H, W]` of a convolution.
    Images {
        /// The images.
        images: Tensor<4>,
        /// Pixels from one result to the next.
        stride: [usize; 2],
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Pixels from one weight of the kernel to the next.
        dilation: [usize; 2],
        /// Zeros `[before, after]` rows and columns.
        padding: [[usize; 2]; 2],
        /// Parts that channels are cut in.
        groups: usize,
    },
}

type Observer = Box<dyn FnMut(ParamId, LayerInput)>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// What `forward` returns; meanwhile `observer` is called with the weight and the input of each convolution and linear
/// layer of [`nn`](crate::nn) that this thread applies.
pub(crate) fn observe<R>(
    observer: impl FnMut(ParamId, LayerInput) + 'static,
    forward: impl FnOnce() -> R,
) -> R {
    /// Stops observing, after a panic too.
    struct Stop;
    impl Drop for Stop {
        fn drop(&mut self) {
            OBSERVER.with(|place| place.borrow_mut().take());
        }
    }
    OBSERVER.with(|place| *place.borrow_mut() = Some(Box::new(observer)));
    let _stop = Stop;
    forward()
}

/// Shows an input to the observer, if there is one; only then it is made.
pub(super) fn show<const D: usize>(weight: &Param<Tensor<D>>, input: impl FnOnce() -> LayerInput) {
    OBSERVER.with(|place| {
        if let Some(observer) = place.borrow_mut().as_mut() {
            observer(weight.id, input());
        }
    });
}
