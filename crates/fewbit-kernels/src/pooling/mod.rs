//! Pooling of images: the largest number of each window, the mean of each, the mean of all.

mod average;
mod global;
mod max;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

pub use average::{average_pool, average_pool_gradient};
pub use global::{global_average_pool, global_average_pool_gradient};
pub use max::{max_pool, max_pool_gradient};

use crate::elementwise::{PIECE, check_length};

/// A window along one axis: how many numbers, how far apart they begin, how many lie before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Numbers of a window; not 0.
    pub size: usize,
    /// From one window to the next; not 0.
    pub stride: usize,
    /// Places before the first number and behind the last that windows may reach; below the size, so
    /// that every window has a number.
    pub padding: usize,
}

impl Window {
    /// Windows that lie within `length` numbers and the padding; the rest is left out.
    ///
    /// # Panics
    /// When the size or the stride is 0, or the padding not below the size.
    pub fn count(&self, length: usize) -> usize {
        let Self { size, stride, padding } = *self;
        assert!(size > 0 && stride > 0 && padding < size, "a window that always holds a number: {self:?}");
        if length == 0 {
            0
        } else {
            (length + 2 * padding).checked_sub(size).map_or(0, |rest| rest / stride + 1)
        }
    }

    /// The windows that hold a number at place `offset` of theirs, of `count` windows.
    #[inline(always)]
    fn windows_at(&self, offset: usize, length: usize, count: usize) -> Range<usize> {
        let first = self.padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (length + self.padding).saturating_sub(offset).div_ceil(self.stride).min(count);
        first.min(end)..end
    }

    /// The numbers of a window.
    #[inline(always)]
    fn numbers(&self, window: usize, length: usize) -> Range<usize> {
        let start = window * self.stride;
        start.saturating_sub(self.padding)..(start + self.size - self.padding).min(length)
    }
}

/// Images and the windows they are pooled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Number of images times number of channels.
    pub planes: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// The window along the rows.
    pub vertical: Window,
    /// The window along the columns.
    pub horizontal: Window,
}

impl PoolShape {
    /// Rows and columns of what comes out.
    ///
    /// # Panics
    /// As [`Window::count`].
    pub fn pooled(&self) -> (usize, usize) {
        (self.vertical.count(self.height), self.horizontal.count(self.width))
    }

    fn pixels(&self) -> usize {
        self.height * self.width
    }

    fn pooled_pixels(&self) -> usize {
        let (height, width) = self.pooled();
        height * width
    }

    /// Panics unless the slices, with their names, are as long as this shape asks for.
    #[track_caller]
    fn check(&self, image: (&str, usize), pooled: (&str, usize)) {
        check_length(image.0, image.1, self.planes * self.pixels());
        check_length(pooled.0, pooled.1, self.planes * self.pooled_pixels());
    }

    /// Planes of one piece of work.
    fn planes_per_piece(&self) -> usize {
        (PIECE / self.pixels().max(self.pooled_pixels()).max(1)).max(1)
    }

    fn is_small(&self) -> bool {
        self.planes * self.pixels().max(self.pooled_pixels()) <= PIECE
    }
}

/// Gives each plane of `out` to `work`; `length` is that of a plane, not 0.
fn for_planes(
    shape: PoolShape,
    out: &mut [f32],
    length: usize,
    work: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    let work = |(plane, out): (usize, &mut [f32])| work(plane, out);
    if shape.is_small() {
        out.chunks_exact_mut(length).enumerate().for_each(work);
    } else {
        let planes = out.par_chunks_exact_mut(length).enumerate();
        planes.with_min_len(shape.planes_per_piece()).for_each(work);
    }
}
