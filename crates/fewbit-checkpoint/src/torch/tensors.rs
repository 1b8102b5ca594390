//! Tensors of a pickle and storages of a file become places in the file.

use std::collections::HashMap;

use super::names::named_tensors;
use crate::checkpoint::{Found, TensorInfo};
use crate::error::{Fault, FormatError, check_limit};
use crate::pickle::{Heap, Storage, Tensor, Value};
use crate::place::{Layout, Place, element_count, is_contiguous, reach};
use crate::{DType, Limits};

/// Where a storage is in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) bytes: u64,
    /// The checksum of all its bytes, if one was written.
    pub(super) sum: Option<u32>,
}

/// Every tensor below the root, with its place, which is checked against its storage.
pub(super) fn locate_tensors(
    root: Value,
    heap: &Heap,
    bytes: &[u8],
    limits: &Limits,
    mut find: impl FnMut(&str) -> Result<Option<Stretch>, Fault>,
) -> Result<Found, Fault> {
    let mut found = Found::default();
    let mut stretches: HashMap<String, Stretch> = HashMap::new();
    let mut elements = 0u64;
    for (name, place) in named_tensors(root, heap, bytes, limits)? {
        let tensor = &heap.tensors[place as usize];
        let storage = &heap.storages[tensor.storage as usize];
        let Some(key) = storage.key.key(bytes)? else {
            return Err(FormatError::MissingStorage { name, key: storage.key.kind().to_owned() }.into());
        };
        let stretch = match stretches.get(&key) {
            Some(stretch) => *stretch,
            None => match find(&key)? {
                Some(stretch) => *stretches.entry(key.clone()).or_insert(stretch),
                None => return Err(FormatError::MissingStorage { name, key }.into()),
            },
        };
        let (count, place) = place_of(&name, &key, tensor, storage, stretch, limits)?;
        elements = elements.saturating_add(count);
        check_limit("values of all tensors", elements, limits.elements)?;
        found.tensors.push(TensorInfo::new(name, tensor.shape.clone(), tensor.dtype));
        found.places.push(place);
    }
    Ok(found)
}

/// The number of a tensor's elements, and where they are.
fn place_of(
    name: &str,
    key: &str,
    tensor: &Tensor,
    storage: &Storage,
    stretch: Stretch,
    limits: &Limits,
) -> Result<(u64, Place), FormatError> {
    let name = || name.to_owned();
    if let Some(found) = tensor.unsupported {
        return Err(FormatError::UnsupportedTensor { name: name(), found });
    }
    let size = tensor.dtype.bytes() as u64;
    let unit = storage.dtype.map_or(1, |dtype: DType| dtype.bytes() as u64);
    let too_short = |needed| {
        let key = key.to_owned();
        FormatError::StorageLength { name: name(), key, found: stretch.bytes, needed }
    };
    // All lengths in bytes, in 128 bits so that nothing overflows.
    let whole = u128::from(storage.elements) * u128::from(unit);
    let (from, bytes) = match storage.view {
        None => (0, whole),
        Some((offset, length)) => {
            (u128::from(offset) * u128::from(unit), u128::from(length) * u128::from(unit))
        }
    };
    let needed = whole.max(from + bytes);
    if needed > u128::from(stretch.bytes) {
        return Err(too_short(u64::try_from(needed).unwrap_or(u64::MAX)));
    }
    let held = (bytes / u128::from(size)) as u64;
    let beyond = || FormatError::BeyondStorage {
        name: name(),
        shape: tensor.shape.clone(),
        strides: tensor.strides.clone(),
        offset: tensor.offset,
        elements: held,
    };
    let Some(count) = element_count(&tensor.shape) else {
        return Err(FormatError::ShapeOverflow { name: name(), shape: tensor.shape.clone() });
    };
    let end = reach(&tensor.shape, &tensor.strides).and_then(|reach| reach.checked_add(tensor.offset));
    if count > 0 && end.is_none_or(|end| end > held) {
        return Err(beyond());
    }
    if count > held {
        check_limit("values of a tensor that repeats its storage", count, limits.repeated_elements)?;
    }
    // An empty tensor can claim to begin anywhere.
    let start = if count == 0 { stretch.start } else { stretch.start + from as u64 + tensor.offset * size };
    let layout = if is_contiguous(&tensor.shape, &tensor.strides) {
        let all = start == stretch.start && count * size == stretch.bytes;
        Layout::Contiguous { sum: stretch.sum.filter(|_| all) }
    } else {
        Layout::Strided(tensor.strides.clone())
    };
    Ok((count, Place { file: 0, start, layout }))
}
