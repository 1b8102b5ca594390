//! Files of `torch.save`, made by hand after what torch writes.

use crate::forge::{Files, Pickle, ZipEntry, archive, archive_of, legacy_of, state_dict, storages};
use crate::{open, told};
use fewbit_checkpoint::{Checkpoint, CheckpointError, CheckpointKind, DType};

fn zip(entries: &[ZipEntry<'_>]) -> Vec<u8> {
    crate::forge::zip(entries, false)
}

fn floats(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let mut values = vec![9.0; 3];
    checkpoint.read_f32(name, &mut values).unwrap();
    values
}

#[test]
fn both_formats_give_every_tensor_its_values_whatever_its_strides() {
    let files = Files::new();
    let cases = [
        (archive_of(&state_dict()), CheckpointKind::PyTorchArchive),
        (archive(&state_dict(), true), CheckpointKind::PyTorchArchive),
        (legacy_of(&state_dict(), true), CheckpointKind::PyTorchLegacy),
    ];
    for (bytes, kind) in cases {
        let checkpoint = open(&files, &bytes).unwrap();
        assert_eq!(checkpoint.kind(), kind);
        let tensors: Vec<_> =
            checkpoint.tensors().iter().map(|info| (info.name(), info.shape(), info.dtype())).collect();
        let expected: [(&str, &[usize], DType); 6] = [
            ("state_dict.module.fc.weight", &[2, 3], DType::F32),
            ("state_dict.module.fc.weight_t", &[3, 2], DType::F32),
            ("state_dict.module.fc.column", &[2], DType::F32),
            ("state_dict.module.tied", &[2, 3], DType::F32),
            ("state_dict.module.steps", &[], DType::I64),
            ("state_dict.module.half", &[2], DType::F16),
        ];
        assert_eq!(tensors, expected);
        assert_eq!(floats(&checkpoint, "state_dict.module.fc.weight"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(floats(&checkpoint, "state_dict.module.fc.weight_t"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(floats(&checkpoint, "state_dict.module.fc.column"), [1.0, 4.0]);
        assert_eq!(floats(&checkpoint, "state_dict.module.half"), [1.0, -2.0]);
        assert_eq!(checkpoint.aliases(), [None, None, None, Some(0), None, None]);
        assert_eq!(checkpoint.stripped_names().unwrap()[4], "steps");

        let mut bytes = Vec::new();
        checkpoint.read_bytes("state_dict.module.steps", &mut bytes).unwrap();
        assert_eq!(bytes, 77i64.to_le_bytes());
        checkpoint.read_bytes("state_dict.module.fc.column", &mut bytes).unwrap();
        assert_eq!(bytes, [1.0f32, 4.0].map(f32::to_le_bytes).concat());
        let error = checkpoint.read_f32("state_dict.module.steps", &mut Vec::new()).unwrap_err();
        assert!(matches!(error, CheckpointError::NotFloat { found: DType::I64, .. }), "{error}");
        let error = checkpoint.read_f32("fc.weight", &mut Vec::new()).unwrap_err();
        assert!(matches!(error, CheckpointError::UnknownTensor { .. }), "{error}");
    }
}

#[test]
fn lists_lone_tensors_and_whole_number_keys_have_names_too() {
    let one = |pickle: Pickle| pickle.tensor("FloatStorage", ("0", 6), 0, &[1], &[1]);
    let names = |pickle: &[u8]| {
        let checkpoint = open(&Files::new(), &archive_of(pickle)).unwrap();
        checkpoint.tensors().iter().map(|info| info.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&one(Pickle::new()).end()), ["tensor"]);
    assert_eq!(names(&one(one(Pickle::new().raw(b"]("))).raw(b"e").end()), ["0", "1"]);
    assert_eq!(names(&one(Pickle::new().raw(b"}K\x05")).raw(b"s").end()), ["5"]);
    assert!(names(&Pickle::new().raw(b"}").end()).is_empty());
}

#[test]
fn a_broadcast_tensor_repeats_its_values_within_its_limit() {
    let files = Files::new();
    let of = |rows| Pickle::new().tensor("FloatStorage", ("0", 6), 1, &[rows, 2], &[0, 1]).end();
    let checkpoint = open(&files, &archive_of(&of(4))).unwrap();
    assert_eq!(floats(&checkpoint, "tensor"), [1.0, 2.0].repeat(4));
    let error = open(&files, &archive_of(&of(1 << 24))).unwrap_err();
    assert!(told(&error).contains("repeats its storage"), "{}", told(&error));
}

#[test]
fn a_parameter_is_its_tensor_and_a_new_kind_of_elements_is_told_apart() {
    let parameter = Pickle::new()
        .global("torch._utils", "_rebuild_parameter")
        .raw(b"(")
        .tensor("FloatStorage", ("0", 6), 2, &[2], &[1])
        .raw(b"\x88")
        .dict()
        .raw(b"utR")
        .end();
    assert_eq!(floats(&open(&Files::new(), &archive_of(&parameter)).unwrap(), "tensor"), [2.0, 3.0]);

    // A subclass of tensors is the tensor that it was made of.
    let subclass = Pickle::new()
        .global("torch._tensor", "_rebuild_from_type_v2")
        .raw(b"(")
        .global("torch._utils", "_rebuild_tensor_v2")
        .global("torch.nn.parameter", "Parameter")
        .raw(b"(")
        .storage("FloatStorage", "0", 6)
        .int(3)
        .ints(&[2])
        .ints(&[1])
        .raw(b"\x89}t}tR")
        .end();
    assert_eq!(floats(&open(&Files::new(), &archive_of(&subclass)).unwrap(), "tensor"), [3.0, 4.0]);

    // Offsets count elements, a storage without a class of its own counts bytes.
    let unsigned = Pickle::new()
        .global("torch._utils", "_rebuild_tensor_v3")
        .raw(b"((")
        .text("storage")
        .global("torch.storage", "UntypedStorage")
        .text("2")
        .text("cpu")
        .int(4)
        .raw(b"tQ")
        .int(1)
        .ints(&[1])
        .ints(&[1])
        .raw(b"\x89}")
        .global("torch", "uint16")
        .raw(b"tR")
        .end();
    let checkpoint = open(&Files::new(), &archive_of(&unsigned)).unwrap();
    assert_eq!(checkpoint.tensors()[0].dtype(), DType::U16);
    let mut bytes = Vec::new();
    checkpoint.read_bytes("tensor", &mut bytes).unwrap();
    assert_eq!(bytes, 0xc000u16.to_le_bytes());
}

/// Python 2 writes an ordered dict as a call with a list of lists.
#[test]
fn an_ordered_dict_of_python_2_is_read() {
    let pairs = Pickle::new().global("collections", "OrderedDict").raw(b"(](](").raw(b"U\x01w");
    let call = pairs.tensor("FloatStorage", ("0", 6), 4, &[2], &[1]).raw(b"eetR").end();
    assert_eq!(floats(&open(&Files::new(), &archive_of(&call)).unwrap(), "w"), [4.0, 5.0]);
}

/// What torch would run on loading is an error here, in each way that a pickle can call.
#[test]
fn a_pickle_that_calls_python_is_refused_and_nothing_runs() {
    let files = Files::new();
    let witness = files.0.path().join("witness");
    let command = format!("touch {}", witness.display());
    let calls = [
        Pickle::new().global("os", "system").raw(b"(").text(&command).raw(b"tR").end(),
        Pickle::new().global("posix", "system").raw(b"(").text(&command).raw(b"t\x81").end(),
        Pickle::new().text("os").text("system").raw(b"\x93(").text(&command).raw(b"tR").end(),
        Pickle::new().global("builtins", "eval").raw(b"(").text(&command).raw(b"tR").end(),
        Pickle::new().global("torch", "load").raw(b"(").text(&command).raw(b"tR").end(),
        // Protocol 0's way to make an object.
        Pickle::new().raw(b"(").text(&command).raw(b"ios\nsystem\n").end(),
        Pickle::new().raw(b"(").global("os", "system").text(&command).raw(b"o").end(),
    ];
    for call in calls {
        for bytes in [archive_of(&call), legacy_of(&call, true)] {
            let error = open(&files, &bytes).unwrap_err();
            let words = told(&error);
            assert!(words.contains("asks for Python's") || words.contains("no state dict needs"), "{words}");
        }
    }
    assert!(!witness.exists());
}

#[test]
fn what_is_wrong_is_said() {
    let first = state_dict();
    let tensor = |class, key, offset, shape: &[i32], strides: &[i32]| {
        Pickle::new().tensor(class, (key, 6), offset, shape, strides).end()
    };
    let storages = storages();
    let weights = storages[0].2.as_slice();
    let lone = tensor("FloatStorage", "0", 0, &[6], &[1]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (legacy_of(&first, false), "big-endian"),
        (zip(&[("a/data.pkl", &lone, 0, 0), ("a/byteorder", b"big", 0, 0)]), "big-endian"),
        (zip(&[("a/data.pkl", &lone, 0, 8), ("a/data/0", weights, 0, 0)]), "`a/data.pkl` is compressed"),
        (zip(&[("a/data.pkl", &lone, 0, 0), ("a/data/0", weights, 0, 8)]), "`a/data/0` is compressed"),
        (zip(&[("a/data.pkl", &lone, 1, 0), ("a/data/0", weights, 0, 0)]), "checksum of data.pkl"),
        (zip(&[("a/model.pkl", &lone, 0, 0)]), "no `data.pkl`"),
        (zip(&[("data.pkl", &lone, 0, 0)]), "part of storage `0`, which the file does not have"),
        (zip(&[("data.pkl", &lone, 0, 0), ("data/0", &weights[1..], 0, 0)]), "has 23 bytes, 24 needed"),
        (zip(&[("data.pkl", &lone, 0, 0), ("data.pkl", &lone, 0, 0)]), "two entries"),
        (archive_of(&tensor("FloatStorage", "0", 1, &[6], &[1])), "beyond the 6 elements"),
        (archive_of(&tensor("FloatStorage", "0", 0, &[3, 2], &[3, 1])), "beyond the 6 elements"),
        (archive_of(&tensor("FloatStorage", "0", -1, &[1], &[1])), "not negative"),
        (archive_of(&tensor("DoubleStorage", "0", 0, &[1], &[1])), "has 24 bytes, 48 needed"),
        (archive_of(&tensor("QInt8Storage", "0", 0, &[1], &[1])), "`torch.QInt8Storage`"),
        (archive_of(&tensor("FloatStorage", "0", 0, &[1; 9], &[1; 9])), "dimensions"),
        (archive_of(&tensor("FloatStorage", "0", 0, &[1 << 30, 1 << 30, 9], &[0, 0, 0])), "can be counted"),
        (archive_of(&Pickle::new().raw(b"h\x07").end()), "number 7"),
        (archive_of(&Pickle::new().raw(b"(0").end()), "nothing"),
        (archive_of(&Pickle::new().raw(b"\x82\x01").end()), "0x82"),
        (archive_of(b"\x80\x06N."), "protocol 6"),
        (archive_of(&Pickle::new().global("__torch__", "Net").end()), "`__torch__.Net`"),
        // A list that is in itself.
        (archive_of(&Pickle::new().raw(b"]q\x00h\x00a").end()), "nested deeper"),
    ];
    for (bytes, expected) in cases {
        let error = open(&Files::new(), &bytes).unwrap_err();
        assert!(told(&error).contains(expected), "{expected}: {}", told(&error));
    }
}

#[test]
fn damage_of_a_summed_storage_is_found_when_it_is_read() {
    let pickle = Pickle::new().tensor("FloatStorage", ("0", 6), 0, &[6], &[1]).end();
    let weights = &storages()[0].2;
    for (sum, right) in [(crc32fast::hash(weights), true), (1, false)] {
        let files = Files::new();
        let checkpoint =
            open(&files, &zip(&[("data.pkl", &pickle, 0, 0), ("data/0", weights, sum, 0)])).unwrap();
        let read = checkpoint.read_f32("tensor", &mut Vec::new());
        assert_eq!(read.is_ok(), right);
    }
}

/// References cost nothing, however many paths they make: 2^60 tensors here.
#[test]
fn a_bomb_of_references_is_over_the_limits() {
    let seed = Pickle::new().tensor("FloatStorage", ("0", 6), 0, &[1], &[1]);
    let bomb = (0..60).fold(seed, |pickle, _| pickle.raw(b"2\x86")).end();
    let error = open(&Files::new(), &archive_of(&bomb)).unwrap_err();
    assert!(told(&error).contains("the limit is"), "{}", told(&error));
}
