//! Weights of a formula, and fixtures of what PyTorch computes with them: see `fixtures/models/common.py`.

use std::path::{Path, PathBuf};

use fewbit::StoredModel;
use fewbit_checkpoint::Checkpoint;
use fewbit_zoo::import;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

/// A network, the names and shapes of its tensors in PyTorch, and what it makes of its input.
#[derive(Debug, Deserialize)]
pub(crate) struct Fixture {
    /// `[model]` of a recipe.
    pub(crate) model: String,
    pub(crate) tensors: Vec<(String, Vec<usize>)>,
    pub(crate) input: Vec<usize>,
    pub(crate) output: Vec<usize>,
    pub(crate) values: Vec<f32>,
    /// Sequences of words that are the input, and those that follow.
    #[serde(default)]
    pub(crate) tokens: Vec<Vec<u32>>,
    #[serde(default)]
    pub(crate) targets: Vec<Vec<u32>>,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models")
}

impl Fixture {
    pub(crate) fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The weights as a checkpoint of PyTorch's, imported.
    pub(crate) fn weights(&self) -> StoredModel {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let bytes: Vec<Vec<u8>> = self
            .tensors
            .iter()
            .map(|(name, shape)| weights(name, shape).iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let views = self.tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize_to_file(views, None, &path).unwrap();
        import(&Checkpoint::open(&path).unwrap()).unwrap()
    }

    /// All values of our output are within 1e-4 of PyTorch's, of numbers that are not all alike.
    pub(crate) fn compare(&self, shape: &[usize], found: &[f32]) {
        assert_eq!(shape, self.output);
        let farthest =
            found.iter().zip(&self.values).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
        assert!(farthest <= 1e-4, "{farthest} away from PyTorch: {found:?}, {:?}", self.values);
        let mean = self.values.iter().sum::<f32>() / self.values.len() as f32;
        assert!(self.values.iter().any(|value| (value - mean).abs() > 0.01), "{:?}", self.values);
    }
}

/// Uniform in `-1..1` with 23 bits: one round of splitmix64 on the checksum of the name and the place.
pub(crate) fn numbers(name: &str, count: usize) -> Vec<f64> {
    let start = u64::from(crc32fast::hash(name.as_bytes())) << 32;
    (0..count as u64)
        .map(|place| {
            let mut z = (start | place).wrapping_add(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            (z >> 41) as f64 / f64::from(1 << 22) - 1.0
        })
        .collect()
}

fn weights(name: &str, shape: &[usize]) -> Vec<f32> {
    let last = name.rsplit('.').next().unwrap_or_default();
    let fan_in: usize = shape.iter().skip(1).product();
    let of = |u: f64| match last {
        "running_var" => 1.0 + 0.5 * u,
        _ if shape.len() > 1 => u * (6.0 / fan_in as f64).sqrt(),
        "weight" => 1.0 + 0.1 * u,
        _ => 0.1 * u,
    };
    numbers(name, shape.iter().product()).into_iter().map(|u| of(u) as f32).collect()
}
