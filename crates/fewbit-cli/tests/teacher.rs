//! Learning from a trained network of another size: what a run keeps of it, and what is refused.

mod common;

use std::fs;

use common::{SHORT, Scratch, finished_run, short_train};

/// The quick start's data for the larger network of MNIST, learning from the quick start's own.
const STUDENT: [&str; 4] = ["--set", "model.kind=mnist-cnn", "--set", "training.distillation=0.8"];

fn teacher() -> String {
    finished_run().join("float.fewbit").display().to_string()
}

#[test]
fn a_network_of_another_size_teaches_and_is_part_of_what_the_run_is() {
    let (scratch, teacher) = (Scratch::new(), teacher());
    let taught = |more: &[&str]| {
        let args = [&STUDENT[..], &["--teacher", &teacher], more].concat();
        scratch.run(&short_train(&args)).ok()
    };
    taught(&["--out", "taught"]);
    let kept = fs::read(scratch.path("taught/teacher.fewbit")).unwrap();
    assert!(kept == fs::read(&teacher).unwrap());
    scratch.run(&short_train(&[&STUDENT[..], &["--out", "alone"]].concat())).ok();
    let model = |run: &str| fs::read(scratch.path(run).join("model.fewbit")).unwrap();
    // In float steps, too: there the float network cannot teach.
    let float = |run: &str| fs::read(scratch.path(run).join("float.fewbit")).unwrap();
    assert!(model("taught") != model("alone") && float("taught") != float("alone"));

    // A run of a sweep with it is the same run.
    let sweep = ["sweep", "quick-start", "--out", "runs", "--over", "seed=0", "--teacher", &teacher];
    scratch.run(&[&sweep[..], &SHORT, &STUDENT].concat()).ok();
    let swept = "runs/quick-start,seed=0";
    assert!(model("taught") == model(swept));

    // Finished or not, it is the run of its teacher.
    let refused = scratch.run(&[&sweep[..6], &SHORT[..], &STUDENT].concat());
    refused.refused(&["started with a teacher, a start with no teacher needed", "--teacher"]);
    fs::remove_file(scratch.path("taught/model.fewbit")).unwrap();
    fs::write(scratch.path("taught/teacher.fewbit"), fs::read(scratch.path("alone/float.fewbit")).unwrap())
        .unwrap();
    scratch.run(&["train", "--resume", "taught"]).refused(&["teacher was"]);
    fs::write(scratch.path("taught/teacher.fewbit"), kept).unwrap();
    scratch.run(&["train", "--resume", "taught"]).ok();
    assert!(model("taught") == model(swept));
}

/// As bytes of a file with its own checksum in it, weights of other values must not pass for the same.
#[test]
fn weights_to_start_from_are_part_of_what_the_run_is() {
    let scratch = Scratch::new();
    let unpacked = |seed: &str| {
        let run = format!("run-{seed}");
        scratch.run(&short_train(&["--out", &run, "--seed", seed])).ok();
        scratch.run(&["unpack", &format!("{run}/float.fewbit"), "-o", &format!("{seed}.safetensors")]).ok();
        scratch
            .run(&short_train(&["--from", &format!("{seed}.safetensors"), "--out", &format!("from-{seed}")]))
            .ok();
        fs::read(scratch.path(&format!("from-{seed}/initial.fewbit"))).unwrap()
    };
    let [first, other] = ["1", "2"].map(unpacked);
    assert!(first != other);
    fs::remove_file(scratch.path("from-1/model.fewbit")).unwrap();
    fs::write(scratch.path("from-1/initial.fewbit"), other).unwrap();
    scratch.run(&["train", "--resume", "from-1"]).refused(&["initial weights was"]);
    fs::write(scratch.path("from-1/initial.fewbit"), first).unwrap();
    scratch.run(&["train", "--resume", "from-1"]).ok();
}

#[test]
fn who_cannot_teach_is_refused_before_a_folder_is_made() {
    let (scratch, teacher) = (Scratch::new(), teacher());
    let student = |more: &[&str]| scratch.run(&short_train(&[&["--out", "run"], more].concat()));
    student(&["--teacher", &teacher]).refused(&["training.distillation", "is 0"]);
    let taught = ["--set", "training.distillation=0.5"];
    student(&[&taught[..], &["--teacher", "nowhere.fewbit"]].concat()).refused(&["nowhere.fewbit"]);
    let cut = fs::read(&teacher).unwrap();
    scratch.write("cut.fewbit", &cut[..cut.len() / 2]);
    student(&[&taught[..], &["--teacher", "cut.fewbit"]].concat()).refused(&["cut.fewbit"]);
    // Digits teach nothing about texts.
    let text = ["train", "lm-tiny", "--data", ".", "--teacher", &teacher];
    scratch
        .run(&[&text[..], &taught].concat())
        .refused(&["float.fewbit", "the teacher knows glyphs, text needed"]);
    assert!(!scratch.path("run").exists() && !scratch.path("runs").exists());
}
