//! Regression with a network, data and a metric of one's own: a small network learns a smooth function of eight inputs from
//! noisy measurements and ends as a file of at most 1,500 bytes.
//!
//! `cargo run --release -p fewbit-burn --example regression`

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};
use fewbit::method::Fewbit;
use fewbit_burn::QuantizationConfig;
use fewbit_burn::train::{
    BatchRecord, Direction, Metric, OptimizerKind, Outcome, RunFolder, Score, Split, Start, Task,
    TrainConfig, Trainer, mean,
};

const INPUTS: usize = 8;

/// Most bytes of the file; as float32 numbers the network has 5,124.
const BUDGET: u64 = 1_500;

/// The deviation of the measurements from the function, in millimetres: no network can have a smaller error.
const NOISE: f64 = 0.1;

/// The network: any burn module.
#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    output: Linear,
}

/// The task holds the data; here they are generated from a record's number.
struct Deflection;

/// A record: inputs in -1..1, and a measurement in millimetres. The numbers of test records lie behind the training set's.
fn record(number: usize) -> ([f32; INPUTS], f32) {
    let uniform = |at: usize| {
        let mixed = (number * (INPUTS + 1) + at) as u64;
        let mixed = (mixed ^ (mixed >> 7)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let x: [f32; INPUTS] = std::array::from_fn(uniform);
    let y = (2.0 * x[0]).sin() + x[1] * x[2] + 0.5 * x[3] - 0.3 * (x[4] + x[5]).powi(2) + 0.2 * x[6];
    // Uniform noise of that deviation.
    (x, y + (NOISE * 3f64.sqrt()) as f32 * uniform(INPUTS))
}

/// Some records, as the network and the loss want them.
struct Batch {
    inputs: Vec<f32>,
    measured: Vec<f32>,
}

fn batch_of(numbers: impl Iterator<Item = usize>) -> Batch {
    let (inputs, measured): (Vec<_>, Vec<_>) = numbers.map(record).unzip();
    Batch { inputs: inputs.concat(), measured }
}

impl Task for Deflection {
    type Model = Perceptron;
    type Batch = Batch;
    type Output = Tensor<2>;

    fn init(&self, device: &Device) -> Perceptron {
        Perceptron {
            hidden: LinearConfig::new(INPUTS, 128).init(device),
            output: LinearConfig::new(128, 1).init(device),
        }
    }

    fn training_records(&self) -> usize {
        4_000
    }

    fn test_records(&self) -> usize {
        1_000
    }

    fn batch(&self, records: &[BatchRecord], _seed: u64) -> Batch {
        batch_of(records.iter().map(|record| record.index))
    }

    fn forward(&self, model: &Perceptron, batch: &Batch, device: &Device) -> Tensor<2> {
        let inputs = TensorData::new(batch.inputs.clone(), [batch.measured.len(), INPUTS]);
        let hidden = activation::tanh(model.hidden.forward(Tensor::from_data(inputs, device)));
        model.output.forward(hidden)
    }

    fn loss(&self, predicted: Tensor<2>, batch: &Batch) -> Tensor<1> {
        let measured = TensorData::new(batch.measured.clone(), [batch.measured.len(), 1]);
        let error = predicted.clone() - Tensor::from_data(measured, &predicted.device());
        (error.clone() * error).mean()
    }

    // The root mean squared error: a score is the square of one error, and the metric the root of their mean.

    fn metric(&self) -> Metric {
        Metric::new("rmse", Direction::SmallerIsBetter).with_unit("mm")
    }

    fn evaluate(&self, model: &Perceptron, _: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let batch = batch_of(records.map(|record| self.training_records() + record));
        let predicted: Vec<f32> = self
            .forward(model, &batch, device)
            .into_data()
            .try_into_vec()
            .expect("the network is of float32");
        let errors =
            predicted.iter().zip(&batch.measured).map(|(found, measured)| f64::from(found - measured));
        errors.map(|error| Score::of(error * error)).collect()
    }

    fn combine(&self, scores: &[Score]) -> Option<f64> {
        Some(mean(scores)?.sqrt())
    }
}

/// Trains, and asserts what came of it.
pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    let quantization = QuantizationConfig::new(Fewbit::default());
    let config = TrainConfig::default()
        .with_optimizer(OptimizerKind::AdamW)
        .with_weight_decay(0.0)
        .with_learning_rate(5e-3)
        .with_quantized_learning_rate(2e-3)
        .with_batch_size(100)
        .with_float_steps(1_000)
        .with_quantized_steps(400)
        .with_quantization(quantization.with_min_tensor_size(0).with_exclude(["*.bias"]))
        .with_budget(Some(BUDGET));
    // A run keeps its checkpoints, metrics and files in a folder of its own.
    let scratch = tempfile::tempdir()?;
    let mut folder = RunFolder::create(&scratch.path().join("run"), "")?;
    let stop = AtomicBool::new(false);
    let trainer = Trainer::new(&Deflection, &config, &Device::flex(), &stop);
    let Outcome::Finished(rows) = trainer.run(&mut folder, Start::New, |_| {})? else {
        unreachable!("nothing stops the run")
    };
    for row in &rows {
        let (method, unit) = (row.method.title(), &row.metric.unit);
        println!("{method:<24} {} {:.4} {unit}, {} bytes", row.metric.name, row.value, row.bytes);
    }
    let (float, file) = (&rows[0], &rows[rows.len() - 1]);
    assert!(file.bytes <= BUDGET, "{} bytes", file.bytes);
    assert!(
        float.value < 2.0 * NOISE && file.value < 1.2 * float.value,
        "{} and {} mm",
        float.value,
        file.value
    );
    Ok(())
}

#[allow(dead_code, reason = "a test calls `run` alone")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    run()
}
