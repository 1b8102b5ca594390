//! Python's pickles as data: a machine that can build lists, dicts and tensors, and call nothing.
//!
//! [`input`] reads the bytes, as few as are needed; [`machine`] interprets the operations; [`globals`] is
//! the list of what a pickle may name, and what each name means here, [`objects`] makes it; [`value`] is
//! what comes out.
//! Operations after `pickletools.py` of CPython 3, protocols 2 to 5.

mod globals;
mod input;
mod machine;
mod objects;
mod value;

pub(crate) use input::Input;
pub(crate) use machine::unpickle;
pub(crate) use value::{Heap, Storage, Tensor, Value};
