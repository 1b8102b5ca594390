//! From streams to widths, and to the codes of each width.
//!
//! A block of codes is decoded at a time, to codes of whole bytes as [`place_weights`] takes them: one byte
//! each up to eight bits, two above.
//!
//! [`place_weights`]: fewbit_kernels::packed::place_weights

use fewbit_kernels::packed::{Widths, run_bytes, unpack};
use fewbit_kernels::rans::{Decoder, LaneCount};
use rayon::prelude::*;

use super::super::classes::{WidthClasses, histogram};
use super::super::packed::check_bits;
use super::super::streams::Pieces;
use super::super::{CodingError, EncodingFault, reserved};
use super::directory::{Class, Directory, Model};
use super::{BLOCK, width_frequencies, width_lanes};
use crate::BitWidth;

/// The codes of a tensor sorted by width, each width ascending.
pub(crate) struct SortedCodes<'d> {
    pub(super) classes: Vec<ClassCodes<'d>>,
}

/// The codes of one width, to be decoded block by block.
pub(super) struct ClassCodes<'d> {
    pub(super) width: BitWidth,
    pub(super) codes: usize,
    form: Form<'d>,
}

enum Form<'d> {
    /// Packed at their width, from `offset` of the tensor's data on.
    Stored { offset: usize, bytes: &'d [u8] },
    /// Symbols, and the bits below them.
    Coded {
        decoder: Decoder,
        /// Each stream and where it begins; none where there is but one symbol.
        streams: Vec<(usize, &'d [u8])>,
        /// What each symbol is in a code; not looked at up to eight bits.
        upper_parts: Box<[u16; 256]>,
        raw_bits: u8,
        raw: &'d [u8],
    },
}

/// Room to decode a block in.
#[derive(Default)]
pub(super) struct Scratch {
    symbols: Vec<u8>,
    numbers: Vec<u16>,
}

impl Directory {
    /// The widths of a tensor's groups; `None` where all are the smallest.
    pub(crate) fn widths(
        &self,
        data: &[u8],
        classes: &WidthClasses,
    ) -> Result<Option<Vec<u8>>, EncodingFault> {
        let Some(table) = width_frequencies(classes) else {
            return Ok(None);
        };
        let mut widths = zeros(classes.grouping().count())?;
        let decoder = Decoder::new(&table);
        let streams = cut(&self.width_blocks, 0, data);
        let jobs: Vec<_> = widths.chunks_mut(BLOCK).zip(streams).collect();
        let decode = |(widths, (offset, bytes)): (&mut [u8], (usize, &[u8]))| {
            let lanes = width_lanes(widths.len(), &table);
            decoder
                .decode_block_of(lanes, bytes, widths)
                .map_err(|error| EncodingFault::coding(offset, "widths", error))
        };
        in_parallel(jobs, decode)?;
        if classes.describe(histogram(&widths), widths.last().copied()) {
            Ok(Some(widths))
        } else {
            Err(EncodingFault::coding(0, "widths", CodingError::WidthCounts))
        }
    }

    /// The codes of a tensor's groups, to be decoded.
    pub(crate) fn codes<'d>(&self, data: &'d [u8]) -> Result<SortedCodes<'d>, EncodingFault> {
        let classes =
            self.classes.iter().zip(self.cut(data)).map(|(class, bytes)| ClassCodes::new(class, bytes));
        Ok(SortedCodes { classes: classes.collect::<Result<_, _>>()? })
    }
}

impl<'d> ClassCodes<'d> {
    fn new(class: &Class, [symbols, raw]: [(usize, &'d [u8]); 2]) -> Result<Self, EncodingFault> {
        let &Class { width, codes, ref model } = class;
        let filled = |bits: u8| {
            let expected = codes as u64 * u64::from(bits);
            check_bits(raw.1, expected).map_err(|error| EncodingFault::coding(raw.0, "codes", error))
        };
        let form = match model {
            Model::Stored => {
                filled(width.get())?;
                Form::Stored { offset: raw.0, bytes: raw.1 }
            }
            Model::Coded { symbols: model, blocks, .. } => {
                filled(model.raw_bits)?;
                Form::Coded {
                    decoder: Decoder::new(&model.table),
                    streams: cut(blocks, symbols.0, symbols.1),
                    upper_parts: Box::new(model.upper_parts()),
                    raw_bits: model.raw_bits,
                    raw: raw.1,
                }
            }
        };
        Ok(Self { width, codes, form })
    }

    /// Bytes of a code.
    pub(super) fn code_bytes(&self) -> usize {
        run_bytes(self.width.get())
    }

    pub(super) fn blocks(&self) -> usize {
        self.codes.div_ceil(BLOCK)
    }

    /// Codes of a block.
    pub(super) fn block_len(&self, block: usize) -> usize {
        BLOCK.min(self.codes - block * BLOCK)
    }

    /// Writes the codes of a block, as many as `out` has room for: all that it has.
    pub(super) fn decode(
        &self,
        block: usize,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<(), EncodingFault> {
        let len = out.len() / self.code_bytes();
        let packed = |bytes: &'d [u8], bits: u8| {
            // A whole block is whole bytes.
            let start = (block * (BLOCK / 8) * usize::from(bits)).min(bytes.len());
            let end = start + (len * usize::from(bits)).div_ceil(8);
            &bytes[start..end.min(bytes.len())]
        };
        let Scratch { symbols, numbers } = scratch;
        match &self.form {
            &Form::Stored { offset, bytes } => {
                let bits = self.width.get();
                numbers.resize(len, 0);
                unpack(packed(bytes, bits), Widths::Uniform(bits), numbers)
                    .map_err(|error| EncodingFault::coding(offset, "codes", error))?;
                match self.code_bytes() {
                    1 => out.iter_mut().zip(numbers).for_each(|(out, code)| *out = *code as u8),
                    _ => write_pairs(numbers.iter().copied(), out),
                }
            }
            Form::Coded { decoder, streams, upper_parts, raw_bits, raw } => {
                let (offset, bytes) = streams.get(block).copied().unwrap_or((0, &[]));
                let failed = |error: CodingError| EncodingFault::coding(offset, "codes", error);
                let decode = |symbols: &mut [u8]| {
                    let lanes = LaneCount::of(symbols.len());
                    decoder.decode_block_of(lanes, bytes, symbols).map_err(|error| failed(error.into()))
                };
                if self.code_bytes() == 1 {
                    return decode(out);
                }
                symbols.resize(len, 0);
                decode(symbols)?;
                numbers.resize(len, 0);
                unpack(packed(raw, *raw_bits), Widths::Uniform(*raw_bits), numbers)
                    .map_err(|error| failed(error.into()))?;
                let codes = symbols.iter().zip(numbers);
                write_pairs(codes.map(|(symbol, low)| upper_parts[usize::from(*symbol)] | *low), out);
            }
        }
        Ok(())
    }
}

impl SortedCodes<'_> {
    /// Whether all of them decode.
    pub(crate) fn check(&self) -> Result<(), EncodingFault> {
        let blocks = |class| (0..ClassCodes::blocks(class)).map(move |block| (class, block));
        let jobs: Vec<(&ClassCodes<'_>, usize)> = self.classes.iter().flat_map(blocks).collect();
        let faults: Vec<_> = jobs
            .into_par_iter()
            .map_init(Default::default, |(scratch, codes): &mut (Scratch, Vec<u8>), (class, block)| {
                codes.resize(class.block_len(block) * class.code_bytes(), 0);
                class.decode(block, scratch, codes)
            })
            .collect();
        faults.into_iter().collect()
    }
}

/// Writes numbers of two bytes each, the lower first.
fn write_pairs(numbers: impl Iterator<Item = u16>, out: &mut [u8]) {
    out.as_chunks_mut().0.iter_mut().zip(numbers).for_each(|(out, number)| *out = number.to_le_bytes());
}

/// Streams of so many bytes each, cut from `bytes`, with where they begin; `bytes` begin at `offset`.
fn cut<'d>(lengths: &[u64], offset: usize, bytes: &'d [u8]) -> Vec<(usize, &'d [u8])> {
    let mut pieces = Pieces::from(bytes, 0);
    let stream = |&length: &u64| {
        let (start, piece) = pieces.take(length);
        (offset + start, piece)
    };
    lengths.iter().map(stream).collect()
}

/// Does each job, on all cores where they are several; the first fault in their order, however many threads
/// there are.
pub(super) fn in_parallel<J: Send>(
    jobs: Vec<J>,
    work: impl Fn(J) -> Result<(), EncodingFault> + Sync + Send,
) -> Result<(), EncodingFault> {
    if jobs.len() < 2 {
        return jobs.into_iter().try_for_each(work);
    }
    let results: Vec<_> = jobs.into_par_iter().map(work).collect();
    results.into_iter().collect()
}

/// So many bytes of zero, or a fault instead of an abort.
pub(super) fn zeros(count: usize) -> Result<Vec<u8>, EncodingFault> {
    let mut bytes = reserved(count)?;
    bytes.resize(count, 0);
    Ok(bytes)
}
