//! One step of an optimizer on one tensor, in place: each array is read and written once.

mod adam;
mod norm;
mod sgd;

pub use adam::{AdamStep, adam_step};
pub use norm::square_sum;
pub use sgd::{SgdStep, sgd_step};

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::PIECE;

/// Numbers of one block.
const BLOCK: usize = 512;

/// What happens to one weight and the `N` numbers kept with it.
trait Rule<const N: usize>: Copy + Send + Sync {
    /// The weight and the kept numbers after the step.
    fn at(self, weight: f32, gradient: f32, kept: [f32; N]) -> (f32, [f32; N]);
}

/// Applies the rule to every weight.
fn update<R: Rule<N>, const N: usize>(
    set: InstructionSet,
    rule: R,
    weights: &mut [f32],
    gradient: &[f32],
    kept: [&mut [f32]; N],
) {
    if weights.len() <= PIECE {
        return set.run(Update { rule, weights, gradient, kept });
    }
    // Pieces of a fixed length: every number is for itself, so that who does it changes nothing.
    let mut rest = kept;
    let mut pieces = Vec::with_capacity(weights.len().div_ceil(PIECE));
    for (weights, gradient) in weights.chunks_mut(PIECE).zip(gradient.chunks(PIECE)) {
        let (mut first, mut others) = (Vec::with_capacity(N), Vec::with_capacity(N));
        for kept in rest {
            let (piece, other) = kept.split_at_mut(weights.len());
            first.push(piece);
            others.push(other);
        }
        let array = |slices: Vec<_>| slices.try_into().unwrap_or_else(|_| unreachable!("N of N"));
        rest = array(others);
        pieces.push((weights, gradient, array(first)));
    }
    pieces.into_par_iter().for_each(|(weights, gradient, kept)| {
        set.run(Update { rule, weights, gradient, kept });
    });
}

struct Update<'a, R, const N: usize> {
    rule: R,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    kept: [&'a mut [f32]; N],
}

impl<R: Rule<N>, const N: usize> Kernel for Update<'_, R, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { rule, weights, gradient, kept } = self;
        let (weights, weights_rest) = weights.as_chunks_mut::<BLOCK>();
        let (gradient, gradient_rest) = gradient.as_chunks::<BLOCK>();
        let mut kept = kept.map(|kept| kept.as_chunks_mut::<BLOCK>());
        for (place, (weights, gradient)) in weights.iter_mut().zip(gradient).enumerate() {
            let mut blocks = kept.each_mut().map(|(blocks, _)| &mut blocks[place]);
            update_block(rule, weights, gradient, &mut blocks);
        }
        for (place, (weight, gradient)) in weights_rest.iter_mut().zip(gradient_rest).enumerate() {
            let numbers = kept.each_mut().map(|(_, rest)| rest[place]);
            let (moved, after) = rule.at(*weight, *gradient, numbers);
            *weight = moved;
            for (n, (_, rest)) in kept.iter_mut().enumerate() {
                rest[place] = after[n];
            }
        }
    }
}

// Arrays for arguments: the compiler then needs no check before it may use vectors.
#[inline(always)]
fn update_block<R: Rule<N>, const N: usize>(
    rule: R,
    weights: &mut [f32; BLOCK],
    gradient: &[f32; BLOCK],
    kept: &mut [&mut [f32; BLOCK]; N],
) {
    for lane in 0..BLOCK {
        let numbers = std::array::from_fn(|n| kept[n][lane]);
        let (moved, after) = rule.at(weights[lane], gradient[lane], numbers);
        weights[lane] = moved;
        for n in 0..N {
            kept[n][lane] = after[n];
        }
    }
}
