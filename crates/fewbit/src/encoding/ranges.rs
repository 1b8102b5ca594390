//! Ranges as bytes: side by side in the order of a file's table or data, or entropy coded.
//!
//! The *packed* form is all minima and then all maxima, or all half-widths, each number of two bytes or
//! four. The *coded* form is made of it: of each number the upper half of its bytes, sign, exponent and
//! first digits, goes through a coder, one stream for each of these bytes, and the lower half is noise
//! and stays as it is.

use std::sync::Arc;

use fewbit_kernels::rans::{Decoder, Encoder, FrequencyTable, LaneCount, histogram};
use half::f16;

use super::cursor::{Cursor, put_number};
use super::floats::{self, FloatEncoding};
use super::packed::pack_equal;
use super::streams::{MODEL_BITS, OWN, Pieces, SHARED, STORED, read_lengths, read_models, total};
use super::{CodingError, EncodingError, EncodingFault, reserved};
use crate::{RangeForm, ValueRange};

/// Symbols that one stream holds.
const BLOCK: usize = super::coded::BLOCK;
/// Kinds of bytes that are coded: of minima and of all other numbers, the upper byte of two, the first
/// and the second of four.
const KINDS: usize = 6;

/// The frequencies of each kind of byte that came last, which later tensors may share.
pub(crate) type SharedRangeTables = [Option<Arc<FrequencyTable>>; KINDS];

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
pub(crate) fn unpack(packed: &[u8], form: RangeForm, count: usize) -> Result<Vec<ValueRange>, EncodingFault> {
    let width = form.number_bytes();
    let number = |place: usize| match *packed.get(place * width..)?.get(..width)? {
        [a, b] => Some(f16::from_le_bytes([a, b]).to_f32()),
        [a, b, c, d] => Some(f32::from_le_bytes([a, b, c, d])),
        _ => None,
    };
    let mut ranges = reserved(count)?;
    for index in 0..count {
        let last = (form.numbers() - 1) * count + index;
        let cut = || EncodingFault::coding(packed.len(), "ranges", CodingError::Cut);
        let (first, last) = number(index).zip(number(last)).ok_or_else(cut)?;
        let bad = |source| EncodingFault::new(index * width, EncodingError::Range { index, source });
        let range = form.range_of(first, last).map_err(bad)?;
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
    /// Frequency tables in the directory.
    pub(crate) tables: usize,
}

/// Codes ranges that are exact in their form; no bytes at all for none.
pub(crate) fn encode(ranges: &[ValueRange], form: RangeForm, shared: &SharedRangeTables) -> CodedRanges {
    let (directory, streams) = (Vec::new(), Vec::new());
    let mut coded = CodedRanges { directory, streams, shared: shared.clone(), tables: 0 };
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
                coded.tables += 1;
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
    own: Option<Arc<FrequencyTable>>,
}

/// Appends bytes of one kind to `streams`, coded or as they are, whichever is less, and to `directory`
/// what tells how.
fn encode_plane(
    symbols: &[u8],
    shared: Option<&Arc<FrequencyTable>>,
    directory: &mut Vec<u8>,
    streams: &mut Vec<u8>,
) -> EncodedPlane {
    let counts = histogram(symbols);
    let own = FrequencyTable::fit(&counts);
    let shared = shared.filter(|shared| shared.cost_bits(&counts).is_finite()).cloned();
    let forms = [(SHARED, shared), (OWN, Some(Arc::new(own)))].into_iter().filter_map(|(model, table)| {
        let table = table?;
        let (mut tables, mut coded) = (Vec::new(), Vec::new());
        if model == OWN {
            table.write(&mut tables);
        }
        if !table.is_certain() {
            let encoder = Encoder::new(&table);
            for block in symbols.chunks(BLOCK) {
                let start = coded.len();
                let lanes = LaneCount::of(block.len());
                encoder.encode_block(lanes, block, &mut coded).expect("either table has every symbol");
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
#[derive(Debug, PartialEq)]
pub(crate) struct RangeDirectory {
    form: RangeForm,
    count: usize,
    /// Column by column, the upper bytes first.
    planes: Vec<Plane>,
}

/// How bytes of one kind are written.
#[derive(Debug, PartialEq)]
enum Plane {
    /// As they are.
    Stored,
    /// Coded, in streams of so many bytes; a table of one symbol has none.
    Coded { table: Arc<FrequencyTable>, blocks: Vec<u64>, own: bool },
}

impl RangeDirectory {
    /// The directory of so many ranges. `shared` are the frequency tables of earlier tensors, and is brought up
    /// to date.
    pub(crate) fn read(
        cursor: &mut Cursor<'_>,
        form: RangeForm,
        count: usize,
        shared: &mut SharedRangeTables,
    ) -> Result<Self, EncodingError> {
        let mut planes = Vec::new();
        if count == 0 {
            return Ok(Self { form, count, planes });
        }
        let in_column = form.number_bytes() / 2;
        let models = read_models(cursor, form.numbers() * in_column, "ranges")?;
        let mut models = models.into_iter();
        for column in 0..form.numbers() {
            for plane in 0..in_column {
                let last = &mut shared[kind_of(form, column, plane)];
                let model = models.next().unwrap_or_default();
                planes.push(Plane::read(cursor, model, count, last)?);
            }
        }
        Ok(Self { form, count, planes })
    }

    /// Frequency tables of its own.
    pub(crate) fn tables(&self) -> usize {
        self.planes.iter().filter(|plane| matches!(plane, Plane::Coded { own: true, .. })).count()
    }

    /// Bytes of the streams, and of what lies below them.
    pub(crate) fn data_bytes(&self) -> u64 {
        let low = packed_bytes(self.form, self.count) / 2;
        self.planes.iter().fold(low, |sum, plane| sum.saturating_add(plane.bytes(self.count)))
    }

    /// The ranges that were coded.
    pub(crate) fn decode(&self, data: &[u8]) -> Result<Vec<ValueRange>, EncodingFault> {
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
                found.decode(bytes, &mut symbols).map_err(|fault| fault.after(offset))?;
                let numbers = column.chunks_mut(width).zip(&symbols);
                numbers.for_each(|(number, symbol)| number[width - 1 - plane] = *symbol);
            }
            let (_, low) = pieces.take((self.count * width / 2) as u64);
            let numbers = column.chunks_mut(width).zip(low.chunks_exact(width / 2));
            numbers.for_each(|(number, low)| number[..width / 2].copy_from_slice(low));
        }
        // Where a range lies among coded bytes does not tell which bytes are wrong.
        unpack(&packed, self.form, self.count).map_err(|fault| EncodingFault { offset: 0, ..fault })
    }
}

impl Plane {
    fn read(
        cursor: &mut Cursor<'_>,
        model: u16,
        count: usize,
        last: &mut Option<Arc<FrequencyTable>>,
    ) -> Result<Self, EncodingError> {
        let failed = |source| EncodingError::Coding { what: "frequencies", source };
        match model {
            STORED => return Ok(Self::Stored),
            OWN => {
                let (table, used) =
                    FrequencyTable::read(cursor.rest()).map_err(|error| failed(error.into()))?;
                cursor.take(used as u64, "a frequency table")?;
                *last = Some(Arc::new(table));
            }
            SHARED => {}
            found => return Err(EncodingError::UnknownModel { found: found as u8 }),
        }
        let table = last.clone().ok_or_else(|| failed(CodingError::NothingToShare))?;
        let streams = if table.is_certain() { 0 } else { count.div_ceil(BLOCK) };
        let blocks = read_lengths(cursor, streams)?;
        Ok(Self::Coded { table, blocks, own: model == OWN })
    }

    fn bytes(&self, count: usize) -> u64 {
        match self {
            Self::Stored => count as u64,
            Self::Coded { blocks, .. } => total(blocks),
        }
    }

    /// Writes as many symbols as there is room for.
    fn decode(&self, bytes: &[u8], symbols: &mut [u8]) -> Result<(), EncodingFault> {
        let fault = |offset, error: CodingError| EncodingFault::coding(offset, "ranges", error);
        match self {
            Self::Stored => {
                if bytes.len() != symbols.len() {
                    return Err(fault(0, CodingError::Cut));
                }
                symbols.copy_from_slice(bytes);
            }
            Self::Coded { table, .. } if table.is_certain() => symbols.fill(table.largest_symbol()),
            Self::Coded { table, blocks, .. } => {
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

fn float_encoding(form: RangeForm) -> FloatEncoding {
    if form.is_half() { FloatEncoding::Float16 } else { FloatEncoding::Float32 }
}

/// Which frequencies the bytes of a plane share, below [`KINDS`].
fn kind_of(form: RangeForm, column: usize, plane: usize) -> usize {
    let minima = !form.is_symmetric() && column == 0;
    let byte = if form.is_half() { 0 } else { 1 + plane };
    3 * usize::from(minima) + byte
}
