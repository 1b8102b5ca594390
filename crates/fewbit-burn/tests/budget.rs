//! A budget is kept, whatever the method and its settings, and used.

mod common;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::tensor::Device;
use common::{StripesTask, short_config};
use fewbit::budget::BudgetError;
use fewbit::method::{DiffQ, Fewbit, FixedWidth, Lsq, Method, ScaleSpace};
use fewbit::{GroupSize, ReadError, StoredModel, StoredTensor, read_file};
use fewbit_burn::QuantizationConfig;
use fewbit_burn::train::{Outcome, RunFolder, Start, TrainConfig, TrainError, Trainer};

/// burn's generator is the process's.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn config(method: Arc<dyn Method>, budget: u64) -> TrainConfig {
    let quantization = QuantizationConfig { method, ..QuantizationConfig::default() };
    let quantization = quantization.with_min_tensor_size(0).with_exclude(["*.bias", "norm.*"]);
    let config = short_config().with_quantization(quantization).with_quantized_steps(40);
    config.with_budget(Some(budget)).with_penalty(None).with_bits_learning_rate(None)
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
fn minimum(method: &Arc<dyn Method>) -> u64 {
    match train(&config(method.clone(), 3)).unwrap_err() {
        TrainError::Budget(BudgetError::TooSmall { budget: 3, minimum }) => minimum,
        other => panic!("{other}"),
    }
}

fn fewbit() -> Arc<dyn Method> {
    Arc::new(Fewbit::default())
}

#[test]
fn the_file_never_exceeds_the_budget_and_uses_it() {
    for method in [fewbit(), Arc::new(Fewbit { group_size: GroupSize::WholeTensor, ..Fewbit::default() })] {
        for budget in [40, 70, 120].map(|more| minimum(&method) + more) {
            let (bytes, _) = train(&config(method.clone(), budget)).unwrap();
            let found = bytes.len() as u64;
            assert!(found <= budget, "{found} of {budget}");
            // A file of a few hundred bytes grows by whole words of the coder.
            assert!(found + 12 >= budget, "{found} of {budget}");
        }
    }
}

#[test]
fn diffq_keeps_a_budget_too() {
    for budget in [250, 300] {
        let (bytes, _) = train(&config(Arc::new(DiffQ::default()), budget)).unwrap();
        assert!(bytes.len() as u64 <= budget, "{} of {budget}", bytes.len());
    }
}

#[test]
fn what_cannot_be_kept_is_refused_before_the_first_step() {
    for method in [fewbit(), Arc::new(DiffQ::default())] {
        assert!((100..400).contains(&minimum(&method)));
    }
    let fixed = FixedWidth::of_tensor(fewbit::BitWidth::new(3).unwrap());
    let lsq = Arc::new(Lsq { fixed, space: ScaleSpace::Linear });
    let error = train(&config(lsq, 500)).unwrap_err();
    assert!(matches!(error, TrainError::Budget(BudgetError::NotSized { method: "lsq" })), "{error}");
}

/// More bytes than levels can use: the file has these, and the run ends.
#[test]
fn a_budget_beyond_use_is_no_error() {
    let (bytes, stored) = train(&config(fewbit(), 1 << 20)).unwrap();
    assert!(bytes.len() < 2000);
    assert!(stored.mean_bits() > 6.0, "{}", stored.mean_bits());
}

/// With hardly a byte above the minimum most weights are zeros (that these take no bits: `methods.rs`).
#[test]
fn weights_that_are_not_worth_a_bit_vanish() {
    let method: Arc<dyn Method> =
        Arc::new(Fewbit { group_size: GroupSize::new(4).unwrap(), ..Fewbit::default() });
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
