//! From widths and codes to streams, on all cores.

use std::sync::Arc;

use fewbit_kernels::packed::run_bytes;
use fewbit_kernels::rans::{Encoder, FrequencyTable, LaneCount, histogram};
use rayon::prelude::*;

use super::super::classes::WidthClasses;
use super::super::packed::pack_equal;
use super::directory::{Class, Model};
use super::symbols::SymbolModel;
use super::{BLOCK, Coded, Directory, SharedModels, coded_widths, width_frequencies, width_lanes};
use crate::BitWidth;

/// Codes the widths and codes of a tensor; each code must fit its group's width.
pub(crate) fn encode(codes: &[u16], classes: &WidthClasses, widths: &[u8], shared: &SharedModels) -> Coded {
    let mut streams = Vec::new();
    let mut width_blocks = Vec::new();
    if let Some(table) = width_frequencies(classes) {
        width_blocks = encode_blocks(widths, &table, |len| width_lanes(len, &table), &mut streams);
    }
    let coded: Vec<(BitWidth, Codes)> = gather(codes, classes, widths);
    let coded: Vec<(Class, Vec<u8>)> = coded
        .into_par_iter()
        .map(|(width, codes)| {
            let shared = shared[usize::from(width.get())].as_ref();
            let (codes, (model, bytes)) = match codes {
                Codes::Narrow(symbols) => (symbols.len(), encode_narrow(&symbols, width, shared)),
                Codes::Wide(codes) => (codes.len(), encode_wide(&codes, width, shared)),
            };
            (Class { width, codes, model }, bytes)
        })
        .collect();
    let mut classes = Vec::with_capacity(coded.len());
    streams.reserve_exact(coded.iter().map(|(_, bytes)| bytes.len()).sum());
    for (class, bytes) in coded {
        classes.push(class);
        streams.extend(bytes);
    }
    Coded { directory: Directory { width_blocks, classes }, streams }
}

/// The codes of all groups of one width.
enum Codes {
    /// Of eight bits at most.
    Narrow(Vec<u8>),
    Wide(Vec<u16>),
}

/// The codes of each width that is coded, in the order of the groups: all in one pass.
fn gather(codes: &[u16], classes: &WidthClasses, widths: &[u8]) -> Vec<(BitWidth, Codes)> {
    let mut gathered: [Option<Codes>; BitWidth::COUNT] = [const { None }; BitWidth::COUNT];
    for width in coded_widths(classes) {
        let count = classes.codes(width);
        gathered[usize::from(width.get())] = Some(match run_bytes(width.get()) {
            1 => Codes::Narrow(Vec::with_capacity(count)),
            _ => Codes::Wide(Vec::with_capacity(count)),
        });
    }
    for (group, width) in codes.chunks(classes.grouping().size()).zip(widths) {
        match &mut gathered[usize::from(*width)] {
            Some(Codes::Narrow(symbols)) => match <&[u16; 8]>::try_from(group) {
                // The same, with a length that the compiler knows.
                Ok(eight) => symbols.extend_from_slice(&eight.map(|code| code as u8)),
                Err(_) => symbols.extend(group.iter().map(|code| *code as u8)),
            },
            Some(Codes::Wide(codes)) => codes.extend_from_slice(group),
            None => {}
        }
    }
    (0..).map_while(BitWidth::new).zip(gathered).filter_map(|(width, codes)| Some((width, codes?))).collect()
}

/// Codes of eight bits at most, which are their symbols: coded or as they are, whichever is less.
fn encode_narrow(symbols: &[u8], width: BitWidth, shared: Option<&Arc<SymbolModel>>) -> (Model, Vec<u8>) {
    let counts = histogram(symbols);
    let stored = stored_bytes(symbols.len(), width);
    if let Some((model, own)) = cheapest(&counts, width, shared) {
        let mut bytes = Vec::new();
        let blocks = encode_blocks(symbols, &model.table, LaneCount::of, &mut bytes);
        let model = Model::Coded { symbols: model, own, blocks };
        if model.bytes(width) + bytes.len() < stored {
            return (model, bytes);
        }
    }
    let codes: Vec<u16> = symbols.iter().map(|symbol| u16::from(*symbol)).collect();
    (Model::Stored, pack_equal(&codes, width.get()))
}

/// Codes of more than eight bits: their upper parts coded and what is below as it is, or all as it is.
fn encode_wide(codes: &[u16], width: BitWidth, shared: Option<&Arc<SymbolModel>>) -> (Model, Vec<u8>) {
    let mut counts = vec![0; 1 << width.get()];
    codes.iter().for_each(|code| counts[usize::from(*code)] += 1);
    let stored = stored_bytes(codes.len(), width);
    if let Some((model, own)) = cheapest(&counts, width, shared) {
        let symbol =
            |code: &u16| model.symbol_of(*code).expect("a model has a symbol for each code it counted");
        let symbols: Vec<u8> = codes.iter().map(symbol).collect();
        let mut bytes = Vec::new();
        let blocks = encode_blocks(&symbols, &model.table, LaneCount::of, &mut bytes);
        let mask = (1u16 << model.raw_bits) - 1;
        let raw: Vec<u16> = codes.iter().map(|code| code & mask).collect();
        bytes.extend(pack_equal(&raw, model.raw_bits));
        let model = Model::Coded { symbols: model, own, blocks };
        if model.bytes(width) + bytes.len() < stored {
            return (model, bytes);
        }
    }
    (Model::Stored, pack_equal(codes, width.get()))
}

fn stored_bytes(codes: usize, width: BitWidth) -> usize {
    (codes as u64 * u64::from(width.get())).div_ceil(8) as usize
}

/// The model by which codes that occur so often take fewer bytes: their own, counted with what it takes
/// itself, or the shared one; and whether it is their own.
fn cheapest(
    counts: &[u64],
    width: BitWidth,
    shared: Option<&Arc<SymbolModel>>,
) -> Option<(Arc<SymbolModel>, bool)> {
    let total: u64 = counts.iter().sum();
    let bits = |model: &SymbolModel| {
        let symbols = model.symbol_counts(counts)?;
        Some(model.table.cost_bits(&symbols) + total as f64 * f64::from(model.raw_bits))
    };
    let own = SymbolModel::fit(width, counts)?;
    let cost = bits(&own)? + 8.0 * own.bytes(width) as f64;
    let cheaper = shared.filter(|shared| bits(shared).is_some_and(|bits| bits <= cost));
    Some(match cheaper {
        Some(shared) => (Arc::clone(shared), false),
        None => (Arc::new(own), true),
    })
}

/// Appends the streams of symbols that the table has; the length of each.
fn encode_blocks(
    symbols: &[u8],
    table: &FrequencyTable,
    lanes: impl Fn(usize) -> LaneCount + Sync,
    streams: &mut Vec<u8>,
) -> Vec<u64> {
    if table.is_certain() {
        return Vec::new();
    }
    let encoder = Encoder::new(table);
    let encode = |block: &[u8]| {
        let mut bytes = Vec::new();
        encoder.encode_block(lanes(block.len()), block, &mut bytes).expect("the table has every symbol");
        bytes
    };
    let blocks: Vec<Vec<u8>> = symbols.par_chunks(BLOCK).map(encode).collect();
    streams.reserve_exact(blocks.iter().map(Vec::len).sum());
    blocks.iter().for_each(|block| streams.extend_from_slice(block));
    blocks.iter().map(|block| block.len() as u64).collect()
}
