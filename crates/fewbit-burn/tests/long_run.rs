//! A run of many steps takes no more memory than one of few.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use common::{StripesTask, short_config};
use fewbit_burn::train::{Event, METRICS_FILE, Outcome, Row, RunFolder, Start, Trainer, peak_memory};

const STEPS: u64 = 10_000;

/// Memory that this process has now, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_steps_nor_with_passes_that_measure_statistics() {
    let config = short_config()
        .with_float_steps(STEPS / 2)
        .with_quantized_steps(STEPS / 2)
        .with_evaluate_every(500)
        .with_checkpoint_every(500);
    let scratch = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let task = StripesTask { records: 200 };
    let path = scratch.path().join("run");
    let mut folder = RunFolder::create(&path, "").unwrap();
    let mut at = [0; 2];
    let trainer = Trainer::new(&task, &config, &Device::flex(), &stop);
    let outcome = trainer.run(&mut folder, Start::New, |event| match event {
        // The second phase has begun and has all that it needs.
        Event::Row(Row::Step { step: 6_000, .. }) => at[0] = resident(),
        Event::Row(Row::Step { step: STEPS, .. }) => at[1] = resident(),
        _ => {}
    });
    assert!(matches!(outcome, Ok(Outcome::Finished(_))));
    assert!(at[0] > 0 && at[1] < at[0] + 6 * 1024, "{} KiB after 6,000 steps, {} after 10,000", at[0], at[1]);
    let log = fs::metadata(path.join(METRICS_FILE)).unwrap().len();
    assert!(log < 250 * STEPS, "{log} bytes of metrics");
    // What autodiff keeps of each of these passes would be some 30 KiB.
    let config = config.clone().with_norm_batches(5_000).with_float_steps(10).with_quantized_steps(10);
    let before = peak_memory().unwrap();
    let trainer = Trainer::new(&task, &config, &Device::flex(), &stop);
    let mut folder = RunFolder::create(&scratch.path().join("statistics"), "").unwrap();
    assert!(matches!(trainer.run(&mut folder, Start::New, |_| {}), Ok(Outcome::Finished(_))));
    let more = peak_memory().unwrap().saturating_sub(before);
    assert!(more < 24 << 20, "{more} bytes more");
}
