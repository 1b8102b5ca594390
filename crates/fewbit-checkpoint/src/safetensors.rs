//! safetensors: one file, or several with an index.
//!
//! A file is the length of a header in 64 bits, the header in JSON, and the tensors' bytes without gaps.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Component, Path};

use safetensors::tensor::TensorInfo as Entry;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::checkpoint::{Found, TensorInfo};
use crate::error::{CheckpointError, Fault, FormatError, check_limit};
use crate::file::ByteFile;
use crate::limits::{RANK, SHARDS};
use crate::place::{Layout, Place, element_count};
use crate::torch::names::check_name;
use crate::{DType, Limits};

/// The tensors of one file, in the order of their bytes.
pub(crate) fn read_safetensors(file: &ByteFile, limits: &Limits) -> Result<Found, Fault> {
    let mut length = [0; 8];
    file.check("the header's length", 0, 8)?;
    file.read_at(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    check_limit("bytes of the header", length, limits.header_bytes as u64)?;
    let header = file.bytes_at("the header", 8, length as usize)?;
    let header: Header =
        serde_json::from_slice(&header).map_err(|source| FormatError::Json { what: "the header", source })?;
    let mut entries = header.tensors.0;
    check_limit("tensors", entries.len() as u64, limits.tensors as u64)?;
    entries.sort_by_key(|(_, entry)| entry.data_offsets);

    let data = 8 + length;
    let mut names = HashSet::new();
    let mut found = Found::default();
    let (mut end, mut elements) = (0u64, 0u64);
    for (name, entry) in entries {
        check_name(&name)?;
        if !names.insert(name.clone()) {
            return Err(FormatError::DuplicateName { name }.into());
        }
        let (start, next) = (entry.data_offsets.0 as u64, entry.data_offsets.1 as u64);
        if start != end || next < start {
            let what = format!("tensor `{name}`");
            return Err(FormatError::DataOffset { what, found: start, expected: end }.into());
        }
        end = next;
        let (count, info) = tensor_info(name, entry, next - start)?;
        elements = elements.saturating_add(count);
        check_limit("values of all tensors", elements, limits.elements)?;
        found.tensors.push(info);
        let layout = Layout::Contiguous { sum: None };
        found.places.push(Place { file: 0, start: data + start, layout });
        file.check("a tensor", data + start, next - start)?;
    }
    if data + end != file.len {
        let (found, expected) = (end, file.len - data);
        return Err(FormatError::DataOffset { what: "the file's end".into(), found, expected }.into());
    }
    Ok(found)
}

/// What an entry says, compared with the bytes that it has.
fn tensor_info(name: String, entry: Entry, found: u64) -> Result<(u64, TensorInfo), FormatError> {
    let shape = entry.shape;
    if shape.len() > RANK {
        return Err(FormatError::Rank { name, found: shape.len(), limit: RANK });
    }
    let Some(dtype) = DType::of_safetensors(entry.dtype) else {
        return Err(FormatError::UnsupportedDType { name, found: format!("{:?}", entry.dtype) });
    };
    let Some(count) = element_count(&shape) else { return Err(FormatError::ShapeOverflow { name, shape }) };
    let expected = count * dtype.bytes() as u64;
    if found != expected {
        return Err(FormatError::DataLength { name, shape, dtype, expected, found });
    }
    Ok((count, TensorInfo::new(name, shape, dtype)))
}

/// The tensors of an index's shards, in the order of the index's files as their names are sorted.
pub(crate) fn read_index(
    index: &ByteFile,
    limits: &Limits,
) -> Result<(Vec<ByteFile>, Found), CheckpointError> {
    let of_index = |fault: Fault| fault.at(&index.path);
    let map = read_weight_map(index, limits).map_err(of_index)?;
    let folder = index.path.parent().unwrap_or(Path::new(""));
    let mut names: Vec<&String> = map.values().collect();
    names.sort_unstable();
    names.dedup();

    let (mut files, mut all) = (Vec::new(), Found::default());
    let mut elements = 0u64;
    for shard in names {
        let path = folder.join(shard);
        let of_shard = |fault: Fault| fault.at(&path);
        let file = ByteFile::open(&path).map_err(|error| of_shard(error.into()))?;
        let found = read_safetensors(&file, limits).map_err(of_shard)?;
        for (info, place) in found.tensors.into_iter().zip(found.places) {
            let place_in_index = map.get(info.name());
            if place_in_index != Some(shard) {
                let place = place_in_index.map_or("nowhere".to_owned(), |shard| format!("in `{shard}`"));
                let (name, shard) = (info.name().to_owned(), shard.clone());
                return Err(of_index(FormatError::NotInIndex { name, shard, place }.into()));
            }
            elements = elements.saturating_add(info.elements());
            check_limit("values of all tensors", elements, limits.elements)
                .map_err(|error| of_index(error.into()))?;
            all.tensors.push(info);
            all.places.push(Place { file: files.len(), ..place });
        }
        files.push(file);
    }
    let known: HashSet<&str> = all.tensors.iter().map(TensorInfo::name).collect();
    // The first in the order of names, so that the message is always the same.
    let missing = map.iter().filter(|(name, _)| !known.contains(name.as_str())).min();
    if let Some((name, shard)) = missing {
        let (name, shard) = (name.clone(), shard.clone());
        return Err(of_index(FormatError::NotInShard { name, shard }.into()));
    }
    Ok((files, all))
}

/// Which file each tensor is in. Every file is one beside the index.
fn read_weight_map(index: &ByteFile, limits: &Limits) -> Result<HashMap<String, String>, Fault> {
    check_limit("bytes of the index", index.len, limits.header_bytes as u64)?;
    let text = index.bytes_at("the index", 0, index.len as usize)?;
    let index: Index =
        serde_json::from_slice(&text).map_err(|source| FormatError::Json { what: "the index", source })?;
    let entries = index.weight_map.0;
    check_limit("tensors", entries.len() as u64, limits.tensors as u64)?;
    let mut map = HashMap::new();
    let mut shards = HashSet::new();
    for (name, shard) in entries {
        let mut parts = Path::new(&shard).components();
        // Both separators, so that an index means the same on every system.
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !plain || shard.contains(['/', '\\', ':', '\0']) {
            return Err(FormatError::ShardPath { found: shard }.into());
        }
        shards.insert(shard.clone());
        check_limit("files of the checkpoint", shards.len() as u64, SHARDS as u64)?;
        if map.insert(name.clone(), shard).is_some() {
            return Err(FormatError::DuplicateName { name }.into());
        }
    }
    Ok(map)
}

#[derive(Deserialize)]
struct Index {
    weight_map: Pairs<String>,
}

/// A header without its `__metadata__`.
struct Header {
    tensors: Pairs<Entry>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { tensors: deserializer.deserialize_map(PairsVisitor(PhantomData))? })
    }
}

/// The entries of a JSON object in their order, so that none that comes twice is lost.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
    type Value = Pairs<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with an entry for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                pairs.push((key, map.next_value()?));
            }
        }
        Ok(Pairs(pairs))
    }
}
