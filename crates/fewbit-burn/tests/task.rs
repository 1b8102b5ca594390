//! A task with nothing but what is required, and what its absence refuses.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fewbit_burn::QuantizationConfig;
use fewbit_burn::train::{
    BatchRecord, Direction, Evaluator, METRICS_FILE, MODEL_FILE, Metric, Outcome, ResultRow, RunFolder,
    Score, Split, Start, Task, Teacher, TrainConfig, TrainError, Trainer,
};

#[derive(Module, Debug)]
struct Line {
    layer: Linear,
}

/// Finds `y = 2x`; the metric is the largest error, not a mean.
struct Doubling {
    test_records: usize,
}

fn inputs(records: impl Iterator<Item = usize>) -> Vec<f32> {
    records.map(|record| (record % 11) as f32 / 5.0 - 1.0).collect()
}

impl Task for Doubling {
    type Model = Line;
    type Batch = Vec<f32>;
    type Output = Tensor<2>;

    fn init(&self, device: &Device) -> Line {
        Line { layer: LinearConfig::new(1, 1).init(device) }
    }

    fn training_records(&self) -> usize {
        44
    }

    fn test_records(&self) -> usize {
        self.test_records
    }

    fn batch(&self, records: &[BatchRecord], _seed: u64) -> Vec<f32> {
        inputs(records.iter().map(|record| record.index))
    }

    fn forward(&self, model: &Line, batch: &Vec<f32>, device: &Device) -> Tensor<2> {
        model.layer.forward(Tensor::<1>::from_floats(batch.as_slice(), device).unsqueeze_dim(1))
    }

    fn loss(&self, output: Tensor<2>, batch: &Vec<f32>) -> Tensor<1> {
        let expected = Tensor::<1>::from_floats(batch.as_slice(), &output.device()).unsqueeze_dim(1) * 2.0;
        (output - expected).powi_scalar(2).mean()
    }

    fn metric(&self) -> Metric {
        Metric::new("largest_error", Direction::SmallerIsBetter).with_unit("m")
    }

    fn evaluate(&self, model: &Line, _: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let batch = inputs(records);
        let found: Vec<f32> = self.forward(model, &batch, device).into_data().try_into_vec().unwrap();
        let pairs = found.iter().zip(&batch);
        pairs.map(|(found, x)| Score::of(f64::from((found - 2.0 * x).abs()))).collect()
    }

    fn combine(&self, scores: &[Score]) -> Option<f64> {
        scores.iter().map(|score| score.value).max_by(f64::total_cmp)
    }
}

fn config() -> TrainConfig {
    TrainConfig::default()
        .with_batch_size(11)
        .with_float_steps(60)
        .with_quantized_steps(20)
        .with_evaluate_every(0)
        .with_quantization(QuantizationConfig::diffq(8).with_min_tensor_size(0))
}

/// The rows of a run, its file, and its last line of metrics.
fn run(
    task: &Doubling,
    config: &TrainConfig,
    teacher: Option<Teacher<'_, Doubling>>,
) -> Result<(Vec<ResultRow>, Vec<u8>, String), TrainError> {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run");
    let (mut folder, stop) = (RunFolder::create(&path, "").unwrap(), AtomicBool::new(false));
    let trainer = Trainer::new(task, config, &Device::flex(), &stop).with_teacher(teacher);
    let Outcome::Finished(rows) = trainer.run(&mut folder, Start::New, |_| {})? else {
        panic!("not finished")
    };
    let metrics = std::fs::read_to_string(path.join(METRICS_FILE)).unwrap();
    Ok((rows, std::fs::read(path.join(MODEL_FILE)).unwrap(), metrics.lines().last().unwrap().to_owned()))
}

#[test]
fn what_is_required_is_enough_to_train_and_rows_hold_the_metric() {
    let task = Doubling { test_records: 11 };
    let (rows, file, line) = run(&task, &config(), None).unwrap();
    let last = rows.last().unwrap();
    assert!(last.value < 0.1, "{}", last.value);
    assert_eq!(last.metric, task.metric());
    let words = r#""metric":"largest_error","direction":"smaller_is_better","unit":"m""#;
    assert!(line.contains(words), "{line}");
    // Without a trainer the file has the same metric.
    let evaluated = Evaluator::new(&task, 4, &Device::flex()).of_file(&file, Split::Test).unwrap();
    assert_eq!((evaluated.value, evaluated.scores.len()), (last.value, 11));
}

#[test]
fn no_record_to_test_is_an_error_and_no_perfect_score() {
    let error = run(&Doubling { test_records: 0 }, &config(), None).unwrap_err();
    assert!(matches!(error, TrainError::NoScore { split: Split::Test, records: 0 }), "{error}");
}

#[test]
fn a_teacher_is_refused_where_outputs_have_no_distance() {
    let task = Doubling { test_records: 1 };
    let teacher = Teacher::new(|batch: &Vec<f32>| Tensor::zeros([batch.len(), 1], &Device::flex()));
    for (config, teacher) in
        [(config(), Some(teacher)), (config().with_distillation(0.5).with_float_steps(2), None)]
    {
        let error = run(&task, &config, teacher).unwrap_err();
        assert!(matches!(error, TrainError::NoDistance), "{error}");
    }
}
