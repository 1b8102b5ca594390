//! A checkpoint of whichever kind: what tensors it has, and their values.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::error::Fault;
use crate::file::ByteFile;
use crate::names::strip_wrappers;
use crate::place::{Layout, Place, element_count, read_contiguous, read_strided};
use crate::recognise::{Recognised, recognise};
use crate::safetensors::{read_index, read_safetensors};
use crate::torch::{read_archive, read_legacy};
use crate::{CheckpointError, DType, Limits};

/// A tensor's name, shape and elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    name: String,
    shape: Vec<usize>,
    dtype: DType,
}

impl TensorInfo {
    pub(crate) fn new(name: String, shape: Vec<usize>, dtype: DType) -> Self {
        Self { name, shape, dtype }
    }

    /// Its name as the checkpoint has it; of nested dicts and lists, the keys and indices joined by dots.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its dimensions, none for a single value.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// What its elements are.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many they are.
    pub fn elements(&self) -> u64 {
        // No tensor is opened whose elements cannot be counted.
        element_count(&self.shape).unwrap_or(0)
    }
}

/// The kinds of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointKind {
    /// One safetensors file.
    Safetensors,
    /// Several safetensors files and their index.
    ShardedSafetensors,
    /// The zip archive that PyTorch writes since 1.6.
    PyTorchArchive,
    /// The format that PyTorch wrote before.
    PyTorchLegacy,
}

impl fmt::Display for CheckpointKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::ShardedSafetensors => "sharded safetensors",
            Self::PyTorchArchive => "PyTorch",
            Self::PyTorchLegacy => "PyTorch before 1.6",
        })
    }
}

/// What was found in one file or more.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) places: Vec<Place>,
}

/// An opened checkpoint: all about its tensors but their values, which are read when they are asked for.
///
/// Its files are held open. That they have every byte of every tensor was checked; whoever shortens them
/// meanwhile gets errors, whoever writes into them other values.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    kind: CheckpointKind,
    files: Vec<ByteFile>,
    found: Found,
    by_name: HashMap<String, usize>,
}

impl Checkpoint {
    /// The checkpoint of a path, within the default [`Limits`].
    ///
    /// The path can be a safetensors file, the index of several (`*.safetensors.index.json`, the files
    /// beside it), a folder that has one of these, or a file of `torch.save`, as a zip archive or older.
    /// What it is, its content tells.
    ///
    /// Of PyTorch's files, a name that several dicts lead to is all their keys: `{state_dict, best_prec1}`
    /// of a network in `DataParallel` has `state_dict.module.conv1.weight`. [`strip_wrappers`] takes off
    /// what is around the network's own names. A tensor that is saved alone is called `tensor`.
    ///
    /// # Errors
    /// [`CheckpointError`], for whatever is wrong with the path or the content, values excepted.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        Self::open_with_limits(path, &Limits::default())
    }

    /// The checkpoint of a path, within limits.
    ///
    /// # Errors
    /// [`CheckpointError`], as for [`open`](Self::open).
    pub fn open_with_limits(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        unless_panicked(path, || Self::open_path(path, limits))
    }

    fn open_path(path: &Path, limits: &Limits) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.to_owned(), source };
        if path.metadata().map_err(io)?.is_dir() {
            return Self::open_path(&checkpoint_in(path)?, limits);
        }
        let file = ByteFile::open(path).map_err(io)?;
        let of_file = |fault: Fault| fault.at(path);
        let (kind, found) = match recognise(&file).map_err(io)? {
            Recognised::Safetensors => (CheckpointKind::Safetensors, read_safetensors(&file, limits)),
            Recognised::Archive => (CheckpointKind::PyTorchArchive, read_archive(&file, limits)),
            Recognised::Legacy => (CheckpointKind::PyTorchLegacy, read_legacy(&file, limits)),
            Recognised::SafetensorsIndex => {
                let (files, found) = read_index(&file, limits)?;
                return Ok(Self::new(path, CheckpointKind::ShardedSafetensors, files, found));
            }
            Recognised::Other(found) => {
                return Err(CheckpointError::Unrecognised { path: path.to_owned(), found });
            }
        };
        Ok(Self::new(path, kind, vec![file], found.map_err(of_file)?))
    }

    fn new(path: &Path, kind: CheckpointKind, files: Vec<ByteFile>, found: Found) -> Self {
        let names = found.tensors.iter().map(|info| info.name.clone());
        let by_name = names.zip(0..).collect();
        Self { path: path.to_owned(), kind, files, found, by_name }
    }

    /// The file that was read: of a folder, the one that was found in it; of several, their index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every file that tensors are in; of several, without their index.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// What kind of checkpoint it is.
    pub fn kind(&self) -> CheckpointKind {
        self.kind
    }

    /// All tensors, in the order of the file: of safetensors that of the data, of PyTorch that of the dicts.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.found.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        Some(&self.found.tensors[*self.by_name.get(name)?])
    }

    /// The names of all tensors as [`strip_wrappers`] makes them, in the order of
    /// [`tensors`](Self::tensors).
    ///
    /// # Errors
    /// [`CheckpointError::SameName`] if two become one.
    pub fn stripped_names(&self) -> Result<Vec<&str>, CheckpointError> {
        let mut first = HashMap::new();
        let mut names = Vec::with_capacity(self.tensors().len());
        for info in self.tensors() {
            let name = strip_wrappers(&info.name);
            if let Some(other) = first.insert(name, &info.name) {
                let (path, name) = (self.path.clone(), name.to_owned());
                let (first, second) = (String::clone(other), info.name.clone());
                return Err(CheckpointError::SameName { path, name, first, second });
            }
            names.push(name);
        }
        Ok(names)
    }

    /// For each tensor the first one that has its values, if that is another: in PyTorch's files, weights
    /// that are tied lie in one place and have the same shape.
    pub fn aliases(&self) -> Vec<Option<usize>> {
        #[derive(PartialEq, Eq, Hash)]
        struct Same<'a>(usize, u64, &'a Layout, &'a [usize], DType);
        let mut first = HashMap::new();
        let tensors = self.found.tensors.iter().zip(&self.found.places).enumerate();
        tensors
            .map(|(index, (info, place))| {
                let same = Same(place.file, place.start, &place.layout, &info.shape, info.dtype);
                let other = *first.entry(same).or_insert(index);
                // Empty tensors of safetensors begin in one place and have nothing in common.
                (other != index && info.elements() > 0).then_some(other)
            })
            .collect()
    }

    /// Replaces `values` by those of a tensor of floats, in the order of its shape, the last dimension
    /// fastest. Floats of 64 bits are rounded to the nearest of 32.
    ///
    /// # Errors
    /// [`CheckpointError::UnknownTensor`], [`CheckpointError::NotFloat`], no memory for them, or a file that
    /// cannot be read any more or is damaged; what `values` holds then is not said.
    pub fn read_f32(&self, name: &str, values: &mut Vec<f32>) -> Result<(), CheckpointError> {
        let (info, place) = self.find(name)?;
        if !info.dtype.is_float() {
            let (path, name) = (self.path.clone(), name.to_owned());
            return Err(CheckpointError::NotFloat { path, name, found: info.dtype });
        }
        let elements = self.room(info, size_of::<f32>(), values)?;
        let file = &self.files[place.file];
        let size = info.dtype.bytes();
        let mut read = || match &place.layout {
            Layout::Contiguous { sum } => {
                let bytes = elements as u64 * size as u64;
                read_contiguous(file, place.start, bytes, *sum, |part| info.dtype.extend_f32(part, values))
            }
            Layout::Strided(strides) => {
                values.resize(elements, 0.0);
                let put = |index: usize, bytes: &[u8]| values[index] = info.dtype.one_f32(bytes);
                read_strided(file, place.start, &info.shape, strides, size, put)
            }
        };
        unless_panicked(&file.path, || read().map_err(|fault| fault.at(&file.path)))
    }

    /// Replaces `bytes` by those of a tensor of any elements, little-endian, in the order of its shape.
    ///
    /// # Errors
    /// [`CheckpointError::UnknownTensor`], no memory for them, or a file that cannot be read any more or is
    /// damaged; what `bytes` holds then is not said.
    pub fn read_bytes(&self, name: &str, bytes: &mut Vec<u8>) -> Result<(), CheckpointError> {
        let (info, place) = self.find(name)?;
        let size = info.dtype.bytes();
        let elements = self.room(info, size, bytes)?;
        let file = &self.files[place.file];
        let count = elements * size;
        let mut read = || match &place.layout {
            Layout::Contiguous { sum } => {
                read_contiguous(file, place.start, count as u64, *sum, |part| bytes.extend_from_slice(part))
            }
            Layout::Strided(strides) => {
                bytes.resize(count, 0);
                let put =
                    |index: usize, element: &[u8]| bytes[index * size..][..size].copy_from_slice(element);
                read_strided(file, place.start, &info.shape, strides, size, put)
            }
        };
        unless_panicked(&file.path, || read().map_err(|fault| fault.at(&file.path)))
    }

    fn find(&self, name: &str) -> Result<(&TensorInfo, &Place), CheckpointError> {
        match self.by_name.get(name) {
            Some(&index) => Ok((&self.found.tensors[index], &self.found.places[index])),
            None => Err(CheckpointError::UnknownTensor { path: self.path.clone(), name: name.to_owned() }),
        }
    }

    /// Empties a buffer and makes it large enough for a tensor of so many bytes each, whose number of
    /// elements is returned.
    fn room<T>(&self, info: &TensorInfo, size: usize, buffer: &mut Vec<T>) -> Result<usize, CheckpointError> {
        let elements = info.elements();
        buffer.clear();
        let per_slot = size.div_ceil(size_of::<T>());
        let slots = usize::try_from(elements).ok().and_then(|elements| elements.checked_mul(per_slot));
        match slots.map(|slots| buffer.try_reserve_exact(slots)) {
            Some(Ok(())) => Ok(elements as usize),
            _ => Err(CheckpointError::OutOfMemory {
                path: self.path.clone(),
                name: info.name.clone(),
                bytes: elements.saturating_mul(size as u64),
            }),
        }
    }
}

/// The one checkpoint of a folder: the index of several files, or else one file.
fn checkpoint_in(folder: &Path) -> Result<PathBuf, CheckpointError> {
    let io = |source| CheckpointError::Io { path: folder.to_owned(), source };
    let (mut indices, mut single, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if name.ends_with(".safetensors.index.json") {
            indices.push(path);
        } else if name.ends_with(".safetensors") {
            single.push(path);
        } else if [".pt", ".pth", ".th", ".bin"].iter().any(|ending| name.ends_with(ending)) {
            others.push(path);
        }
    }
    let names = |paths: &mut Vec<PathBuf>| {
        paths.sort();
        let names: Vec<_> =
            paths.iter().take(3).map(|path| path.file_name().unwrap_or_default().to_string_lossy()).collect();
        format!("{}{}", names.join(", "), if paths.len() > 3 { ", …" } else { "" })
    };
    let found = match (indices.len(), single.len()) {
        (1, _) => return Ok(indices.remove(0)),
        (0, 1) => return Ok(single.remove(0)),
        (0, 0) if others.is_empty() => "neither".to_owned(),
        (0, 0) => format!("neither, but {}", names(&mut others)),
        (0, count) => format!("{count} `.safetensors` files without an index: {}", names(&mut single)),
        (count, _) => format!("{count} indices: {}", names(&mut indices)),
    };
    Err(CheckpointError::Folder { path: folder.to_owned(), found })
}

/// What a reader returns, or an error if it panics: strangers' bytes must not end the process, even where
/// we, or a library that we use, are wrong about them.
fn unless_panicked<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, CheckpointError>,
) -> Result<T, CheckpointError> {
    // Nothing outlives a panic but what the caller is told not to rely on.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(CheckpointError::Panicked { path: path.to_owned() }))
}
