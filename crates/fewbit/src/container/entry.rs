//! What a reader knows of one tensor before it looks at its data.

use std::ops::Range;

use super::TensorBytes;
use crate::encoding::classes::WidthClasses;
use crate::encoding::coded::TablePlaces;
use crate::encoding::ranges::RangePlaces;
use crate::{BitWidth, Encoding, GridKind, GroupSize, RangeForm, RangeGranularity, ValueRange};

/// Whether a tensor is stored as codes, as floats or byte for byte, or is another's second name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorKind {
    /// As codes.
    Quantized,
    /// As floats that are read as 32-bit ones; [`TensorEntry::encoding`] says in how many bits.
    Float32,
    /// Byte for byte, as elements that are no weights; [`TensorEntry::encoding`] says what they are.
    Raw,
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
    pub(super) encoding: Encoding,
    pub(super) quantized: Option<Box<QuantizedEntry>>,
    pub(super) bytes: TensorBytes,
    /// Bytes of its data.
    pub(super) data_bytes: u64,
    /// Where its data lie in the file, or those of its target.
    pub(super) data_at: Range<u64>,
}

/// What the table says of a quantized tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct QuantizedEntry {
    pub(super) group_size: GroupSize,
    pub(super) ranges: RangesEntry,
    pub(super) classes: WidthClasses,
    /// Where the file says how its streams are divided, if it is coded.
    pub(super) directory_at: Range<usize>,
    /// Where the tensors before it have the frequency tables that it may share.
    pub(super) tables_at: TablePlaces,
    /// Bytes of its data that are widths.
    pub(super) width_bytes: u64,
}

/// What the table says of a tensor's ranges.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RangesEntry {
    pub(super) granularity: RangeGranularity,
    pub(super) kind: GridKind,
    pub(super) form: RangeForm,
    /// The range of a tensor that has but one; others are in the data.
    pub(super) of_tensor: Option<ValueRange>,
    /// Ranges in its data.
    pub(super) stored: usize,
    /// Bytes of its data that are ranges, the last.
    pub(super) bytes: u64,
    /// Where the file says how their streams are divided, if they are coded.
    pub(super) directory_at: usize,
    /// Where the tensors before it have the frequency tables that they may share.
    pub(super) tables_at: RangePlaces,
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

    /// Whether it is codes, floats, raw or an alias.
    pub fn kind(&self) -> TensorKind {
        self.kind
    }

    /// How its values are written; how those of its target are, for an alias.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// How many weights share a width; `None` where there are no codes.
    pub fn group_size(&self) -> Option<GroupSize> {
        Some(self.quantized.as_ref()?.group_size)
    }

    /// The range of all its weights; `None` where channels or groups have their own, and where there are no codes.
    pub fn range(&self) -> Option<ValueRange> {
        self.quantized.as_ref()?.ranges.of_tensor
    }

    /// What has a range of its own; `None` where there are no codes.
    pub fn range_granularity(&self) -> Option<RangeGranularity> {
        Some(self.quantized.as_ref()?.ranges.granularity)
    }

    /// How its ranges are stored; `None` where there are no codes.
    pub fn range_form(&self) -> Option<RangeForm> {
        Some(self.quantized.as_ref()?.ranges.form)
    }

    /// Where in a range its levels lie; `None` where there are no codes.
    pub fn grid_kind(&self) -> Option<GridKind> {
        Some(self.quantized.as_ref()?.ranges.kind)
    }

    /// Bits per value: of the codes alone and before they are coded, 32 or 16 for floats, those of an element
    /// for raw ones; those of its target for an alias.
    pub fn mean_bits(&self) -> f64 {
        match (&self.quantized, self.encoding) {
            (Some(quantized), _) => quantized.classes.code_bits() as f64 / self.elements.max(1) as f64,
            (None, Encoding::Float16 | Encoding::BFloat16) => 16.0,
            (None, Encoding::Raw(elements)) => 8.0 * elements.bytes() as f64,
            (None, _) => 32.0,
        }
    }

    /// Number of groups of each width, 0 to 16; all zero where there are no codes.
    pub fn width_histogram(&self) -> [usize; BitWidth::COUNT] {
        match &self.quantized {
            Some(quantized) => quantized.classes.histogram(),
            None => [0; BitWidth::COUNT],
        }
    }

    /// The bytes it takes in the file; an alias takes its entry of the table alone.
    pub fn bytes(&self) -> TensorBytes {
        self.bytes
    }

    /// Whether it has data of its own.
    pub(super) fn is_stored(&self) -> bool {
        !matches!(self.kind, TensorKind::Alias { .. })
    }

    /// Whether it has floats of its own to give, as raw ones and aliases have not.
    pub(super) fn has_values(&self) -> bool {
        matches!(self.kind, TensorKind::Quantized | TensorKind::Float32)
    }

    /// Bytes of what it is read as: 32-bit floats, or its elements as they are.
    pub(super) fn output_bytes(&self) -> u64 {
        let bytes = match self.encoding {
            Encoding::Raw(elements) => elements.bytes(),
            _ => size_of::<f32>(),
        };
        // No shape is read whose elements are more than an eighth of what can be counted.
        self.elements as u64 * bytes as u64
    }
}
