//! What DiffQ is known to do, on generated digits: an MLP with six hidden layers, some seconds a run.
//!
//! Each threshold is about half the margin that was measured when the test was written (in the
//! comment beside it).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};
use fewbit::method::{DiffQ, NoiseLaw};
use fewbit::{StoredModel, StoredTensor};
use fewbit_burn::QuantizationConfig;
use fewbit_burn::train::{Method, OptimizerKind, Outcome, ResultRow, RunFolder, Start, TrainConfig, Trainer};
use fewbit_zoo::data::augment::Normalization;
use fewbit_zoo::data::{ImageData, glyphs};
use fewbit_zoo::models::ImageClassifier;
use fewbit_zoo::task::ImageTask;

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    fn new(device: &Device) -> Self {
        let sizes = [784, 64, 64, 64, 64, 64, 64, 10];
        let layers = sizes.windows(2).map(|pair| LinearConfig::new(pair[0], pair[1]).init(device));
        Self { layers: layers.collect() }
    }
}

impl ImageClassifier for Mlp {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x: Tensor<2> = images.flatten(1, 3);
        for (number, layer) in self.layers.iter().enumerate() {
            let y = layer.forward(x);
            x = if number + 1 < self.layers.len() { activation::relu(y) } else { y };
        }
        x
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    penalty: u32,
    group_size: usize,
    uniform: bool,
}

impl Setting {
    const fn penalty(penalty: u32) -> Self {
        Self { penalty, group_size: 8, uniform: false }
    }
}

#[derive(Clone, Debug)]
struct Finished {
    rows: Vec<ResultRow>,
    /// Mean bits of each layer.
    bits: Vec<f64>,
}

impl Finished {
    fn row(&self, method: Method) -> &ResultRow {
        self.rows.iter().find(|row| row.method == method).expect("a row of each method")
    }

    fn accuracy(&self, method: Method) -> f64 {
        100.0 * self.row(method).value
    }

    fn diffq(&self) -> &ResultRow {
        self.row(Method::Diffq)
    }
}

fn images() -> ImageData {
    let data = glyphs::generate(0, 10_500);
    ImageData { train: data.train, test: data.test.range(0..4_000) }
}

/// The run of a setting, made once for all tests. One at a time: burn's generator is the process's.
fn run(setting: Setting) -> Finished {
    static RUNS: OnceLock<Mutex<BTreeMap<Setting, Finished>>> = OnceLock::new();
    let runs = RUNS.get_or_init(Default::default);
    let mut runs = runs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    runs.entry(setting).or_insert_with(|| train(setting)).clone()
}

fn train(setting: Setting) -> Finished {
    let normalization = Normalization::new(&[0.2], &[0.2]).unwrap();
    let task = ImageTask::new(Mlp::new, images(), 500, normalization, None);
    let law = if setting.uniform { NoiseLaw::Uniform } else { NoiseLaw::Gaussian };
    let method = DiffQ { noise: law, ..DiffQ::with_groups_of(setting.group_size) };
    let quantization = QuantizationConfig::new(method).with_min_tensor_size(0).with_exclude(["*.bias"]);
    let config = TrainConfig::default()
        .with_seed(1)
        .with_batch_size(64)
        .with_float_steps(1500)
        .with_quantized_steps(1200)
        .with_optimizer(OptimizerKind::Adam)
        .with_weight_decay(0.0)
        .with_learning_rate(2e-3)
        .with_quantized_learning_rate(2e-3)
        .with_warmup_steps(20)
        .with_bits_learning_rate(Some(2e-2))
        .with_penalty(Some(f64::from(setting.penalty)))
        .with_evaluate_every(0)
        .with_norm_batches(0)
        .with_checkpoint_every(0)
        .with_quantization(quantization);
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run");
    let mut folder = RunFolder::create(&path, "").unwrap();
    let stop = AtomicBool::new(false);
    let trainer = Trainer::new(&task, &config, &Device::flex(), &stop);
    let Outcome::Finished(rows) = trainer.run(&mut folder, Start::New, |_| {}).unwrap() else {
        panic!("not finished")
    };
    let bytes = fewbit::read_file(&path.join("model.fewbit")).unwrap().into_bytes();
    let stored = StoredModel::from_bytes(&bytes).unwrap();
    let bits = stored.tensors.values().filter_map(|tensor| match tensor {
        StoredTensor::Quantized(tensor) => Some(tensor.mean_bits()),
        StoredTensor::Float { .. } => None,
    });
    let finished = Finished { bits: bits.collect(), rows };
    for row in &finished.rows {
        println!(
            "{setting:?} {:?}: {:.2} %, {} bytes, {:.2} bits",
            row.method,
            100.0 * row.value,
            row.bytes,
            row.mean_bits
        );
    }
    println!("{setting:?} bits by layer {:.1?}", finished.bits);
    finished
}

#[test]
fn b_diffq_beats_rounding_after_training_in_a_file_of_that_size() {
    // 2.6 bits with their widths, against 2 bits of one width for all.
    let run = run(Setting::penalty(100));
    let margin = run.accuracy(Method::Diffq) - run.accuracy(Method::RoundedAfterTraining);
    println!("B: margin {margin:.2}");
    // Measured: 21.8 points.
    assert!(margin > 11.0, "{margin}");
}

#[test]
fn c_size_falls_with_the_penalty_and_four_bits_cost_little() {
    let runs = [1, 10, 100].map(|penalty| run(Setting::penalty(penalty)));
    let sizes = runs.each_ref().map(|run| run.diffq().bytes);
    println!("C: sizes {sizes:?}");
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
    let middle = &runs[1];
    let drop = middle.accuracy(Method::Float) - middle.accuracy(Method::Diffq);
    println!("C: drop {drop:.2} at {:.2} bits", middle.diffq().mean_bits);
    // Measured: 0.4 points above float, at 3.97 bits.
    assert!(drop < 1.0, "{drop}");
}

#[test]
fn d_gaussian_noise_keeps_more_bits_than_uniform_noise() {
    let gaussian = run(Setting::penalty(100));
    let uniform = run(Setting { uniform: true, ..Setting::penalty(100) });
    let more = gaussian.diffq().mean_bits - uniform.diffq().mean_bits;
    let better = gaussian.accuracy(Method::Diffq) - uniform.accuracy(Method::Diffq);
    println!("D: {more:.2} more bits, {better:.2} points");
    // Measured: 0.39 bits and 12.6 points.
    assert!(more > 0.2, "{more}");
    assert!(better > 6.0, "{better}");
}

#[test]
fn e_the_last_layer_keeps_more_bits_than_the_hidden_ones() {
    let bits = run(Setting::penalty(10)).bits;
    let hidden = bits[1..6].iter().sum::<f64>() / 5.0;
    println!("E: last {:.2}, hidden {hidden:.2}", bits[6]);
    // Measured: 5.83 against 4.02.
    assert!(bits[6] - hidden > 0.9, "{bits:?}");
}

#[test]
fn f_larger_groups_make_smaller_files_at_no_loss() {
    let one = run(Setting { group_size: 1, ..Setting::penalty(10) });
    let sixteen = run(Setting { group_size: 16, ..Setting::penalty(10) });
    let saved = 1.0 - sixteen.diffq().bytes as f64 / one.diffq().bytes as f64;
    let drop = one.accuracy(Method::Diffq) - sixteen.accuracy(Method::Diffq);
    println!("F: saved {saved:.2}, drop {drop:.2}");
    // Measured: 45 % less, 0.05 points lower.
    assert!(saved > 0.3, "{saved}");
    assert!(drop < 0.5, "{drop}");
}
