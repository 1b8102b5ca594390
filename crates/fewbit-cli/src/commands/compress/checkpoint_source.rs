//! The weights of a checkpoint, whatever network they are of, read one tensor at a time.

use fewbit::compress::{SourceTensor, Treatment, WeightSource};
use fewbit::pattern;
use fewbit_checkpoint::{Checkpoint, CheckpointError};

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
        let mut source = Self { checkpoint, names: Vec::new(), tensors: Vec::new() };
        let mut places = Vec::with_capacity(aliases.len());
        for ((info, name), alias) in checkpoint.tensors().iter().zip(stripped).zip(aliases) {
            let place = source.tensors.len();
            if !pattern::selects(&[], &args.drop, info.name()) {
                places.push(None);
                continue;
            }
            places.push(Some(place));
            if !info.dtype().is_float() {
                let (name, dtype) = (info.name(), info.dtype());
                let message = format!("tensor `{name}` is of {dtype}; a .fewbit file holds floats");
                return Err(Failure::new(message).hint(format!("leave it out with `--drop '{name}'`")));
            }
            // One that is left out cannot stand for another.
            let treatment = match alias.and_then(|target| places[target]) {
                Some(target) => Treatment::Alias(target),
                None => treatment(info.name(), info.shape(), &args.exclude),
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
}
