//! Why weights cannot be quantized.

use crate::{BitWidth, RangeForm, RangeGranularity};

/// Why numbers cannot be quantized, or do not make up a quantized tensor.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// A weight is NaN or infinite.
    #[error("weight {index} is {value}: only finite weights can be quantized")]
    NonFinite {
        /// Position of the first such weight in stored order.
        index: usize,
        /// What it was.
        value: f32,
    },
    /// A range is not finite or upside down.
    #[error("the range {minimum} to {maximum} is not a range of finite values in ascending order")]
    BadRange {
        /// The lower end.
        minimum: f32,
        /// The upper end.
        maximum: f32,
    },
    /// A symmetric range goes from `-a` to `a` for a positive `a`, or 0.
    #[error("the half-width {found} is negative")]
    NegativeHalfWidth {
        /// What was given for `a`.
        found: f32,
    },
    /// A range has ends beyond the largest number of its form.
    #[error("the range {minimum} to {maximum} does not fit in {form}: its largest number is 65504")]
    RangeTooLarge {
        /// The lower end.
        minimum: f32,
        /// The upper end.
        maximum: f32,
        /// The form it was to have.
        form: RangeForm,
    },
    /// A range is not, to the last bit, one that its form can hold.
    #[error("range {index}, {minimum} to {maximum}, cannot be stored exactly as {form}")]
    RangeNotInForm {
        /// Which of the ranges it is: the first such.
        index: usize,
        /// Its lower end.
        minimum: f32,
        /// Its upper end.
        maximum: f32,
        /// The form it was to have.
        form: RangeForm,
    },
    /// The levels of a signed or stepped grid are about zero, which takes ranges that are.
    #[error("a grid about zero needs symmetric ranges, found {form}")]
    SignedNotSymmetric {
        /// The form that was given.
        form: RangeForm,
    },
    /// Of a stepped grid the weights do not say what the step is.
    #[error("a stepped grid has no range that fits some weights: its steps are to be given")]
    NoStep,
    /// As many ranges are needed as the tensor has channels or groups, or one.
    #[error("one range per {granularity} makes {expected} ranges, found {found}")]
    RangeCount {
        /// What has a range of its own.
        granularity: RangeGranularity,
        /// How many of these the tensor has.
        expected: usize,
        /// Ranges that were given.
        found: usize,
    },
    /// The number of elements does not fit in memory's address space.
    #[error("shape {shape:?} has more elements than can be counted")]
    ShapeOverflow {
        /// The shape, as stored.
        shape: Vec<usize>,
    },
    /// As many values are needed as the shape has elements.
    #[error("shape {shape:?} needs {expected} values, found {found}")]
    ElementCount {
        /// The shape, as stored.
        shape: Vec<usize>,
        /// The product of its dimensions.
        expected: usize,
        /// Values that were given.
        found: usize,
    },
    /// As many widths are needed as there are groups.
    #[error("{expected} groups need {expected} widths, found {found}")]
    WidthCount {
        /// Groups of the tensor.
        expected: usize,
        /// Widths that were given.
        found: usize,
    },
    /// A code names a grid point that its group does not have.
    #[error("code {code} at weight {index} does not fit in the {width} bits of its group")]
    CodeTooLarge {
        /// Position of the weight in stored order.
        index: usize,
        /// Its code.
        code: u16,
        /// The width of its group.
        width: BitWidth,
    },
}
