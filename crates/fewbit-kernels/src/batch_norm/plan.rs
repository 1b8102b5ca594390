//! How the channels and images are shared out among threads, and how two sums per channel are taken.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::BatchNormShape;
use crate::elementwise::{PIECE, fetch};
use crate::simd::Simd;
use crate::sums::{Terms, stored, sums_by_lane};

/// Numbers that are added in `f32` before these sums go on in `f64`.
const RUN: usize = 4096;

/// Two sums over a channel.
pub(super) type Sums = [f64; 2];

/// What is done with each channel.
pub(super) trait ChannelWork: Sync {
    /// What the sums of a channel are turned into, for its numbers to be computed.
    type Coefficients: Copy + Send + Sync;
    /// What comes out per channel.
    type Out<'a>: Send;

    /// The sums of some images of a channel.
    ///
    /// # Safety
    /// Nobody else works on these images of this channel.
    unsafe fn sums(&self, channel: usize, images: Range<usize>) -> Sums;

    /// What the sums of all its images say of a channel.
    fn finish(&self, channel: usize, sums: Sums, out: Self::Out<'_>) -> Self::Coefficients;

    /// Computes the numbers of some images of a channel.
    ///
    /// # Safety
    /// As for [`Self::sums`].
    unsafe fn apply(&self, channel: usize, images: Range<usize>, coefficients: Self::Coefficients);
}

/// Does the work of every channel; `outs` has one place for each.
pub(super) fn for_each_channel<W: ChannelWork>(shape: BatchNormShape, work: &W, outs: Vec<W::Out<'_>>) {
    debug_assert_eq!(outs.len(), shape.channels);
    let all = 0..shape.batch;
    let whole_channel = |(channel, out): (usize, W::Out<'_>)| {
        // SAFETY: every channel is given out once, with all its images.
        let sums = unsafe { work.sums(channel, all.clone()) };
        let coefficients = work.finish(channel, sums, out);
        // SAFETY: as above.
        unsafe { work.apply(channel, all.clone(), coefficients) };
    };
    if shape.numbers() <= PIECE {
        return outs.into_iter().enumerate().for_each(whole_channel);
    }
    let channels_per_piece = PIECE.div_ceil(shape.per_channel());
    if shape.channels >= 8 * channels_per_piece {
        let channels = outs.into_par_iter().enumerate().with_min_len(channels_per_piece);
        return channels.for_each(whole_channel);
    }
    // Few channels: images are shared out, and the sums of each piece added in the
    // pieces' order. A larger piece, since each looks for every channel's origin.
    let images_per_piece = (4 * PIECE).div_ceil(shape.channels * shape.pixels);
    let pieces = shape.batch.div_ceil(images_per_piece);
    let images = |piece: usize| piece * images_per_piece..((piece + 1) * images_per_piece).min(shape.batch);
    let sums_of = |piece: usize| -> Vec<Sums> {
        // SAFETY: every piece has images of its own.
        (0..shape.channels).map(|channel| unsafe { work.sums(channel, images(piece)) }).collect()
    };
    let sums: Vec<Vec<Sums>> = (0..pieces).into_par_iter().map(sums_of).collect();
    let coefficients: Vec<W::Coefficients> = outs
        .into_iter()
        .enumerate()
        .map(|(channel, out)| {
            let add =
                |total: Sums, sums: &Vec<Sums>| [total[0] + sums[channel][0], total[1] + sums[channel][1]];
            work.finish(channel, sums.iter().fold([0.0; 2], add), out)
        })
        .collect();
    // What was read last is nearest, so that one begins there.
    (0..pieces).into_par_iter().rev().for_each(|piece| {
        for (channel, &coefficients) in coefficients.iter().enumerate() {
            // SAFETY: every piece has images of its own.
            unsafe { work.apply(channel, images(piece), coefficients) };
        }
    });
}

/// A slice of the shape, of which threads write planes of their own.
#[derive(Clone, Copy)]
pub(super) struct PlanesMut<'a> {
    first: *mut f32,
    shape: BatchNormShape,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: what it points to may be sent and written by any thread; `plane` asks for different planes.
unsafe impl Send for PlanesMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for PlanesMut<'_> {}

impl<'a> PlanesMut<'a> {
    /// # Panics
    /// When the slice has not the numbers of the shape.
    pub(super) fn new(slice: &'a mut [f32], shape: BatchNormShape) -> Self {
        assert_eq!(slice.len(), shape.numbers(), "checked before");
        Self { first: slice.as_mut_ptr(), shape, slice: PhantomData }
    }

    /// The pixels of an image and channel.
    ///
    /// # Safety
    /// Nobody else holds this plane while the result is in use.
    #[inline(always)]
    pub(super) unsafe fn plane(&self, image: usize, channel: usize) -> &'a mut [f32] {
        assert!(image < self.shape.batch && channel < self.shape.channels, "a plane of the shape");
        // SAFETY: the plane lies within the slice by the line above; nobody else holds it.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.first.add(self.shape.start(image, channel)),
                self.shape.pixels,
            )
        }
    }
}

/// The pixels of an image and channel.
#[inline(always)]
pub(super) fn plane(numbers: &[f32], shape: BatchNormShape, image: usize, channel: usize) -> &[f32] {
    let start = shape.start(image, channel);
    &numbers[start..][..shape.pixels]
}

/// Asks for the first pixels of the image after this one, which need not be there.
///
/// Planes of a channel lie far apart, so that the machine cannot guess where the next begins; once
/// that is read, it can.
#[inline(always)]
pub(super) fn fetch_next_plane(numbers: *const f32, shape: BatchNormShape, image: usize, channel: usize) {
    fetch(numbers.wrapping_add(shape.start(image + 1, channel)), shape.pixels.min(256));
}

/// Two sums in the making: of short runs per lane in `f32`, of these in `f64`.
pub(super) struct Accumulator<S: Simd> {
    simd: S,
    lanes: [S::Lanes; 2],
    pending: usize,
    totals: Sums,
}

impl<S: Simd> Accumulator<S> {
    #[inline(always)]
    pub(super) fn new(simd: S) -> Self {
        Self { simd, lanes: [simd.splat(0.0); 2], pending: 0, totals: [0.0; 2] }
    }

    /// Adds two numbers for each pixel.
    #[inline(always)]
    pub(super) fn add_plane<const N: usize>(&mut self, planes: [&[f32]; N], terms: impl Terms<N, 2>) {
        let pixels = planes[0].len();
        let mut start = 0;
        while start < pixels {
            let count = (pixels - start).min(RUN);
            let here = planes.map(|plane| &plane[start..][..count]);
            let [first, second] = sums_by_lane(self.simd, here, terms);
            self.lanes = [self.simd.add(self.lanes[0], first), self.simd.add(self.lanes[1], second)];
            start += count;
            self.pending += count;
            if self.pending >= RUN {
                self.flush();
            }
        }
    }

    #[inline(always)]
    fn flush(&mut self) {
        for (total, lanes) in self.totals.iter_mut().zip(self.lanes) {
            *total += stored(self.simd, lanes).into_iter().map(f64::from).sum::<f64>();
        }
        self.lanes = [self.simd.splat(0.0); 2];
        self.pending = 0;
    }

    #[inline(always)]
    pub(super) fn finish(mut self) -> Sums {
        self.flush();
        self.totals
    }
}
