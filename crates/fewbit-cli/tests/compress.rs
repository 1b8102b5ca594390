//! A checkpoint to a file, and back; with data and without.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Scratch, short_train};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Every type that is no float of 16 bits or more comes back by `unpack` with its type and its bytes.
#[test]
fn what_is_no_weight_is_kept_as_it_is() {
    let scratch = Scratch::new();
    let weights: Vec<u8> = (0..4096).flat_map(|index: u32| (index as f32).sin().to_le_bytes()).collect();
    let bytes: Vec<u8> = (0..48).map(|at| 251 - at).collect();
    let kept = [
        (Dtype::I8, 1),
        (Dtype::U8, 1),
        (Dtype::I16, 2),
        (Dtype::U16, 2),
        (Dtype::I32, 4),
        (Dtype::U32, 4),
        (Dtype::I64, 8),
        (Dtype::U64, 8),
        (Dtype::BOOL, 1),
        (Dtype::F8_E4M3, 1),
        (Dtype::F8_E5M2, 1),
        (Dtype::C64, 8),
    ];
    let names = kept.map(|(dtype, _)| format!("kept.{dtype:?}"));
    let views = kept.iter().zip(&names).map(|((dtype, size), name)| {
        (name.as_str(), TensorView::new(*dtype, vec![2, 3], &bytes[..6 * size]).unwrap())
    });
    let weight = ("weight", TensorView::new(Dtype::F32, vec![64, 64], &weights).unwrap());
    let checkpoint = safetensors::serialize(views.chain([weight]), None).unwrap();
    scratch.write("net.safetensors", &checkpoint);
    scratch.run(&["compress", "net.safetensors", "--budget", "3000", "-o", "net.fewbit"]).ok();
    scratch.run(&["verify", "net.fewbit"]).ok();
    assert!(fs::metadata(scratch.path("net.fewbit")).unwrap().len() <= 3000);
    let listing = scratch.run(&["inspect", "net.fewbit"]).ok().stdout;
    for kind in ["int64", "uint8", "bool", "float8_e4m3", "complex64"] {
        assert!(listing.contains(kind), "no {kind} in {listing}");
    }
    scratch.run(&["unpack", "net.fewbit", "-o", "back.safetensors"]).ok();
    let back = fs::read(scratch.path("back.safetensors")).unwrap();
    let back = SafeTensors::deserialize(&back).unwrap();
    for ((dtype, size), name) in kept.iter().zip(&names) {
        let found = back.tensor(name).unwrap();
        assert_eq!((found.dtype(), found.shape()), (*dtype, &[2, 3][..]));
        assert_eq!(found.data(), &bytes[..6 * size], "{name}");
    }
    assert_eq!(back.tensor("weight").unwrap().dtype(), Dtype::F32);
}

/// The quick start's network after a short training, as a checkpoint.
fn trained(scratch: &Scratch) {
    let args = [
        "--set",
        "training.float_steps=120",
        "--set",
        "training.batch_size=64",
        "--set",
        "storage.floats=float32",
        "--out",
        "run",
    ];
    scratch.run(&short_train(&args)).ok();
    scratch.run(&["unpack", "run/float.fewbit", "-o", "net.safetensors"]).ok();
}

/// Generated digits, no download: each kind of calibration keeps the budget, and what data say is worth something.
#[test]
fn calibration_keeps_the_budget_and_the_accuracy() {
    let scratch = Scratch::new();
    trained(&scratch);
    let compress = |more: &[&str]| {
        let args = ["compress", "net.safetensors", "--recipe", "quick-start", "--bits", "1.5"];
        let out = ["-o", "net.fewbit", "--format", "json"];
        let report = scratch.run(&[&args, more, &out].concat()).ok().stdout;
        let report: Value = serde_json::from_str(&report).unwrap();
        assert!(report["bytes"].as_u64() <= report["budget"].as_u64(), "{report}");
        assert_eq!(report["bytes"], fs::metadata(scratch.path("net.fewbit")).unwrap().len());
        scratch.run(&["verify", "net.fewbit"]).ok();
        let found = scratch.run(&["eval", "net.fewbit", "--format", "json"]).ok().stdout;
        let found: Value = serde_json::from_str(&found).unwrap();
        (100.0 * found["value"].as_f64().unwrap(), fs::read(scratch.path("net.fewbit")).unwrap())
    };
    let records = ["--calibrate", "--calibration-records", "512"];
    let calibrated = |kind| compress(&[&records[..], &["--calibration", kind]].concat());
    let (without, _) = compress(&[]);
    let (statistics, _) = calibrated("statistics");
    let (sensitivity, _) = calibrated("sensitivity");
    let (feedback, bytes) = calibrated("feedback");
    println!("without {without} statistics {statistics} sensitivity {sensitivity} feedback {feedback}");
    assert!(statistics > without && feedback > statistics, "{without} {statistics} {feedback}");
    // It is the default, and the same each time, on however many threads.
    assert!(compress(&[&records[..], &["--threads", "1"]].concat()).1 == bytes);
}

#[test]
fn a_calibration_that_cannot_be_is_refused() {
    let scratch = Scratch::new();
    trained(&scratch);
    let compress = |more: &[&str]| {
        scratch.run(&[&["compress", "net.safetensors", "--bits", "3", "-o", "net.fewbit"], more].concat())
    };
    let recipe = ["--recipe", "quick-start"];
    compress(&["--calibrate"]).refused(&["--recipe"]);
    compress(&[&recipe[..], &["--calibration", "statistics"]].concat()).refused(&["--calibrate"]);
    compress(&[&recipe[..], &["--calibrate", "nowhere"]].concat()).refused(&["glyphs", "nowhere"]);
    compress(&[&recipe[..], &["--calibrate", "--calibration-records", "900000"]].concat())
        .refused(&["900000", "training set"]);
    compress(&["--recipe", "mnist", "--calibrate"]).refused(&["net.safetensors", "model"]);
    assert!(!scratch.path("net.fewbit").exists());
}

/// A recipe's file gives back what the PyTorch network has, folded batch norms included, and that makes the same file.
#[test]
fn a_file_comes_back_as_the_checkpoint_of_a_network() {
    let scratch = Scratch::new();
    trained(&scratch);
    // All tensors as floats, so that nothing is lost but by 16 bits, once.
    let compress = |checkpoint: &str, out: &str| {
        let args =
            ["compress", checkpoint, "--recipe", "quick-start", "--exclude", "*", "--budget", "1000000"];
        scratch.run(&[&args[..], &["-o", out]].concat()).ok();
        fs::read(scratch.path(out)).unwrap()
    };
    let file = compress("net.safetensors", "net.fewbit");
    let shapes = |names: &[&str]| -> BTreeMap<String, (Dtype, Vec<usize>)> {
        scratch.run(&[&["unpack", "net.fewbit", "-o", "back.safetensors"], names].concat()).ok();
        let bytes = fs::read(scratch.path("back.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let shape =
            |name: &str, tensor: TensorView<'_>| (name.to_owned(), (tensor.dtype(), tensor.shape().to_vec()));
        tensors.iter().map(|(name, tensor)| shape(name, tensor)).collect()
    };
    let of_file = shapes(&["--names", "file"]);
    let norms: Vec<&str> = of_file.keys().filter_map(|name| name.strip_suffix("scale")).collect();
    assert!(!norms.is_empty(), "batch norms are folded: {of_file:?}");

    let pytorch = shapes(&[]);
    assert_eq!(compress("back.safetensors", "again.fewbit"), file);
    let burn = shapes(&["--names", "burn"]);
    assert_eq!(compress("back.safetensors", "again.fewbit"), file);
    assert_eq!(pytorch.len(), of_file.len() + 3 * norms.len());
    assert_eq!(burn.len(), of_file.len() + 2 * norms.len());
    for norm in norms {
        let channels = &of_file[&format!("{norm}scale")];
        for (names, fields) in [(&pytorch, ["weight", "bias"]), (&burn, ["gamma", "beta"])] {
            for field in fields.iter().chain(&["running_mean", "running_var"]) {
                assert_eq!(&names[&format!("{norm}{field}")], channels, "{norm}{field}");
            }
        }
        assert_eq!(pytorch[&format!("{norm}num_batches_tracked")], (Dtype::I64, vec![]));
    }
    // The network that was compressed has the same names and shapes.
    let bytes = fs::read(scratch.path("net.safetensors")).unwrap();
    let net = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(net.len(), pytorch.len());
    for (name, (dtype, shape)) in pytorch {
        let tensor = net.tensor(&name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (dtype, &shape[..]), "{name}");
    }
}
