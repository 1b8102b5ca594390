//! A checkpoint to a file, and back; with data and without.

mod common;

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
    let bytes = fs::read(scratch.path("net.safetensors")).unwrap();
    let found = SafeTensors::deserialize(&bytes).unwrap();
    let names: Vec<&str> = found.names();
    let norms: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix("running_mean")).collect();
    assert!(!norms.is_empty());
    for norm in norms {
        let [weight, bias, mean, variance, count] =
            ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
                .map(|field| found.tensor(&format!("{norm}{field}")).unwrap());
        for tensor in [weight, bias, mean, variance] {
            assert_eq!((tensor.dtype(), tensor.shape().len()), (Dtype::F32, 1));
        }
        assert_eq!((count.dtype(), count.shape(), count.data()), (Dtype::I64, &[][..], &[0; 8][..]));
    }
    let folded = |name: &&str| ["scale", "shift", "gamma", "beta"].iter().any(|field| name.ends_with(field));
    assert_eq!(names.iter().find(|name| folded(name)), None);

    // All tensors as floats, again to the last bit; under PyTorch's names and burn's.
    scratch.run(&["unpack", "run/float.fewbit", "--names", "burn", "-o", "burn.safetensors"]).ok();
    scratch.run(&["unpack", "run/float.fewbit", "--names", "file", "-o", "file.safetensors"]).ok();
    let expected = fs::read(scratch.path("file.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    assert!(expected.names().iter().any(|name| name.ends_with("scale")));
    for checkpoint in ["net.safetensors", "burn.safetensors"] {
        let args =
            ["compress", checkpoint, "--recipe", "quick-start", "--exclude", "*", "--budget", "1000000"];
        scratch.run(&[&args[..], &["-o", "again.fewbit"]].concat()).ok();
        scratch.run(&["unpack", "again.fewbit", "--names", "file", "-o", "again.safetensors"]).ok();
        let again = fs::read(scratch.path("again.safetensors")).unwrap();
        let again = SafeTensors::deserialize(&again).unwrap();
        assert_eq!(again.len(), expected.len());
        for name in expected.names() {
            let (found, expected) = (again.tensor(name).unwrap(), expected.tensor(name).unwrap());
            assert_eq!(found.shape(), expected.shape(), "{name}");
            let floats = |bytes: &[u8]| -> Vec<f32> {
                bytes.as_chunks().0.iter().map(|bytes| half(f32::from_le_bytes(*bytes))).collect()
            };
            assert_eq!(floats(found.data()), floats(expected.data()), "{name}");
        }
    }
}

/// What a file of the recipe keeps of a float: one of 16 bits.
fn half(value: f32) -> f32 {
    fewbit::FloatEncoding::Float16.round(value)
}
