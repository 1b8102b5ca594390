//! The tensors of nested dicts and lists, by the path that leads to each.

use std::collections::HashSet;

use crate::Limits;
use crate::error::{Fault, FormatError, check_limit};
use crate::limits::{DEPTH, NAME_BYTES};
use crate::pickle::{Heap, Value};

/// What a tensor is called that is in no dict or list.
const LONE: &str = "tensor";

/// Every tensor below a value, in the order of the file, under its keys and indices joined by dots.
pub(super) fn named_tensors(
    root: Value,
    heap: &Heap,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<(String, u32)>, Fault> {
    let mut walk = Walk {
        heap,
        bytes,
        limits,
        path: String::new(),
        found: Vec::new(),
        seen: HashSet::new(),
        visits: 0,
        name_bytes: 0,
    };
    walk.visit(root, 0, true)?;
    Ok(walk.found)
}

struct Walk<'a> {
    heap: &'a Heap,
    bytes: &'a [u8],
    limits: &'a Limits,
    path: String,
    found: Vec<(String, u32)>,
    seen: HashSet<String>,
    /// Values and dicts' entries that were looked at: what is referred to from many places counts as often.
    visits: usize,
    name_bytes: usize,
}

impl Walk<'_> {
    fn visit(&mut self, value: Value, depth: usize, named: bool) -> Result<(), Fault> {
        self.count_visits(1)?;
        if depth > DEPTH {
            return Err(FormatError::TooDeep { name: self.path.clone(), limit: DEPTH }.into());
        }
        match value {
            Value::Tensor(tensor) if named => self.add(tensor),
            Value::Tensor(_) => Err(FormatError::KeyNotText { name: self.path.clone() }.into()),
            Value::Dict(place) => {
                let heap = self.heap;
                // Entries that hold no tensors are passed over, which takes time too.
                self.count_visits(heap.dicts[place as usize].len())?;
                for &(key, value) in &heap.dicts[place as usize] {
                    // Keys of what holds no tensors can be anything.
                    if matches!(value, Value::Tensor(_) | Value::Dict(_) | Value::Tuple(_) | Value::List(_)) {
                        match key.key(self.bytes)? {
                            Some(key) => self.enter(&key, value, depth, named)?,
                            None => self.visit(value, depth + 1, false)?,
                        }
                    }
                }
                Ok(())
            }
            Value::Tuple(_) | Value::List(_) => {
                let heap = self.heap;
                for (index, &item) in heap.items(value).unwrap_or_default().iter().enumerate() {
                    self.enter(&index.to_string(), item, depth, named)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn count_visits(&mut self, count: usize) -> Result<(), FormatError> {
        self.visits += count;
        check_limit("values of a pickle", self.visits as u64, self.limits.pickle_steps() as u64)
    }

    fn enter(&mut self, key: &str, value: Value, depth: usize, named: bool) -> Result<(), Fault> {
        let outside = self.path.len();
        if outside > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        self.visit(value, depth + 1, named)?;
        self.path.truncate(outside);
        Ok(())
    }

    fn add(&mut self, tensor: u32) -> Result<(), Fault> {
        check_limit("tensors", self.found.len() as u64 + 1, self.limits.tensors as u64)?;
        let name =
            if self.found.is_empty() && self.path.is_empty() && self.visits == 1 { LONE } else { &self.path };
        check_name(name)?;
        self.name_bytes += name.len();
        check_limit("bytes of all names", self.name_bytes as u64, self.limits.header_bytes as u64)?;
        if !self.seen.insert(name.to_owned()) {
            return Err(FormatError::DuplicateName { name: name.to_owned() }.into());
        }
        self.found.push((name.to_owned(), tensor));
        Ok(())
    }
}

/// An error for a name that is empty or too long.
pub(crate) fn check_name(name: &str) -> Result<(), FormatError> {
    if (1..=NAME_BYTES).contains(&name.len()) {
        return Ok(());
    }
    let start = name.chars().take(40).collect();
    Err(FormatError::BadName { start, found: name.len(), limit: NAME_BYTES })
}
