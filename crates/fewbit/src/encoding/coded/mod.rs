//! The coded encoding: codes sorted by the width of their groups, each width a stream with its own
//! frequencies, and the widths one stream more.
//!
//! Within a width the order is that of the weights. Of codes wider than eight bits the top eight are
//! coded and the rest are packed as they are: they look like noise. The frequencies of the widths
//! follow from the table's count of each, so they cost nothing. Those of codes can be shared: a short
//! tensor would spend more on its own than it loses by those of the one before.

mod decode;
mod directory;

pub(crate) use self::decode::{CodedFault, Codes};
use self::directory::{Class, Model};
pub(crate) use self::directory::{Directory, TablePlaces};
use super::classes::WidthClasses;
use super::rans::{self, FrequencyTable};
use crate::BitWidth;
use crate::bitpack::pack_equal;

/// Symbols that one stream holds; longer runs are several streams, so that many cores can decode.
pub(crate) const BLOCK: usize = 1 << 18;

/// Widest codes that are one symbol.
const SYMBOL_BITS: u8 = 8;

/// The frequencies of the codes of each width that were written last, which later tensors may share.
pub(crate) type SharedTables = [Option<FrequencyTable>; BitWidth::COUNT];

/// The coded form of a tensor: how its streams are divided, for the table, and the streams.
pub(crate) struct Coded {
    pub(crate) directory: Directory,
    pub(crate) streams: Vec<u8>,
}

impl Coded {
    /// Makes the frequencies that it brings those that later tensors share.
    pub(crate) fn share(&self, shared: &mut SharedTables) {
        for class in &self.directory.classes {
            if let Model::Frequencies { table, own: true, .. } = &class.model {
                shared[usize::from(class.width.get())] = Some(table.clone());
            }
        }
    }
}

/// Codes the widths and codes of a tensor; each code must fit its group's width.
pub(crate) fn encode(
    codes: &[u16],
    classes: &WidthClasses,
    widths: &[BitWidth],
    shared: &SharedTables,
) -> Coded {
    let mut streams = Vec::new();
    let mut width_blocks = Vec::new();
    if let Some(table) = width_frequencies(classes) {
        let symbols: Vec<u8> = widths.iter().map(|width| width.get()).collect();
        width_blocks = encode_blocks(&symbols, &table, &mut streams);
    }
    let mut sorted: [Vec<u16>; BitWidth::COUNT] = Default::default();
    for (group, width) in classes.grouping().ranges().zip(widths) {
        sorted[usize::from(width.get())].extend_from_slice(&codes[group]);
    }
    let mut coded = Vec::new();
    for width in coded_widths(classes) {
        let codes = &sorted[usize::from(width.get())];
        let shared = shared[usize::from(width.get())].as_ref();
        let model = encode_class(codes, width, shared, &mut streams);
        coded.push(Class { width, codes: codes.len(), model });
    }
    Coded { directory: Directory { width_blocks, classes: coded }, streams }
}

/// The widths that have a stream: those of some codes, 0 excepted.
fn coded_widths(classes: &WidthClasses) -> impl Iterator<Item = BitWidth> {
    classes.widths().filter(|width| *width > BitWidth::ZERO && classes.codes(*width) > 0)
}

/// Bits of a code that are one symbol, and bits below them.
fn split(width: BitWidth) -> (u8, u8) {
    (width.get().min(SYMBOL_BITS), width.get().saturating_sub(SYMBOL_BITS))
}

/// Appends the codes of one width, as a coder leaves them or as they are, whichever is less.
fn encode_class(
    codes: &[u16],
    width: BitWidth,
    shared: Option<&FrequencyTable>,
    streams: &mut Vec<u8>,
) -> Model {
    let (bits, low) = split(width);
    let symbols: Vec<u8> = codes.iter().map(|code| (code >> low) as u8).collect();
    let mut counts = [0; 256];
    for symbol in &symbols {
        counts[usize::from(*symbol)] += 1;
    }
    let stored = pack_equal(symbols.iter().map(|symbol| u16::from(*symbol)), bits.into());
    let coded = FrequencyTable::from_counts(&counts).map(|table| {
        let cost = 8.0 * table.bytes() as f64 + table.cost_bits(&counts);
        let cheaper = shared.filter(|shared| shared.cost_bits(&counts) <= cost);
        let (table, own) = cheaper.map_or((table, true), |shared| (shared.clone(), false));
        let mut bytes = Vec::new();
        let blocks = encode_blocks(&symbols, &table, &mut bytes);
        (Model::Frequencies { table, own, blocks }, bytes)
    });
    let model = match coded {
        Some((model, bytes)) if model.bytes() + bytes.len() < Model::Stored.bytes() + stored.len() => {
            streams.extend_from_slice(&bytes);
            model
        }
        _ => {
            streams.extend_from_slice(&stored);
            Model::Stored
        }
    };
    let mask = (1u16 << low) - 1;
    streams.extend(pack_equal(codes.iter().map(|code| code & mask), low.into()));
    model
}

/// Appends the streams of symbols; the length of each.
fn encode_blocks(symbols: &[u8], table: &FrequencyTable, streams: &mut Vec<u8>) -> Vec<u64> {
    if table.is_certain() {
        return Vec::new();
    }
    let lengths = symbols.chunks(BLOCK).map(|block| {
        let start = streams.len();
        rans::encode(block, table, streams);
        (streams.len() - start) as u64
    });
    lengths.collect()
}

/// The frequencies of the widths, from the number of groups of each; `None` where all are the same.
///
/// A width of `n` out of `N` groups gets `n·2^12 div N`, but at least 1 if it occurs; what is then
/// missing, or too much, the most frequent gets, the smallest of several.
fn width_frequencies(classes: &WidthClasses) -> Option<FrequencyTable> {
    if classes.is_uniform() {
        return None;
    }
    let (first, last) = (classes.minimum().get(), classes.maximum().get());
    let counts = &classes.histogram()[usize::from(first)..=usize::from(last)];
    let groups = classes.grouping().count() as u128;
    let share = |count: u128| ((count * u128::from(rans::TOTAL) / groups) as u16).max(u16::from(count > 0));
    let mut frequencies: Vec<u16> = counts.iter().map(|count| share(*count as u128)).collect();
    let most = *counts.iter().max()?;
    let most = counts.iter().position(|count| *count == most)?;
    let others: u16 = frequencies.iter().sum::<u16>() - frequencies[most];
    // Of 17 widths the most frequent has a seventeenth at least, far more than the others were raised.
    frequencies[most] = rans::TOTAL as u16 - others;
    FrequencyTable::from_frequencies(first, frequencies).ok()
}
