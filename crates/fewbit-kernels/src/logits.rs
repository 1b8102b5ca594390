//! Elementwise work over one logit per group: bits, steps, and the gradients that reach the logits.

use rayon::prelude::*;

use crate::bits::{BitsLaw, Curve, Parametrisation};
use crate::dispatch::{InstructionSet, Kernel};
use crate::law::BLOCK;
use crate::layout::GroupLayout;
use crate::math::{Sigmoid, sigmoid};
use crate::tile::{Aligned, CHUNK, sum_of_run};

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
    evaluate(InstructionSet::detect(), law, BitsSlope, logits, logits, out);
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
/// Writes `scale * length * db/dl` of each group to `gradient`: the gradient of `scale` times the
/// result. Bits are added in `f32` over 256 groups, these sums in `f64`.
///
/// # Panics
/// When `logits` or `gradient` has not one entry per group.
///
/// Défossez et al. 2022: the part `g Σ b` of the size `M(b)`, which alone has a gradient.
pub fn code_bits(
    logits: &[f32],
    law: &BitsLaw,
    layout: GroupLayout,
    weights: usize,
    scale: f32,
    gradient: &mut [f32],
) -> f64 {
    code_bits_on(InstructionSet::detect(), logits, law, layout, weights, scale, gradient)
}

pub(crate) fn code_bits_on(
    set: InstructionSet,
    logits: &[f32],
    law: &BitsLaw,
    layout: GroupLayout,
    weights: usize,
    scale: f32,
    gradient: &mut [f32],
) -> f64 {
    let groups = layout.group_count(weights);
    assert_eq!(logits.len(), groups, "{weights} weights make {groups} groups");
    assert_eq!(gradient.len(), groups, "as many places as logits");
    let Some(last) = groups.checked_sub(1) else { return 0.0 };
    // All groups but the last are of the same length.
    let (logits, last_logit) = logits.split_at(last);
    let (gradient, last_gradient) = gradient.split_at_mut(last);
    let of = |logits, length, gradient| {
        let scale = scale * length as f32;
        let sum = match law.parametrisation() {
            Parametrisation::Bits => sum_bits(set, law.over_bits(), logits, scale, gradient),
            Parametrisation::Noise => sum_bits(set, law.over_noise(), logits, scale, gradient),
        };
        length as f64 * sum
    };
    of(logits, layout.group_length(0, weights), gradient)
        + of(last_logit, layout.group_length(last, weights), last_gradient)
}

/// A number from the sigmoid of a logit, and one more number that belongs to it.
pub(crate) trait Formula: Copy + Send + Sync {
    fn at<C: Curve>(self, curve: C, sigmoid: Sigmoid, other: f32) -> f32;
}

#[derive(Clone, Copy)]
pub(crate) struct Bits;
#[derive(Clone, Copy)]
pub(crate) struct BitsSlope;
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
    fn at<C: Curve>(self, curve: C, sigmoid: Sigmoid, _: f32) -> f32 {
        curve.bits(sigmoid)
    }
}

impl Formula for BitsSlope {
    #[inline(always)]
    fn at<C: Curve>(self, curve: C, sigmoid: Sigmoid, _: f32) -> f32 {
        curve.bits_slope(sigmoid)
    }
}

impl Formula for Steps {
    #[inline(always)]
    fn at<C: Curve>(self, curve: C, sigmoid: Sigmoid, _: f32) -> f32 {
        self.width * curve.step(sigmoid)
    }
}

impl Formula for LogitGradient {
    #[inline(always)]
    fn at<C: Curve>(self, curve: C, sigmoid: Sigmoid, sum: f32) -> f32 {
        sum * self.width * curve.step_slope(sigmoid)
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
    logits
        .par_chunks(CHUNK)
        .zip(others.par_chunks(CHUNK))
        .zip(out.par_chunks_mut(CHUNK))
        .for_each(|((logits, others), out)| set.run(Evaluate { curve, formula, logits, others, out }));
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
        let mut sigmoids = Sigmoids::new();
        let blocks = self.logits.chunks(BLOCK).zip(self.others.chunks(BLOCK)).zip(self.out.chunks_mut(BLOCK));
        for ((logits, others), out) in blocks {
            for ((out, sigmoid), other) in out.iter_mut().zip(sigmoids.of(logits)).zip(others) {
                *out = self.formula.at(self.curve, sigmoid, *other);
            }
        }
    }
}

/// The sigmoids of a block of logits: two short loops keep a processor busier than one long one.
struct Sigmoids {
    t: Aligned<f32, BLOCK>,
    slope: Aligned<f32, BLOCK>,
}

impl Sigmoids {
    #[inline(always)]
    fn new() -> Self {
        Self { t: Aligned::zeros(), slope: Aligned::zeros() }
    }

    #[inline(always)]
    fn of(&mut self, logits: &[f32]) -> impl Iterator<Item = Sigmoid> {
        for ((t, slope), logit) in self.t.0.iter_mut().zip(&mut self.slope.0).zip(logits) {
            Sigmoid { t: *t, slope: *slope } = sigmoid(*logit);
        }
        self.t.0.iter().zip(&self.slope.0).map(|(&t, &slope)| Sigmoid { t, slope })
    }
}

/// The sum of the bits; writes `scale * db/dl`.
fn sum_bits<C: Curve>(
    set: InstructionSet,
    curve: C,
    logits: &[f32],
    scale: f32,
    gradient: &mut [f32],
) -> f64 {
    if logits.len() <= CHUNK {
        return set.run(SumBits { curve, logits, scale, gradient });
    }
    let chunks = logits.par_chunks(CHUNK).zip(gradient.par_chunks_mut(CHUNK));
    let sums: Vec<f64> =
        chunks.map(|(logits, gradient)| set.run(SumBits { curve, logits, scale, gradient })).collect();
    sums.iter().sum()
}

struct SumBits<'a, C> {
    curve: C,
    logits: &'a [f32],
    scale: f32,
    gradient: &'a mut [f32],
}

impl<C: Curve> Kernel for SumBits<'_, C> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut sigmoids = Sigmoids::new();
        let Aligned(bits) = &mut Aligned::<f32, BLOCK>::zeros();
        let mut sum = 0.0;
        for (logits, gradient) in self.logits.chunks(BLOCK).zip(self.gradient.chunks_mut(BLOCK)) {
            for ((bits, gradient), sigmoid) in bits.iter_mut().zip(gradient).zip(sigmoids.of(logits)) {
                *bits = self.curve.bits(sigmoid);
                *gradient = self.scale * self.curve.bits_slope(sigmoid);
            }
            sum += f64::from(sum_of_run(&bits[..logits.len()]));
        }
        sum
    }
}
