//! A sweep over short runs, from its forecast to its table: what is done stays, what was cut goes on, what fails ends
//! nothing else.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Finished, SHORT, Scratch};
use serde_json::Value;

/// `sweep` with the quick-start recipe cut to a few seconds, into the folder `runs`.
fn short_sweep<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["sweep", "quick-start", "--out", "runs"], &SHORT[..], more].concat()
}

const GRID: [&str; 4] = ["--over", "quantization.penalty=1,50", "--over", "seed=0,1"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const RUNS: [&str; 4] = [
    "quick-start,quantization.penalty=1,seed=0",
    "quick-start,quantization.penalty=1,seed=1",
    "quick-start,quantization.penalty=50,seed=0",
    "quick-start,quantization.penalty=50,seed=1",
];

#[test]
fn a_sweep_makes_each_run_once_and_a_table_of_all() {
    let scratch = Scratch::new();
    let grid = |more: &[&'static str]| short_sweep(&[&GRID, more].concat());
    let runs = scratch.path("runs");

    // Nothing is there: the hours are those of steps made for it, and nothing is left of them.
    let forecast = json(&scratch.run(&grid(&["--dry-run", "--format", "json"])).ok().stdout);
    assert_eq!(forecast["to_do"], 4);
    assert_eq!(forecast["runs"][3]["source"], "timed_now");
    assert!(forecast["hours"].as_f64().unwrap() > 0.0);
    assert!(!runs.exists());

    let first = scratch.run(&grid(&["--jobs", "2"])).ok();
    assert_eq!(folders(&runs), RUNS);
    for run in RUNS {
        assert!(first.stderr.contains(&format!("{run}: fewbit ")), "{}", first.stderr);
        assert!(runs.join(format!("{run}.log")).exists());
    }
    assert!(first.stderr.contains("[4/4]"), "{}", first.stderr);
    // Two penalties with three methods each, and the head.
    assert_eq!(first.stdout.lines().count(), 7, "{}", first.stdout);
    assert!(first.stdout.starts_with("quantization.penalty  method"), "{}", first.stdout);

    // A run of a sweep is the run that `train` makes.
    let overrides = ["--set", "quantization.penalty=50.0", "--seed", "1", "--out", "alone"];
    scratch.run(&common::short_train(&overrides)).ok();
    let model = |run: &Path| fs::read(run.join("model.fewbit")).unwrap();
    assert!(model(&scratch.path("alone")) == model(&runs.join(RUNS[3])));

    // Once more: all are there, and the table is the same.
    let before = fs::metadata(runs.join(RUNS[0]).join("metrics.jsonl")).unwrap().modified().unwrap();
    let second = scratch.run(&grid(&[])).ok();
    assert!(second.stderr.contains("4 done, 0 to go on with, 0 to begin"), "{}", second.stderr);
    assert_eq!(second.stdout, first.stdout);
    let after = fs::metadata(runs.join(RUNS[0]).join("metrics.jsonl")).unwrap().modified().unwrap();
    assert_eq!(before, after);

    // One is cut at its end, one cannot go on, and one more seed is new: the others stay as they are.
    let whole = model(&runs.join(RUNS[0]));
    fs::remove_file(runs.join(RUNS[0]).join("model.fewbit")).unwrap();
    fs::remove_file(runs.join(RUNS[1]).join("model.fewbit")).unwrap();
    for entry in fs::read_dir(runs.join(RUNS[1]).join("checkpoints")).unwrap() {
        fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    let wider = ["--over", "quantization.penalty=1,50", "--over", "seed=0,1,2"];
    let listed = scratch.run(&short_sweep(&[&wider[..], &["--dry-run"]].concat())).ok().stdout;
    assert!(listed.contains("6 runs: 2 done, 2 begun, 2 to do"), "{listed}");
    assert!(listed.contains("(step 16 of 16)"), "{listed}");
    assert!(listed.contains("is from like runs in the folder"), "{listed}");
    let third = scratch.run(&short_sweep(&[&wider[..], &["--jobs", "2"]].concat()));
    assert_eq!(third.code, Some(1), "{}", third.stderr);
    let failed = format!("{}: failed: no checkpoint of ", RUNS[1]);
    assert!(third.stderr.contains(&failed), "{}", third.stderr);
    assert!(third.stderr.contains(&format!("{}.log", RUNS[1])), "{}", third.stderr);
    assert!(third.stderr.contains("error: 1 of 6 runs are not finished"), "{}", third.stderr);
    assert!(third.stdout.lines().count() == 7, "{}", third.stdout);
    assert!(model(&runs.join(RUNS[0])) == whole);
    assert_eq!(folders(&runs).len(), 6);

    the_table_has_its_formats(&scratch);
}

/// On three finished seeds of penalty 50, and of penalty 1 two and one that has results, but no file.
fn the_table_has_its_formats(scratch: &Scratch) {
    let table = |more: &[&str]| scratch.run(&[&["table", "runs"], more].concat());
    let found = json(&table(&["--format", "json"]).ok().stdout);
    assert_eq!(found["keys"], serde_json::json!(["quantization.penalty"]));
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 6);
    let last = &groups[5];
    assert_eq!(last["settings"]["quantization.penalty"], 50.0);
    assert_eq!((&last["method"], &last["value"]["n"]), (&"fewbit".into(), &3.into()));
    let of_runs: Vec<f64> = found["runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["settings"]["quantization.penalty"] == 50.0)
        .map(|run| run["results"][2]["value"].as_f64().unwrap())
        .collect();
    assert_eq!(of_runs.len(), 3);
    assert!((last["value"]["mean"].as_f64().unwrap() - of_runs.iter().sum::<f64>() / 3.0).abs() < 1e-12);

    let text = table(&[]).ok().stdout;
    assert!(text.lines().nth(1).unwrap().starts_with("1                     float "), "{text}");
    assert!(text.contains(" ± ") && text.contains(" %"), "{text}");
    let markdown = table(&["--format", "markdown"]).ok().stdout;
    assert!(markdown.starts_with("| quantization.penalty | method | accuracy | n |"), "{markdown}");
    let csv = table(&["--format", "csv", "--by", "seed,quantization.penalty"]).ok().stdout;
    assert!(csv.starts_with("seed,quantization.penalty,method,metric,mean,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 2 * 3 * 3);

    // A run folder by its name, one without results, and a word that is no key.
    let run = format!("runs/{}", RUNS[2]);
    let metrics = fs::read(scratch.path(&run).join("metrics.jsonl")).unwrap();
    let steps = metrics
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b"{\"event\":\"result"));
    let begun = format!("runs/{}", RUNS[1]);
    fs::write(scratch.path(&begun).join("metrics.jsonl"), steps.collect::<Vec<_>>().concat()).unwrap();
    let two = scratch.run(&["table", &run, &begun, &run]).ok();
    assert_eq!(two.stdout.lines().count(), 4, "{}", two.stdout);
    assert!(two.stderr.contains("not finished: ") && two.stderr.contains(RUNS[1]), "{}", two.stderr);
    table(&["--by", "penalty"]).refused(&["--by penalty", "quantization.penalty"]);
    scratch.run(&["table", &format!("{run}/checkpoints")]).refused(&["checkpoints", "recipe.toml", "needed"]);
    scratch.run(&["table", "nowhere"]).refused(&["nowhere"]);
}

#[test]
fn a_signal_stops_all_runs_and_the_same_command_goes_on() {
    let scratch = Scratch::new();
    let long = ["--set", "training.float_steps=150", "--over", "seed=7,8,9", "--jobs", "2"];
    let mut sweep =
        scratch.command(&short_sweep(&long)).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let runs = ["7", "8"].map(|seed| scratch.path(&format!("runs/quick-start,seed={seed}")));
    let is_begun =
        |run: &Path| fs::read_dir(run.join("checkpoints")).is_ok_and(|mut all| all.next().is_some());
    // Waits until both train, so that the signal meets them.
    while !runs.iter().all(|run| is_begun(run)) {
        assert!(sweep.try_wait().unwrap().is_none(), "the sweep ended before its first checkpoints");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Another sweep leaves what the first works at alone.
    let other = scratch.run(&short_sweep(&["--set", "training.float_steps=150", "--over", "seed=7"]));
    assert_eq!(other.code, Some(1), "{}", other.stderr);
    assert!(other.stderr.contains("left to the process that works at it"), "{}", other.stderr);
    let killed = std::process::Command::new("kill").args(["-INT", &sweep.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let stopped = Finished::of(sweep.wait_with_output().unwrap());
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("stopped, can go on"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("0 of 3 runs finished"), "{}", stopped.stderr);
    assert!(!scratch.path("runs/quick-start,seed=9").exists(), "no run is begun after a signal");
    scratch.run(&short_sweep(&long)).ok();
    let log = fs::read_to_string(scratch.path("runs/quick-start,seed=7.log")).unwrap();
    let mut resumed = log.lines().filter(|line| line.starts_with("resumed at step "));
    assert!(resumed.next_back().is_some_and(|line| line != "resumed at step 0"), "{log}");
}

#[test]
fn what_cannot_be_run_is_refused_before_the_first_run() {
    let scratch = Scratch::new();
    let sweep = |more: &[&str]| scratch.run(&[&["sweep", "quick-start", "--out", "runs"], more].concat());
    sweep(&["--over", "quantization.penality=1,2"]).refused(&["penality", "quantization.penalty"]);
    sweep(&["--over", "seed=0,x"]).refused(&["seed=x", "`seed` is"]);
    sweep(&["--over", "seed"]).refused(&["KEY=VALUE"]);
    sweep(&["--over", "seed=0,1,0"]).refused(&["quick-start,seed=0", "once needed"]);
    sweep(&["--over", "seed=0", "--set", "seed=1"]).refused(&["--set seed=1"]);
    sweep(&["--over", "seed=0", "--data", "nowhere"]).refused(&["nowhere"]);
    sweep(&["--over", "seed=0", "--from", "nowhere.pt"]).refused(&["nowhere.pt"]);
    scratch.run(&["sweep", "mnist", "--over", "seed=0", "--out", "runs"]).refused(&["--data FOLDER"]);
    assert!(!scratch.path("runs").exists());

    // A folder of another recipe under the name of a run.
    scratch.run(&common::short_train(&["--out", "runs/quick-start,seed=0"])).ok();
    let kept = fs::read(scratch.path("runs/quick-start,seed=0/recipe.toml")).unwrap();
    sweep(&["--over", "seed=0,1"]).refused(&["training.batch_size", "16", "128", "--out"]);
    sweep(&["--over", "seed=0,1", "--dry-run"]).refused(&["training.batch_size"]);
    assert_eq!(fs::read(scratch.path("runs/quick-start,seed=0/recipe.toml")).unwrap(), kept);
    scratch.write("runs/quick-start,seed=5/notes.txt", b"mine");
    sweep(&["--over", "seed=5"]).refused(&["quick-start,seed=5", "not a run folder"]);
}

#[test]
fn all_runs_start_from_the_checkpoint() {
    let scratch = Scratch::new();
    let finished = common::finished_run();
    for file in ["float", "model"] {
        let path = finished.join(format!("{file}.fewbit")).display().to_string();
        scratch.run(&["unpack", &path, "--names", "file", "-o", &format!("{file}.safetensors")]).ok();
    }
    let fixed = ["--set", "training.float_steps=0", "--set", "training.warmup_steps=0"];
    let sweep =
        |more: &[&str]| scratch.run(&short_sweep(&[&fixed[..], &["--over", "seed=1"], more].concat()));
    // Without its batch norms, which are folded, it is not the network that is trained.
    sweep(&["--from", "model.safetensors"]).refused(&["model.safetensors"]);
    assert!(!scratch.path("runs").exists());
    sweep(&["--from", "float.safetensors"]).ok();
    let alone = ["--from", "float.safetensors", "--seed", "1", "--out", "alone"];
    scratch.run(&common::short_train(&[&fixed[..], &alone].concat())).ok();
    let models = ["alone", "runs/quick-start,seed=1"]
        .map(|run| fs::read(scratch.path(run).join("model.fewbit")).unwrap());
    assert!(models[0] == models[1]);
    // Done is what started there.
    assert!(sweep(&["--from", "float.safetensors"]).ok().stderr.contains("1 done"));
    sweep(&[]).refused(&["seed=1", "started with a checkpoint", "random weights needed", "--from"]);
}
