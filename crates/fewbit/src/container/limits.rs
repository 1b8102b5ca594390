//! How much a file may ask of its reader.

/// The largest file that a reader takes on: what a stranger may make it spend.
///
/// A file is refused before memory is spent on it. The defaults are far above any network this format
/// is for.
///
/// ```
/// # use fewbit::Limits;
/// let mut careful = Limits::default();
/// careful.elements = 1 << 20;
/// assert!(careful.elements < Limits::default().elements);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of header and table together, names counted as if written out once more and each frequency table as
    /// 256 bytes.
    pub header_bytes: usize,
    /// Tensors, aliases included.
    pub tensors: usize,
    /// Weights, floats and other elements that the file stores, of all tensors together.
    pub elements: u64,
    /// Bytes that the values of all names take as 32-bit floats, those of raw tensors as they are; those of an
    /// alias once more.
    pub output_bytes: u64,
    /// Entries of metadata.
    pub metadata: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 << 20,
            tensors: 1 << 16,
            elements: 1 << 30,
            output_bytes: 4 << 30,
            metadata: 1 << 10,
        }
    }
}

/// Bytes that a frequency table counts as, which may take two in a file and hundreds in memory.
pub(super) const FREQUENCY_TABLE_BYTES: usize = 256;
/// Longest name of a tensor and longest key of the metadata, in bytes.
pub(super) const NAME_BYTES: usize = 1 << 10;
/// Most dimensions of a shape.
pub(super) const RANK: usize = 8;
