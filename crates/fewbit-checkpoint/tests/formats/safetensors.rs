//! safetensors, one file and several.

use crate::forge::{self, Files};
use crate::{open, told};
use ::safetensors::Dtype;
use ::safetensors::tensor::TensorView;
use fewbit_checkpoint::{Checkpoint, CheckpointError, CheckpointKind};

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn floats_of_every_width_are_read() {
    let files = Files::new();
    let checkpoint = open(&files, &forge::safetensors()).unwrap();
    assert_eq!(checkpoint.kind(), CheckpointKind::Safetensors);
    let read = |name: &str| {
        let mut values = Vec::new();
        checkpoint.read_f32(name, &mut values).map(|()| values)
    };
    assert_eq!(read("wide").unwrap(), [1.5, -2.0, 0.25, 1e30]);
    assert_eq!(read("double").unwrap(), [1.0 / 3.0, -1e-3]);
    // The smallest f16 is 2^-24.
    assert_eq!(read("half").unwrap(), [1.0, -2.0, 2f32.powi(-24)]);
    assert_eq!(read("brain").unwrap(), [1.0, -3.0]);
    assert!(read("nothing").unwrap().is_empty());
    assert!(matches!(read("whole"), Err(CheckpointError::NotFloat { .. })));
    let mut bytes = Vec::new();
    checkpoint.read_bytes("whole", &mut bytes).unwrap();
    assert_eq!(bytes, 9i64.to_le_bytes());
    assert_eq!(checkpoint.aliases(), [None; 6]);
}

#[test]
fn what_is_wrong_is_said() {
    let entry = |name: &str, shape: &str, start: usize, end: usize| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    let one = |entry: &str| format!("{{{entry}}}");
    let two = |first: String, second: String| format!("{{{first},{second}}}");
    let overflow = "[4294967295,4294967295,4294967295]";
    let cases = [
        (file(&one(&entry("a", "[2]", 0, 8)), &[0; 7]), "8 bytes, 7 are left"),
        (file(&one(&entry("a", "[2]", 0, 8)), &[0; 9]), "the file's end"),
        (file(&one(&entry("a", "[2]", 4, 12)), &[0; 12]), "`a` begin at 4, needed is 0"),
        (file(&one(&entry("a", "[3]", 0, 8)), &[0; 8]), "8 bytes of data, 12 needed for shape [3] of F32"),
        (file(&one(&entry("a", overflow, 0, 8)), &[0; 8]), "can be counted"),
        (file(&one(&entry("", "[2]", 0, 8)), &[0; 8]), "name has 0 bytes"),
        (file(&one(&entry("a", "[1,1,1,1,1,1,1,1,2]", 0, 8)), &[0; 8]), "9 dimensions"),
        (file(&two(entry("a", "[1]", 0, 4), entry("a", "[1]", 4, 8)), &[0; 8]), "two tensors are called `a`"),
        (
            file(&two(entry("a", "[2]", 0, 8), entry("b", "[2]", 0, 8)), &[0; 8]),
            "`b` begin at 0, needed is 8",
        ),
        (file(r#"{"a":{"dtype":"F33","shape":[],"data_offsets":[0,4]}}"#, &[0; 4]), "F33"),
        (file(r#"{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}"#, &[0; 1]), "elements of F4"),
        (forge::safetensors()[..100].to_vec(), "bytes, 92 are left"),
        (file("{nonsense", &[]), "the header is not as it should be"),
    ];
    for (bytes, expected) in cases {
        let error = open(&Files::new(), &bytes).unwrap_err();
        assert!(told(&error).contains(expected), "{expected}: {}", told(&error));
    }
}

/// A folder of two shards and their index, whose text is given.
fn sharded(index: &str) -> Files {
    let files = Files::new();
    for (shard, name, value) in [("one.safetensors", "a", 1.0f32), ("two.safetensors", "b", 2.0)] {
        let bytes = value.to_le_bytes();
        let view = TensorView::new(Dtype::F32, vec![1], &bytes).unwrap();
        files.write(shard, &::safetensors::serialize([(name, view)], None).unwrap());
    }
    files.write("model.safetensors.index.json", index.as_bytes());
    files
}

const INDEX: &str =
    r#"{"metadata":{"total_size":8},"weight_map":{"b":"two.safetensors","a":"one.safetensors"}}"#;

#[test]
fn shards_are_one_checkpoint_by_their_folder_or_index() {
    let files = sharded(INDEX);
    for path in [files.0.path().to_owned(), files.0.path().join("model.safetensors.index.json")] {
        let checkpoint = Checkpoint::open(path).unwrap();
        assert_eq!(checkpoint.kind(), CheckpointKind::ShardedSafetensors);
        let names: Vec<_> = checkpoint.tensors().iter().map(|info| info.name()).collect();
        assert_eq!(names, ["a", "b"]);
        let mut values = Vec::new();
        checkpoint.read_f32("b", &mut values).unwrap();
        assert_eq!(values, [2.0]);
    }
}

#[test]
fn an_index_names_files_beside_it_and_all_their_tensors() {
    let map = |entries: &str| format!(r#"{{"weight_map":{{{entries}}}}}"#);
    let all = r#""a":"one.safetensors","b":"two.safetensors""#;
    let cases = [
        (map(r#""a":"../one.safetensors""#), "without folders"),
        (map(r#""a":"/etc/passwd""#), "without folders"),
        (map(r#""a":"..\\one.safetensors""#), "without folders"),
        (map(r#""a":"..""#), "without folders"),
        (map(r#""a":"""#), "without folders"),
        (map(&format!(r#"{all},"c":"one.safetensors""#)), "tensor `c` in `one.safetensors`"),
        (map(r#""b":"one.safetensors""#), "tensor `a`, the index has it nowhere"),
        (map(&format!(r#"{all},"a":"two.safetensors""#)), "two tensors are called `a`"),
        (map(r#""a":"two.safetensors","b":"two.safetensors""#), "tensor `a` in `two.safetensors`"),
        (map(r#""a":"gone.safetensors""#), "gone.safetensors"),
        ("{}".to_owned(), "weight_map"),
    ];
    for (index, expected) in cases {
        let error = Checkpoint::open(sharded(&index).0.path()).unwrap_err();
        assert!(told(&error).contains(expected), "{expected}: {}", told(&error));
    }
}

#[test]
fn a_folder_must_say_which_checkpoint_is_meant() {
    let files = Files::new();
    let found = |files: &Files| told(&Checkpoint::open(files.0.path()).unwrap_err());
    assert!(found(&files).contains("it has neither;"));
    files.write("net.pth", &[]);
    assert!(found(&files).contains("neither, but net.pth"));
    files.write("x.safetensors", &forge::safetensors());
    assert_eq!(Checkpoint::open(files.0.path()).unwrap().path(), files.0.path().join("x.safetensors"));
    files.write("y.safetensors", &forge::safetensors());
    assert!(found(&files).contains("x.safetensors, y.safetensors"));
}

#[test]
fn what_is_no_checkpoint_is_called_by_its_name() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "it is empty"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x80\x04N.", "a Python pickle, but not one of torch.save"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (b"{\"a\": 1}", "JSON"),
        (b"\x01\x02\x03", "[01, 02, 03]"),
    ];
    for (bytes, expected) in cases {
        let error = open(&Files::new(), bytes).unwrap_err();
        assert!(matches!(error, CheckpointError::Unrecognised { .. }));
        assert!(told(&error).contains(expected), "{expected}: {}", told(&error));
    }
    let files = Files::new();
    assert!(matches!(Checkpoint::open(files.0.path().join("none")), Err(CheckpointError::Io { .. })));
}
