//! What each command prints and leaves, on a short run of the quick start.

mod common;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use common::{Finished, Scratch, finished_file, finished_run, short_train};
use serde_json::Value;

fn json(text: &str) -> Value {
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1, "one object on one line: {text}");
    serde_json::from_str(lines[0]).unwrap()
}

#[test]
fn a_run_folder_holds_recipe_metrics_and_file() {
    let run = finished_run();
    let mut names: Vec<_> =
        fs::read_dir(run).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected =
        ["checkpoints", "float.fewbit", "metrics.jsonl", "model.fewbit", "recipe.toml", "run.lock"];
    assert_eq!(names, expected);
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    assert!(recipe.contains("float_steps = 8"), "{recipe}");
}

#[test]
fn eval_prints_what_the_last_record_of_the_metrics_says() {
    let metrics = fs::read_to_string(finished_run().join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let scratch = Scratch::new();
    for threads in ["1", "2"] {
        let out = scratch.run(&["eval", &finished_file(), "--format", "json", "--threads", threads]).ok();
        let found = json(&out.stdout);
        for key in ["metric", "value", "bytes", "float_bytes", "mean_bits"] {
            assert_eq!(found[key], last[key], "{key} on {threads} threads");
        }
        assert_eq!(found["bytes"], fs::metadata(finished_file()).unwrap().len());
    }
    let text = scratch.run(&["eval", &finished_file()]).ok().stdout;
    assert!(text.contains("accuracy") && text.contains("10000 test records"), "{text}");
}

#[test]
fn the_parts_that_inspect_lists_add_up_to_the_file() {
    let scratch = Scratch::new();
    let found = json(&scratch.run(&["inspect", &finished_file(), "--format", "json"]).ok().stdout);
    let length = fs::metadata(finished_file()).unwrap().len();
    let sum = |value: &Value| value.as_object().unwrap().values().map(|v| v.as_u64().unwrap()).sum::<u64>();
    assert_eq!(found["bytes"], length);
    assert_eq!(sum(&found["bytes_by_part"]), length);
    let tensors = found["tensors"].as_array().unwrap();
    let of_tensors: u64 = tensors.iter().map(|t| t["bytes"].as_u64().unwrap()).sum();
    let of_file = &found["bytes_by_part"];
    assert_eq!(
        of_tensors + of_file["header"].as_u64().unwrap() + of_file["checksum"].as_u64().unwrap(),
        length
    );
    for tensor in tensors {
        assert_eq!(sum(&tensor["bytes_by_part"]), tensor["bytes"].as_u64().unwrap());
        assert!(tensor["shape"].is_array() && tensor["mean_bits"].is_number());
        assert!(tensor["width_histogram"].is_object());
    }
    let text = scratch.run(&["inspect", &finished_file()]).ok().stdout;
    assert!(text.contains("where the bytes go") && text.contains("fc1.weight"), "{text}");
}

#[test]
fn verify_tells_sound_from_faulty_from_unreadable() {
    let scratch = Scratch::new();
    scratch.run(&["verify", &finished_file()]).ok();
    let mut bytes = fs::read(finished_file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    scratch.write("faulty.fewbit", &bytes);
    let faulty = scratch.run(&["verify", "faulty.fewbit"]);
    assert_eq!(faulty.code, Some(1), "{}", faulty.stderr);
    assert!(faulty.stderr.contains("checksum"), "{}", faulty.stderr);
    scratch.run(&["verify", "nowhere.fewbit"]).refused(&["nowhere.fewbit"]);
}

#[test]
fn unpack_writes_the_weights_that_eval_uses() {
    let scratch = Scratch::new();
    scratch.run(&["unpack", &finished_file(), "--names", "file", "-o", "weights.safetensors"]).ok();
    let bytes = fs::read(scratch.path("weights.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let file = fs::read(finished_file()).unwrap();
    let reader = fewbit::ContainerReader::new(&file).unwrap();
    assert_eq!(tensors.len(), reader.tensors().len());
    let values = reader.values("fc1.weight").unwrap();
    let expected: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let found = tensors.tensor("fc1.weight").unwrap();
    assert_eq!(found.shape(), reader.tensor("fc1.weight").unwrap().shape());
    assert_eq!(found.data(), expected);
}

#[test]
fn train_prints_a_table_or_one_object() {
    let scratch = Scratch::new();
    let out = scratch.run(&short_train(&["--format", "json", "--seed", "3"])).ok();
    let found = json(&out.stdout);
    assert_eq!(found["results"].as_array().unwrap().len(), 3);
    assert!(scratch.path("runs/quick-start/model.fewbit").exists());
    // Without `--out` the next run takes the next name.
    let out = scratch.run(&short_train(&["--seed", "3"])).ok();
    assert!(
        out.stdout.contains("rounded after training") && out.stdout.contains("\nfewbit "),
        "{}",
        out.stdout
    );
    let files = ["quick-start", "quick-start-2"]
        .map(|run| fs::read(scratch.path("runs").join(run).join("model.fewbit")));
    let [first, second] = files.map(Result::unwrap);
    assert!(first == second, "the same seed gives the same bytes");
}

#[test]
fn a_report_is_one_page_that_needs_no_network() {
    let scratch = Scratch::new();
    let run = finished_run().display().to_string();
    scratch.run(&["report", &run, "-o", "one.html", "--figures", "plots"]).ok();
    let plot = fs::read_to_string(scratch.path("plots/quick-start.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains(">rounded after training<"), "{plot}");
    scratch.run(&["report", &run, finished_run().parent().unwrap().to_str().unwrap(), "-o", "all.html"]).ok();
    let trained = scratch.run(&short_train(&["--report", "--out", "run"])).ok();
    assert!(trained.stderr.contains("wrote run/report.html"), "{}", trained.stderr);
    for page in ["one.html", "all.html", "run/report.html"] {
        let text = fs::read_to_string(scratch.path(page)).unwrap();
        assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"), "{page}");
        assert!(text.len() < 1_000_000, "{page} has {} bytes", text.len());
        assert!(text.matches("<svg").count() >= 6, "{page}");
        // But for the name of what SVG is, nothing is anywhere else.
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http") && !elsewhere.contains("<script"), "{page}");
    }
    scratch.run(&["report", "nowhere"]).refused(&["nowhere"]);
}

#[test]
fn ctrl_c_saves_and_resume_ends_in_the_same_bytes() {
    let scratch = Scratch::new();
    let more = |out| ["--seed", "7", "--set", "training.float_steps=120", "--threads", "1", "--out", out];
    scratch.run(&short_train(&more("whole"))).ok();
    let mut child = scratch
        .command(&short_train(&more("cut")))
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let checkpoints = scratch.path("cut/checkpoints");
    // Waits for the first checkpoint, so that the signal meets a training run.
    while fs::read_dir(&checkpoints).map_or(0, |entries| entries.count()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its first checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let stopped = Finished::of(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("fewbit train --resume 'cut'"), "{}", stopped.stderr);
    let resumed = scratch.run(&["train", "--resume", "cut"]).ok();
    assert!(resumed.stderr.contains("resumed at step "), "{}", resumed.stderr);
    assert!(!resumed.stderr.contains("resumed at step 0"), "{}", resumed.stderr);
    let [whole, cut] = ["whole", "cut"].map(|run| fs::read(scratch.path(run).join("model.fewbit")).unwrap());
    assert!(whole == cut, "also on another number of threads");
}

#[test]
fn bench_noise_prints_one_object() {
    let scratch = Scratch::new();
    let found = json(&scratch.run(&["bench", "noise", "--runs", "1", "--format", "json"]).ok().stdout);
    assert!(found["gw_per_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_file_of_nothing_unpacks_to_a_checkpoint_of_nothing() {
    let scratch = Scratch::new();
    scratch.write("empty.fewbit", &fewbit::ContainerWriter::new().to_bytes());
    scratch.run(&["unpack", "empty.fewbit", "-o", "empty.safetensors"]).ok();
    let written = std::fs::read(scratch.path("empty.safetensors")).unwrap();
    assert!(safetensors::SafeTensors::deserialize(&written).unwrap().is_empty());
}
