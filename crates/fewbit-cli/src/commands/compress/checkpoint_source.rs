//! The weights of a checkpoint, whatever network they are of, read one tensor at a time.

use fewbit::compress::{SourceTensor, Treatment, WeightSource};
use fewbit::{ElementType, Selection, pattern};
use fewbit_checkpoint::{Checkpoint, CheckpointError, DType, TensorInfo};

use super::treatment;
use crate::args::CompressArgs;
use crate::commands::checkpoint_failure;
use crate::failure::Failure;

/// The tensors of a checkpoint that go in the file.
pub(super) struct CheckpointSource<'c> {
    checkpoint: &'c Checkpoint,
    /// The name of each in the checkpoint.
    names: Vec<&'c str>,
    tensors: Vec<SourceTensor>,
}

impl<'c> CheckpointSource<'c> {
    pub(super) fn new(checkpoint: &'c Checkpoint, args: &CompressArgs) -> Result<Self, Failure> {
        for pattern in args.exclude.iter().chain(&args.drop) {
            let mut names = checkpoint.tensors().iter().map(|info| info.name());
            if !names.any(|name| pattern::matches(pattern, name)) {
                let message = format!("pattern `{pattern}` matches none of the checkpoint's tensors");
                return Err(
                    Failure::new(message).hint("names are those of the checkpoint, wrappers included")
                );
            }
        }
        let stripped = checkpoint.stripped_names().map_err(checkpoint_failure)?;
        let aliases = checkpoint.aliases();
        let selection = Selection::of_checkpoint(args.exclude.clone());
        let mut source = Self { checkpoint, names: Vec::new(), tensors: Vec::new() };
        let mut places = Vec::with_capacity(aliases.len());
        for ((info, name), alias) in checkpoint.tensors().iter().zip(stripped).zip(aliases) {
            let place = source.tensors.len();
            if !pattern::selects(&[], &args.drop, info.name()) {
                places.push(None);
                continue;
            }
            places.push(Some(place));
            // One that is left out cannot stand for another.
            let treatment = match (alias.and_then(|target| places[target]), info.dtype().is_float()) {
                (Some(target), _) => Treatment::Alias(target),
                (None, true) => treatment(info.name(), info.shape(), &selection),
                (None, false) => Treatment::Raw(elements(info)?),
            };
            source.names.push(info.name());
            source.tensors.push(SourceTensor {
                name: name.to_owned(),
                shape: info.shape().to_vec(),
                treatment,
            });
        }
        Ok(source)
    }
}

impl WeightSource for CheckpointSource<'_> {
    type Error = CheckpointError;

    fn tensors(&self) -> &[SourceTensor] {
        &self.tensors
    }

    fn read(&mut self, place: usize, values: &mut Vec<f32>) -> Result<(), CheckpointError> {
        self.checkpoint.read_f32(self.names[place], values)
    }

    fn read_raw(&mut self, place: usize, bytes: &mut Vec<u8>) -> Result<(), CheckpointError> {
        self.checkpoint.read_bytes(self.names[place], bytes)
    }
}

/// What a tensor that is not of floats is kept as.
fn elements(info: &TensorInfo) -> Result<ElementType, Failure> {
    Ok(match info.dtype() {
        DType::I8 => ElementType::Int8,
        DType::U8 => ElementType::UInt8,
        DType::I16 => ElementType::Int16,
        DType::U16 => ElementType::UInt16,
        DType::I32 => ElementType::Int32,
        DType::U32 => ElementType::UInt32,
        DType::I64 => ElementType::Int64,
        DType::U64 => ElementType::UInt64,
        DType::Bool => ElementType::Bool,
        DType::F8E4M3 => ElementType::Float8E4M3,
        DType::F8E5M2 => ElementType::Float8E5M2,
        DType::C64 => ElementType::Complex64,
        other => {
            let name = info.name();
            let message = format!("tensor `{name}` is of {other}, which a .fewbit file cannot hold");
            return Err(Failure::new(message).hint(format!("leave it out with `--drop '{name}'`")));
        }
    })
}
