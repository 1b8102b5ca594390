//! A checkpoint to a file, and back.

mod common;

use std::fs;

use common::Scratch;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

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
