//! An LSTM that reads a sequence from both ends.
//!
//! As in PyTorch the four gates of a direction share one matrix for the input and one for the state, rows in the order
//! input, forget, cell, output: `input.weight` is PyTorch's `weight_ih`, `state.weight` its `weight_hh`, so that a
//! checkpoint's LSTM is imported by a change of names. burn's own has a matrix for each gate.

use burn::module::{Module, Param};
use burn::nn::{Initializer, LinearConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::Linear;

/// One layer: its states are those of one direction beside those of the other.
#[derive(Module, Debug)]
pub struct BidirectionalLstm {
    /// From the first step to the last.
    pub forward: LstmDirection,
    /// From the last step to the first.
    pub reverse: LstmDirection,
}

/// One direction of a layer.
#[derive(Module, Debug)]
pub struct LstmDirection {
    /// `inputs` to the four gates.
    pub input: Linear,
    /// The state before to the four gates.
    pub state: Linear,
}

impl BidirectionalLstm {
    /// A layer with fresh random weights, uniform in ±1 / √hidden as PyTorch's.
    ///
    /// # Panics
    /// If `hidden` is 0.
    pub fn new(inputs: usize, hidden: usize, device: &Device) -> Self {
        let direction =
            || LstmDirection { input: gates(inputs, hidden, device), state: gates(hidden, hidden, device) };
        Self { forward: direction(), reverse: direction() }
    }

    /// `[N, T, inputs]` to `[N, T, 2 × hidden]`; the states before the first step of a direction are zero.
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let [_, steps, _] = input.dims();
        let forward = self.forward.states(input.clone(), 0..steps);
        let mut reverse = self.reverse.states(input, (0..steps).rev());
        reverse.reverse();
        Tensor::cat(vec![Tensor::stack(forward, 1), Tensor::stack(reverse, 1)], 2)
    }
}

impl LstmDirection {
    /// Of inputs `[N, T, inputs]` the state `[N, hidden]` after each step, in the order of `steps`.
    fn states(&self, input: Tensor<3>, steps: impl Iterator<Item = usize>) -> Vec<Tensor<2>> {
        // Once for all steps: under pseudo-quantization noise each reading of a weight draws anew.
        let (weight, bias) = (self.state.weight.val(), self.state.bias.as_ref().map(Param::val));
        let mut inputs = self.input.forward(input);
        if let Some(bias) = bias {
            inputs = inputs + bias.unsqueeze::<3>();
        }
        let [batch, _, _] = inputs.dims();
        let [hidden, _] = weight.dims();
        let mut state = Tensor::<2>::zeros([batch, hidden], &inputs.device());
        let mut cell = state.clone();
        let mut states = Vec::new();
        for step in steps {
            let from_input: Tensor<2> = inputs.clone().narrow(1, step, 1).squeeze_dim(1);
            let sums = from_input + state.matmul(weight.clone());
            let gate = |number: usize| sums.clone().narrow(1, number * hidden, hidden);
            cell = sigmoid(gate(1)) * cell + sigmoid(gate(0)) * gate(2).tanh();
            state = sigmoid(gate(3)) * cell.clone().tanh();
            states.push(state.clone());
        }
        states
    }
}

/// A matrix for the four gates of `hidden` states.
fn gates(inputs: usize, hidden: usize, device: &Device) -> Linear {
    let bound = 1.0 / (hidden as f64).sqrt();
    let initializer = Initializer::Uniform { min: -bound, max: bound };
    LinearConfig::new(inputs, 4 * hidden).with_initializer(initializer).init(device).into()
}
