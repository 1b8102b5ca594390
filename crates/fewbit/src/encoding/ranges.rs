//! Ranges as bytes: side by side in the order of a file's table or data, or entropy coded.
//!
//! The *packed* form is all minima and then all maxima, or all half-widths, each number of two bytes or
//! four. The *coded* form is made of it: of each number the upper half of its bytes, sign, exponent and
//! first digits, goes through a coder, one stream for each of these bytes, and the lower half is noise
//! and stays as it is.

use fewbit_kernels::rans::{Decoder, Encoder, FrequencyTable, LaneCount, histogram};
use half::f16;

use super::CodingError;
use super::floats::{self, FloatEncoding};
use super::packed::pack_equal;
use super::streams::{MODEL_BITS, OWN, Pieces, SHARED, STORED, read_lengths, read_models, total};
use crate::container::ReadError;
use crate::container::cursor::{Cursor, put_number};
use crate::{GridKind, QuantizeError, RangeForm, RangeGranularity, ValueRange};

/// Symbols that one stream holds.
const BLOCK: usize = super::coded::BLOCK;
/// Kinds of bytes that are coded: of minima and of all other numbers, the upper byte of two, the first
/// and the second of four.
const KINDS: usize = 6;

/// The frequencies of each kind of byte that were written last, which later tensors may share.
pub(crate) type SharedRangeTables = [Option<FrequencyTable>; KINDS];
/// Where in a file each of these lies; 0 before the first, as no table can be there.
pub(crate) type RangePlaces = [usize; KINDS];

/// What is wrong with stored ranges, and where among their bytes.
#[derive(Debug)]
pub(crate) struct RangesFault {
    pub(crate) offset: usize,
    pub(crate) error: RangesError,
}

#[derive(Debug)]
pub(crate) enum RangesError {
    /// Their streams do not decode.
    Coding(CodingError),
    /// One of those that are stored is no range.
    Range { index: usize, source: QuantizeError },
    /// No memory for them.
    OutOfMemory,
}

impl RangesError {
    /// The error of a tensor of so many values.
    pub(crate) fn of_tensor(self, name: &str, elements: usize) -> ReadError {
        let name = name.to_owned();
        match self {
            Self::Coding(source) => ReadError::BadCoding { name, what: "ranges", source },
            Self::Range { index, source } => ReadError::BadRange { name, index, source },
            Self::OutOfMemory => ReadError::OutOfMemory { name, elements },
        }
    }
}

/// The five bits of a file's table that say what ranges a tensor has.
pub(crate) fn number_of(granularity: RangeGranularity, kind: GridKind, form: RangeForm) -> u8 {
    let granularity = match granularity {
        RangeGranularity::Tensor => 0,
        RangeGranularity::Channel => 1,
        RangeGranularity::Group => 2,
    };
    // Those of a stepped grid are symmetric in any case.
    let flags = [form.is_half(), form.is_symmetric() && kind != GridKind::Stepped, kind.is_about_zero()];
    flags.iter().enumerate().fold(granularity, |number, (bit, flag)| number | u8::from(*flag) << (bit + 2))
}

/// What the five bits say; `None` where they mean nothing.
pub(crate) fn from_number(number: u8) -> Option<(RangeGranularity, GridKind, RangeForm)> {
    let granularity = match number & 3 {
        0 => RangeGranularity::Tensor,
        1 => RangeGranularity::Channel,
        2 => RangeGranularity::Group,
        _ => return None,
    };
    let (form, kind) = match number >> 2 {
        0b000 => (RangeForm::Full, GridKind::MinMax),
        0b001 => (RangeForm::Half, GridKind::MinMax),
        0b010 => (RangeForm::SymmetricFull, GridKind::MinMax),
        0b011 => (RangeForm::SymmetricHalf, GridKind::MinMax),
        0b100 => (RangeForm::SymmetricFull, GridKind::Stepped),
        0b101 => (RangeForm::SymmetricHalf, GridKind::Stepped),
        0b110 => (RangeForm::SymmetricFull, GridKind::Signed),
        0b111 => (RangeForm::SymmetricHalf, GridKind::Signed),
        _ => return None,
    };
    Some((granularity, kind, form))
}

/// Bytes of so many packed ranges.
pub(crate) const fn packed_bytes(form: RangeForm, count: usize) -> u64 {
    (count as u64).saturating_mul(form.bytes() as u64)
}

/// The packed form of ranges that are exact in theirs.
pub(crate) fn pack(ranges: &[ValueRange], form: RangeForm) -> Vec<u8> {
    let mut bytes = Vec::new();
    for column in 0..form.numbers() {
        let numbers = ranges.iter().filter_map(|range| form.numbers_of(*range).nth(column));
        floats::put(&mut bytes, &numbers.collect::<Vec<_>>(), float_encoding(form));
    }
    bytes
}

/// The ranges that were packed, as many as `count`.
pub(crate) fn unpack(packed: &[u8], form: RangeForm, count: usize) -> Result<Vec<ValueRange>, RangesFault> {
    let width = form.number_bytes();
    let number = |place: usize| match *packed.get(place * width..)?.get(..width)? {
        [a, b] => Some(f16::from_le_bytes([a, b]).to_f32()),
        [a, b, c, d] => Some(f32::from_le_bytes([a, b, c, d])),
        _ => None,
    };
    let mut ranges = reserved(count)?;
    for index in 0..count {
        let last = (form.numbers() - 1) * count + index;
        let cut = || RangesFault { offset: packed.len(), error: RangesError::Coding(CodingError::Cut) };
        let (first, last) = number(index).zip(number(last)).ok_or_else(cut)?;
        let range = form.range_of(first, last).map_err(|source| {
            let error = RangesError::Range { index, source };
            RangesFault { offset: index * width, error }
        })?;
        ranges.push(range);
    }
    Ok(ranges)
}

/// The coded form of ranges: what the table says of the streams, the streams, and the frequencies that
/// the next tensor can share.
pub(crate) struct CodedRanges {
    pub(crate) directory: Vec<u8>,
    pub(crate) streams: Vec<u8>,
    pub(crate) shared: SharedRangeTables,
}

/// Codes ranges that are exact in their form; no bytes at all for none.
pub(crate) fn encode(ranges: &[ValueRange], form: RangeForm, shared: &SharedRangeTables) -> CodedRanges {
    let mut coded = CodedRanges { directory: Vec::new(), streams: Vec::new(), shared: shared.clone() };
    if ranges.is_empty() {
        return coded;
    }
    let packed = pack(ranges, form);
    let width = form.number_bytes();
    let (mut models, mut rest) = (Vec::new(), Vec::new());
    for (column, numbers) in packed.chunks(ranges.len() * width).enumerate() {
        for plane in 0..width / 2 {
            let symbols: Vec<u8> = numbers.chunks(width).map(|number| number[width - 1 - plane]).collect();
            let kind = kind_of(form, column, plane);
            let plane = encode_plane(&symbols, coded.shared[kind].as_ref(), &mut rest, &mut coded.streams);
            models.push(plane.model);
            if let Some(own) = plane.own {
                coded.shared[kind] = Some(own);
            }
        }
        numbers.chunks(width).for_each(|number| coded.streams.extend_from_slice(&number[..width / 2]));
    }
    coded.directory = pack_equal(&models, MODEL_BITS);
    coded.directory.extend(rest);
    coded
}

/// The number of a model, and frequencies that are new.
struct EncodedPlane {
    model: u16,
    own: Option<FrequencyTable>,
}

/// Appends bytes of one kind to `streams`, coded or as they are, whichever is less, and to `directory`
/// what tells how.
fn encode_plane(
    symbols: &[u8],
    shared: Option<&FrequencyTable>,
    directory: &mut Vec<u8>,
    streams: &mut Vec<u8>,
) -> EncodedPlane {
    let counts = histogram(symbols);
    let own = FrequencyTable::fit(&counts);
    let shared = shared.filter(|shared| shared.cost_bits(&counts).is_finite()).cloned();
    let forms = [(SHARED, shared), (OWN, Some(own))].into_iter().filter_map(|(model, table)| {
        let table = table?;
        let (mut tables, mut coded) = (Vec::new(), Vec::new());
        if model == OWN {
            table.write(&mut tables);
        }
        if !table.is_certain() {
            let encoder = Encoder::new(&table);
            for block in symbols.chunks(BLOCK) {
                let start = coded.len();
                let found = encoder.encode_block(LaneCount::of(block.len()), block, &mut coded);
                found.expect("either table has every symbol");
                put_number(&mut tables, (coded.len() - start) as u64);
            }
        }
        Some((model, table, tables, coded))
    });
    let best = forms.min_by_key(|(_, _, tables, coded)| tables.len() + coded.len());
    match best.filter(|(_, _, tables, coded)| tables.len() + coded.len() < symbols.len()) {
        Some((model, table, tables, coded)) => {
            directory.extend(tables);
            streams.extend(coded);
            EncodedPlane { model, own: (model == OWN).then_some(table) }
        }
        None => {
            streams.extend_from_slice(symbols);
            EncodedPlane { model: STORED, own: None }
        }
    }
}

/// How the coded ranges of a tensor are divided in streams.
#[derive(Debug)]
pub(crate) struct RangeDirectory {
    form: RangeForm,
    count: usize,
    /// Column by column, the upper bytes first.
    planes: Vec<Plane>,
}

/// How bytes of one kind are written.
#[derive(Debug)]
enum Plane {
    /// As they are.
    Stored,
    /// Coded, in streams of so many bytes; a table of one symbol has none.
    Coded { table: Box<FrequencyTable>, blocks: Vec<u64> },
}

impl RangeDirectory {
    /// The directory of so many ranges. `places` tells where earlier tensors have their frequency
    /// tables, and is brought up to date.
    pub(crate) fn read(
        cursor: &mut Cursor<'_>,
        name: &str,
        form: RangeForm,
        count: usize,
        places: &mut RangePlaces,
    ) -> Result<Self, ReadError> {
        let mut planes = Vec::new();
        if count == 0 {
            return Ok(Self { form, count, planes });
        }
        let in_column = form.number_bytes() / 2;
        let models = read_models(cursor, name, form.numbers() * in_column, "ranges")?;
        let mut models = models.into_iter();
        for column in 0..form.numbers() {
            for plane in 0..in_column {
                let place = &mut places[kind_of(form, column, plane)];
                let model = models.next().unwrap_or_default();
                planes.push(Plane::read(cursor, name, model, count, place)?);
            }
        }
        Ok(Self { form, count, planes })
    }

    /// Bytes of the streams, and of what lies below them.
    pub(crate) fn data_bytes(&self) -> u64 {
        let low = packed_bytes(self.form, self.count) / 2;
        self.planes.iter().fold(low, |sum, plane| sum.saturating_add(plane.bytes(self.count)))
    }

    /// The ranges that were coded.
    pub(crate) fn decode(&self, data: &[u8]) -> Result<Vec<ValueRange>, RangesFault> {
        let width = self.form.number_bytes();
        let mut packed = reserved(self.count.saturating_mul(self.form.bytes()))?;
        packed.resize(self.count * self.form.bytes(), 0);
        let mut symbols = reserved(self.count)?;
        symbols.resize(self.count, 0);
        let mut pieces = Pieces::from(data, 0);
        let mut planes = self.planes.iter();
        for column in packed.chunks_mut((self.count * width).max(1)) {
            for plane in 0..width / 2 {
                let Some(found) = planes.next() else { break };
                let (offset, bytes) = pieces.take(found.bytes(self.count));
                found.decode(bytes, &mut symbols).map_err(|fault| fault.at(offset))?;
                let numbers = column.chunks_mut(width).zip(&symbols);
                numbers.for_each(|(number, symbol)| number[width - 1 - plane] = *symbol);
            }
            let (_, low) = pieces.take((self.count * width / 2) as u64);
            let numbers = column.chunks_mut(width).zip(low.chunks_exact(width / 2));
            numbers.for_each(|(number, low)| number[..width / 2].copy_from_slice(low));
        }
        // Where a range lies among coded bytes does not tell which bytes are wrong.
        unpack(&packed, self.form, self.count).map_err(|fault| RangesFault { offset: 0, ..fault })
    }
}

impl Plane {
    fn read(
        cursor: &mut Cursor<'_>,
        name: &str,
        model: u16,
        count: usize,
        place: &mut usize,
    ) -> Result<Self, ReadError> {
        let failed = |source| {
            let name = name.to_owned();
            ReadError::BadCoding { name, what: "frequencies", source }
        };
        let table = match model {
            STORED => return Ok(Self::Stored),
            OWN => {
                *place = cursor.position();
                let (table, used) =
                    FrequencyTable::read(cursor.rest()).map_err(|error| failed(error.into()))?;
                cursor.take(used as u64, "a frequency table")?;
                table
            }
            SHARED => {
                let bytes = cursor.whole().get(*place..).filter(|_| *place > 0);
                let bytes = bytes.ok_or_else(|| failed(CodingError::NothingToShare))?;
                FrequencyTable::read(bytes).map_err(|error| failed(error.into()))?.0
            }
            found => {
                let name = name.to_owned();
                return Err(ReadError::UnknownModel { name, found: found as u8 });
            }
        };
        let streams = if table.is_certain() { 0 } else { count.div_ceil(BLOCK) };
        let blocks = read_lengths(cursor, streams)?;
        Ok(Self::Coded { table: Box::new(table), blocks })
    }

    fn bytes(&self, count: usize) -> u64 {
        match self {
            Self::Stored => count as u64,
            Self::Coded { blocks, .. } => total(blocks),
        }
    }

    /// Writes as many symbols as there is room for.
    fn decode(&self, bytes: &[u8], symbols: &mut [u8]) -> Result<(), RangesFault> {
        let fault = |offset, error| RangesFault { offset, error: RangesError::Coding(error) };
        match self {
            Self::Stored => {
                if bytes.len() != symbols.len() {
                    return Err(fault(0, CodingError::Cut));
                }
                symbols.copy_from_slice(bytes);
            }
            Self::Coded { table, .. } if table.is_certain() => symbols.fill(table.largest_symbol()),
            Self::Coded { table, blocks } => {
                let decoder = Decoder::new(table);
                let mut pieces = Pieces::from(bytes, 0);
                for (symbols, &length) in symbols.chunks_mut(BLOCK).zip(blocks) {
                    let (start, piece) = pieces.take(length);
                    decoder
                        .decode_block_of(LaneCount::of(symbols.len()), piece, symbols)
                        .map_err(|error| fault(start, error.into()))?;
                }
            }
        }
        Ok(())
    }
}

impl RangesFault {
    fn at(self, offset: usize) -> Self {
        Self { offset: self.offset + offset, ..self }
    }
}

fn float_encoding(form: RangeForm) -> FloatEncoding {
    if form.is_half() { FloatEncoding::Float16 } else { FloatEncoding::Float32 }
}

/// Which frequencies the bytes of a plane share, below [`KINDS`].
fn kind_of(form: RangeForm, column: usize, plane: usize) -> usize {
    let minima = !form.is_symmetric() && column == 0;
    let byte = if form.is_half() { 0 } else { 1 + plane };
    3 * usize::from(minima) + byte
}

fn reserved<T>(count: usize) -> Result<Vec<T>, RangesFault> {
    let mut items = Vec::new();
    match items.try_reserve_exact(count) {
        Ok(()) => Ok(items),
        Err(_) => Err(RangesFault { offset: 0, error: RangesError::OutOfMemory }),
    }
}
