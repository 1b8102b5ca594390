//! What the names on the list make of their arguments: dicts, storages and tensors.

use super::globals::Global;
use super::machine::Machine;
use super::value::{Storage, Tensor, Value};
use crate::error::{Fault, check_limit};
use crate::limits::RANK;

/// As many entries of the dict after a tensor's arguments are looked at; torch writes two.
const FLAGS: usize = 64;

impl Machine<'_, '_> {
    /// What a callable makes of a tuple of arguments.
    pub(super) fn call(&mut self, callable: Value, arguments: Value) -> Result<Value, Fault> {
        let Value::Global(global) = callable else { return Err(self.wrong(callable, "a name of Python's")) };
        let Value::Tuple(place) = arguments else { return Err(self.wrong(arguments, "a tuple")) };
        // Few, or of no interest beyond the first.
        let given: Vec<Value> = self.heap.sequences[place as usize].iter().copied().take(8).collect();
        match (global, given.as_slice()) {
            (Global::Dict, [.., Value::List(pairs)]) => self.dict_of_pairs(*pairs),
            (Global::Dict, _) => Ok(self.heap.add_dict()),
            (Global::Sequence, []) => Ok(Value::List(self.heap.add_sequence(Vec::new()))),
            (Global::Sequence, [items @ (Value::Tuple(_) | Value::List(_))]) => Ok(*items),
            (Global::Parameter, [tensor @ Value::Tensor(_), ..]) => Ok(*tensor),
            // `function(*arguments)`: the function can be this one again, but only so deep.
            (
                Global::TensorOfType,
                [
                    callable @ Value::Global(Global::Tensor | Global::TensorOfDType | Global::Parameter),
                    _,
                    arguments,
                    ..,
                ],
            ) => self.call(*callable, *arguments),
            (Global::Tensor | Global::TensorOfDType, given) => self.tensor(global, given),
            (Global::Inert, _) => Ok(Value::Inert),
            _ => Err(self.wrong(arguments, "the arguments of what is called")),
        }
    }

    fn dict_of_pairs(&mut self, pairs: u32) -> Result<Value, Fault> {
        // The one operation that copies what it is given. Each pair took a step to make, so that only who
        // copies it again and again copies more of them than there were steps.
        self.heap.copied += self.heap.sequences[pairs as usize].len();
        check_limit("copied pairs of a pickle", self.heap.copied as u64, self.heap.steps as u64)?;
        let mut items = Vec::new();
        for &pair in &self.heap.sequences[pairs as usize] {
            let Some(&[key, value]) = self.heap.items(pair) else { return Err(self.wrong(pair, "a pair")) };
            items.push((key, value));
        }
        let dict = self.heap.add_dict();
        if let Some(last) = self.heap.dicts.last_mut() {
            *last = items;
        }
        Ok(dict)
    }

    /// `(storage, offset, shape, strides)`, and since version 2 `(…, requires_grad, hooks)`, since version 3
    /// `(…, dtype)`; at the end there may be a dict that says what the elements do not.
    fn tensor(&mut self, global: Global, given: &[Value]) -> Result<Value, Fault> {
        let [storage, offset, shape, strides, rest @ ..] = given else {
            return Err(self.missing("the arguments of a tensor"));
        };
        let Value::Storage(storage_place) = *storage else { return Err(self.wrong(*storage, "a storage")) };
        let offset = self.count(*offset)?;
        let (shape, strides) = (self.sizes(*shape)?, self.sizes(*strides)?);
        if shape.len() != strides.len() {
            return Err(self.missing("as many strides as dimensions"));
        }
        let (dtype, rest) = if global == Global::TensorOfDType {
            match rest {
                [_, _, Value::Global(Global::DType(dtype)), rest @ ..] => (Some(*dtype), rest),
                _ => return Err(self.missing("the kind of a tensor's elements")),
            }
        } else {
            (self.heap.storages[storage_place as usize].dtype, rest.get(2..).unwrap_or_default())
        };
        let Some(dtype) = dtype else { return Err(self.wrong(*storage, "a storage of known elements")) };
        let flags = match rest {
            [Value::Dict(flags), ..] => self.heap.dicts[*flags as usize].as_slice(),
            _ => &[],
        };
        let bytes = self.input.bytes();
        let flagged = |name| {
            flags
                .iter()
                .take(FLAGS)
                .any(|(key, value)| key.is_text(bytes, name) && !matches!(value, Value::Bool(false)))
        };
        let unsupported = [("conj", "a conjugate"), ("neg", "the negative of what is stored")]
            .into_iter()
            .find_map(|(name, what)| flagged(name).then_some(what));
        let count = self.heap.tensors.len() as u64 + 1;
        check_limit("tensors", count, self.limits.tensors as u64)?;
        self.heap.tensors.push(Tensor { storage: storage_place, dtype, offset, shape, strides, unsupported });
        Ok(Value::Tensor(count as u32 - 1))
    }

    /// `('storage', class, key, where it was, elements)`, and in the older format a view of it or none.
    pub(super) fn storage(&mut self, id: Value) -> Result<Value, Fault> {
        let Some([tag, class, key, _, elements, view @ ..]) = self.heap.items(id) else {
            return Err(self.wrong(id, "a storage's name, class and length"));
        };
        let (tag, class, key, elements) = (*tag, *class, *key, *elements);
        if !tag.is_text(self.input.bytes(), "storage") {
            return Err(self.wrong(tag, "the text `storage`"));
        }
        let Value::Global(Global::Storage(dtype)) = class else {
            return Err(self.wrong(class, "a class of storages"));
        };
        if !matches!(key, Value::Text { .. } | Value::Int(_)) {
            return Err(self.wrong(key, "a storage's name"));
        }
        let view = match view {
            [] | [Value::None] => None,
            // The view's name, offset and length.
            &[view] => match self.heap.items(view) {
                Some(&[_, offset, length]) => Some((self.count(offset)?, self.count(length)?)),
                _ => return Err(self.wrong(view, "a view's name, offset and length")),
            },
            _ => return Err(self.wrong(id, "a storage's name, class and length")),
        };
        let elements = self.count(elements)?;
        let count = self.heap.storages.len() as u64 + 1;
        // Each use of a storage makes one.
        check_limit("tensors", count, self.limits.tensors as u64)?;
        self.heap.storages.push(Storage { key, dtype, elements, view });
        Ok(Value::Storage(count as u32 - 1))
    }

    fn sizes(&self, value: Value) -> Result<Vec<usize>, Fault> {
        let Some(items) = self.heap.items(value) else { return Err(self.wrong(value, "a tuple of numbers")) };
        check_limit("dimensions of a tensor", items.len() as u64, RANK as u64)?;
        items.iter().map(|&item| Ok(self.count(item)? as usize)).collect()
    }

    fn count(&self, value: Value) -> Result<u64, Fault> {
        match value {
            Value::Int(number) if number >= 0 => Ok(number as u64),
            other => Err(self.wrong(other, "a whole number, not negative")),
        }
    }
}
