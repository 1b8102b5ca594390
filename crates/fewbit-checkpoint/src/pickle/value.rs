//! What a pickle builds.

use super::globals::Global;
use crate::DType;
use crate::error::FormatError;

/// A value, or the place of one: small and copied freely, so that what is referred to a thousand times is
/// kept once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A place in the pickle's bytes, of text that may not be UTF-8.
    Text {
        start: u32,
        len: u32,
    },
    Global(Global),
    /// Places in the heap.
    Tuple(u32),
    List(u32),
    Dict(u32),
    Storage(u32),
    Tensor(u32),
    /// Something whose value nobody needs: a float, bytes, a large integer, an object of a harmless class.
    Inert,
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "a whole number",
            Self::Text { .. } => "a text",
            Self::Global(_) => "a name of Python's",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Inert => "another value",
        }
    }
}

/// A stretch of memory that tensors are parts of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storage {
    /// Its name in the file: a text or a whole number.
    pub(crate) key: Value,
    /// `None` for one that is counted in bytes.
    pub(crate) dtype: Option<DType>,
    pub(crate) elements: u64,
    /// Where it begins in the storage of its key, in elements, and how many of them it is: only very old
    /// files have such views.
    pub(crate) view: Option<(u64, u64)>,
}

/// A part of a storage that has a shape.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) storage: u32,
    pub(crate) dtype: DType,
    /// The element of the storage, or of its view, that it begins with.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    /// Why it is not what its elements say, if it is not.
    pub(crate) unsupported: Option<&'static str>,
}

/// Everything that pickles of one file build.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    pub(crate) sequences: Vec<Vec<Value>>,
    pub(crate) dicts: Vec<Vec<(Value, Value)>>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) tensors: Vec<Tensor>,
    /// Operations that were done.
    pub(crate) steps: usize,
    /// Pairs that became entries of a dict by being copied.
    pub(crate) copied: usize,
}

impl Heap {
    pub(crate) fn add_sequence(&mut self, items: Vec<Value>) -> u32 {
        self.sequences.push(items);
        self.sequences.len() as u32 - 1
    }

    pub(crate) fn add_dict(&mut self) -> Value {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() as u32 - 1)
    }

    /// What a tuple or list holds.
    pub(crate) fn items(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(place) | Value::List(place) => Some(&self.sequences[place as usize]),
            _ => None,
        }
    }
}

/// The text of a value, from the bytes it was read from; `None` for what is none.
pub(super) fn bytes_of(bytes: &[u8], value: Value) -> Option<&[u8]> {
    match value {
        Value::Text { start, len } => Some(&bytes[start as usize..][..len as usize]),
        _ => None,
    }
}

impl Value {
    /// Its text, or a whole number's digits; `None` for what is neither.
    pub(crate) fn key(self, bytes: &[u8]) -> Result<Option<String>, FormatError> {
        if let Self::Int(number) = self {
            return Ok(Some(number.to_string()));
        }
        let Some(text) = bytes_of(bytes, self) else { return Ok(None) };
        // Checked first: nobody chooses how much of our memory a key takes.
        if text.len() > crate::limits::NAME_BYTES {
            let start = String::from_utf8_lossy(&text[..40]).into_owned();
            return Err(FormatError::BadName { start, found: text.len(), limit: crate::limits::NAME_BYTES });
        }
        match str::from_utf8(text) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => {
                let Self::Text { start, .. } = self else { return Ok(None) };
                Err(FormatError::NotText { what: "a key of a dict", offset: u64::from(start) })
            }
        }
    }

    /// Its text, if it is one that equals another.
    pub(crate) fn is_text(self, bytes: &[u8], other: &str) -> bool {
        bytes_of(bytes, self) == Some(other.as_bytes())
    }
}
