//! A run that is stopped and resumed ends in the same bytes as one that is not, and so does a run on
//! another number of threads.

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::Device;
use common::{StripesTask, metrics, short_config};
use fewbit::StoredModel;
use fewbit::method::Fewbit;
use fewbit_burn::train::{
    CHECKPOINT_FOLDER, Event, METRICS_FILE, MODEL_FILE, OptimizerKind, Outcome, Row, RunFolder, Split, Start,
    Task, TrainConfig, Trainer, evaluate, mean,
};
use fewbit_burn::{QuantizationConfig, load};

const TASK: StripesTask = StripesTask { records: 70 };

/// burn's random numbers come from one generator per process, so that nothing here may draw while a run
/// does: neither another run nor a network that is made to load a file into.
fn alone() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Trains in `path`, stopping after `stop_at` steps.
fn train(path: &Path, config: &TrainConfig, resume: bool, stop_at: Option<u64>) -> Outcome {
    let _alone = alone();
    let stop = AtomicBool::new(false);
    let mut folder = if resume { RunFolder::open(path) } else { RunFolder::create(path, "") }.unwrap();
    let trainer = Trainer::new(&TASK, config, &Device::flex(), &stop).with_metadata("model", "small");
    let start = if resume { Start::Resume } else { Start::New };
    let outcome = trainer.run(&mut folder, start, |event| {
        if let Event::Row(Row::Step { step, .. }) = event
            && Some(*step) == stop_at
        {
            stop.store(true, Ordering::Relaxed);
        }
    });
    outcome.unwrap()
}

fn model_bytes(path: &Path) -> Vec<u8> {
    fs::read(path.join(MODEL_FILE)).unwrap()
}

/// fewbit's own method with a budget and a teacher: what it finds while training must be kept, too.
fn budget_config() -> TrainConfig {
    let method = Arc::new(Fewbit::default());
    let quantization = QuantizationConfig { method, ..short_config().quantization };
    let config = short_config()
        .with_quantization(quantization)
        .with_budget(Some(330))
        .with_penalty(None)
        .with_bits_learning_rate(None);
    config.with_distillation(0.5)
}

#[test]
fn an_interrupted_run_ends_as_an_uninterrupted_one() {
    for (optimizer, config) in [
        (OptimizerKind::Sgd, short_config()),
        (OptimizerKind::Adam, short_config()),
        (OptimizerKind::Sgd, budget_config()),
    ] {
        let config = config.with_optimizer(optimizer);
        let scratch = tempfile::tempdir().unwrap();
        let whole = scratch.path().join("whole");
        assert!(matches!(train(&whole, &config, false, None), Outcome::Finished(_)));
        // In float training, at its end, just after it, under noise, before the last step.
        for stop_at in [3, 12, 13, 17, 29] {
            let cut = scratch.path().join(format!("cut-{stop_at}"));
            let outcome = train(&cut, &config, false, Some(stop_at));
            assert_eq!(outcome, Outcome::Interrupted { step: stop_at });
            assert!(!cut.join(MODEL_FILE).exists());
            train(&cut, &config, true, None);
            assert_eq!(metrics(&cut), metrics(&whole), "{optimizer:?} stopped at {stop_at}");
            assert!(model_bytes(&cut) == model_bytes(&whole), "{optimizer:?} stopped at {stop_at}");
        }
    }
}

#[test]
fn a_run_killed_without_warning_goes_on_from_its_last_checkpoint() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, cut) = (scratch.path().join("whole"), scratch.path().join("cut"));
    train(&whole, &short_config(), false, None);
    train(&cut, &short_config(), false, Some(20));
    // What was done after the checkpoint of step 15 is lost, and its rows are written again.
    fs::remove_file(cut.join(CHECKPOINT_FOLDER).join("step-00000020.ckpt")).unwrap();
    train(&cut, &short_config(), true, None);
    assert!(model_bytes(&cut) == model_bytes(&whole));
    assert_eq!(metrics(&cut), metrics(&whole));
}

#[test]
fn threads_do_not_change_a_byte() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, config) in [("diffq", short_config()), ("fewbit", budget_config())] {
        let files: Vec<Vec<u8>> = [1, 2, 3]
            .map(|threads| {
                let path = scratch.path().join(format!("{name}-{threads}"));
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| train(&path, &config, false, None));
                model_bytes(&path)
            })
            .into();
        assert!(files[0] == files[1] && files[1] == files[2], "{name}");
    }
}

#[test]
fn the_file_evaluates_as_training_said_to_the_last_bit() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run");
    let config = short_config();
    let Outcome::Finished(rows) = train(&path, &config, false, None) else { panic!("not finished") };
    let device = Device::flex();
    let _alone = alone();
    let model = load(&path.join(MODEL_FILE), TASK.init(&device)).unwrap();
    let scores = evaluate(&TASK, &model, Split::Test, config.evaluation_batch_size, &device);
    let last = rows.last().unwrap();
    assert_eq!(mean(&scores).unwrap().to_bits(), last.value.to_bits());
    assert_eq!(model_bytes(&path).len() as u64, last.bytes);
    let last_line = metrics(&path).pop().unwrap();
    assert_eq!(last_line["value"].as_f64().unwrap().to_bits(), last.value.to_bits());
    assert_eq!(last_line["method"], "diffq");
    let stored = StoredModel::from_bytes(&model_bytes(&path)).unwrap();
    assert_eq!(stored.metadata["model"], "small");
    assert!(
        stored.tensors.keys().all(|path| !path.contains("learned")),
        "no export holds what was learned about precision"
    );
}

#[test]
fn a_checkpoint_of_other_data_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run");
    let config = short_config();
    train(&path, &config, false, Some(15));
    let stop = AtomicBool::new(false);
    let other = StripesTask { records: 71 };
    let _alone = alone();
    let trainer = Trainer::new(&other, &config, &Device::flex(), &stop).with_fact("seed", "6");
    let mut folder = RunFolder::open(&path).unwrap();
    let error = trainer.run(&mut folder, Start::Resume, |_| {}).unwrap_err().to_string();
    let expected = "data was 00000046 and is 00000047; seed was not there and is 6";
    assert!(error.ends_with(expected) && error.contains("step-00000015"), "{error}");
    // Unless it is wanted.
    let mut said = String::new();
    let outcome = trainer.run(&mut folder, Start::ResumeAnyway, |event| {
        if let Event::Resumed { step, differences, .. } = event {
            said = format!("{}: {} differences", step.unwrap_or(0), differences.len());
        }
    });
    assert!(matches!(outcome, Ok(Outcome::Finished(_))));
    assert_eq!(said, "15: 2 differences");
}

/// What resuming the run in `path` says.
fn refusal(path: &Path) -> String {
    let _alone = alone();
    let stop = AtomicBool::new(false);
    let config = short_config();
    let trainer = Trainer::new(&TASK, &config, &Device::flex(), &stop);
    trainer.run(&mut RunFolder::open(path).unwrap(), Start::Resume, |_| {}).unwrap_err().to_string()
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_and_none_sound_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, cut) = (scratch.path().join("whole"), scratch.path().join("cut"));
    train(&whole, &short_config(), false, None);
    train(&cut, &short_config(), false, Some(20));
    let checkpoint = |step: u64| cut.join(CHECKPOINT_FOLDER).join(format!("step-{step:08}.ckpt"));
    fs::write(checkpoint(20), b"FEWBCKP1").unwrap();
    let sound = fs::read(checkpoint(15)).unwrap();
    fs::write(checkpoint(15), b"").unwrap();
    let error = refusal(&cut);
    assert!(error.contains("no checkpoint") && error.contains("step-00000020"), "{error}");
    fs::write(checkpoint(15), sound).unwrap();
    train(&cut, &short_config(), true, None);
    assert!(model_bytes(&cut) == model_bytes(&whole));
}

#[test]
fn metrics_that_were_cut_are_not_filled_with_zeros() {
    let scratch = tempfile::tempdir().unwrap();
    let cut = scratch.path().join("cut");
    train(&cut, &short_config(), false, Some(20));
    fs::write(cut.join(METRICS_FILE), b"{}\n").unwrap();
    let error = refusal(&cut);
    assert!(error.contains("metrics.jsonl") && error.contains("3 bytes"), "{error}");
    assert_eq!(fs::read(cut.join(METRICS_FILE)).unwrap(), b"{}\n");
}
