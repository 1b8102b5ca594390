//! A disk that fails and numbers that stop being numbers: what was saved stays, and a run can go on from it.

mod common;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Tensor};
use common::{SmallNet, Stripes, StripesTask, metrics, short_config};
use fewbit::disk::{Disk, Fault, FaultyDisk, SystemDisk};
use fewbit_burn::train::{
    BatchRecord, Event, FLOAT_FILE, METRICS_FILE, MODEL_FILE, Metric, OnNonFinite, Outcome, RunFolder, Score,
    Split, Start, Task, TrainConfig, TrainError, Trainer,
};

const TASK: StripesTask = StripesTask { records: 70 };

/// burn's random numbers come from one generator per process.
fn alone() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run<T: Task>(
    task: &T,
    config: &TrainConfig,
    folder: &mut RunFolder,
    start: Start,
) -> Result<Outcome, TrainError> {
    let stop = AtomicBool::new(false);
    Trainer::new(task, config, &Device::flex(), &stop).run(folder, start, |_| {})
}

/// A run on `disk`, which may end by an error, and then, where it did, on the system's to its end.
fn run_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Outcome, TrainError> {
    let mut folder = RunFolder::create(path, "").unwrap().on(disk);
    let outcome = run(&TASK, &short_config(), &mut folder, Start::New);
    drop(folder);
    if outcome.is_err() {
        let mut folder = RunFolder::open(path).unwrap();
        assert!(run(&TASK, &short_config(), &mut folder, Start::Resume).is_ok());
    }
    outcome
}

/// A run whose disk has `fault` at one of many moments ends, after it was resumed, as one without.
fn fails_and_goes_on(fault: Fault) {
    let _alone = alone();
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("whole");
    run_on(Arc::new(SystemDisk), &whole).unwrap();
    let model = fs::read(whole.join(MODEL_FILE)).unwrap();
    let mut failed = 0;
    let way = if matches!(fault, Fault::FailedSync | Fault::FailedRename) { 1 } else { 7 };
    for at in (0..).step_by(way) {
        let disk = FaultyDisk::new(fault, at);
        let path = scratch.path().join(format!("{at}"));
        let outcome = run_on(Arc::new(disk.clone()), &path);
        if !disk.has_struck() {
            break;
        }
        if let Err(error) = &outcome {
            failed += 1;
            let names = [METRICS_FILE, MODEL_FILE, FLOAT_FILE, ".ckpt", "run.lock"];
            assert!(names.iter().any(|name| error.to_string().contains(name)), "{error}");
        }
        assert!(fs::read(path.join(MODEL_FILE)).unwrap() == model, "{fault:?} at {at}");
        assert_eq!(metrics(&path), metrics(&whole), "{fault:?} at {at}");
    }
    assert_eq!(failed > 0, fault != Fault::ShortWrite, "{failed} runs failed");
}

#[test]
fn a_full_disk_ends_a_run_that_can_go_on_once_there_is_room() {
    fails_and_goes_on(Fault::DiskFull);
}

#[test]
fn short_writes_are_completed_in_every_file_of_a_run() {
    fails_and_goes_on(Fault::ShortWrite);
}

#[test]
fn a_broken_write_ends_a_run_that_can_go_on() {
    fails_and_goes_on(Fault::BrokenWrite);
}

#[test]
fn a_failed_sync_ends_a_run_that_can_go_on() {
    fails_and_goes_on(Fault::FailedSync);
}

#[test]
fn a_failed_rename_ends_a_run_that_can_go_on() {
    fails_and_goes_on(Fault::FailedRename);
}

#[test]
fn a_process_that_dies_anywhere_leaves_a_run_that_can_go_on() {
    fails_and_goes_on(Fault::Death);
}

#[test]
fn a_full_disk_while_metrics_are_written_is_named() {
    let _alone = alone();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run");
    // The first write of all is the first row of the metrics.
    let disk = Arc::new(FaultyDisk::new(Fault::DiskFull, 0));
    let error = run(&TASK, &short_config(), &mut RunFolder::create(&path, "").unwrap().on(disk), Start::New);
    let error = error.unwrap_err();
    assert!(error.to_string().contains(METRICS_FILE), "{error}");
}

/// Stripes whose loss has no number where the network's first bias is too far from where it began: what a
/// rate that is too large comes to, at a step that does not depend on the machine.
struct Cliff {
    furthest: f32,
}

impl Task for Cliff {
    type Model = SmallNet;
    type Batch = Stripes;
    /// The logits, and a number that is added to the loss: 0, or none.
    type Output = (Tensor<2>, Tensor<1>);

    fn init(&self, device: &Device) -> SmallNet {
        TASK.init(device)
    }

    fn training_records(&self) -> usize {
        TASK.training_records()
    }

    fn validation_records(&self) -> usize {
        TASK.validation_records()
    }

    fn test_records(&self) -> usize {
        TASK.test_records()
    }

    fn batch(&self, records: &[BatchRecord], seed: u64) -> Stripes {
        TASK.batch(records, seed)
    }

    fn forward(&self, model: &SmallNet, batch: &Stripes, device: &Device) -> (Tensor<2>, Tensor<1>) {
        let size = model.fc.bias.as_ref().unwrap().val().abs().max().reshape([1]);
        // The square root of what is below zero.
        let beyond = (size * -1.0 + self.furthest).sqrt();
        (TASK.forward(model, batch, device), beyond * 0.0)
    }

    fn loss(&self, (logits, beyond): (Tensor<2>, Tensor<1>), batch: &Stripes) -> Tensor<1> {
        TASK.loss(logits, batch) + beyond
    }

    fn metric(&self) -> Metric {
        TASK.metric()
    }

    fn evaluate(&self, model: &SmallNet, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        TASK.evaluate(model, split, records, device)
    }
}

#[test]
fn a_number_that_is_none_stops_the_run_at_its_step_and_names_the_checkpoint() {
    let _alone = alone();
    let scratch = tempfile::tempdir().unwrap();
    let mut folder = RunFolder::create(&scratch.path().join("run"), "").unwrap();
    let config = short_config().with_learning_rate(2.0).with_clip_norm(0.0);
    let error = run(&Cliff { furthest: 0.6 }, &config, &mut folder, Start::New).unwrap_err();
    let TrainError::NonFinite { step, .. } = &error else { panic!("{error}") };
    assert!(*step > 0, "{error}");
    let (words, last) = (error.to_string(), (step - 1) / 5 * 5);
    let checkpoint = match last {
        0 => "no checkpoint was saved before".to_owned(),
        _ => format!("the last checkpoint before is of step {last}"),
    };
    assert!(words.starts_with(&format!("step {step}: ")) && words.ends_with(&checkpoint), "{words}");
}

#[test]
fn a_run_can_go_back_and_on_with_lower_rates_and_does_so_the_same_way_twice() {
    let _alone = alone();
    let scratch = tempfile::tempdir().unwrap();
    let config = short_config()
        .with_learning_rate(2.0)
        .with_clip_norm(0.0)
        .with_checkpoint_every(2)
        .with_on_non_finite(OnNonFinite::RollBack);
    let task = Cliff { furthest: 0.6 };
    let stop = AtomicBool::new(false);
    let files = ["one", "two"].map(|name| {
        let path = scratch.path().join(name);
        let mut folder = RunFolder::create(&path, "").unwrap();
        let mut factors = Vec::new();
        let trainer = Trainer::new(&task, &config, &Device::flex(), &stop);
        let outcome = trainer.run(&mut folder, Start::New, |event| {
            if let Event::RolledBack { rate_factor, .. } = event {
                factors.push(rate_factor);
            }
        });
        assert!(matches!(outcome, Ok(Outcome::Finished(_))), "{outcome:?}");
        assert_eq!(factors[0], 0.5);
        let rows = metrics(&path).into_iter().filter(|row| row["event"] == "roll_back").count();
        assert!(rows > 0);
        fs::read(path.join(MODEL_FILE)).unwrap()
    });
    assert!(files[0] == files[1]);
    // Also where the process dies anywhere on its way, on the way back too.
    for at in (0..).step_by(3) {
        let path = scratch.path().join(at.to_string());
        let disk = FaultyDisk::new(Fault::Death, at);
        let mut folder = RunFolder::create(&path, "").unwrap().on(Arc::new(disk.clone()));
        let outcome = run(&task, &config, &mut folder, Start::New);
        drop(folder);
        if outcome.is_err() {
            let mut folder = RunFolder::open(&path).unwrap();
            let outcome = run(&task, &config, &mut folder, Start::Resume);
            assert!(matches!(outcome, Ok(Outcome::Finished(_))), "at {at}: {outcome:?}");
        }
        assert!(fs::read(path.join(MODEL_FILE)).unwrap() == files[0], "at {at}");
        if !disk.has_struck() {
            break;
        }
    }
}
