//! What is said about memory before a run is what the run takes.
#![cfg(target_os = "linux")]

mod common;

use std::process::Command;

use common::{Finished, Scratch, short_train};

/// The MiB of memory in the line of `text` that begins so.
#[track_caller]
fn mebibytes(text: &str, begin: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(begin) && line.contains(" MiB of memory"));
    let before = line.unwrap_or_else(|| panic!("no `{begin} …` in: {text}")).split(" MiB of memory").next();
    let number = before.and_then(|text| text.split(' ').next_back()).unwrap();
    number.replace(',', "").parse().unwrap()
}

#[test]
fn the_expected_memory_is_within_a_quarter_of_what_is_taken() {
    let scratch = Scratch::new();
    let text: String = (0..60_000u32).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
    scratch.write("text.txt", text.as_bytes());
    let steps = ["--set", "training.float_steps=6", "--set", "training.quantized_steps=6"];
    let few = ["--set", "training.warmup_steps=1", "--set", "data.validation=5000"];
    let runs: [Vec<&str>; 3] = [
        short_train(&["--set", "training.batch_size=512", "--out", "images"]),
        short_train(&["--set", "training.batch_size=2048", "--out", "many-images"]),
        [&["train", "lm-tiny", "--data", "text.txt", "--out", "text"][..], &steps, &few].concat(),
    ];
    for args in runs {
        let finished = scratch.run(&args).ok();
        let [expected, taken] = ["about ", "wrote "].map(|begin| mebibytes(&finished.stderr, begin));
        let ratio = expected / taken;
        assert!((0.8..1.25).contains(&ratio), "{args:?}: {expected} MiB expected, {taken} taken");
    }
}

#[test]
fn a_run_that_cannot_fit_says_so_before_it_starts() {
    let scratch = Scratch::new();
    let limited = |args: &[&str]| {
        let command =
            format!("ulimit -v 3000000; exec '{}' {}", env!("CARGO_BIN_EXE_fewbit"), args.join(" "));
        let output = Command::new("sh").args(["-c", &command]).current_dir(scratch.path("")).output();
        Finished::of(output.unwrap())
    };
    let huge = ["--set", "training.batch_size=65536"];
    let refused = limited(&[&["train", "--out", "run"], &huge[..]].concat());
    refused.refused(&["MiB", "this machine has 2,930 MiB", "training.batch_size"]);
    assert!(!scratch.path("run").exists());
    let planned = limited(&[&["plan"], &huge[..]].concat()).ok();
    assert!(planned.stdout.contains("more than the 2,930 MiB"), "{}", planned.stdout);
}
