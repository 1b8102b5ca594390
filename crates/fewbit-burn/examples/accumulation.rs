//! DiffQ as published, with λ chosen by hand, in a loop that accumulates gradients: each step adds up four batches.
//!
//! `cargo run --release -p fewbit-burn --example accumulation`

use std::error::Error;

use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Distribution, Tensor};
use fewbit::StoredModel;
use fewbit::method::DiffQ;
use fewbit_burn::{QuantizationConfig, SizePenalty, StoredModelExt};

const BATCHES_PER_STEP: u64 = 4;

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::flex().autodiff();
    device.seed(1);
    // What the model is to learn: a matrix.
    let teacher: Linear = LinearConfig::new(64, 64).with_bias(false).init(&device.clone().without_autodiff());

    let model: Linear = LinearConfig::new(64, 64).with_bias(false).init(&device);
    let (mut model, diffq) = QuantizationConfig::new(DiffQ::default()).attach(model, 42)?;
    let before = StoredModel::rounded(&model, &diffq)?.to_bytes()?.len();
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..100 {
        let mut accumulator = GradientsAccumulator::new();
        for batch in 0..BATCHES_PER_STEP {
            let input = Tensor::<2>::random([32, 64], Distribution::Normal(0.0, 1.0), &device);
            let target = Tensor::from_inner(teacher.forward(input.clone().inner()));
            let error = (model.forward(input) - target).powi_scalar(2).mean();
            let mut loss = error / BATCHES_PER_STEP as f64;
            if batch == 0 {
                // The size once per step: it does not depend on the batch.
                let size = SizePenalty::of(&model, &diffq).expect("DiffQ learns its size");
                loss = loss + size.loss(1.0);
            }
            accumulator.accumulate(&model, GradientsParams::from_grads(loss.backward(), &model));
            // The next batch of the same step is to see other noise.
            diffq.advance_micro_step();
        }
        model = optimizer.step(2e-2, model, accumulator.grads());
        diffq.advance();
    }
    let after = StoredModel::rounded(&model, &diffq)?.to_bytes()?.len();
    println!("{before} bytes with 8 bits per weight, {after} after training");
    assert!(after < before);
    Ok(())
}

#[allow(dead_code, reason = "as a test `run` is called alone")]
fn main() -> Result<(), Box<dyn Error>> {
    run()
}
