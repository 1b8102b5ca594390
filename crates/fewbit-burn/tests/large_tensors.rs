//! Above four million weights work is cut in other places; the bytes of a run stay those of one thread.

mod common;

use std::fs;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use common::short_config;
use fewbit::method::Fewbit;
use fewbit_burn::QuantizationConfig;
use fewbit_burn::train::{
    BatchRecord, Direction, MODEL_FILE, Metric, Outcome, RunFolder, Score, Split, Start, Task, Trainer,
};

/// More than 4 Mi weights in one tensor.
const WIDTH: usize = 2080;

#[derive(Module, Debug)]
struct Wide {
    layer: Linear,
}

/// Numbers to numbers.
struct Reflection;

impl Task for Reflection {
    type Model = Wide;
    type Batch = TensorData;
    /// The differences between numbers and what is made of them.
    type Output = Tensor<2>;

    fn init(&self, device: &Device) -> Wide {
        Wide { layer: LinearConfig::new(WIDTH, WIDTH).init(device) }
    }

    fn training_records(&self) -> usize {
        64
    }

    fn validation_records(&self) -> usize {
        2
    }

    fn test_records(&self) -> usize {
        2
    }

    fn batch(&self, records: &[BatchRecord], _seed: u64) -> TensorData {
        let number = |at: usize| ((at * 37 % 101) as f32 - 50.0) / 50.0;
        let numbers: Vec<f32> =
            records.iter().flat_map(|record| (0..WIDTH).map(move |at| number(at + record.index))).collect();
        TensorData::new(numbers, [records.len(), WIDTH])
    }

    fn forward(&self, model: &Wide, batch: &TensorData, device: &Device) -> Tensor<2> {
        let input: Tensor<2> = Tensor::from_data(batch.clone(), device);
        model.layer.forward(input.clone()) - input
    }

    fn loss(&self, difference: Tensor<2>, _: &TensorData) -> Tensor<1> {
        (difference.clone() * difference).mean().reshape([1])
    }

    fn metric(&self) -> Metric {
        Metric::new("squared_error", Direction::SmallerIsBetter)
    }

    fn evaluate(&self, model: &Wide, _split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let score = |index| {
            let batch = self.batch(&[BatchRecord { epoch: 0, index }], 0);
            Score::of(self.loss(self.forward(model, &batch, device), &batch).into_scalar::<f32>().into())
        };
        records.map(score).collect()
    }
}

#[test]
fn threads_do_not_change_a_byte_of_large_tensors() {
    let fewbit = QuantizationConfig::new(Fewbit::default());
    let diffq = QuantizationConfig::diffq(8);
    let steps = short_config().with_float_steps(2).with_quantized_steps(6).with_warmup_steps(1);
    let configs = [
        steps.clone().with_quantization(fewbit).with_budget(Some(1_000_000)).with_penalty(Some(1.0)),
        steps.with_quantization(diffq),
    ];
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
