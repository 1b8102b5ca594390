//! Learned bit widths: grids, groups, sizes, codes and the .fewbit file, without a tensor library.
//!
//! Numbers go in, bytes come out. A weight tensor is cut in groups ([`GroupSize`], [`Grouping`]), each
//! group has a whole number of bits ([`BitWidth`]), a tensor, or each of its channels or groups, has a
//! range ([`ValueRange`], [`Ranges`]), and every weight becomes the code of the nearest point of its group's grid
//! ([`UniformGrid`]). [`Codes`] and what they mean, [`Levels`], are a [`QuantizedTensor`]; many of them are one file
//! ([`container`]), whose size is known before it is written ([`size`]).
//!
//! ```
//! use fewbit::{BitWidth, ContainerReader, ContainerWriter, GroupSize, QuantizedTensor};
//!
//! let weights = [0.0, 0.25, 0.5, 1.0, -1.0, 0.1];
//! let widths = [4, 2].map(|bits| BitWidth::new(bits).unwrap()).to_vec();
//! let tensor = QuantizedTensor::quantize(&weights, &[2, 3], GroupSize::new(4).unwrap(), widths)?;
//!
//! let mut writer = ContainerWriter::new();
//! writer.metadata("model", "toy")?.quantized("layer.weight", &tensor)?;
//! let file = writer.to_bytes();
//!
//! let reader = ContainerReader::new(&file)?;
//! assert_eq!(reader.values("layer.weight")?, tensor.dequantize());
//! assert_eq!(reader.size().bytes(), file.len() as u64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod atomic;
pub mod batch_norm;
pub mod bits;
pub mod budget;
mod codes;
pub mod compress;
pub mod container;
pub mod disk;
mod encoding;
mod error;
pub mod grid;
pub mod group;
pub mod layout;
pub mod method;
pub mod model;
pub mod names;
pub mod pattern;
mod range_form;
pub mod ranges;
pub mod scale;
mod search;
pub mod selection;
pub mod size;
pub mod tensor;

pub use bits::{BitWidth, BitsLaw, BitsLawError, BitsParametrisation};
pub use budget::{Budget, BudgetError, FileSettings};
pub use codes::Codes;
#[cfg(feature = "fuzzing")]
pub use container::arbitrary;
pub use container::{
    CodeEncoding, ContainerReader, ContainerWriter, ElementType, Encoding, FileSize, FloatEncoding, Limits,
    ReadError, ReadFileError, TensorEntry, TensorKind, VerifyError, WriteError, read_bytes, read_file,
    verify,
};
pub use error::QuantizeError;
pub use grid::{GridKind, UniformGrid, ValueRange};
pub use group::{GroupSize, Grouping};
pub use layout::{Layout, Orientation};
pub use method::Method;
pub use model::{
    ExportError, FloatStorage, MetadataError, Snapshot, SnapshotTensor, StoredModel, StoredTensor,
    value_count,
};
pub use range_form::{RangeForm, RangeGranularity};
pub use ranges::Ranges;
pub use selection::Selection;
pub use size::{ModelSize, nominal_size, soft_size};
pub use tensor::{Levels, QuantizedTensor};
