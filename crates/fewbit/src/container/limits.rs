//! How much a file may ask of its reader.

/// The largest file that a reader takes on: what a stranger may make it spend.
///
/// A file is refused before memory is spent on it. The defaults are far above any network this format
/// is for.
///
/// ```
/// # use fewbit::Limits;
/// let careful = Limits { elements: 1 << 20, ..Limits::default() };
/// assert!(careful.elements < Limits::default().elements);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of header and table together, names counted as if written out once more.
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

/// Longest name of a tensor and longest key of the metadata, in bytes.
pub(super) const NAME_BYTES: usize = 1 << 10;
/// Most dimensions of a shape.
pub(super) const RANK: usize = 8;
