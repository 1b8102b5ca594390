//! The table: what each tensor is called, what it is, and how it is stored.

use std::ops::Range;

use super::cursor::{Cursor, put_number};
use super::header::over_limit;
use super::limits::{NAME_BYTES, RANK};
use super::{Limits, ReadError, TensorBytes};
use crate::tensor::element_count;
use crate::{BitWidth, GroupSize, Grouping, QuantizedTensor, ValueRange};

const QUANTIZED: u8 = 0;
const FLOAT32: u8 = 1;
const ALIAS: u8 = 2;

/// How a tensor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorKind {
    /// As codes.
    Quantized,
    /// As 32-bit floats.
    Float32,
    /// Not at all: it is another tensor under a second name.
    Alias {
        /// That tensor's place in [`ContainerReader::tensors`](super::ContainerReader::tensors).
        target: usize,
    },
}

/// One tensor of a file: what the table says and where its bytes go.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorEntry {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) elements: usize,
    pub(super) kind: TensorKind,
    pub(super) quantized: Option<QuantizedEntry>,
    pub(super) bytes: TensorBytes,
    /// Where its floats, or its codes, lie in the file.
    pub(super) values_at: Range<usize>,
}

/// What the table says of a quantized tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct QuantizedEntry {
    pub(super) group_size: GroupSize,
    pub(super) range: ValueRange,
    pub(super) minimum: BitWidth,
    pub(super) maximum: BitWidth,
    pub(super) histogram: [usize; BitWidth::COUNT],
    pub(super) code_bits: u64,
    /// Where its widths lie in the file.
    pub(super) widths_at: Range<usize>,
}

impl TensorEntry {
    /// Its name, a path such as `layer1.0.conv1.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its dimensions, `[out, …]`; those of its target for an alias.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values; those of its target for an alias.
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether it has no values at all.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// How it is stored.
    pub fn kind(&self) -> TensorKind {
        self.kind
    }

    /// How many weights share a width; `None` for floats.
    pub fn group_size(&self) -> Option<GroupSize> {
        Some(self.quantized.as_ref()?.group_size)
    }

    /// Its smallest and largest value; `None` for floats.
    pub fn range(&self) -> Option<ValueRange> {
        Some(self.quantized.as_ref()?.range)
    }

    /// Bits per value: of the codes alone, 32 for floats; those of its target for an alias.
    pub fn mean_bits(&self) -> f64 {
        match &self.quantized {
            Some(quantized) => quantized.code_bits as f64 / self.elements.max(1) as f64,
            None => 32.0,
        }
    }

    /// Number of groups of each width, 0 to 16; all zero for floats.
    pub fn width_histogram(&self) -> [usize; BitWidth::COUNT] {
        match &self.quantized {
            Some(quantized) => quantized.histogram,
            None => [0; BitWidth::COUNT],
        }
    }

    /// The bytes it takes in the file; an alias takes its entry of the table alone.
    pub fn bytes(&self) -> TensorBytes {
        self.bytes
    }
}

/// Appends the name of the next entry: how much of the name before it repeats, then the rest.
pub(super) fn put_name(table: &mut Vec<u8>, previous: &str, name: &str) {
    let shared = name.bytes().zip(previous.bytes()).take_while(|(ours, theirs)| ours == theirs).count();
    put_number(table, shared as u64);
    put_number(table, (name.len() - shared) as u64);
    table.extend_from_slice(&name.as_bytes()[shared..]);
}

/// Appends what follows the name of a quantized tensor.
pub(super) fn put_quantized(table: &mut Vec<u8>, tensor: &QuantizedTensor) {
    table.push(QUANTIZED);
    put_shape(table, tensor.shape());
    let group_size = match tensor.group_size() {
        GroupSize::Weights(weights) => weights.get() as u64,
        GroupSize::WholeTensor => 0,
    };
    put_number(table, group_size);
    table.extend_from_slice(&tensor.range().minimum().to_le_bytes());
    table.extend_from_slice(&tensor.range().maximum().to_le_bytes());
    let (minimum, maximum) = width_bounds(tensor.widths());
    table.extend([minimum.get(), maximum.get()]);
}

/// Appends what follows the name of a tensor of floats.
pub(super) fn put_float(table: &mut Vec<u8>, shape: &[usize]) {
    table.push(FLOAT32);
    put_shape(table, shape);
}

/// Appends what follows the name of an alias.
pub(super) fn put_alias(table: &mut Vec<u8>, target: usize) {
    table.push(ALIAS);
    put_number(table, target as u64);
}

/// The smallest and the largest width; 0 and 0 for no groups.
pub(super) fn width_bounds(widths: &[BitWidth]) -> (BitWidth, BitWidth) {
    let minimum = widths.iter().min().copied().unwrap_or_default();
    let maximum = widths.iter().max().copied().unwrap_or_default();
    (minimum, maximum)
}

fn put_shape(table: &mut Vec<u8>, shape: &[usize]) {
    put_number(table, shape.len() as u64);
    for &dimension in shape {
        put_number(table, dimension as u64);
    }
}

/// The next entry, without its payload; `earlier` are those before it.
pub(super) fn read_entry(
    cursor: &mut Cursor<'_>,
    earlier: &[TensorEntry],
    limits: &Limits,
) -> Result<TensorEntry, ReadError> {
    let start = cursor.position();
    let name = read_name(cursor, earlier)?;
    let [kind] = cursor.array("a tensor's kind")?;
    let mut entry = match kind {
        QUANTIZED => {
            let (shape, elements) = read_shape(cursor, &name, limits)?;
            let quantized = read_quantized(cursor, &name, elements)?;
            TensorEntry::new(name, shape, elements, TensorKind::Quantized, Some(quantized))
        }
        FLOAT32 => {
            let (shape, elements) = read_shape(cursor, &name, limits)?;
            TensorEntry::new(name, shape, elements, TensorKind::Float32, None)
        }
        ALIAS => read_alias(cursor, name, earlier)?,
        found => return Err(ReadError::UnknownKind { name, found }),
    };
    entry.bytes.ranges = match entry.kind {
        TensorKind::Quantized => RANGE_BYTES,
        _ => 0,
    };
    entry.bytes.table = (cursor.position() - start) as u64 - entry.bytes.ranges;
    Ok(entry)
}

/// Two 32-bit floats.
const RANGE_BYTES: u64 = 8;

impl TensorEntry {
    fn new(
        name: String,
        shape: Vec<usize>,
        elements: usize,
        kind: TensorKind,
        quantized: Option<QuantizedEntry>,
    ) -> Self {
        Self { name, shape, elements, kind, quantized, bytes: TensorBytes::default(), values_at: 0..0 }
    }
}

fn read_name(cursor: &mut Cursor<'_>, earlier: &[TensorEntry]) -> Result<String, ReadError> {
    let index = earlier.len();
    let previous = earlier.last().map_or("", |entry| entry.name.as_str());
    let shared = cursor.number("what a name shares with the one before")?;
    let own = cursor.number("the length of a tensor's name")?;
    over_limit("bytes of a tensor's name", shared.saturating_add(own), NAME_BYTES as u64)?;
    let offset = cursor.position();
    let own = cursor.take(own, "a tensor's name")?;
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
    let Some(elements) = element_count(&shape) else {
        let name = name.to_owned();
        return Err(ReadError::ShapeOverflow { name, shape });
    };
    let bytes = (elements as u64).saturating_mul(4);
    over_limit("bytes of a tensor's values", bytes, limits.output_bytes)?;
    Ok((shape, elements))
}

fn read_quantized(cursor: &mut Cursor<'_>, name: &str, elements: usize) -> Result<QuantizedEntry, ReadError> {
    // 0 is no group size, so it can stand for the whole tensor.
    let group_size = GroupSize::new(cursor.count("a group size")?).unwrap_or(GroupSize::WholeTensor);
    let minimum = f32::from_le_bytes(cursor.array("a range's minimum")?);
    let maximum = f32::from_le_bytes(cursor.array("a range's maximum")?);
    let range = ValueRange::new(minimum, maximum)
        .map_err(|source| ReadError::BadTensor { name: name.to_owned(), source })?;
    let [minimum, maximum] = cursor.array("a tensor's smallest and largest width")?;
    let (minimum, maximum) = BitWidth::new(minimum)
        .zip(BitWidth::new(maximum))
        .filter(|(minimum, maximum)| minimum <= maximum)
        .ok_or_else(|| ReadError::BadWidths { name: name.to_owned(), minimum, maximum })?;
    let mut histogram = [0; BitWidth::COUNT];
    // Right when all widths are the same; else the reader of the widths counts them.
    histogram[usize::from(minimum.get())] = Grouping::new(group_size, elements).count();
    Ok(QuantizedEntry {
        group_size,
        range,
        minimum,
        maximum,
        histogram,
        code_bits: (elements as u64).saturating_mul(minimum.get().into()),
        widths_at: 0..0,
    })
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
    if matches!(found.kind, TensorKind::Alias { .. }) {
        let target = found.name.clone();
        return Err(ReadError::AliasOfAlias { name, target });
    }
    let (shape, elements) = (found.shape.clone(), found.elements);
    // Its widths are counted once the payload was read.
    Ok(TensorEntry::new(name, shape, elements, TensorKind::Alias { target }, None))
}
