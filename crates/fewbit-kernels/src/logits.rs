//! Elementwise work over one logit per group: bits, steps, and the gradients that reach the logits.

use rayon::prelude::*;

use crate::bits::{BitsLaw, Curve, Parametrisation};
use crate::dispatch::{InstructionSet, Kernel};
use crate::layout::GroupLayout;
use crate::tile::{CHUNK, TILE, sum_of_run};

/// Writes the bits `b(l)` of each logit.
///
/// Finite for every finite logit; a NaN gives NaN, here and below.
///
/// # Panics
/// When `out` has not the length of `logits`.
pub fn bits(logits: &[f32], law: &BitsLaw, out: &mut [f32]) {
    evaluate(InstructionSet::detect(), law, Bits, logits, logits, out);
}

/// Writes `db/dl` of each logit.
///
/// # Panics
/// When `out` has not the length of `logits`.
pub fn bits_derivative(logits: &[f32], law: &BitsLaw, out: &mut [f32]) {
    evaluate(InstructionSet::detect(), law, BitsSlope { scale: 1.0 }, logits, logits, out);
}

/// Writes the step of each group as a fraction of the range: `u = 1 / (2^b - 1)`.
///
/// Below [`MIN_BITS_OF_NOISE`](crate::MIN_BITS_OF_NOISE) bits the step keeps its value there.
///
/// # Panics
/// When `out` has not the length of `logits`.
pub fn step_fractions(logits: &[f32], law: &BitsLaw, out: &mut [f32]) {
    steps(logits, law, 1.0, out);
}

/// Writes the step of each group: [`step_fractions`] times `width`, the width of the range.
///
/// # Panics
/// When `out` has not the length of `logits`.
pub fn steps(logits: &[f32], law: &BitsLaw, width: f32, out: &mut [f32]) {
    evaluate(InstructionSet::detect(), law, Steps { width }, logits, logits, out);
}

/// Writes the loss's gradient with respect to each logit: `sums * width * du/dl`.
///
/// `sums` is what [`noise_gradient`](crate::noise_gradient) gives, `width` the width of the range.
///
/// # Panics
/// When `sums` or `out` has not the length of `logits`.
///
/// Défossez et al. 2022: `∂L/∂b = Σ ∂L/∂w~ s ε u'(b)`, continued through `b(l)`.
pub fn logit_gradient(sums: &[f32], logits: &[f32], law: &BitsLaw, width: f32, out: &mut [f32]) {
    evaluate(InstructionSet::detect(), law, LogitGradient { width }, logits, sums, out);
}

/// The bits of all codes, `sum over groups of length * b(l)`, of `weights` weights.
///
/// # Panics
/// When `logits` has not one entry per group.
pub fn code_bits(logits: &[f32], law: &BitsLaw, layout: GroupLayout, weights: usize) -> f64 {
    let groups = layout.group_count(weights);
    assert_eq!(logits.len(), groups, "{weights} weights make {groups} groups");
    let Some(&last) = logits.last() else { return 0.0 };
    let set = InstructionSet::detect();
    let sum = match law.parametrisation() {
        Parametrisation::Bits => sum_of_bits(set, law.over_bits(), logits),
        Parametrisation::Noise => sum_of_bits(set, law.over_noise(), logits),
    };
    let mut last_bits = [0.0];
    bits(&[last], law, &mut last_bits);
    // All groups but the last are of the same length.
    let last_length = layout.group_length(groups - 1, weights);
    let length = if groups > 1 { layout.group_size().get() } else { last_length };
    length as f64 * sum - (length - last_length) as f64 * f64::from(last_bits[0])
}

/// Writes `scale * length * db/dl` of each group: the gradient of [`code_bits`], scaled.
///
/// # Panics
/// When `logits` has not one entry per group, or `out` not the length of `logits`.
pub fn code_bits_gradient(
    logits: &[f32],
    law: &BitsLaw,
    layout: GroupLayout,
    weights: usize,
    scale: f32,
    out: &mut [f32],
) {
    let groups = layout.group_count(weights);
    assert_eq!(logits.len(), groups, "{weights} weights make {groups} groups");
    let Some(last) = groups.checked_sub(1) else { return };
    let scale_of = |group| BitsSlope { scale: scale * layout.group_length(group, weights) as f32 };
    let set = InstructionSet::detect();
    evaluate(set, law, scale_of(0), &logits[..last], &logits[..last], &mut out[..last]);
    evaluate(set, law, scale_of(last), &logits[last..], &logits[last..], &mut out[last..]);
}

/// A number from one logit, and one more number that belongs to it.
pub(crate) trait Formula: Copy + Send + Sync {
    fn at<C: Curve>(self, curve: C, logit: f32, other: f32) -> f32;
}

#[derive(Clone, Copy)]
pub(crate) struct Bits;
#[derive(Clone, Copy)]
pub(crate) struct BitsSlope {
    pub(crate) scale: f32,
}
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) width: f32,
}
#[derive(Clone, Copy)]
pub(crate) struct LogitGradient {
    pub(crate) width: f32,
}

impl Formula for Bits {
    #[inline(always)]
    fn at<C: Curve>(self, curve: C, logit: f32, _: f32) -> f32 {
        curve.bits(logit)
    }
}

impl Formula for BitsSlope {
    #[inline(always)]
    fn at<C: Curve>(self, curve: C, logit: f32, _: f32) -> f32 {
        self.scale * curve.bits_slope(logit)
    }
}

impl Formula for Steps {
    #[inline(always)]
    fn at<C: Curve>(self, curve: C, logit: f32, _: f32) -> f32 {
        self.width * curve.step(logit)
    }
}

impl Formula for LogitGradient {
    #[inline(always)]
    fn at<C: Curve>(self, curve: C, logit: f32, sum: f32) -> f32 {
        sum * self.width * curve.step_slope(logit)
    }
}

pub(crate) fn evaluate<F: Formula>(
    set: InstructionSet,
    law: &BitsLaw,
    formula: F,
    logits: &[f32],
    others: &[f32],
    out: &mut [f32],
) {
    assert_eq!(out.len(), logits.len(), "as many places as logits");
    assert_eq!(others.len(), logits.len(), "as many sums as logits");
    match law.parametrisation() {
        Parametrisation::Bits => evaluate_on(set, law.over_bits(), formula, logits, others, out),
        Parametrisation::Noise => evaluate_on(set, law.over_noise(), formula, logits, others, out),
    }
}

fn evaluate_on<C: Curve, F: Formula>(
    set: InstructionSet,
    curve: C,
    formula: F,
    logits: &[f32],
    others: &[f32],
    out: &mut [f32],
) {
    if logits.len() <= CHUNK {
        return set.run(Evaluate { curve, formula, logits, others, out });
    }
    logits.par_chunks(CHUNK).zip(others.par_chunks(CHUNK)).zip(out.par_chunks_mut(CHUNK)).for_each(
        |((logits, others), out)| set.run(Evaluate { curve, formula, logits, others, out }),
    );
}

struct Evaluate<'a, C, F> {
    curve: C,
    formula: F,
    logits: &'a [f32],
    others: &'a [f32],
    out: &'a mut [f32],
}

impl<C: Curve, F: Formula> Kernel for Evaluate<'_, C, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((out, &logit), &other) in self.out.iter_mut().zip(self.logits).zip(self.others) {
            *out = self.formula.at(self.curve, logit, other);
        }
    }
}

/// The sum of the bits: tiles in `f32`, their sums in `f64`, chunk after chunk.
pub(crate) fn sum_of_bits<C: Curve>(set: InstructionSet, curve: C, logits: &[f32]) -> f64 {
    if logits.len() <= CHUNK {
        return set.run(SumOfBits { curve, logits });
    }
    let sums: Vec<f64> =
        logits.par_chunks(CHUNK).map(|logits| set.run(SumOfBits { curve, logits })).collect();
    sums.iter().sum()
}

struct SumOfBits<'a, C> {
    curve: C,
    logits: &'a [f32],
}

impl<C: Curve> Kernel for SumOfBits<'_, C> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut bits = [0.0; TILE];
        let mut sum = 0.0;
        for logits in self.logits.chunks(TILE) {
            for (bits, &logit) in bits.iter_mut().zip(logits) {
                *bits = self.curve.bits(logit);
            }
            sum += f64::from(sum_of_run(&bits[..logits.len()]));
        }
        sum
    }
}
