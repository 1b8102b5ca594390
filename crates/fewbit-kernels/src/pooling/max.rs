//! The largest number of each window.

use rayon::prelude::*;

use super::{PoolShape, for_planes};
use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::check_length;

/// Writes the largest number of each window, and its place in the plane, row after row.
///
/// `input` is `[planes, height, width]`, `out` and `places` `[planes, pooled height, pooled width]`.
/// Of equal numbers the first counts, a NaN above all. What is padded is never the largest.
///
/// # Panics
/// When a slice has not the length that `shape` asks for, a plane has 2^32 numbers or more, and as
/// [`Window::count`](super::Window::count).
pub fn max_pool(shape: PoolShape, input: &[f32], out: &mut [f32], places: &mut [u32]) {
    max_pool_on(InstructionSet::detect(), shape, input, out, places);
}

pub(crate) fn max_pool_on(
    set: InstructionSet,
    shape: PoolShape,
    input: &[f32],
    out: &mut [f32],
    places: &mut [u32],
) {
    shape.check(("input", input.len()), ("out", out.len()));
    check_length("places", places.len(), out.len());
    assert!(u32::try_from(shape.pixels()).is_ok(), "a place of {} numbers fits 32 bits", shape.pixels());
    if out.is_empty() {
        return;
    }
    if shape.is_small() {
        return set.run(MaxPool { shape, input, out, places });
    }
    let planes = shape.planes_per_piece();
    let (numbers, pooled) = (planes * shape.pixels(), planes * shape.pooled_pixels());
    let outs = out.par_chunks_mut(pooled).zip(places.par_chunks_mut(pooled));
    input
        .par_chunks(numbers)
        .zip(outs)
        .for_each(|(input, (out, places))| set.run(MaxPool { shape, input, out, places }));
}

struct MaxPool<'a> {
    shape: PoolShape,
    input: &'a [f32],
    out: &'a mut [f32],
    places: &'a mut [u32],
}

impl Kernel for MaxPool<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let PoolShape { height, width, vertical, horizontal, .. } = self.shape;
        let (pooled_height, pooled_width) = self.shape.pooled();
        let pooled = pooled_height * pooled_width;
        let planes = self.input.chunks_exact(height * width);
        let outs = self.out.chunks_exact_mut(pooled).zip(self.places.chunks_exact_mut(pooled));
        for (plane, (out, places)) in planes.zip(outs) {
            let rows = out.chunks_exact_mut(pooled_width).zip(places.chunks_exact_mut(pooled_width));
            for (window, (out, places)) in rows.enumerate() {
                let rows = vertical.numbers(window, height);
                for (window, (out, place)) in out.iter_mut().zip(&mut *places).enumerate() {
                    let first = rows.start * width + horizontal.numbers(window, width).start;
                    (*out, *place) = (plane[first], first as u32);
                }
                for row in rows {
                    for offset in 0..horizontal.size {
                        let windows = horizontal.windows_at(offset, width, pooled_width);
                        let Some(column) =
                            (windows.start * horizontal.stride + offset).checked_sub(horizontal.padding)
                        else {
                            continue;
                        };
                        let first = row * width + column;
                        keep_largest(
                            plane,
                            first,
                            horizontal.stride,
                            &mut out[windows.clone()],
                            &mut places[windows],
                        );
                    }
                }
            }
        }
    }
}

/// Puts every `stride`th number of the plane from `first` on where it is larger than what is there.
#[inline(always)]
fn keep_largest(plane: &[f32], first: usize, stride: usize, out: &mut [f32], places: &mut [u32]) {
    let Some((last, others)) = out.split_last_mut() else { return };
    let (last_place, other_places) = places.split_last_mut().expect("as long as `out`");
    let numbers = &plane[first..=first + others.len() * stride];
    // The strides of nearly all networks, known when compiling; the last number has none behind it.
    match stride {
        1 => keep_largest_of::<1>(numbers, first, others, other_places),
        2 => keep_largest_of::<2>(numbers, first, others, other_places),
        _ => {
            for (i, (out, place)) in others.iter_mut().zip(other_places).enumerate() {
                (*out, *place) = larger((*out, *place), numbers[i * stride], first + i * stride);
            }
        }
    }
    (*last, *last_place) =
        larger((*last, *last_place), numbers[numbers.len() - 1], first + numbers.len() - 1);
}

#[inline(always)]
fn keep_largest_of<const STRIDE: usize>(numbers: &[f32], first: usize, out: &mut [f32], places: &mut [u32]) {
    let numbers = numbers.as_chunks::<STRIDE>().0;
    for (i, ((out, place), x)) in out.iter_mut().zip(places).zip(numbers).enumerate() {
        (*out, *place) = larger((*out, *place), x[0], first + i * STRIDE);
    }
}

/// The larger number and its place; of equal ones what is there already.
#[inline(always)]
fn larger((best, best_place): (f32, u32), x: f32, place: usize) -> (f32, u32) {
    // A NaN stays, and takes the place of any number but another.
    let takes = (x > best) | (x.is_nan() & !best.is_nan());
    (if takes { x } else { best }, if takes { place as u32 } else { best_place })
}

/// Writes the loss's gradient with respect to [`max_pool`]'s input: `gradient` goes to the places of
/// the largest numbers.
///
/// `places` and `gradient` are `[planes, pooled height, pooled width]`, `input_gradient` is
/// `[planes, height, width]`.
///
/// # Panics
/// When a slice has not the length that `shape` asks for, a place is not of the plane, and as
/// [`Window::count`](super::Window::count).
pub fn max_pool_gradient(shape: PoolShape, places: &[u32], gradient: &[f32], input_gradient: &mut [f32]) {
    shape.check(("input_gradient", input_gradient.len()), ("gradient", gradient.len()));
    check_length("places", places.len(), gradient.len());
    if gradient.is_empty() {
        return input_gradient.fill(0.0);
    }
    let (pixels, pooled) = (shape.pixels(), shape.pooled_pixels());
    for_planes(shape, input_gradient, pixels, |plane, out| {
        let here = plane * pooled..(plane + 1) * pooled;
        out.fill(0.0);
        for (&place, g) in places[here.clone()].iter().zip(&gradient[here]) {
            out[place as usize] += g;
        }
    });
}
