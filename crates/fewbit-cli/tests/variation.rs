//! Training on varied images is a pure function of its settings: whatever the number of threads, and stopped or not.

mod common;

use std::fs;

use common::{Scratch, short_train};

#[test]
fn a_run_on_mixed_erased_and_repeated_images_resumes_to_the_same_bytes_on_any_number_of_threads() {
    let scratch = Scratch::new();
    let settings = [
        "data.mixup=0.8",
        "data.cutmix=1.0",
        "data.erasing=0.5",
        "data.repeats=3",
        "training.label_smoothing=0.1",
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let train = |out: &str, threads: &str| {
        let more = [&settings[..], &["--out", out, "--threads", threads]].concat();
        scratch.run(&short_train(&more)).ok();
    };
    train("one", "1");
    train("three", "3");
    let model = |run: &str| fs::read(scratch.path(run).join("model.fewbit")).unwrap();
    assert!(model("one") == model("three"));
    let plain = short_train(&["--out", "plain"]);
    scratch.run(&plain).ok();
    assert!(model("one") != model("plain"));

    // As if it had been killed after the last checkpoint but one.
    let mut checkpoints: Vec<_> =
        fs::read_dir(scratch.path("three/checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    fs::remove_file(checkpoints.pop().unwrap()).unwrap();
    fs::remove_file(scratch.path("three/model.fewbit")).unwrap();
    let resumed = scratch.run(&["train", "--resume", "three", "--threads", "2"]).ok();
    assert!(resumed.stderr.contains("resumed at step 12"), "{}", resumed.stderr);
    assert!(model("three") == model("one"));
}
