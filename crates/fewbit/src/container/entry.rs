//! What a reader knows of one tensor before it looks at its data.

use std::ops::Range;
use std::sync::Arc;

use super::TensorBytes;
use crate::encoding::codes::CodesEntry;
use crate::encoding::levels::{LevelsEntry, RangesEntry};
use crate::{BitWidth, Encoding, GridKind, GroupSize, RangeForm, RangeGranularity, ValueRange};

/// Whether a tensor is stored as codes, as floats or byte for byte, or is another's second name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorKind {
    /// As codes.
    Quantized,
    /// As floats, which are read as 32-bit ones; [`TensorEntry::encoding`] says in how many bits.
    Float32,
    /// Byte for byte, as elements that are not weights; [`TensorEntry::encoding`] says what they are.
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
    pub(super) quantized: Option<Arc<QuantizedEntry>>,
    pub(super) bytes: TensorBytes,
    /// Bytes of its data.
    pub(super) data_bytes: u64,
    /// Where its data lie in the file, or those of its target.
    pub(super) data_at: Range<u64>,
}

/// What the table says of a quantized tensor: its codes, and apart from them what they mean.
#[derive(Debug, PartialEq)]
pub(super) struct QuantizedEntry {
    pub(super) codes: CodesEntry,
    pub(super) levels: LevelsEntry,
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
        Some(self.quantized.as_ref()?.codes.group_size)
    }

    /// The range of all its weights; `None` where channels or groups have their own, and where there are no codes.
    pub fn range(&self) -> Option<ValueRange> {
        self.ranges()?.of_tensor
    }

    /// What has a range of its own; `None` where there are no codes.
    pub fn range_granularity(&self) -> Option<RangeGranularity> {
        Some(self.ranges()?.granularity)
    }

    /// How its ranges are stored; `None` where there are no codes.
    pub fn range_form(&self) -> Option<RangeForm> {
        Some(self.ranges()?.form)
    }

    /// Where in a range its levels lie; `None` where there are no codes.
    pub fn grid_kind(&self) -> Option<GridKind> {
        Some(self.ranges()?.kind)
    }

    /// Bits per value: of the codes alone and before they are coded, 32 or 16 for floats, those of an element
    /// for raw ones; those of its target for an alias.
    pub fn mean_bits(&self) -> f64 {
        match (&self.quantized, self.encoding) {
            (Some(quantized), _) => quantized.codes.classes.code_bits() as f64 / self.elements.max(1) as f64,
            (None, Encoding::Float16 | Encoding::BFloat16) => 16.0,
            (None, Encoding::Raw(elements)) => 8.0 * elements.bytes() as f64,
            (None, _) => 32.0,
        }
    }

    /// Number of groups of each width, 0 to 16; all zero where there are no codes.
    pub fn width_histogram(&self) -> [usize; BitWidth::COUNT] {
        match &self.quantized {
            Some(quantized) => quantized.codes.classes.histogram(),
            None => [0; BitWidth::COUNT],
        }
    }

    /// The bytes it takes in the file; an alias takes its entry of the table alone.
    pub fn bytes(&self) -> TensorBytes {
        self.bytes
    }

    /// Where its data lie in the file, or those of its target.
    pub fn data_range(&self) -> Range<u64> {
        self.data_at.clone()
    }

    fn ranges(&self) -> Option<&RangesEntry> {
        let LevelsEntry::Uniform(ranges) = &self.quantized.as_ref()?.levels;
        Some(ranges)
    }

    /// Whether it has data of its own.
    pub(super) fn is_stored(&self) -> bool {
        !matches!(self.kind, TensorKind::Alias { .. })
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
