//! From streams to widths and codes.

use rayon::prelude::*;

use super::super::chunks::by_chunk;
use super::super::classes::WidthClasses;
use super::super::rans::Decoder;
use super::directory::{Directory, Model};
use super::{BLOCK, split, width_frequencies};
use crate::BitWidth;
use crate::bitpack::{BitReader, check_padding};
use crate::encoding::CodingError;

/// Fewer codes than this are decoded on the calling thread.
const PARALLEL: usize = 1 << 16;

/// What is wrong with coded data, and where.
#[derive(Debug)]
pub(crate) struct CodedFault {
    /// Where in the tensor's data the faulty stream begins.
    pub(crate) offset: usize,
    /// `widths` or `codes`.
    pub(crate) what: &'static str,
    pub(crate) error: CodingError,
}

/// The symbols of each width, and where the bits below them lie.
pub(crate) struct Codes<'d> {
    symbols: [Vec<u8>; BitWidth::COUNT],
    low: [&'d [u8]; BitWidth::COUNT],
}

/// A stream to decode.
struct Job<'j> {
    decoder: &'j Decoder,
    offset: usize,
    bytes: &'j [u8],
    symbols: &'j mut [u8],
}

impl Directory {
    /// The widths of a tensor's groups.
    pub(crate) fn widths(&self, data: &[u8], classes: &WidthClasses) -> Result<Vec<BitWidth>, CodedFault> {
        let count = classes.grouping().count();
        let fault = |offset, error| CodedFault { offset, what: "widths", error };
        let mut widths = reserved(count).map_err(|error| fault(0, error))?;
        let Some(table) = width_frequencies(classes) else {
            widths.resize(count, classes.minimum());
            return Ok(widths);
        };
        let mut symbols = zeros(count).map_err(|error| fault(0, error))?;
        let decoder = Decoder::new(&table);
        run(jobs(&decoder, &self.width_blocks, 0, data, &mut symbols), "widths")?;
        // The table has no symbols but widths.
        widths.extend(symbols.iter().map(|symbol| BitWidth::new(*symbol).unwrap_or(BitWidth::MAX)));
        if classes.describe(&widths) { Ok(widths) } else { Err(fault(0, CodingError::WidthCounts)) }
    }

    /// The codes of a tensor's groups, sorted by width.
    pub(crate) fn codes<'d>(&self, data: &'d [u8]) -> Result<Codes<'d>, CodedFault> {
        let fault = |offset, error| CodedFault { offset, what: "codes", error };
        let mut codes = Codes { symbols: Default::default(), low: [&[]; BitWidth::COUNT] };
        let streams = self.cut(data);
        let decoders: Vec<Option<Decoder>> = self.classes.iter().map(|class| class.model.decoder()).collect();
        for class in &self.classes {
            codes.symbols[usize::from(class.width.get())] =
                zeros(class.codes).map_err(|error| fault(0, error))?;
        }
        let mut all = Vec::new();
        let mut slots: Vec<&mut [u8]> = codes.symbols.iter_mut().map(Vec::as_mut_slice).collect();
        for ((class, decoder), [(offset, bytes), (low_offset, low_bytes)]) in
            self.classes.iter().zip(&decoders).zip(streams)
        {
            let index = usize::from(class.width.get());
            let symbols = std::mem::take(&mut slots[index]);
            let (bits, low) = split(class.width);
            let filled = |bytes: &[u8], bits: u8| {
                let expected = class.codes as u64 * u64::from(bits);
                check_padding(bytes, expected).map_err(|_| CodingError::Padding)
            };
            filled(low_bytes, low).map_err(|error| fault(low_offset, error))?;
            codes.low[index] = low_bytes;
            match (&class.model, decoder) {
                (Model::Frequencies { blocks, .. }, Some(decoder)) => {
                    all.extend(jobs(decoder, blocks, offset, bytes, symbols));
                }
                _ => {
                    filled(bytes, bits).map_err(|error| fault(offset, error))?;
                    let mut reader = BitReader::new(bytes);
                    symbols.iter_mut().for_each(|symbol| *symbol = reader.take(bits.into()) as u8);
                }
            }
        }
        run(all, "codes")?;
        Ok(codes)
    }
}

impl Model {
    fn decoder(&self) -> Option<Decoder> {
        match self {
            Self::Stored => None,
            Self::Frequencies { table, .. } => Some(Decoder::new(table)),
        }
    }
}

impl Codes<'_> {
    /// Writes a value for each code, in the order of the weights; `widths` are those that `classes`
    /// counts.
    pub(crate) fn place<T: Send>(
        &self,
        classes: &WidthClasses,
        widths: &[BitWidth],
        out: &mut [T],
        value: impl Fn(BitWidth, u16) -> T + Sync,
    ) {
        let size = classes.grouping().size();
        by_chunk(
            classes.grouping(),
            widths,
            out,
            [0usize; BitWidth::COUNT],
            |places, width, len| places[usize::from(width.get())] += len,
            |mut places, widths, out| {
                for (group, &width) in out.chunks_mut(size).zip(widths) {
                    let index = usize::from(width.get());
                    let start = places[index];
                    places[index] += group.len();
                    let symbols = &self.symbols[index];
                    let low = split(width).1;
                    if width == BitWidth::ZERO {
                        group.iter_mut().for_each(|out| *out = value(width, 0));
                    } else if low == 0 {
                        for (out, &symbol) in group.iter_mut().zip(&symbols[start..]) {
                            *out = value(width, symbol.into());
                        }
                    } else {
                        let at = start as u64 * u64::from(low);
                        let mut below = BitReader::at(self.low[index], at);
                        for (out, &symbol) in group.iter_mut().zip(&symbols[start..]) {
                            *out = value(width, u16::from(symbol) << low | below.take(low.into()));
                        }
                    }
                }
            },
        );
    }
}

/// The streams of one table, cut from `bytes`, each with its part of `symbols`.
fn jobs<'j>(
    decoder: &'j Decoder,
    blocks: &[u64],
    offset: usize,
    bytes: &'j [u8],
    symbols: &'j mut [u8],
) -> Vec<Job<'j>> {
    if decoder.is_certain() {
        return vec![Job { decoder, offset, bytes: &[], symbols }];
    }
    let mut at = 0usize;
    let cut = symbols.chunks_mut(BLOCK).zip(blocks).map(|(symbols, &length)| {
        let start = at;
        at = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(bytes.len());
        Job { decoder, offset: offset + start, bytes: &bytes[start..at], symbols }
    });
    cut.collect()
}

/// Decodes every stream; the first fault in their order, however many threads there are.
fn run(jobs: Vec<Job<'_>>, what: &'static str) -> Result<(), CodedFault> {
    let decode = |job: Job<'_>| {
        let offset = job.offset;
        let failed = |error| CodedFault { offset, what, error };
        job.decoder.decode(job.bytes, job.symbols).map_err(failed)
    };
    let symbols: usize = jobs.iter().map(|job| job.symbols.len()).sum();
    if jobs.len() < 2 || symbols < PARALLEL {
        return jobs.into_iter().try_for_each(decode);
    }
    let results: Vec<_> = jobs.into_par_iter().map(decode).collect();
    results.into_iter().collect()
}

fn reserved<T>(count: usize) -> Result<Vec<T>, CodingError> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| CodingError::OutOfMemory { codes: count })?;
    Ok(items)
}

fn zeros(count: usize) -> Result<Vec<u8>, CodingError> {
    let mut symbols = reserved(count)?;
    symbols.resize(count, 0);
    Ok(symbols)
}
