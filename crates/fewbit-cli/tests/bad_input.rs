//! Each kind of bad input gets exit code 2 and a message that names the thing, what was found and
//! what was needed; nothing panics and nothing already saved is lost.

mod common;

use std::fs;

use common::{Finished, Scratch, finished_file, short_train};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

#[test]
fn data_that_is_not_there_says_what_to_pass_and_where_to_get_it() {
    let scratch = Scratch::new();
    scratch.run(&["train", "mnist"]).refused(&["--data FOLDER", "ylecun/mnist"]);
    scratch.run(&["train", "mnist", "--data", "nowhere"]).refused(&["nowhere", "train-images-idx3-ubyte"]);
    scratch.run(&["train", "resnet20"]).refused(&["--data", "cs.toronto.edu"]);
    scratch.run(&["train", "lm-tiny", "--data", "nowhere.txt"]).refused(&["nowhere.txt"]);
    assert!(!scratch.path("runs").exists(), "no run folder is made for it");
}

/// An IDX file with one dimension per number.
fn idx(dims: &[u32], values: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend(vec![1; values]);
    bytes
}

fn mnist(scratch: &Scratch, images: &[u8], labels: &[u8]) {
    for split in ["train", "t10k"] {
        scratch.write(&format!("mnist/{split}-images-idx3-ubyte"), images);
        scratch.write(&format!("mnist/{split}-labels-idx1-ubyte"), labels);
    }
}

#[test]
fn a_cut_idx_file_and_a_wrong_number_of_labels_are_named() {
    let scratch = Scratch::new();
    mnist(&scratch, &idx(&[3, 28, 28], 3 * 784 - 1), &idx(&[3], 3));
    scratch.run(&["train", "mnist", "--data", "mnist"]).refused(&["images-idx3-ubyte", "2367", "2368"]);
    mnist(&scratch, &idx(&[3, 28, 28], 3 * 784), &idx(&[2], 2));
    scratch.run(&["train", "mnist", "--data", "mnist"]).refused(&["labels", "3", "2"]);
}

#[test]
fn a_cut_picture_and_a_cut_archive_are_named() {
    let scratch = Scratch::new();
    for split in ["train", "test"] {
        for class in 0..10 {
            let path = format!("cifar/{split}/class{class}/0001.jpg");
            scratch.write(&path, &[0xff, 0xd8, 0xff, 0xe0, 0, 16]);
        }
    }
    scratch.run(&["train", "resnet20", "--data", "cifar"]).refused(&["0001.jpg"]);
    scratch.write("set.tar", &[b'x'; 700]);
    scratch.run(&["train", "resnet20", "--data", "set.tar"]).refused(&["set.tar"]);
}

#[test]
fn an_empty_text_is_refused() {
    let scratch = Scratch::new();
    scratch.write("empty.txt", b"");
    scratch.run(&["train", "lm-tiny", "--data", "empty.txt"]).refused(&["empty.txt", "0", "1000"]);
}

#[test]
fn unknown_names_suggest_the_nearest() {
    let scratch = Scratch::new();
    scratch.run(&["train", "mnits"]).refused(&["mnits", "mnist"]);
    scratch.run(&["train", "--set", "training.batchsize=3"]).refused(&["batchsize", "training.batch_size"]);
    scratch.run(&["train", "--set", "model.kind=resnett"]).refused(&["resnett", "resnet"]);
    scratch.run(&["train", "--set", "training"]).refused(&["KEY=VALUE"]);
    scratch.write(
        "own.toml",
        b"name = \"own\"\n[data]\nset = \"glyphs\"\nvalidatoin = 3\n[model]\nkind = \"glyphs-cnn\"\n",
    );
    scratch.run(&["train", "own.toml"]).refused(&["validatoin", "validation"]);
}

#[test]
fn settings_out_of_range_name_key_found_and_needed() {
    let scratch = Scratch::new();
    scratch.run(&["train", "--set", "quantization.group_size=0"]).refused(&["group_size", "0"]);
    scratch
        .run(&["train", "--set", "quantization.min_bits=9", "--set", "quantization.max_bits=4"])
        .refused(&["min_bits", "9", "4"]);
    scratch.run(&["train", "--set", "training.batch_size=0"]).refused(&["batch_size", "0"]);
    scratch.run(&["train", "--set", "data.validation=50000"]).refused(&["validation", "50000"]);
    scratch.run(&["train", "--set", "quantization.exclude=[\"nothing*\"]"]).refused(&["nothing*"]);
}

#[test]
fn a_weight_that_stops_being_a_number_is_named_with_its_step() {
    let scratch = Scratch::new();
    let args = ["--set", "training.learning_rate=1e6", "--set", "training.float_steps=80", "--out", "run"];
    scratch.run(&short_train(&args)).refused(&["step", "loss", "tensor `", "hint: "]);
    assert!(scratch.path("run/recipe.toml").exists(), "what was saved stays");
}

#[test]
fn files_that_are_none_of_ours_are_told_apart() {
    let scratch = Scratch::new();
    scratch.write("empty.fewbit", b"");
    scratch.write("other.fewbit", b"PK\x03\x04 this is a zip file, or begins as one");
    let whole = fs::read(finished_file()).unwrap();
    scratch.write("cut.fewbit", &whole[..whole.len() / 2]);
    for command in ["eval", "inspect"] {
        scratch.run(&[command, "empty.fewbit"]).refused(&["empty.fewbit", "empty"]);
        scratch.run(&[command, "other.fewbit"]).refused(&["other.fewbit", "not a fewbit file"]);
        scratch.run(&[command, "cut.fewbit"]).refused(&["cut.fewbit", "cut"]);
        scratch.run(&[command, "."]).refused(&["folder"]);
    }
}

#[test]
fn outputs_that_cannot_be_written_leave_everything_as_it_was() {
    let scratch = Scratch::new();
    scratch.write("file", b"kept");
    scratch.run(&short_train(&["--out", "file/run"])).refused(&["file"]);
    scratch.run(&short_train(&["--out", "file"])).refused(&["file", "already exists"]);
    let file = finished_file();
    scratch.run(&["unpack", &file, "-o", "file/weights"]).refused(&["file/weights"]);
    assert_eq!(fs::read(scratch.path("file")).unwrap(), b"kept");
    if std::path::Path::new("/dev/full").exists() {
        scratch.run(&["unpack", &file, "-o", "/dev/full"]).refused(&["/dev/full"]);
        scratch.run(&short_train(&["--out", "/dev/full"])).refused(&["/dev/full"]);
    }
}

#[test]
fn unpack_does_not_overwrite_what_it_reads() {
    let scratch = Scratch::new();
    scratch.write("model.fewbit", &fs::read(finished_file()).unwrap());
    scratch
        .run(&["unpack", "model.fewbit", "-o", "./model.fewbit"])
        .refused(&["model.fewbit", "another output"]);
    assert_eq!(fs::read(scratch.path("model.fewbit")).unwrap(), fs::read(finished_file()).unwrap());
}

/// A checkpoint of 64 × 64 weights.
fn small_checkpoint() -> Vec<u8> {
    let values: Vec<u8> = (0..4096).flat_map(|index: u32| (index as f32).sin().to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![64, 64], &values).unwrap();
    safetensors::serialize([("weight", view)], None).unwrap()
}

#[test]
fn compress_does_not_overwrite_what_it_reads() {
    let scratch = Scratch::new();
    let checkpoint = small_checkpoint();
    scratch.write("net/model.safetensors", &checkpoint);
    for (input, out) in
        [("net/model.safetensors", "./net/model.safetensors"), ("net", "net/model.safetensors")]
    {
        scratch
            .run(&["compress", input, "--budget", "3000", "-o", out])
            .refused(&["model.safetensors", "another output"]);
        assert_eq!(fs::read(scratch.path("net/model.safetensors")).unwrap(), checkpoint);
    }
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error_not_a_panic() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let scratch = Scratch::new();
    scratch.write("model.safetensors", &small_checkpoint());
    let mut command =
        scratch.command(&["compress", "model.safetensors", "--budget", "3000", "-o", "model.fewbit"]);
    Finished::of(command.stdout(full).output().unwrap()).refused(&["No space left"]);
}

#[test]
fn a_path_that_no_one_reads_is_refused() {
    let scratch = Scratch::new();
    scratch.run(&["train", "--data", "nowhere"]).refused(&["glyphs", "nowhere"]);
}

#[test]
fn a_refused_run_leaves_no_folder() {
    let scratch = Scratch::new();
    scratch
        .run(&short_train(&["--set", "quantization.exclude=[\"nothing*\"]", "--out", "run"]))
        .refused(&["nothing*"]);
    assert!(!scratch.path("run").exists());
    scratch.run(&["train", "--set", "name=../escaped"]).refused(&["name", "../escaped"]);
}

/// A file with this description and one small tensor.
fn described(scratch: &Scratch, metadata: &[(&str, &str)]) -> String {
    let mut writer = fewbit::ContainerWriter::new();
    for (key, value) in metadata {
        writer.metadata(key, value).unwrap();
    }
    writer.float("weight", &[1], &[0.5]).unwrap();
    scratch.write("described.fewbit", &writer.to_bytes()).display().to_string()
}

#[test]
fn descriptions_in_a_strangers_file_are_checked_before_they_are_believed() {
    let scratch = Scratch::new();
    let lm = "kind = 'transformer-lm'\ndim = 8\nlayers = 1\nheads = 1\ncontext = 16";
    let text = ("data", "text");
    let file = described(&scratch, &[]);
    scratch.run(&["eval", &file]).refused(&["described.fewbit", "model"]);
    let file = described(&scratch, &[("model", lm), text, ("evaluation_batch_size", "4"), ("context", "17")]);
    scratch.run(&["eval", &file]).refused(&["context", "17", "16"]);
    let file =
        described(&scratch, &[("model", lm), text, ("evaluation_batch_size", "99999999"), ("context", "8")]);
    scratch.run(&["eval", &file]).refused(&["evaluation_batch_size", "99999999"]);
    let file = described(&scratch, &[("model", lm), text, ("evaluation_batch_size", "4"), ("context", "8")]);
    scratch.run(&["eval", &file]).refused(&["1 values"]);
    let file = described(&scratch, &[("model", "kind = \"\\u001b[31m\""), text]);
    let refused = scratch.run(&["eval", &file]).refused(&["kind"]);
    assert!(!refused.stderr.contains('\u{1b}'), "{}", refused.stderr);
}

#[test]
fn an_existing_run_folder_is_kept_and_the_way_on_is_shown() {
    let scratch = Scratch::new();
    scratch.write("run/notes", b"mine");
    scratch.run(&short_train(&["--out", "run"])).refused(&["run", "already exists", "--resume"]);
    assert_eq!(fs::read(scratch.path("run/notes")).unwrap(), b"mine");
    scratch.run(&["train", "--resume", "run"]).refused(&["not a run folder"]);
}
