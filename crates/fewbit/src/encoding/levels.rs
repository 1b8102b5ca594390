//! What codes mean: the grid of each run of weights, by ranges that the table or the data have.

use std::num::NonZeroUsize;

use fewbit_kernels::packed::Levels;

use super::codes::{GridPerRun, OneGrid, StoredCodes};
use super::cursor::Cursor;
use super::ranges::{self, RangeDirectory, SharedRangeTables};
use super::{EncodingError, EncodingFault, reserved};
use crate::{GridKind, GroupSize, Grouping, RangeForm, RangeGranularity, Ranges, ValueRange};

/// What the table says of what a tensor's codes mean.
#[derive(Debug, PartialEq)]
pub(crate) enum LevelsEntry {
    /// One code per weight, each a level of a uniform grid.
    Uniform(RangesEntry),
}

/// What the table says of a tensor's ranges.
#[derive(Debug, PartialEq)]
pub(crate) struct RangesEntry {
    pub(crate) granularity: RangeGranularity,
    pub(crate) kind: GridKind,
    pub(crate) form: RangeForm,
    /// The range of a tensor that has only one; others are in the data.
    pub(crate) of_tensor: Option<ValueRange>,
    /// Ranges in the data.
    stored: usize,
    /// How their streams are divided, if they are coded.
    directory: Option<RangeDirectory>,
}

/// Stands for levels of another kind, of which the next byte says which.
pub(crate) const EXTENDED: u8 = 3;

/// The five bits of a file's table that say what codes mean.
pub(crate) fn number_of(granularity: RangeGranularity, kind: GridKind, form: RangeForm) -> u8 {
    let granularity = match granularity {
        RangeGranularity::Tensor => 0,
        RangeGranularity::Channel => 1,
        RangeGranularity::Group => 2,
    };
    // The ranges of a stepped grid are symmetric in any case.
    let flags = [form.is_half(), form.is_symmetric() && kind != GridKind::Stepped, kind.is_about_zero()];
    flags.iter().enumerate().fold(granularity, |number, (bit, flag)| number | u8::from(*flag) << (bit + 2))
}

/// What the five bits say; `None` where they are not those of a uniform grid.
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

impl RangesEntry {
    /// The entry of a tensor in this shape. `per_group` are the groups of more than 0 bits, and `shared` the
    /// frequency tables of earlier coded ranges, or `None` for packed ones.
    pub(crate) fn read(
        cursor: &mut Cursor<'_>,
        (granularity, kind, form): (RangeGranularity, GridKind, RangeForm),
        shape: &[usize],
        per_group: usize,
        shared: Option<&mut SharedRangeTables>,
    ) -> Result<Self, EncodingError> {
        let mut of_tensor = None;
        if granularity == RangeGranularity::Tensor {
            let bytes = cursor.take(form.bytes() as u64, "a range")?;
            of_tensor = ranges::unpack(bytes, form, 1).map_err(|fault| fault.error)?.pop();
        }
        let stored = match granularity {
            RangeGranularity::Tensor => 0,
            RangeGranularity::Channel => granularity.count(shape, GroupSize::WholeTensor).unwrap_or(0),
            RangeGranularity::Group => per_group,
        };
        let directory =
            shared.map(|shared| RangeDirectory::read(cursor, form, stored, shared)).transpose()?;
        Ok(Self { granularity, kind, form, of_tensor, stored, directory })
    }

    /// Bytes of the data that are ranges.
    pub(crate) fn data_bytes(&self) -> u64 {
        match &self.directory {
            Some(directory) => directory.data_bytes(),
            None => ranges::packed_bytes(self.form, self.stored),
        }
    }

    /// Frequency tables of its own.
    pub(crate) fn tables(&self) -> usize {
        self.directory.as_ref().map_or(0, RangeDirectory::tables)
    }

    /// The ranges that are in the data.
    pub(crate) fn stored(&self, data: &[u8]) -> Result<Vec<ValueRange>, EncodingFault> {
        match &self.directory {
            Some(directory) => directory.decode(data),
            None => ranges::unpack(data, self.form, self.stored),
        }
    }

    /// All ranges, those of groups of no bits included. Where each group has one `widths` must be theirs.
    pub(crate) fn all(
        &self,
        data: &[u8],
        widths: impl ExactSizeIterator<Item = u8>,
    ) -> Result<Vec<ValueRange>, EncodingFault> {
        match (self.of_tensor, self.granularity) {
            (Some(range), _) => Ok(vec![range]),
            (None, RangeGranularity::Group) if self.stored != widths.len() => {
                let mut stored = self.stored(data)?.into_iter();
                let mut values = reserved(widths.len())?;
                values.extend(widths.map(|width| match width {
                    0 => ValueRange::default(),
                    _ => stored.next().unwrap_or_default(),
                }));
                Ok(values)
            }
            _ => self.stored(data),
        }
    }

    /// The ranges, of which `values` are [`all`](Self::all).
    pub(crate) fn ranges(&self, values: Vec<ValueRange>) -> Ranges {
        Ranges::from_stored(self.granularity, self.kind, self.form, values)
    }

    /// Writes the value of each code of a tensor in this shape. `data` are those of the ranges, and follow those of
    /// the codes.
    pub(crate) fn values_into(
        &self,
        data: &[u8],
        codes: StoredCodes<'_>,
        (shape, grouping): (&[usize], Grouping),
        values: &mut [f32],
    ) -> Result<(), EncodingFault> {
        let levels = |range: ValueRange| match self.kind {
            GridKind::MinMax => Levels::MinMax { minimum: range.minimum(), maximum: range.maximum() },
            GridKind::Signed => Levels::Signed { half_width: range.half_width() },
            GridKind::Stepped => Levels::Stepped { step: range.half_width() },
        };
        if let Some(range) = self.of_tensor {
            return codes.decode(None, values, &OneGrid(levels(range)));
        }
        // Only by all widths it is known which groups have a range.
        let per_group = self.granularity == RangeGranularity::Group;
        let widths = if per_group { codes.widths()? } else { None };
        let ranges = match &widths {
            Some(widths) => self.all(data, widths.iter().copied()),
            None => self.all(data, std::iter::repeat_n(codes.least_width(), grouping.count())),
        };
        let ranges = ranges.map_err(|fault| fault.after(codes.bytes()))?;
        let runs = self.granularity.runs(shape, grouping);
        let sink = GridPerRun {
            size: NonZeroUsize::new(runs.size()).unwrap_or(NonZeroUsize::MIN),
            levels: |run: usize| levels(ranges.get(run).copied().unwrap_or_default()),
        };
        codes.decode(widths.as_deref(), values, &sink)
    }
}
