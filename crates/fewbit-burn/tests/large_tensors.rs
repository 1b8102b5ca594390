//! Above four million weights work is cut in other places; the bytes of a run stay those of one thread.

mod common;

use std::fs;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use common::short_config;
use fewbit_burn::train::{
    BatchRecord, MODEL_FILE, Metric, Outcome, RunFolder, Score, Split, Start, Task, Teacher, TrainConfig,
    Trainer,
};
use fewbit_burn::{Method, QuantizationConfig, StepConfig};

/// More than 4 Mi weights in one tensor.
const WIDTH: usize = 2080;

#[derive(Module, Debug)]
struct Wide {
    layer: Linear,
}

/// Numbers to numbers.
struct Reflection;

impl Reflection {
    fn loss_of(model: &Wide, batch: &[BatchRecord], device: &Device) -> Tensor<1> {
        let number = |at: usize| ((at * 37 % 101) as f32 - 50.0) / 50.0;
        let numbers: Vec<f32> =
            batch.iter().flat_map(|record| (0..WIDTH).map(move |at| number(at + record.index))).collect();
        let input: Tensor<2> = Tensor::from_data(TensorData::new(numbers, [batch.len(), WIDTH]), device);
        let distance = model.layer.forward(input.clone()) - input;
        (distance.clone() * distance).mean().reshape([1])
    }
}

impl Task for Reflection {
    type Model = Wide;

    fn init(&self, device: &Device) -> Wide {
        Wide { layer: LinearConfig::new(WIDTH, WIDTH).init(device) }
    }

    fn metric(&self) -> Metric {
        Metric::BitsPerByte
    }

    fn training_records(&self) -> usize {
        64
    }

    fn evaluation_records(&self, _split: Split) -> usize {
        2
    }

    fn loss(&self, model: &Wide, batch: &[BatchRecord], _seed: u64, device: &Device) -> Tensor<1> {
        Self::loss_of(model, batch, device)
    }

    fn distilled_loss(
        &self,
        model: &Wide,
        _teacher: &Teacher<Wide>,
        batch: &[BatchRecord],
        seed: u64,
        device: &Device,
    ) -> Tensor<1> {
        self.loss(model, batch, seed, device)
    }

    fn evaluate(&self, model: &Wide, _split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let score = |index| {
            let loss = Self::loss_of(model, &[BatchRecord { epoch: 0, index }], device);
            Score { value: loss.into_scalar::<f32>().into(), weight: 1.0 }
        };
        records.map(score).collect()
    }

    fn fingerprint(&self) -> u32 {
        0
    }
}

#[test]
fn threads_do_not_change_a_byte_of_large_tensors() {
    let fewbit = QuantizationConfig::new(Method::Fewbit(StepConfig::default()));
    let diffq = QuantizationConfig::diffq(8);
    let steps = TrainConfig {
        float_steps: 2,
        quantized_steps: 6,
        warmup_steps: 1,
        quantization: diffq,
        ..short_config()
    };
    let configs =
        [TrainConfig { quantization: fewbit, budget: Some(1_000_000), penalty: 1.0, ..steps.clone() }, steps];
    let scratch = tempfile::tempdir().unwrap();
    for (number, config) in configs.into_iter().enumerate() {
        let files = [1, 2, 8].map(|threads| {
            let path = scratch.path().join(format!("{number}-{threads}"));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let stop = AtomicBool::new(false);
            let mut folder = RunFolder::create(&path, "").unwrap();
            let trainer = Trainer::new(&Reflection, &config, &Device::flex(), &stop);
            let outcome = pool.install(|| trainer.run(&mut folder, Start::New, |_| {}));
            assert!(matches!(outcome, Ok(Outcome::Finished(_))), "{outcome:?}");
            fs::read(path.join(MODEL_FILE)).unwrap()
        });
        assert!(files[0] == files[1] && files[1] == files[2], "{number}");
    }
}
