//! Trained weights of other tools, under the names that our networks have.
//!
//! PyTorch calls the scale of a norm `weight` and its shift `bias`, burn `gamma` and `beta`: a weight of one
//! dimension is always a norm's. A shortcut is a list there, `shortcut.0` and `shortcut.1` or `downsample.0`, of a
//! convolution and perhaps its norm. Everything else has the names of the checkpoint, behind wrappers such as
//! `state_dict.module.`; how often a norm has been trained, which PyTorch counts, is left out.

use std::collections::BTreeMap;

use fewbit::FloatEncoding;
use fewbit_burn::{StoredModel, StoredTensor};
use fewbit_checkpoint::{Checkpoint, CheckpointError};

/// What PyTorch counts beside a batch norm's statistics.
const COUNTER: &str = "num_batches_tracked";

/// The float tensors of a checkpoint, to be loaded into a network.
///
/// Whether they are all that the network has, and of its shapes, [`StoredModel::load_into`] says.
///
/// # Errors
/// [`CheckpointError`] for a tensor that cannot be read or is not of floats, or two of one name.
pub fn import(checkpoint: &Checkpoint) -> Result<StoredModel, CheckpointError> {
    let names = checkpoint.stripped_names()?;
    let norms: Vec<&str> = checkpoint
        .tensors()
        .iter()
        .zip(&names)
        .filter(|(info, _)| info.shape().len() == 1)
        .filter_map(|(_, name)| name.strip_suffix("weight"))
        .collect();
    let shortcuts_have_norms = names.iter().any(|name| shortcut_place(name) == Some("1"));
    let mut tensors = BTreeMap::new();
    for (info, name) in checkpoint.tensors().iter().zip(&names) {
        if name.rsplit('.').next() == Some(COUNTER) {
            continue;
        }
        let mut values = Vec::new();
        checkpoint.read_f32(info.name(), &mut values)?;
        let renamed = norms.iter().find_map(|norm| match name.strip_prefix(norm)? {
            "weight" => Some(format!("{norm}gamma")),
            "bias" => Some(format!("{norm}beta")),
            _ => None,
        });
        let shape = info.shape().to_vec();
        let tensor = StoredTensor::Float { shape, values, encoding: FloatEncoding::Float32 };
        let name = renamed.unwrap_or_else(|| (*name).to_owned());
        tensors.insert(with_named_shortcut(name, shortcuts_have_norms), tensor);
    }
    Ok(StoredModel { tensors, metadata: BTreeMap::new() })
}

/// The place in the list of a shortcut that a tensor has, where it is of one.
fn shortcut_place(name: &str) -> Option<&str> {
    let mut parts = name.rsplit('.').skip(1);
    let place = parts.next()?;
    matches!(parts.next(), Some("shortcut" | "downsample")).then_some(place)
}

/// `layer2.0.shortcut.conv.weight` of `layer2.0.shortcut.0.weight`; without norms, `layer2.0.shortcut.weight`.
fn with_named_shortcut(name: String, with_norm: bool) -> String {
    let layer = match shortcut_place(&name) {
        Some("0") if with_norm => "shortcut.conv.",
        Some("0") => "shortcut.",
        Some("1") => "shortcut.norm.",
        _ => return name,
    };
    let mut parts: Vec<&str> = name.rsplitn(4, '.').collect();
    parts.reverse();
    match parts.as_slice() {
        [block, _, _, last] => format!("{block}.{layer}{last}"),
        [_, _, last] => format!("{layer}{last}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    #[test]
    fn a_shortcut_is_named_by_its_layers() {
        for (name, with_norm, named) in [
            ("layer2.0.shortcut.0.weight", true, "layer2.0.shortcut.conv.weight"),
            ("layer2.0.downsample.1.gamma", true, "layer2.0.shortcut.norm.gamma"),
            ("layer2.0.shortcut.0.bias", false, "layer2.0.shortcut.bias"),
            ("layer2.0.conv1.weight", true, "layer2.0.conv1.weight"),
            ("shortcut.0.weight", false, "shortcut.weight"),
            ("weight", true, "weight"),
        ] {
            assert_eq!(with_named_shortcut(name.to_owned(), with_norm), named);
        }
    }

    #[test]
    fn norms_are_renamed_and_counters_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let bytes = |count: usize| vec![0u8; 4 * count];
        let (one, two) = (bytes(3), bytes(6));
        let count = 7i64.to_le_bytes();
        let float = |shape: &[usize], bytes| TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
        let tensors = [
            ("module.bn1.weight", float(&[3], &one)),
            ("module.bn1.bias", float(&[3], &one)),
            ("module.bn1.running_mean", float(&[3], &one)),
            ("module.bn1.num_batches_tracked", TensorView::new(Dtype::I64, vec![], &count).unwrap()),
            ("module.fc.weight", float(&[3, 2], &two)),
            ("module.fc.bias", float(&[3], &one)),
        ];
        safetensors::serialize_to_file(tensors, None, &path).unwrap();
        let found = import(&Checkpoint::open(&path).unwrap()).unwrap();
        assert_eq!(
            found.tensors.keys().collect::<Vec<_>>(),
            ["bn1.beta", "bn1.gamma", "bn1.running_mean", "fc.bias", "fc.weight"]
        );
        assert_eq!(found.tensors["fc.weight"].shape(), [3, 2]);
    }
}
