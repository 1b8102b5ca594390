//! Trained weights of other tools, under the names that our networks have: see [`fewbit::names`]. Wrappers such as
//! `state_dict.module.` are taken off.

use std::collections::BTreeMap;

use fewbit::{FloatEncoding, names};
use fewbit::{StoredModel, StoredTensor};
use fewbit_checkpoint::{Checkpoint, CheckpointError};

/// The float tensors of a checkpoint, to be loaded into a network.
///
/// Whether they are all that the network has, and of its shapes, [`load_into`](fewbit_burn::StoredModelExt::load_into) says.
///
/// # Errors
/// [`CheckpointError`] for a tensor that cannot be read or is not of floats, or two of one name.
pub fn import(checkpoint: &Checkpoint) -> Result<StoredModel, CheckpointError> {
    let stripped = checkpoint.stripped_names()?;
    let ranks = checkpoint.tensors().iter().map(|info| info.shape().len());
    let with_ranks: Vec<(&str, usize)> = stripped.into_iter().zip(ranks).collect();
    let mut tensors = BTreeMap::new();
    for (info, name) in checkpoint.tensors().iter().zip(names::to_burn(&with_ranks)) {
        let Some(name) = name else { continue };
        let mut values = Vec::new();
        checkpoint.read_f32(info.name(), &mut values)?;
        let shape = info.shape().to_vec();
        tensors.insert(name, StoredTensor::Float { shape, values, encoding: FloatEncoding::Float32 });
    }
    Ok(StoredModel { tensors, metadata: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    #[test]
    fn a_checkpoint_has_the_names_of_our_networks() {
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
