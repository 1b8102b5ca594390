//! What the table says of a coded tensor's streams: frequencies, and how long each stream is.

use std::sync::Arc;

use super::super::classes::WidthClasses;
use super::super::packed::pack_equal;
use super::super::streams::{MODEL_BITS, OWN, Pieces, SHARED, STORED, read_lengths, read_models, total};
use super::symbols::SymbolModel;
use super::{BLOCK, coded_widths};
use crate::BitWidth;
use crate::encoding::cursor::{Cursor, number_bytes, put_number};
use crate::encoding::{CodingError, EncodingError};

/// The models of each width that came last, which later tensors may share.
pub(crate) type SharedModels = [Option<Arc<SymbolModel>>; BitWidth::COUNT];

/// The streams of a tensor, in order: those of the widths, then for each width its symbols and the bits
/// that are left as they are.
#[derive(Debug, PartialEq)]
pub(crate) struct Directory {
    /// Bytes of each stream of widths; none where all widths are the same.
    pub(super) width_blocks: Vec<u64>,
    /// The widths that have codes, ascending.
    pub(super) classes: Vec<Class>,
}

/// The codes of one width.
#[derive(Debug, PartialEq)]
pub(super) struct Class {
    pub(super) width: BitWidth,
    pub(super) codes: usize,
    pub(super) model: Model,
}

/// How the symbols of one width are written.
#[derive(Debug, PartialEq)]
pub(super) enum Model {
    /// Each code in as many bits as it has.
    Stored,
    /// Entropy coded, in streams of so many bytes; a table of one symbol has none. A model of its own is in
    /// the directory, another's is not.
    Coded { symbols: Arc<SymbolModel>, own: bool, blocks: Vec<u64> },
}

/// Bytes of the directory by what they are for, and bytes of the streams by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodedSize {
    /// Frequency tables, and which widths have one of their own.
    pub(crate) frequency_tables: u64,
    /// Streams of widths and their lengths.
    pub(crate) widths: u64,
    /// Streams of codes and their lengths.
    pub(crate) codes: u64,
    /// All streams together, without the directory.
    pub(crate) streams: u64,
}

impl Model {
    /// Bytes of the directory that it takes, beside two bits.
    pub(super) fn bytes(&self, width: BitWidth) -> usize {
        let mut bytes = Vec::new();
        self.put(width, &mut bytes);
        bytes.len()
    }

    fn number(&self) -> u16 {
        match self {
            Self::Stored => STORED,
            Self::Coded { own: true, .. } => OWN,
            Self::Coded { own: false, .. } => SHARED,
        }
    }

    fn put(&self, width: BitWidth, bytes: &mut Vec<u8>) {
        if let Self::Coded { symbols, own, blocks } = self {
            if *own {
                symbols.put(width, bytes);
            }
            blocks.iter().for_each(|length| put_number(bytes, *length));
        }
    }
}

/// Reads the model at the cursor, or gives the one of this width that came last.
fn read_model(
    cursor: &mut Cursor<'_>,
    width: BitWidth,
    own: bool,
    shared: &mut SharedModels,
) -> Result<Arc<SymbolModel>, EncodingError> {
    let last = &mut shared[usize::from(width.get())];
    if own {
        *last = Some(Arc::new(SymbolModel::read(cursor, width)?));
    }
    let nothing = EncodingError::Coding { what: "frequencies", source: CodingError::NothingToShare };
    last.clone().ok_or(nothing)
}

impl Class {
    /// Bytes of the symbols' streams, and of the bits that are left as they are.
    fn streams(&self) -> (u64, u64) {
        let packed = |bits: u8| (self.codes as u64).saturating_mul(bits.into()).div_ceil(8);
        match &self.model {
            Model::Stored => (0, packed(self.width.get())),
            Model::Coded { symbols, blocks, .. } => (total(blocks), packed(symbols.raw_bits)),
        }
    }
}

impl Directory {
    /// Appends it to a tensor's entry of the table.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        self.width_blocks.iter().for_each(|length| put_number(bytes, *length));
        let models: Vec<u16> = self.classes.iter().map(|class| class.model.number()).collect();
        bytes.extend(pack_equal(&models, MODEL_BITS));
        self.classes.iter().for_each(|class| class.model.put(class.width, bytes));
    }

    /// The directory of a tensor whose groups have these widths. `shared` are the models of earlier tensors, and
    /// is brought up to date.
    pub(crate) fn read(
        cursor: &mut Cursor<'_>,
        classes: &WidthClasses,
        shared: &mut SharedModels,
    ) -> Result<Self, EncodingError> {
        let streams = if classes.is_uniform() { 0 } else { classes.grouping().count().div_ceil(BLOCK) };
        let width_blocks = read_lengths(cursor, streams)?;
        let models = read_models(cursor, coded_widths(classes).count(), "codes")?;
        let mut read = Vec::new();
        for (width, model) in coded_widths(classes).zip(models) {
            let codes = classes.codes(width);
            let model = match model {
                STORED => Model::Stored,
                found @ (OWN | SHARED) => {
                    let own = found == OWN;
                    let symbols = read_model(cursor, width, own, shared)?;
                    let streams = if symbols.table.is_certain() { 0 } else { codes.div_ceil(BLOCK) };
                    Model::Coded { symbols, own, blocks: read_lengths(cursor, streams)? }
                }
                found => return Err(EncodingError::UnknownModel { found: found as u8 }),
            };
            read.push(Class { width, codes, model });
        }
        Ok(Self { width_blocks, classes: read })
    }

    /// Makes the models that it brings those that later tensors share.
    pub(crate) fn share(&self, shared: &mut SharedModels) {
        for class in &self.classes {
            if let Model::Coded { symbols, own: true, .. } = &class.model {
                shared[usize::from(class.width.get())] = Some(Arc::clone(symbols));
            }
        }
    }

    /// Frequency tables of its own.
    pub(crate) fn tables(&self) -> usize {
        let own = |class: &&Class| matches!(class.model, Model::Coded { own: true, .. });
        self.classes.iter().filter(own).count()
    }

    /// Bytes of the streams of widths.
    pub(crate) fn width_bytes(&self) -> u64 {
        total(&self.width_blocks)
    }

    /// Where its bytes and those of its streams go.
    pub(crate) fn size(&self) -> CodedSize {
        let lengths = |blocks: &[u64]| blocks.iter().map(|length| number_bytes(*length)).sum::<u64>();
        let widths = total(&self.width_blocks);
        let mut size = CodedSize {
            frequency_tables: (self.classes.len() as u64 * u64::from(MODEL_BITS)).div_ceil(8),
            widths: widths.saturating_add(lengths(&self.width_blocks)),
            codes: 0,
            streams: widths,
        };
        for class in &self.classes {
            let (symbols, raw) = class.streams();
            let in_streams = symbols.saturating_add(raw);
            let of_lengths = match &class.model {
                Model::Stored => 0,
                Model::Coded { blocks, .. } => lengths(blocks),
            };
            size.frequency_tables += class.model.bytes(class.width) as u64 - of_lengths;
            size.codes = size.codes.saturating_add(in_streams).saturating_add(of_lengths);
            size.streams = size.streams.saturating_add(in_streams);
        }
        size
    }

    /// The bytes of each class, cut from `data`, with where they begin: symbols, then what is left as it is.
    pub(super) fn cut<'d>(&self, data: &'d [u8]) -> Vec<[(usize, &'d [u8]); 2]> {
        let mut pieces = Pieces::from(data, self.width_bytes());
        let streams = self.classes.iter().map(|class| {
            let (symbols, raw) = class.streams();
            [pieces.take(symbols), pieces.take(raw)]
        });
        streams.collect()
    }
}
