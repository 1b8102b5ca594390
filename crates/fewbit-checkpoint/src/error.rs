//! What can be wrong with a checkpoint, or with what is asked of one.

use std::io;
use std::path::{Path, PathBuf};

use crate::DType;

/// Why a checkpoint, or a tensor of it, could not be read. The message names the path; `source()` says what
/// was wrong, [`hint`](Self::hint) what a person can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot read {path}", path = path.display())]
    Io {
        /// The path that was to be read.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path} is not a checkpoint: it is {found}; needed is safetensors, its index, or a file of torch.save", path = path.display())]
    Unrecognised {
        /// The path that was read.
        path: PathBuf,
        /// What its first bytes look like.
        found: String,
    },
    /// A folder does not say which checkpoint in it is meant.
    #[error("the folder {path} is no checkpoint: it has {found}; needed is one `.safetensors` file or one `.safetensors.index.json`", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What it has instead.
        found: String,
    },
    /// The file is a checkpoint, but damaged, forged, or beyond what we read.
    #[error("{path} is not a readable checkpoint", path = path.display())]
    Format {
        /// The path that was read.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<FormatError>,
    },
    /// A tensor was asked for that the checkpoint does not have.
    #[error("{path} has no tensor `{name}`", path = path.display())]
    UnknownTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The name that was asked for.
        name: String,
    },
    /// Floats were asked for of a tensor that has none.
    #[error("{path}: tensor `{name}` has elements of {found}, needed is F32, F16, BF16 or F64", path = path.display())]
    NotFloat {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What its elements are.
        found: DType,
    },
    /// Two names are one when what wraps them is taken away.
    #[error("{path}: `{first}` and `{second}` are both called `{name}` without their wrappers", path = path.display())]
    SameName {
        /// The checkpoint.
        path: PathBuf,
        /// The name that both have.
        name: String,
        /// The full name of the one.
        first: String,
        /// The full name of the other.
        second: String,
    },
    /// There is no memory for what was asked.
    #[error("{path}: no memory for the {bytes} bytes of tensor `{name}`", path = path.display())]
    OutOfMemory {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// How much was needed.
        bytes: u64,
    },
    /// The reader met a case that it was not written for: a fault of ours, kept from doing harm.
    #[error("the reader of {path} failed; please report this file", path = path.display())]
    Panicked {
        /// The path that was read.
        path: PathBuf,
    },
}

impl CheckpointError {
    /// What a person can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unrecognised { found, .. } if found.contains("git-lfs") => {
                Some("the file's content was not fetched: `git lfs pull` does it")
            }
            Self::Unrecognised { found, .. } if found.contains("tar") => {
                Some("if it is a checkpoint of PyTorch before 0.1.10, load and save it with a newer one")
            }
            Self::Folder { .. } => Some("name the file itself"),
            Self::Format { source, .. } => source.hint(),
            Self::NotFloat { .. } => Some("read it as bytes, or leave it out"),
            _ => None,
        }
    }
}

/// What is wrong with a checkpoint's bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file ends too early.
    #[error("{what} at byte {offset} needs {needed} bytes, {found} are left")]
    Truncated {
        /// What was being read.
        what: String,
        /// Where it begins.
        offset: u64,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The file asks for more than its reader allows.
    #[error("{what}: {found}, the limit is {limit}")]
    OverLimit {
        /// What there is too much of.
        what: &'static str,
        /// How much the file asks for, or as much as was counted.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The bytes are not those that were written.
    #[error("the file is damaged: the checksum of {part} is {found:08x}, {expected:08x} was written")]
    ChecksumMismatch {
        /// What the checksum is of.
        part: String,
        /// The checksum in the file.
        expected: u32,
        /// The checksum of its bytes.
        found: u32,
    },
    /// A text is not UTF-8.
    #[error("{what} at byte {offset} is not UTF-8")]
    NotText {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        offset: u64,
    },
    /// The file was written on a machine that orders bytes the other way.
    #[error("the file's numbers are big-endian, needed are little-endian ones")]
    BigEndian,
    /// Two tensors have one name.
    #[error("two tensors are called `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A tensor's name is empty or too long.
    #[error("a tensor's name has {found} bytes, needed are 1 to {limit}: `{start}`")]
    BadName {
        /// How its name begins.
        start: String,
        /// Bytes that it has.
        found: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// A shape has too many dimensions.
    #[error("tensor `{name}` has {found} dimensions, the limit is {limit}")]
    Rank {
        /// The tensor.
        name: String,
        /// Its dimensions.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A shape's elements cannot be counted.
    #[error("tensor `{name}`: shape {shape:?} has more elements than can be counted")]
    ShapeOverflow {
        /// The tensor.
        name: String,
        /// Its dimensions.
        shape: Vec<usize>,
    },
    /// Elements of a kind that we do not read.
    #[error("tensor `{name}` has elements of {found}, which are not read here")]
    UnsupportedDType {
        /// The tensor.
        name: String,
        /// What its elements are.
        found: String,
    },

    /// A safetensors header or index is not the JSON it should be.
    #[error("{what} is not as it should be")]
    Json {
        /// `the header` or `the index`.
        what: &'static str,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The tensors of a safetensors file leave a gap, overlap, or do not reach the end.
    #[error("the data of {what} begin at {found}, needed is {expected}")]
    DataOffset {
        /// The tensor, or the file's end.
        what: String,
        /// Where they begin, or end, counted from the header's end.
        found: u64,
        /// Where they should.
        expected: u64,
    },
    /// A safetensors tensor has more or fewer bytes than its shape.
    #[error("tensor `{name}`: {found} bytes of data, {expected} needed for shape {shape:?} of {dtype}")]
    DataLength {
        /// The tensor.
        name: String,
        /// Its dimensions.
        shape: Vec<usize>,
        /// Its elements.
        dtype: DType,
        /// Bytes that it needs.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// An index names a file that is not simply one beside it.
    #[error("the index names the file `{found}`, needed is a name without folders")]
    ShardPath {
        /// What it names.
        found: String,
    },
    /// A shard does not have a tensor that the index looks for there.
    #[error("the index has tensor `{name}` in `{shard}`, which has no such tensor")]
    NotInShard {
        /// The tensor.
        name: String,
        /// The file.
        shard: String,
    },
    /// A shard has a tensor that the index does not know or has elsewhere.
    #[error("`{shard}` has tensor `{name}`, the index has it {place}")]
    NotInIndex {
        /// The tensor.
        name: String,
        /// The file.
        shard: String,
        /// `nowhere`, or in which file.
        place: String,
    },

    /// A zip archive is not as it should be.
    #[error("{what} of the zip archive is not at byte {offset}")]
    Zip {
        /// What was looked for.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// An entry of a zip archive is not stored as it is.
    #[error("`{entry}` is {found} in the zip archive, needed is stored as it is")]
    ZipEntry {
        /// The entry.
        entry: String,
        /// `compressed`, `encrypted`, or `of two lengths`.
        found: &'static str,
    },
    /// Two entries of a zip archive have one name.
    #[error("two entries of the zip archive are called `{entry}`")]
    DuplicateEntry {
        /// The name.
        entry: String,
    },
    /// An entry that should be there is not.
    #[error("the zip archive has no `{entry}`")]
    MissingEntry {
        /// The entry.
        entry: String,
    },

    /// A byte that is no operation of a pickle, or none that a state dict is written with.
    #[error("byte {offset} of the pickle is the operation {found:#04x}, which no state dict needs")]
    Opcode {
        /// Where it is in the file.
        offset: u64,
        /// The byte.
        found: u8,
    },
    /// A pickle of a protocol that is not known.
    #[error("the pickle has protocol {found}, needed is 2 to 5")]
    Protocol {
        /// Its protocol.
        found: u8,
    },
    /// A pickle wants something from Python that is not on our list. Nothing was run.
    #[error("the pickle asks for Python's `{module}.{name}`, which is not read as data")]
    Global {
        /// The module.
        module: String,
        /// The name in it.
        name: String,
    },
    /// An operation of a pickle finds something else than it needs.
    #[error("the pickle has {found} at byte {offset}, needed is {needed}")]
    Operand {
        /// Where the operation is in the file.
        offset: u64,
        /// What it finds.
        found: &'static str,
        /// What it needs.
        needed: &'static str,
    },
    /// A pickle refers to something that it did not keep.
    #[error("the pickle at byte {offset} refers to number {index}, which it did not keep")]
    Memo {
        /// Where the operation is in the file.
        offset: u64,
        /// The number.
        index: u64,
    },
    /// Dicts and lists inside one another without end.
    #[error("dicts and lists are nested deeper than {limit}, first in `{name}`")]
    TooDeep {
        /// The path to them.
        name: String,
        /// The depth that is allowed.
        limit: usize,
    },
    /// A tensor without a name.
    #[error("there is a tensor in `{name}` under a key that is neither text nor a whole number")]
    KeyNotText {
        /// The dict.
        name: String,
    },
    /// A tensor is stored in a way that its shape does not tell.
    #[error("tensor `{name}` is {found}, which is not read here")]
    UnsupportedTensor {
        /// The tensor.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// The storage that a tensor is part of is not in the file.
    #[error("tensor `{name}` is part of storage `{key}`, which the file does not have")]
    MissingStorage {
        /// The tensor.
        name: String,
        /// The storage.
        key: String,
    },
    /// A storage is used in two ways that do not fit.
    #[error("tensor `{name}`: storage `{key}` has {found} bytes, {needed} needed")]
    StorageLength {
        /// The tensor.
        name: String,
        /// The storage.
        key: String,
        /// Bytes that it has.
        found: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A tensor reaches beyond its storage.
    #[error(
        "tensor `{name}`: shape {shape:?} with strides {strides:?} from element {offset} reaches beyond the {elements} elements of its storage"
    )]
    BeyondStorage {
        /// The tensor.
        name: String,
        /// Its dimensions.
        shape: Vec<usize>,
        /// Elements from one to the next, in each dimension.
        strides: Vec<usize>,
        /// Its first element.
        offset: u64,
        /// Elements of the storage.
        elements: u64,
    },
    /// The parts of the older format do not follow one another as they should.
    #[error("the older PyTorch format needs {needed}, the file has something else there")]
    Legacy {
        /// What was looked for.
        needed: &'static str,
    },
}

impl FormatError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Global { module, .. } if module.starts_with("__torch__") => Some(
                "this is a TorchScript archive: in Python, `torch.save(torch.jit.load(PATH).state_dict(), …)`",
            ),
            Self::Global { module, .. } if module == "torch._utils" || module == "torch" => Some(
                "in Python, save the tensor dense, in one of the common types: `.to_dense()`, `.dequantize()`",
            ),
            Self::Global { .. } => Some(
                "the file holds Python objects beside tensors; where you trust it, load it in Python and save only the `state_dict()`",
            ),
            Self::ZipEntry { .. } => Some("files of torch.save are never compressed: was it packed again?"),
            Self::Truncated { .. } | Self::ChecksumMismatch { .. } => {
                Some("the download may be incomplete: fetch the file again")
            }
            Self::UnsupportedTensor { .. } => {
                Some("in Python, save `tensor.resolve_conj().resolve_neg()`, which is stored as what it is")
            }
            _ => None,
        }
    }
}

/// Why a file could not be read, before it is said which.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Format(Box<FormatError>),
}

impl Fault {
    pub(crate) fn at(self, path: &Path) -> CheckpointError {
        match self {
            Self::Io(source) => CheckpointError::Io { path: path.to_owned(), source },
            Self::Format(source) => CheckpointError::Format { path: path.to_owned(), source },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FormatError> for Fault {
    fn from(error: FormatError) -> Self {
        Self::Format(Box::new(error))
    }
}

/// An error unless there are few enough of something.
pub(crate) fn check_limit(what: &'static str, found: u64, limit: u64) -> Result<(), FormatError> {
    if found <= limit { Ok(()) } else { Err(FormatError::OverLimit { what, found, limit }) }
}
