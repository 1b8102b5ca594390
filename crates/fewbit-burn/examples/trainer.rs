//! Classification with a network and data of one's own: the class of a point is the arm of the spiral that it lies on, and the
//! file has at most 2,000 bytes.
//!
//! `Trainer` does what a long run needs: float steps first and quantized ones after them, evaluations of what the file would
//! be, checkpoints that an interrupted run continues from to the same bytes, and metrics. A program with a loop of its own
//! needs none of that.
//!
//! `cargo run --release -p fewbit-burn --example trainer`

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use fewbit::method::Fewbit;
use fewbit_burn::train::{
    BatchRecord, Event, MODEL_FILE, Metric, OptimizerKind, Outcome, Row, RunFolder, Score, Split, Start,
    Task, TrainConfig, Trainer,
};
use fewbit_burn::{QuantizationConfig, load};

const CLASSES: usize = 3;

/// Most bytes of the file; as float32 numbers the network has 18,188.
const BUDGET: u64 = 2_000;

/// The network: any burn module.
#[derive(Module, Debug)]
struct Classifier {
    first: Linear,
    second: Linear,
    output: Linear,
}

impl Classifier {
    fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(2, 64).init(device),
            second: LinearConfig::new(64, 64).init(device),
            output: LinearConfig::new(64, CLASSES).init(device),
        }
    }

    fn logits(&self, points: Tensor<2>) -> Tensor<2> {
        let x = activation::relu(self.first.forward(points));
        self.output.forward(activation::relu(self.second.forward(x)))
    }
}

/// A point and its arm. A record's number decides all of it.
fn record(number: usize) -> ([f32; 2], i64) {
    let (arm, along) = (number % CLASSES, (number * 7_919 % 1_009) as f32 / 1_009.0);
    // Half an arm's width of noise to either side.
    let aside = (number * 104_729 % 997) as f32 / 997.0 - 0.5;
    let angle = 4.0 * along + arm as f32 * std::f32::consts::TAU / CLASSES as f32 + 0.5 * aside;
    let radius = 0.1 + along;
    ([radius * angle.cos(), radius * angle.sin()], arm as i64)
}

/// The task holds the data; here they are generated from a record's number.
struct Spirals;

/// Some records, as the network and the loss want them.
struct Batch {
    points: Vec<[f32; 2]>,
    arms: Vec<i64>,
}

fn batch_of(numbers: impl Iterator<Item = usize>) -> Batch {
    let (points, arms) = numbers.map(record).unzip();
    Batch { points, arms }
}

impl Batch {
    fn arms(&self, device: &Device) -> Tensor<1, Int> {
        Tensor::from_ints(self.arms.as_slice(), device)
    }
}

impl Task for Spirals {
    type Model = Classifier;
    type Batch = Batch;
    type Output = Tensor<2>;

    fn init(&self, device: &Device) -> Classifier {
        Classifier::new(device)
    }

    fn training_records(&self) -> usize {
        3_000
    }

    fn validation_records(&self) -> usize {
        300
    }

    fn test_records(&self) -> usize {
        900
    }

    fn batch(&self, records: &[BatchRecord], _seed: u64) -> Batch {
        batch_of(records.iter().map(|record| record.index))
    }

    fn forward(&self, model: &Classifier, batch: &Batch, device: &Device) -> Tensor<2> {
        let points = TensorData::new(batch.points.concat(), [batch.points.len(), 2]);
        model.logits(Tensor::from_data(points, device))
    }

    fn loss(&self, logits: Tensor<2>, batch: &Batch) -> Tensor<1> {
        let (device, loss) = (logits.device(), CrossEntropyLossConfig::new());
        loss.init(&device).forward(logits, batch.arms(&device))
    }

    fn metric(&self) -> Metric {
        Metric::accuracy()
    }

    fn evaluate(
        &self,
        model: &Classifier,
        split: Split,
        records: Range<usize>,
        device: &Device,
    ) -> Vec<Score> {
        let first = if split == Split::Validation { 3_000 } else { 3_300 };
        let batch = batch_of(records.map(|record| first + record));
        let found = self.forward(model, &batch, device).argmax(1);
        let found: Vec<i64> = found.into_data().convert::<i64>().try_into_vec().expect("int64 was asked for");
        let right = found.iter().zip(&batch.arms).map(|(found, arm)| found == arm);
        right.map(|right| Score::of(f64::from(u8::from(right)))).collect()
    }
}

/// Trains, loads the file into a model, and asserts what came of it.
pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    let quantization = QuantizationConfig::new(Fewbit::default());
    let config = TrainConfig::default()
        .with_seed(1)
        .with_optimizer(OptimizerKind::AdamW)
        .with_weight_decay(0.0)
        .with_learning_rate(5e-3)
        .with_quantized_learning_rate(2e-3)
        .with_batch_size(100)
        .with_float_steps(600)
        .with_quantized_steps(400)
        .with_evaluate_every(200)
        .with_quantization(quantization.with_min_tensor_size(0).with_exclude(["*.bias"]))
        .with_budget(Some(BUDGET));
    // A run keeps its checkpoints, metrics and files in a folder of its own.
    let scratch = tempfile::tempdir()?;
    let path = scratch.path().join("run");
    let mut folder = RunFolder::create(&path, "")?;
    // Set from another thread, for example on Ctrl-C, it stops the run after a step; `Start::Resume` continues it.
    let stop = AtomicBool::new(false);
    let trainer = Trainer::new(&Spirals, &config, &Device::flex(), &stop);
    let outcome = trainer.run(&mut folder, Start::New, |event| {
        if let Event::Row(Row::Evaluation { step, phase, value, bytes, .. }) = event {
            println!("step {step} ({phase}): {:.1} % of the validation points, {bytes} bytes", 100.0 * value);
        }
    })?;
    let Outcome::Finished(rows) = outcome else { unreachable!("nothing stops the run") };
    for row in &rows {
        println!("{:<24} {:.1} %, {} bytes", row.method.title(), 100.0 * row.value, row.bytes);
    }
    // What is on the disk is all that a program needs which uses the network.
    let device = Device::flex();
    let model: Classifier = load(&path.join(MODEL_FILE), Classifier::new(&device))?;
    let batch = batch_of(0..1);
    println!("logits of the first point: {}", Spirals.forward(&model, &batch, &device));
    let (float, file) = (&rows[0], &rows[rows.len() - 1]);
    assert!(file.bytes <= BUDGET, "{} bytes", file.bytes);
    assert!(float.value > 0.95 && file.value > float.value - 0.03, "{} and {}", float.value, file.value);
    Ok(())
}

#[allow(dead_code, reason = "a test calls `run` alone")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    run()
}
