//! The machine that a pickle is a program for.
//!
//! It has a stack, marks on it, and numbered values to come back to. Every operation is a byte of the
//! pickle at least and makes one small value at most, nothing recurses, and the steps are counted: what a
//! pickle can cost is bounded by its bytes and by [`Limits`].

use std::collections::HashMap;

use super::globals::{Global, global};
use super::input::Input;
use super::value::{Heap, Value, bytes_of};
use crate::Limits;
use crate::error::{Fault, FormatError, check_limit};
use crate::limits::NAME_BYTES;

/// The value of the next pickle of an input.
pub(crate) fn unpickle(input: &mut Input<'_>, heap: &mut Heap, limits: &Limits) -> Result<Value, Fault> {
    let operation = input.offset();
    let mut machine = Machine {
        input,
        heap,
        limits,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        operation,
    };
    machine.run()
}

pub(super) struct Machine<'m, 'f> {
    pub(super) input: &'m mut Input<'f>,
    pub(super) heap: &'m mut Heap,
    pub(super) limits: &'m Limits,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    /// Where the present operation is in the file.
    operation: u64,
}

impl Machine<'_, '_> {
    fn run(&mut self) -> Result<Value, Fault> {
        loop {
            self.operation = self.input.offset();
            self.heap.steps += 1;
            check_limit("steps of a pickle", self.heap.steps as u64, self.limits.pickle_steps() as u64)?;
            let code = self.input.byte()?;
            if code == b'.' {
                return self.pop();
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Result<(), Fault> {
        match code {
            // The protocol; a frame, whose length nobody needs.
            0x80 => {
                let [found] = self.input.array("the protocol")?;
                if !(2..=5).contains(&found) {
                    return Err(FormatError::Protocol { found }.into());
                }
            }
            0x95 => drop(self.input.array::<8>("a frame")?),

            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }

            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' => {
                let number = i32::from_le_bytes(self.input.array("a number")?);
                self.stack.push(Value::Int(number.into()));
            }
            b'K' => {
                let [number] = self.input.array("a number")?;
                self.stack.push(Value::Int(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.input.array("a number")?);
                self.stack.push(Value::Int(number.into()));
            }
            0x8a => self.long::<1>()?,
            0x8b => self.long::<4>()?,
            b'G' => {
                self.input.array::<8>("a float")?;
                self.stack.push(Value::Inert);
            }

            // Texts of Python 3 and of Python 2, with lengths of 8, 32 and 64 bits.
            0x8c | b'U' => self.text::<1>()?,
            b'X' | b'T' => self.text::<4>()?,
            0x8d => self.text::<8>()?,
            b'C' => self.skip_bytes::<1>()?,
            b'B' => self.skip_bytes::<4>()?,
            0x8e | 0x96 => self.skip_bytes::<8>()?,

            b')' => self.tuple(0)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.since_mark()?;
                let tuple = Value::Tuple(self.heap.add_sequence(items));
                self.stack.push(tuple);
            }
            // An empty list; an empty set is one here.
            b']' | 0x8f => {
                let list = Value::List(self.heap.add_sequence(Vec::new()));
                self.stack.push(list);
            }
            // A list, or a frozen set, of everything since the mark.
            b'l' | 0x91 => {
                let items = self.since_mark()?;
                let list = Value::List(self.heap.add_sequence(items));
                self.stack.push(list);
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.append(&items)?;
            }
            b'}' => {
                let dict = self.heap.add_dict();
                self.stack.push(dict);
            }
            b'd' => {
                let items = self.since_mark()?;
                let dict = self.heap.add_dict();
                self.stack.push(dict);
                self.set_items(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(&items)?;
            }

            b'q' => {
                let [index] = self.input.array("a number")?;
                self.put(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.input.array("a number")?);
                self.put(index)?;
            }
            0x94 => self.put(self.memo.len() as u32)?,
            b'h' => {
                let [index] = self.input.array("a number")?;
                self.get(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.input.array("a number")?);
                self.get(index)?;
            }

            b'c' => {
                let module = self.input.line(NAME_BYTES)?;
                let name = self.input.line(NAME_BYTES)?;
                let bytes = self.input.bytes();
                let known = named(&bytes[module], &bytes[name])?;
                self.stack.push(Value::Global(known));
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let bytes = self.input.bytes();
                let (Some(module_text), Some(name_text)) = (bytes_of(bytes, module), bytes_of(bytes, name))
                else {
                    return Err(self.wrong(module, "a text"));
                };
                let known = named(module_text, name_text)?;
                self.stack.push(Value::Global(known));
            }
            // `callable(*arguments)`, `class.__new__(class, *arguments)`, and that with named arguments.
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                let made = self.call(callable, arguments)?;
                self.stack.push(made);
            }
            0x92 => {
                self.pop()?;
                let arguments = self.pop()?;
                let callable = self.pop()?;
                let made = self.call(callable, arguments)?;
                self.stack.push(made);
            }
            // An object's attributes: a dict's `_metadata`, or of what is not asked.
            b'b' => {
                self.pop()?;
                match self.top()? {
                    Value::Dict(_) | Value::List(_) | Value::Inert => {}
                    other => return Err(self.wrong(other, "a dict")),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.stack.push(storage);
            }
            found => return Err(FormatError::Opcode { offset: self.operation, found }.into()),
        }
        Ok(())
    }

    pub(super) fn wrong(&self, found: Value, needed: &'static str) -> Fault {
        FormatError::Operand { offset: self.operation, found: found.kind(), needed }.into()
    }

    pub(super) fn missing(&self, needed: &'static str) -> Fault {
        FormatError::Operand { offset: self.operation, found: "nothing", needed }.into()
    }

    /// The lowest place of the stack that may be taken: what is below the last mark is not there.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        if self.stack.len() > self.floor()
            && let Some(value) = self.stack.pop()
        {
            return Ok(value);
        }
        Err(self.missing("a value"))
    }

    fn top(&self) -> Result<Value, Fault> {
        match self.stack.last() {
            Some(value) if self.stack.len() > self.floor() => Ok(*value),
            _ => Err(self.missing("a value")),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let Some(mark) = self.marks.pop() else { return Err(self.missing("a mark")) };
        Ok(self.stack.split_off(mark))
    }

    fn put(&mut self, index: u32) -> Result<(), Fault> {
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn get(&mut self, index: u32) -> Result<(), Fault> {
        let Some(value) = self.memo.get(&index) else {
            return Err(FormatError::Memo { offset: self.operation, index: index.into() }.into());
        };
        self.stack.push(*value);
        Ok(())
    }

    /// A length of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.input.array::<N>("a length")?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn text<const N: usize>(&mut self) -> Result<(), Fault> {
        let len = self.length::<N>()?;
        let place = self.input.take("a text", len)?;
        self.stack.push(Value::Text { start: place.start as u32, len: place.len() as u32 });
        Ok(())
    }

    fn skip_bytes<const N: usize>(&mut self) -> Result<(), Fault> {
        let len = self.length::<N>()?;
        self.input.take("bytes", len)?;
        self.stack.push(Value::Inert);
        Ok(())
    }

    /// A whole number of any length; one that 64 bits do not hold is none that we need.
    fn long<const N: usize>(&mut self) -> Result<(), Fault> {
        let len = self.length::<N>()?;
        let place = self.input.take("a number", len)?;
        let bytes = &self.input.bytes()[place];
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        self.stack.push(match wide.get_mut(..bytes.len()) {
            Some(part) => {
                part.copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(wide))
            }
            None => Value::Inert,
        });
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<(), Fault> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
        let Some(start) = start else { return Err(self.missing("a value")) };
        let items = self.stack.split_off(start);
        let tuple = Value::Tuple(self.heap.add_sequence(items));
        self.stack.push(tuple);
        Ok(())
    }

    fn append(&mut self, items: &[Value]) -> Result<(), Fault> {
        match self.top()? {
            Value::List(place) => self.heap.sequences[place as usize].extend_from_slice(items),
            Value::Inert => {}
            other => return Err(self.wrong(other, "a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), Fault> {
        let (pairs, rest) = items.as_chunks();
        if !rest.is_empty() {
            return Err(self.missing("a value for a dict's last key"));
        }
        match self.top()? {
            Value::Dict(place) => {
                self.heap.dicts[place as usize].extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            Value::Inert => {}
            other => return Err(self.wrong(other, "a dict")),
        }
        Ok(())
    }
}

/// What a module's name means, which an error tells if it is not on the list.
fn named(module: &[u8], name: &[u8]) -> Result<Global, FormatError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(NAME_BYTES)]).into_owned();
    let (module, name) = (text(module), text(name));
    global(&module, &name).ok_or(FormatError::Global { module, name })
}
