//! How much a checkpoint may ask of its reader.

/// The largest checkpoint that a reader takes on: what a stranger may make it spend.
///
/// A checkpoint is refused before memory is spent on it. Opening one costs at most some dozens of times the
/// bytes of its head; reading a tensor costs its values, and for a strided one the part of the file they
/// lie in if its strides overlap.
///
/// ```
/// # use fewbit_checkpoint::Limits;
/// let careful = Limits { tensors: 1 << 10, ..Limits::default() };
/// assert!(careful.tensors < Limits::default().tensors);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of what describes the tensors: a safetensors header or index, a pickle, a zip directory; and
    /// bytes of all names together. Counted for each file of a sharded checkpoint.
    pub header_bytes: usize,
    /// Tensors, those that share their values included.
    pub tensors: usize,
    /// Values of all tensors together.
    pub elements: u64,
    /// Values of a tensor that repeats what its storage holds (PyTorch's `expand`): they take memory
    /// without being in the file.
    pub repeated_elements: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 16 << 20, tensors: 1 << 16, elements: 1 << 36, repeated_elements: 1 << 24 }
    }
}

impl Limits {
    /// Steps of the pickle machine: a tensor of a state dict takes about thirty.
    pub(crate) fn pickle_steps(&self) -> usize {
        self.tensors.saturating_mul(64).saturating_add(4096)
    }
}

/// Longest name of a tensor, in bytes; what a `.fewbit` file allows.
pub(crate) const NAME_BYTES: usize = 1 << 10;
/// Most dimensions of a shape; what a `.fewbit` file allows.
pub(crate) const RANK: usize = 8;
/// Most dicts and lists inside one another.
pub(crate) const DEPTH: usize = 64;
/// Most files of a sharded checkpoint; each is held open.
pub(crate) const SHARDS: usize = 512;
