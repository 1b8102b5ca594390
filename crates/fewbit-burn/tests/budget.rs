//! A budget is kept, whatever the method and its settings, and used.

mod common;

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};

use burn::tensor::Device;
use common::{StripesTask, short_config};
use fewbit::{RangeGranularity, ReadError, read_file};
use fewbit_burn::train::{Outcome, RunFolder, Start, TrainConfig, TrainError, Trainer};
use fewbit_burn::{
    DiffQConfig, FixedWidth, Method, QuantizationConfig, SizeEstimate, StepConfig, StepSpace, StoredModel,
    StoredTensor,
};

/// burn's generator is the process's.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn config(method: Method, budget: u64) -> TrainConfig {
    let quantization = QuantizationConfig {
        method,
        min_tensor_size: 0,
        exclude: vec!["*.bias".to_owned(), "norm.*".to_owned()],
        ..QuantizationConfig::default()
    };
    let config = short_config().with_quantization(quantization).with_quantized_steps(40);
    config.with_budget(Some(budget)).with_penalty(1.0)
}

fn train(config: &TrainConfig) -> Result<(Vec<u8>, StoredModel), TrainError> {
    let _alone = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run");
    let mut folder = RunFolder::create(&path, "").unwrap();
    let (task, stop) = (StripesTask { records: 200 }, AtomicBool::new(false));
    let trainer = Trainer::new(&task, config, &Device::flex(), &stop);
    let Outcome::Finished(rows) = trainer.run(&mut folder, Start::New, |_| {})? else {
        panic!("not finished")
    };
    let bytes = read_file(&path.join("model.fewbit")).unwrap().into_bytes();
    assert_eq!(rows.last().unwrap().bytes, bytes.len() as u64);
    let stored: Result<_, ReadError> = StoredModel::from_bytes(&bytes);
    Ok((bytes, stored.unwrap()))
}

/// The bytes of a file without a weight.
fn minimum(method: &Method) -> u64 {
    match train(&config(method.clone(), 3)).unwrap_err() {
        TrainError::BudgetTooSmall { minimum, .. } => minimum,
        other => panic!("{other}"),
    }
}

/// Whether every step is as small as levels up to 127 allow.
fn is_largest(stored: &StoredModel) -> bool {
    stored.tensors.values().all(|tensor| match tensor {
        StoredTensor::Float { .. } => true,
        StoredTensor::Quantized(tensor) => {
            let (values, ranges) = (tensor.dequantize(), tensor.ranges().values());
            let groups = values.chunks(values.len() / ranges.len());
            groups.zip(ranges).all(|(values, range)| {
                let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                largest >= 126.0 * range.half_width()
            })
        }
    })
}

#[test]
fn the_file_never_exceeds_the_budget_and_uses_it() {
    for granularity in [RangeGranularity::Tensor, RangeGranularity::Channel, RangeGranularity::Group] {
        for group_size in [1, 16, usize::MAX] {
            for estimate in [SizeEstimate::Coded, SizeEstimate::Nominal] {
                let method = Method::Fewbit(StepConfig { granularity, group_size, estimate });
                for budget in [70, 120].map(|more| minimum(&method) + more) {
                    let (bytes, stored) = train(&config(method.clone(), budget)).unwrap();
                    let found = bytes.len() as u64;
                    assert!(found <= budget, "{found} of {budget}");
                    // A file of a few hundred bytes grows by whole words of the coder.
                    assert!(found + 12 >= budget || is_largest(&stored), "{found} of {budget}");
                }
            }
        }
    }
}

#[test]
fn diffq_keeps_a_budget_too() {
    for budget in [250, 300] {
        let (bytes, _) = train(&config(Method::DiffQ(DiffQConfig::default()), budget)).unwrap();
        assert!(bytes.len() as u64 <= budget, "{} of {budget}", bytes.len());
    }
}

#[test]
fn what_cannot_be_kept_is_refused_before_the_first_step() {
    let fewbit = Method::Fewbit(StepConfig::default());
    for method in [fewbit, Method::DiffQ(DiffQConfig::default())] {
        match train(&config(method, 3)).unwrap_err() {
            TrainError::BudgetTooSmall { budget: 3, minimum } => assert!((100..400).contains(&minimum)),
            other => panic!("{other}"),
        }
    }
    let width = fewbit::BitWidth::new(3).unwrap();
    let lsq = Method::Lsq(FixedWidth::of_tensor(width), StepSpace::Linear);
    assert!(matches!(train(&config(lsq, 500)).unwrap_err(), TrainError::BudgetNotKept));
}

/// More bytes than widths of 8 can use: the file has these, and the run ends.
#[test]
fn a_budget_beyond_use_is_no_error() {
    let (bytes, stored) = train(&config(Method::Fewbit(StepConfig::default()), 1 << 20)).unwrap();
    assert!(bytes.len() < 2000);
    assert!(stored.mean_bits() > 6.0, "{}", stored.mean_bits());
}

/// With hardly a byte above the minimum most weights are zeros (that these take no bits: `methods.rs`).
#[test]
fn weights_that_are_not_worth_a_bit_vanish() {
    let method = Method::Fewbit(StepConfig { group_size: 4, ..StepConfig::default() });
    let budget = minimum(&method) + 40;
    let (bytes, stored) = train(&config(method, budget)).unwrap();
    assert!(bytes.len() as u64 <= budget);
    let weights = stored.tensors.values().filter_map(|tensor| match tensor {
        StoredTensor::Quantized(tensor) => Some(tensor.dequantize()),
        StoredTensor::Float { .. } => None,
    });
    let weights: Vec<f32> = weights.flatten().collect();
    let zeros = weights.iter().filter(|weight| **weight == 0.0).count();
    assert!(zeros * 2 > weights.len(), "{zeros} of {} are zero", weights.len());
}
