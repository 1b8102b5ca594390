//! The format before PyTorch 1.6: pickles one after the other, then the storages.
//!
//! The pickles are a magic number, the format's version, a dict about the machine, what was saved, and the
//! list of the storages' keys. In the list's order follow, for each storage, its number of elements in 64
//! bits and then the elements, whose size only the saved value tells.

use std::collections::HashMap;

use super::tensors::{Stretch, locate_tensors};
use crate::Limits;
use crate::checkpoint::Found;
use crate::error::{Fault, FormatError};
use crate::file::ByteFile;
use crate::pickle::{Heap, Input, Value, unpickle};

/// The magic number `0x1950a86a20f9469cfc6c` as a pickle holds it.
pub(crate) const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The one version that there is.
const VERSION: i64 = 1001;

/// The tensors of a file that `torch.save` wrote before PyTorch 1.6, or later when asked to.
pub(crate) fn read_legacy(file: &ByteFile, limits: &Limits) -> Result<Found, Fault> {
    let mut input = Input::new(file, 0..file.len, limits.header_bytes);
    let mut heap = Heap::default();
    // Whoever calls has seen the magic number among the first bytes.
    unpickle(&mut input, &mut heap, limits)?;
    let version = unpickle(&mut input, &mut heap, limits)?;
    if !matches!(version, Value::Int(VERSION)) {
        return Err(FormatError::Legacy { needed: "the version 1001" }.into());
    }
    let machine = unpickle(&mut input, &mut heap, limits)?;
    let Value::Dict(machine) = machine else {
        return Err(FormatError::Legacy { needed: "a dict about the machine" }.into());
    };
    let order =
        heap.dicts[machine as usize].iter().find(|(key, _)| key.is_text(input.bytes(), "little_endian"));
    match order {
        Some((_, Value::Bool(true))) => {}
        Some((_, Value::Bool(false))) => return Err(FormatError::BigEndian.into()),
        _ => return Err(FormatError::Legacy { needed: "the machine's byte order" }.into()),
    }
    let root = unpickle(&mut input, &mut heap, limits)?;
    let keys = unpickle(&mut input, &mut heap, limits)?;
    let Value::List(keys) = keys else {
        return Err(FormatError::Legacy { needed: "a list of storages" }.into());
    };
    let data = input.offset();
    let bytes = input.into_bytes();
    let stretches = find_storages(file, &heap, &bytes, keys, data)?;
    locate_tensors(root, &heap, &bytes, limits, |key| Ok(stretches.get(key).copied()))
}

/// Where each storage is, from the list of their keys and the place of the first.
fn find_storages(
    file: &ByteFile,
    heap: &Heap,
    bytes: &[u8],
    keys: u32,
    data: u64,
) -> Result<HashMap<String, Stretch>, Fault> {
    let mut units: HashMap<String, u64> = HashMap::new();
    for storage in &heap.storages {
        let unit = storage.dtype.map_or(1, |dtype| dtype.bytes() as u64);
        if let Some(key) = storage.key.key(bytes)?
            && *units.entry(key).or_insert(unit) != unit
        {
            return Err(FormatError::Legacy { needed: "a storage to have elements of one size" }.into());
        }
    }
    let mut stretches = HashMap::new();
    let mut at = data;
    for key in &heap.sequences[keys as usize] {
        let key = key.key(bytes)?;
        let Some((key, unit)) = key.and_then(|key| units.get(&key).map(|&unit| (key, unit))) else {
            return Err(FormatError::Legacy { needed: "storages that tensors are part of" }.into());
        };
        let mut count = [0; 8];
        file.check("a storage's length", at, 8)?;
        file.read_at(at, &mut count)?;
        let start = at + 8;
        let length = u64::from_le_bytes(count).saturating_mul(unit);
        file.check("a storage", start, length)?;
        if stretches.insert(key, Stretch { start, bytes: length, sum: None }).is_some() {
            return Err(FormatError::Legacy { needed: "each storage once" }.into());
        }
        at = start + length;
    }
    Ok(stretches)
}
