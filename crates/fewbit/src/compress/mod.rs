//! A file of at most so many bytes from trained weights, without training.
//!
//! The squared error of a network's weights is least, for its bytes, where every weight has the same step
//! and an entropy coder takes care of how often each level occurs; where some tensors matter more than
//! others, their steps are smaller by the square root of that. So there is one number to find, the
//! [step](Compressed::step) of all, by which the file becomes as large as it may be. Levels are chosen by
//! what they cost, widths for the fewest bytes.
//!
//! Tensors are read one at a time, as often as the search needs.
//!
//! A source that knows more than its weights says so by a [`Sensitivity`]: what an error of each output channel
//! costs, and how the inputs of the layer vary together.

mod feedback;
mod memory;
mod sample;
mod search;
mod second_moments;
mod sensitivity;

use std::error::Error;

use rayon::prelude::*;

use self::feedback::Feedback;
pub use self::memory::MemorySource;
pub use self::second_moments::{MomentsError, SecondMoments};
pub use self::sensitivity::Sensitivity;
use self::sensitivity::{Plan, PlanError};
use crate::scale::{form_of, inverse_scale, rounding, widths};
use crate::{
    CodeEncoding, ContainerWriter, ElementType, FloatEncoding, GridKind, QuantizeError, QuantizedTensor,
    RangeGranularity, Ranges, ValueRange, WriteError,
};

/// Weights that one task sums over.
const PART: usize = 1 << 16;

/// Where weights come from, one tensor at a time.
pub trait WeightSource {
    /// Why a tensor cannot be read.
    type Error: Error + Send + Sync + 'static;

    /// What there is, in the order of the file.
    fn tensors(&self) -> &[SourceTensor];

    /// Replaces `values` by those of the tensor at a place in [`tensors`](Self::tensors), in stored order;
    /// never called for a raw one.
    ///
    /// # Errors
    /// Whatever reading meets.
    fn read(&mut self, place: usize, values: &mut Vec<f32>) -> Result<(), Self::Error>;

    /// Replaces `bytes` by those of the raw tensor at a place in [`tensors`](Self::tensors), in stored order,
    /// little-endian.
    ///
    /// # Errors
    /// Whatever reading meets.
    fn read_raw(&mut self, place: usize, bytes: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// How the loss depends on the tensor at a place, where that is known: of all tensors that become codes, or
    /// of none. Their steps follow from it, whatever the [`Objective`].
    fn sensitivity(&self, _place: usize) -> Option<&Sensitivity> {
        None
    }
}

/// A tensor of a [`WeightSource`].
#[derive(Clone, Debug, PartialEq)]
pub struct SourceTensor {
    /// Its name in the file.
    pub name: String,
    /// Its dimensions, `[out, …]`.
    pub shape: Vec<usize>,
    /// How it is stored.
    pub treatment: Treatment,
}

/// How a tensor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// As codes.
    Quantized,
    /// As floats.
    Float,
    /// Byte for byte, as elements that are no weights.
    Raw(ElementType),
    /// Not at all: it is the tensor at an earlier place under a second name.
    Alias(usize),
}

/// What is least for its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Objective {
    /// The sum of each tensor's squared error over its mean square: a tensor of small weights matters as
    /// much as one of large weights, as where norms follow.
    #[default]
    Relative,
    /// The squared error of all weights.
    Squared,
}

/// How weights are compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CompressOptions {
    /// Most bytes of the file, everything included.
    pub budget: u64,
    /// What is least for them.
    pub objective: Objective,
    /// How what is not quantized is stored; a tensor that has a value too large for it stays float32.
    pub floats: FloatEncoding,
    /// How codes are written.
    pub encoding: CodeEncoding,
}

impl CompressOptions {
    /// The smallest relative error in at most `budget` bytes, float16 for what is not quantized, codes written in whichever
    /// way is smaller.
    pub fn new(budget: u64) -> Self {
        let (objective, floats, encoding) =
            (Objective::default(), FloatEncoding::Float16, CodeEncoding::default());
        Self { budget, objective, floats, encoding }
    }

    /// Sets what is least for the bytes.
    #[must_use]
    pub fn with_objective(self, objective: Objective) -> Self {
        Self { objective, ..self }
    }

    /// Sets how what is not quantized is stored.
    #[must_use]
    pub fn with_floats(self, floats: FloatEncoding) -> Self {
        Self { floats, ..self }
    }
}

/// Why weights cannot be compressed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError<E: Error + 'static> {
    /// Even without a bit for any weight the file is larger.
    #[error("a budget of {budget} bytes is too small: this file has {minimum} bytes without any weight")]
    BudgetTooSmall {
        /// What was asked for.
        budget: u64,
        /// The smallest that there is.
        minimum: u64,
    },
    /// A tensor cannot be read.
    #[error(transparent)]
    Source(E),
    /// A weight that no grid can hold.
    #[error("tensor `{name}`: {source}")]
    Quantize {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        source: QuantizeError,
    },
    /// What is known of a layer's inputs does not do.
    #[error("tensor `{name}`: {source}")]
    Moments {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        source: MomentsError,
    },
    /// A name or size that the file cannot have.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What [`compress`] made.
#[derive(Clone, Debug)]
pub struct Compressed {
    /// The file.
    pub writer: ContainerWriter,
    /// Its length in bytes.
    pub bytes: u64,
    /// The step of a tensor whose weights have a mean square of 1 ([`Objective::Relative`]), of which an error
    /// costs as much as it is ([`Sensitivity`]), or of all.
    pub step: f64,
    /// Squared error of the quantized weights, over all of them.
    pub squared_error: f64,
    /// How many weights are quantized.
    pub weights: u64,
    /// Whether a larger budget would not have helped: every width is at its largest.
    pub is_largest: bool,
}

/// The file of these tensors behind `head`'s metadata that has at most so many bytes and the least error.
///
/// # Errors
/// [`CompressError`]: a budget below the smallest file, a tensor that cannot be read, has a weight that is
/// not finite, or does not fit in a file.
pub fn compress<S: WeightSource>(
    source: &mut S,
    head: &ContainerWriter,
    options: &CompressOptions,
) -> Result<Compressed, CompressError<S::Error>> {
    search::largest_within(&mut Encoder::new(source, head, options), options.budget)
}

/// Makes the file of a step.
struct Encoder<'c, S> {
    source: &'c mut S,
    head: &'c ContainerWriter,
    options: &'c CompressOptions,
    values: Vec<f32>,
    bytes: Vec<u8>,
    /// Room for levels that is used again, as an allocator may keep what is given back.
    spare: Vec<i16>,
    /// Of each tensor that was read.
    plans: Vec<Option<Plan>>,
}

impl<'c, S: WeightSource> Encoder<'c, S> {
    fn new(source: &'c mut S, head: &'c ContainerWriter, options: &'c CompressOptions) -> Self {
        let plans = vec![None; source.tensors().len()];
        let (values, bytes, spare) = (Vec::new(), Vec::new(), Vec::new());
        Self { source, head, options, values, bytes, spare, plans }
    }

    /// The file whose weights have this step; an infinite one makes them all 0. `trade` is that of
    /// [`rounding::levels`].
    fn file(&mut self, step: f64, trade: f32) -> Result<Compressed, CompressError<S::Error>> {
        let mut writer = self.head.clone();
        let (mut squared_error, mut weights, mut is_largest) = (0.0, 0, true);
        for place in 0..self.source.tensors().len() {
            if let Treatment::Alias(target) = self.source.tensors()[place].treatment {
                let tensors = self.source.tensors();
                writer.alias(&tensors[place].name, &tensors[target].name)?;
                continue;
            }
            if let Treatment::Raw(elements) = self.source.tensors()[place].treatment {
                self.source.read_raw(place, &mut self.bytes).map_err(CompressError::Source)?;
                let tensor = &self.source.tensors()[place];
                writer.raw(&tensor.name, &tensor.shape, elements, &self.bytes)?;
                continue;
            }
            if self.source.tensors()[place].treatment == Treatment::Quantized && step == f64::INFINITY {
                let tensor = &self.source.tensors()[place];
                let mut levels = std::mem::take(&mut self.spare);
                levels.clear();
                levels.resize(tensor.shape.iter().product(), 0);
                let codes = Self::codes(levels, tensor, vec![ValueRange::default()])?;
                writer.quantized_as(&tensor.name, &codes, self.options.encoding)?;
                self.spare = levels_of(codes);
                continue;
            }
            self.source.read(place, &mut self.values).map_err(CompressError::Source)?;
            let tensor = &self.source.tensors()[place];
            if tensor.treatment == Treatment::Float {
                put_floats(&mut writer, tensor, &self.values, self.options.floats)?;
                continue;
            }
            let plan = match &mut self.plans[place] {
                Some(known) => known,
                unknown => {
                    let channels = tensor.shape.first().copied().unwrap_or(1);
                    let known = self.source.sensitivity(place);
                    let found = Plan::new(&self.values, channels, self.options.objective, known);
                    unknown.insert(found.map_err(|error| {
                        let name = tensor.name.clone();
                        match error {
                            PlanError::Quantize(source) => CompressError::Quantize { name, source },
                            PlanError::Moments(source) => CompressError::Moments { name, source },
                        }
                    })?)
                }
            };
            let (steps, is_smallest) = plan.steps(step);
            is_largest &= is_smallest;
            let spare = std::mem::take(&mut self.spare);
            let levels = levels(&self.values, &steps, plan.feedback.as_ref(), trade, spare);
            squared_error += error(&self.values, &levels, &steps);
            weights += levels.len() as u64;
            let codes = Self::codes(levels, tensor, steps)?;
            writer.quantized_as(&tensor.name, &codes, self.options.encoding)?;
            self.spare = levels_of(codes);
        }
        let bytes = writer.bytes();
        Ok(Compressed { writer, bytes, step, squared_error, weights, is_largest })
    }

    /// The tensor of levels of a step, or of one for each channel.
    fn codes(
        levels: Vec<i16>,
        tensor: &SourceTensor,
        steps: Vec<ValueRange>,
    ) -> Result<QuantizedTensor, CompressError<S::Error>> {
        let granularity = if steps.len() > 1 { RangeGranularity::Channel } else { RangeGranularity::Tensor };
        Ranges::new(granularity, GridKind::Stepped, form_of(&steps), steps)
            .and_then(|ranges| widths::with_cheapest_widths(levels, &tensor.shape, ranges, None))
            .map_err(|source| CompressError::Quantize { name: tensor.name.clone(), source })
    }

    /// Weights that become codes.
    fn weights(&self) -> u64 {
        let quantized =
            self.source.tensors().iter().filter(|tensor| tensor.treatment == Treatment::Quantized);
        quantized.map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum()
    }
}

/// The memory of a tensor's codes.
fn levels_of(codes: QuantizedTensor) -> Vec<i16> {
    // In place: the same bits.
    codes.into_codes().into_iter().map(|code| code as i16).collect()
}

/// The level of each weight, in `room`; `trade` is that of [`rounding::levels`].
fn levels(
    weights: &[f32],
    steps: &[ValueRange],
    feedback: Option<&Feedback>,
    trade: f32,
    mut room: Vec<i16>,
) -> Vec<i16> {
    let one = steps.first().map_or(0.0, |step| step.half_width());
    if feedback.is_none() && steps.len() == 1 {
        room.clear();
        room.resize(weights.len(), 0);
        if one > 0.0 {
            rounding::write_levels(weights, one, trade, &mut room);
        }
        return room;
    }
    let size = (weights.len() / steps.len().max(1)).max(1);
    let mut positions = weights.to_vec();
    for (part, step) in positions.chunks_mut(size).zip(steps) {
        let inverse = inverse_scale(step.half_width());
        part.iter_mut().for_each(|weight| *weight *= inverse);
    }
    match feedback {
        Some(feedback) => feedback.levels(&positions, trade),
        None => rounding::levels(&positions, 1.0, trade),
    }
}

fn error(weights: &[f32], levels: &[i16], steps: &[ValueRange]) -> f64 {
    let size = (weights.len() / steps.len().max(1)).max(1);
    let of_step = |((weights, levels), step): ((&[f32], &[i16]), &ValueRange)| {
        let step = step.half_width();
        let square = |(weight, level): (&f32, &i16)| f64::from(weight - f32::from(*level) * step).powi(2);
        let part = |(weights, levels): (&[f32], &[i16])| weights.iter().zip(levels).map(square).sum::<f64>();
        in_parts(weights.par_chunks(PART).zip(levels.par_chunks(PART)).map(part))
    };
    weights.chunks(size).zip(levels.chunks(size)).zip(steps).map(of_step).sum()
}

/// The sum of parts in their order, so that it does not depend on the number of threads.
fn in_parts(parts: impl IndexedParallelIterator<Item = f64>) -> f64 {
    parts.collect::<Vec<_>>().into_iter().sum()
}

fn put_floats(
    writer: &mut ContainerWriter,
    tensor: &SourceTensor,
    values: &[f32],
    encoding: FloatEncoding,
) -> Result<(), WriteError> {
    match writer.float_as(&tensor.name, &tensor.shape, values, encoding) {
        Err(WriteError::TooLarge { .. }) => writer.float(&tensor.name, &tensor.shape, values)?,
        done => done?,
    };
    Ok(())
}
