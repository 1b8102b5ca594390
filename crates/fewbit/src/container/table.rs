//! The table: what each tensor is called, what it is, and how it is stored.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::entry::{QuantizedEntry, TensorEntry, TensorKind};
use super::header::over_limit;
use super::limits::{FREQUENCY_TABLE_BYTES, NAME_BYTES, RANK};
use super::{Limits, ReadError, TensorBytes};
use crate::encoding::classes::WidthClasses;
use crate::encoding::coded::SharedModels;
use crate::encoding::codes::{self, CodesEntry, CodesForm};
use crate::encoding::cursor::{Cursor, number_bytes, put_number};
use crate::encoding::levels::{self, LevelsEntry, RangesEntry};
use crate::encoding::ranges::{self, SharedRangeTables};
use crate::group::element_count;
use crate::tensor::Levels;
use crate::{ElementType, Encoding, FloatEncoding, QuantizedTensor, RangeGranularity};

/// The number that an encoding has in a file.
const ENCODINGS: [(u8, Encoding); 5] = [
    (0, Encoding::Float32),
    (1, Encoding::Packed),
    (2, Encoding::Coded),
    (3, Encoding::Float16),
    (4, Encoding::BFloat16),
];
/// Where an encoding's number would be: no data, but the place of another tensor.
const ALIAS: u8 = 5;
/// The number of raw tensors.
const RAW: u8 = 6;
/// Stands for a further encoding, whose number less this one is the next byte. This version has none.
const EXTENDED: u8 = 7;
/// Bits of an encoding's number; those above say what codes mean, or what elements are.
const ENCODING_BITS: u32 = 3;
/// More data than any tensor has, and so few that sums of them do not overflow.
const DATA_BYTES: u64 = 1 << 43;

/// The names that were written, so that the next can be told by what it has in common with them.
#[derive(Clone, Debug, Default)]
pub(super) struct WrittenNames {
    last: String,
    count: usize,
    /// The last entry whose name ends in these bytes behind what it shares.
    ends: HashMap<Vec<u8>, usize>,
}

impl WrittenNames {
    /// Appends the name of the next entry: how much of the name before it repeats; then the rest, or how
    /// far back it was the rest of a name.
    pub(super) fn put(&mut self, table: &mut Vec<u8>, name: &str) {
        let common = name.bytes().zip(self.last.bytes()).take_while(|(ours, theirs)| ours == theirs);
        let shared = common.count();
        let end = &name.as_bytes()[shared..];
        put_number(table, shared as u64);
        let back = self.ends.get(end).map(|&entry| 2 * (self.count - entry - 1) as u64 + 1);
        match back.filter(|back| number_bytes(*back) < 1 + end.len() as u64) {
            Some(back) => put_number(table, back),
            None => {
                put_number(table, 2 * end.len() as u64);
                table.extend_from_slice(end);
            }
        }
        self.ends.insert(end.to_vec(), self.count);
        self.last = name.to_owned();
        self.count += 1;
    }
}

/// What an entry of the table may refer to of those before it, beside the entries themselves.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// The frequency tables that came last.
    models: SharedModels,
    range_tables: SharedRangeTables,
    /// How many frequency tables there are.
    tables: usize,
    /// Where the rest of each name is, behind what it shares.
    ends_at: Vec<Range<usize>>,
}

impl Earlier {
    /// What the frequency tables count as.
    pub(super) const fn table_bytes(&self) -> u64 {
        (self.tables * FREQUENCY_TABLE_BYTES) as u64
    }
}

/// Appends what follows the name of a quantized tensor; `codes_directory` and `levels_directory` are those of a coded
/// one.
pub(super) fn put_quantized(
    table: &mut Vec<u8>,
    tensor: &QuantizedTensor,
    classes: &WidthClasses,
    encoding: Encoding,
    [codes_directory, levels_directory]: [&[u8]; 2],
) {
    let Levels::Uniform(found) = tensor.levels();
    let levels = levels::number_of(found.granularity(), found.kind(), found.form());
    table.push(number_of(encoding) | levels << ENCODING_BITS);
    put_shape(table, tensor.shape());
    codes::put(table, tensor.group_size(), classes);
    table.extend_from_slice(codes_directory);
    if found.granularity() == RangeGranularity::Tensor {
        table.extend(ranges::pack(found.values(), found.form()));
    }
    table.extend_from_slice(levels_directory);
}

/// Appends what follows the name of a tensor of floats.
pub(super) fn put_float(table: &mut Vec<u8>, shape: &[usize], encoding: FloatEncoding) {
    table.push(number_of(encoding.into()));
    put_shape(table, shape);
}

/// Appends what follows the name of a raw tensor.
pub(super) fn put_raw(table: &mut Vec<u8>, shape: &[usize], elements: ElementType) {
    table.push(RAW | elements.number() << ENCODING_BITS);
    put_shape(table, shape);
}

/// Appends what follows the name of an alias.
pub(super) fn put_alias(table: &mut Vec<u8>, target: usize) {
    table.push(ALIAS);
    put_number(table, target as u64);
}

fn number_of(encoding: Encoding) -> u8 {
    let found = ENCODINGS.iter().find(|(_, known)| *known == encoding);
    found.map_or(u8::MAX, |(number, _)| *number)
}

fn put_shape(table: &mut Vec<u8>, shape: &[usize]) {
    put_number(table, shape.len() as u64);
    for &dimension in shape {
        put_number(table, dimension as u64);
    }
}

/// The next entry; `earlier` are those before it, and `known` what they brought.
pub(super) fn read_entry(
    cursor: &mut Cursor<'_>,
    earlier: &[TensorEntry],
    known: &mut Earlier,
    limits: &Limits,
) -> Result<TensorEntry, ReadError> {
    let start = cursor.position();
    let name = read_name(cursor, earlier, known)?;
    let [form] = cursor.array("a tensor's encoding")?;
    let (number, form) = (form & ((1 << ENCODING_BITS) - 1), form >> ENCODING_BITS);
    if number == EXTENDED {
        let [further] = cursor.array("a tensor's further encoding")?;
        return Err(ReadError::UnknownEncoding { name, found: u16::from(EXTENDED) + u16::from(further) });
    }
    let mut entry = if number == ALIAS {
        read_alias(cursor, name, earlier)?
    } else {
        let encoding = read_encoding(&name, number, form)?;
        let (shape, elements) = read_shape(cursor, &name, limits)?;
        let mut entry = TensorEntry {
            name,
            shape,
            elements,
            kind: TensorKind::Float32,
            encoding,
            quantized: None,
            bytes: TensorBytes::default(),
            data_bytes: 0,
            data_at: 0..0,
        };
        match encoding {
            Encoding::Packed | Encoding::Coded => read_quantized(cursor, &mut entry, form, known)?,
            Encoding::Float32 => entry.set_floats(FloatEncoding::Float32),
            Encoding::Float16 => entry.set_floats(FloatEncoding::Float16),
            Encoding::BFloat16 => entry.set_floats(FloatEncoding::BFloat16),
            Encoding::Raw(_) => entry.set_raw(limits)?,
        }
        entry
    };
    if !matches!(entry.kind, TensorKind::Quantized | TensorKind::Raw) && form != 0 {
        return Err(ReadError::UnknownRanges { name: entry.name, found: form });
    }
    let bytes = &mut entry.bytes;
    // What was read is the entry itself, and parts of it that belong to ranges, widths and codes.
    let all = (cursor.position() - start) as u64 + entry.data_bytes;
    bytes.table = all - bytes.total();
    Ok(entry)
}

impl TensorEntry {
    fn set_floats(&mut self, encoding: FloatEncoding) {
        self.data_bytes = self.elements as u64 * encoding.bytes() as u64;
        self.bytes.unquantized = self.data_bytes;
    }

    fn set_raw(&mut self, limits: &Limits) -> Result<(), ReadError> {
        self.kind = TensorKind::Raw;
        self.data_bytes = self.output_bytes();
        self.bytes.unquantized = self.data_bytes;
        over_limit("bytes of a tensor's values", self.data_bytes, limits.output_bytes)
    }
}

/// What the two parts of an entry's first byte mean.
fn read_encoding(name: &str, number: u8, form: u8) -> Result<Encoding, ReadError> {
    if number == RAW {
        let elements = ElementType::from_number(form);
        return elements
            .map(Encoding::Raw)
            .ok_or_else(|| ReadError::UnknownElements { name: name.to_owned(), found: form });
    }
    let found = ENCODINGS.iter().find(|(known, _)| *known == number);
    found
        .map(|(_, encoding)| *encoding)
        .ok_or_else(|| ReadError::UnknownEncoding { name: name.to_owned(), found: number.into() })
}

fn read_name(
    cursor: &mut Cursor<'_>,
    earlier: &[TensorEntry],
    known: &mut Earlier,
) -> Result<String, ReadError> {
    let index = earlier.len();
    let previous = earlier.last().map_or("", |entry| entry.name.as_str());
    let shared = cursor.number("what a name shares with the one before")?;
    let rest = cursor.number("the rest of a tensor's name")?;
    let offset = cursor.position();
    let end_at = if rest % 2 == 0 {
        over_limit("bytes of a tensor's name", rest / 2, NAME_BYTES as u64)?;
        cursor.take(rest / 2, "a tensor's name")?;
        offset..cursor.position()
    } else {
        let found = usize::try_from(rest / 2).ok().and_then(|back| known.ends_at.iter().nth_back(back));
        found.cloned().ok_or(ReadError::NoSuchName { index, back: rest / 2 })?
    };
    let own = &cursor.whole()[end_at.clone()];
    known.ends_at.push(end_at);
    over_limit("bytes of a tensor's name", shared.saturating_add(own.len() as u64), NAME_BYTES as u64)?;
    let shared_bytes = usize::try_from(shared)
        .ok()
        .and_then(|shared| previous.as_bytes().get(..shared))
        .ok_or(ReadError::SharedTooLong { index, shared, previous: previous.len() })?;
    // A character may be cut between the two parts, so only the whole is checked.
    let name = String::from_utf8([shared_bytes, own].concat()).map_err(|error| ReadError::NotText {
        what: "a tensor's name".to_owned(),
        offset,
        source: error.utf8_error(),
    })?;
    if name.is_empty() {
        return Err(ReadError::EmptyName { index });
    }
    Ok(name)
}

fn read_shape(
    cursor: &mut Cursor<'_>,
    name: &str,
    limits: &Limits,
) -> Result<(Vec<usize>, usize), ReadError> {
    let rank = cursor.number("a tensor's number of dimensions")?;
    over_limit("dimensions of a tensor", rank, RANK as u64)?;
    let shape = (0..rank).map(|_| cursor.count("a dimension")).collect::<Result<Vec<_>, _>>()?;
    // What memory could not hold as floats is not counted at all, so that sizes never overflow.
    let countable = element_count(&shape).filter(|elements| *elements <= isize::MAX as usize / 8);
    let Some(elements) = countable else {
        let name = name.to_owned();
        return Err(ReadError::ShapeOverflow { name, shape });
    };
    over_limit("bytes of a tensor's values", elements as u64 * 4, limits.output_bytes)?;
    over_limit("values of a tensor", elements as u64, limits.elements)?;
    Ok((shape, elements))
}

/// Reads what follows the shape of a quantized tensor: its codes, then what they mean.
fn read_quantized(
    cursor: &mut Cursor<'_>,
    entry: &mut TensorEntry,
    number: u8,
    known: &mut Earlier,
) -> Result<(), ReadError> {
    let Some(uniform) = levels::from_number(number) else {
        let name = entry.name.clone();
        if number != levels::EXTENDED {
            return Err(ReadError::UnknownRanges { name, found: number });
        }
        let [found] = cursor.array("what a tensor's codes mean")?;
        return Err(ReadError::UnknownLevels { name, found });
    };
    let (name, elements) = (entry.name.as_str(), entry.elements);
    let failed = |error| ReadError::of_tensor(name, elements, error);
    let coded = entry.encoding == Encoding::Coded;
    // A uniform grid has one code per weight.
    let (codes, size) =
        CodesEntry::read(cursor, elements, coded.then_some(&mut known.models)).map_err(failed)?;
    let start = cursor.position();
    let with_bits = codes.classes.grouping().count() - codes.classes.histogram()[0];
    let shared = coded.then_some(&mut known.range_tables);
    let ranges = RangesEntry::read(cursor, uniform, &entry.shape, with_bits, shared).map_err(failed)?;
    known.tables += ranges.tables();
    if let CodesForm::Coded(directory) = &codes.form {
        known.tables += directory.tables();
    }
    let range_data = ranges.data_bytes();
    let bytes = &mut entry.bytes;
    (bytes.frequency_tables, bytes.codes, bytes.widths) = (size.frequency_tables, size.codes, size.widths);
    bytes.ranges = range_data.saturating_add((cursor.position() - start) as u64);
    entry.data_bytes = size.data.saturating_add(range_data);
    over_limit("bytes of a tensor's data", entry.data_bytes, DATA_BYTES)?;
    entry.kind = TensorKind::Quantized;
    entry.quantized = Some(Arc::new(QuantizedEntry { codes, levels: LevelsEntry::Uniform(ranges) }));
    Ok(())
}

fn read_alias(
    cursor: &mut Cursor<'_>,
    name: String,
    earlier: &[TensorEntry],
) -> Result<TensorEntry, ReadError> {
    let target = cursor.number("an alias's target")?;
    let found = usize::try_from(target).ok().and_then(|target| Some((target, earlier.get(target)?)));
    let Some((target, found)) = found else {
        return Err(ReadError::AliasTarget { name, target });
    };
    if !found.is_stored() {
        let target = found.name.clone();
        return Err(ReadError::AliasOfAlias { name, target });
    }
    Ok(TensorEntry {
        name,
        kind: TensorKind::Alias { target },
        bytes: TensorBytes::default(),
        data_bytes: 0,
        ..found.clone()
    })
}
