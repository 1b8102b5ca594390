//! A training that is killed at any moment goes on where it was and ends in the same bytes.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Finished, Scratch};

/// A run of some seconds with a checkpoint every few steps, through all phases.
const RUN: [&str; 14] = [
    "--set",
    "training.float_steps=200",
    "--set",
    "training.quantized_steps=300",
    "--set",
    "training.warmup_steps=2",
    "--set",
    "training.batch_size=16",
    "--set",
    "training.evaluate_every=100",
    "--set",
    "training.checkpoint_every=10",
    "--set",
    "data.validation=100",
];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train"], &RUN[..], more].concat()
}

/// The metrics without their times.
fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let row = |line: &str| {
        let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
        row.as_object_mut().unwrap().remove("seconds");
        row
    };
    text.lines().map(row).collect()
}

fn spawn(scratch: &Scratch, args: &[&str]) -> Child {
    scratch.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The step that the run says it went on from, if it came so far.
fn resumed_at(stderr: &str) -> Option<u64> {
    let line = stderr.lines().find_map(|line| line.strip_prefix("resumed at step "))?;
    line.trim().parse().ok()
}

/// Numbers from 0 to 1 that differ from call to call.
struct Shares(u64);

impl Shares {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Kills runs `kills` times in all, at moments all over a run; every run that ends in spite of that ends as the one that
/// was left alone.
fn survives(kills: u32) {
    let scratch = Scratch::new();
    scratch.run(&train(&["--out", "whole"])).ok();
    let whole = scratch.path("whole");
    let length = |run: &Path| fs::metadata(run.join("metrics.jsonl")).map_or(0, |found| found.len());
    let all = length(&whole) as f64;
    let model = fs::read(whole.join("model.fewbit")).unwrap();
    let mut shares = Shares(1);
    let (mut killed, mut went_on, mut runs) = (0, 0, 0);
    while killed < kills {
        runs += 1;
        let name = format!("killed-{runs}");
        let run = scratch.path(&name);
        loop {
            let mut child = if run.exists() {
                spawn(&scratch, &["train", "--resume", &name])
            } else {
                spawn(&scratch, &train(&["--out", &name]))
            };
            if killed < kills {
                // Once the run has come so far, whatever the speed of the machine; at once where it is further already.
                let far = (all * shares.next()) as u64;
                while child.try_wait().unwrap().is_none() && length(&run) < far {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // One that has ended by then ended well, or it is seen below.
                killed += u32::from(child.try_wait().unwrap().is_none() && child.kill().is_ok());
            }
            let finished = Finished::of(child.wait_with_output().unwrap());
            went_on += u32::from(resumed_at(&finished.stderr).is_some_and(|step| step > 0));
            match finished.code {
                Some(0) => break,
                None => {}
                Some(_) => panic!("after {killed} kills: {}", finished.stderr),
            }
        }
        assert!(fs::read(run.join("model.fewbit")).unwrap() == model, "{name}");
        assert_eq!(metrics(&run), metrics(&whole), "{name}");
        let left = |folder: &Path| {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_string_lossy().ends_with(".tmp")).count()
        };
        assert_eq!(left(&run) + left(&run.join("checkpoints")), 0, "{name} has scratch files");
    }
    println!("{killed} kills of {runs} runs, {went_on} times past step 0");
    assert!(went_on >= kills / 10, "only {went_on} of {killed} went on past step 0");
}

#[test]
fn fifty_kills_at_any_moment_change_nothing() {
    survives(50);
}

#[test]
#[ignore = "takes some five minutes: cargo test --release -p fewbit-cli --test kills -- --ignored --nocapture"]
fn two_hundred_kills_at_any_moment_change_nothing() {
    survives(200);
}

/// A run that has made its first checkpoint and goes on.
fn under_way(scratch: &Scratch, name: &str) -> Child {
    let mut child = spawn(scratch, &train(&["--out", name]));
    let checkpoints = scratch.path(name).join("checkpoints");
    let is_saved = |entry: std::io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".ckpt"))
    };
    while !fs::read_dir(&checkpoints).is_ok_and(|mut entries| entries.any(is_saved)) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its first checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn both_polite_signals_save_and_say_how_to_go_on() {
    let scratch = Scratch::new();
    scratch.run(&train(&["--out", "whole"])).ok();
    for (name, which) in [("interrupted", "-INT"), ("terminated", "-TERM")] {
        let child = under_way(&scratch, name);
        signal(&child, which);
        let stopped = Finished::of(child.wait_with_output().unwrap());
        assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
        assert!(stopped.stderr.contains(&format!("--resume '{name}'")), "{}", stopped.stderr);
        let resumed = scratch.run(&["train", "--resume", name, "--threads", "1"]).ok();
        assert!(resumed_at(&resumed.stderr) > Some(0), "{}", resumed.stderr);
        let [whole, cut] =
            ["whole", name].map(|run| fs::read(scratch.path(run).join("model.fewbit")).unwrap());
        assert!(whole == cut, "{name}");
        assert_eq!(metrics(&scratch.path(name)), metrics(&scratch.path("whole")));
    }
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let scratch = Scratch::new();
    let mut child = under_way(&scratch, "run");
    // Stopped, not ended: it must not finish meanwhile.
    signal(&child, "-STOP");
    scratch.run(&["train", "--resume", "run"]).refused(&["run", "another process is training"]);
    child.kill().unwrap();
    child.wait().unwrap();
    scratch.run(&["train", "--resume", "run"]).ok();
}

#[test]
fn what_has_changed_since_the_checkpoint_is_named_and_refused_unless_forced() {
    let scratch = Scratch::new();
    let mut child = under_way(&scratch, "run");
    child.kill().unwrap();
    child.wait().unwrap();
    let changed = ["train", "--resume", "run", "--set", "training.momentum=0.8"];
    let kept = fs::read(scratch.path("run/recipe.toml")).unwrap();
    scratch.run(&changed).refused(&["training.momentum", "0.9", "0.8", "--force"]);
    assert_eq!(fs::read(scratch.path("run/recipe.toml")).unwrap(), kept);
    // The recipe's file itself was changed.
    let text = String::from_utf8(kept.clone()).unwrap().replace("seed = 0", "seed = 1");
    scratch.write("run/recipe.toml", text.as_bytes());
    scratch.run(&["train", "--resume", "run"]).refused(&["seed was 0 and is 1", "step-", "--force"]);
    scratch.write("run/recipe.toml", &kept);
    let forced = scratch.run(&[&changed[..], &["--force"]].concat()).ok();
    assert!(forced.stderr.contains("training.momentum was 0.9 and is 0.8"), "{}", forced.stderr);
    let recipe = fs::read_to_string(scratch.path("run/recipe.toml")).unwrap();
    assert!(recipe.contains("momentum = 0.8"), "{recipe}");
}

#[test]
fn a_folder_without_a_checkpoint_begins_at_step_0_and_says_so() {
    let scratch = Scratch::new();
    let mut child = under_way(&scratch, "run");
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(scratch.path("run/checkpoints")).unwrap();
    fs::create_dir(scratch.path("run/checkpoints")).unwrap();
    let resumed = scratch.run(&["train", "--resume", "run"]).ok();
    assert!(resumed.stderr.contains("no checkpoint yet, starting at step 0"), "{}", resumed.stderr);
}

#[test]
fn numbers_that_are_none_stop_a_run_with_what_helps() {
    let scratch = Scratch::new();
    let wild = ["--set", "training.learning_rate=1e6", "--set", "training.clip_norm=0", "--out", "run"];
    scratch.run(&train(&wild)).refused(&["step ", "checkpoint", "hint: ", "roll-back"]);
}

#[test]
fn the_number_of_threads_changes_no_byte_of_a_run() {
    let scratch = Scratch::new();
    let files = ["1", "2", "8"].map(|threads| {
        scratch.run(&train(&["--threads", threads, "--out", threads])).ok();
        fs::read(scratch.path(threads).join("model.fewbit")).unwrap()
    });
    assert!(files[0] == files[1] && files[1] == files[2]);
}
