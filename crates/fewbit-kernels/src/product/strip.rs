//! Strips: sixteen rows or columns of a matrix side by side, as the product's inner loop reads them.
//!
//! A product sums over steps. A strip holds, step after step, the sixteen numbers that take part in
//! it: one register, on a cache line of its own. A copy costs one pass and is read many times.

use crate::simd::Simd;
use crate::tile::{Aligned, LANES};

/// The numbers of one step.
pub(crate) type Step = Aligned<f32, LANES>;

/// Where a matrix lies in a slice: lane `l` of step `s` is `values[l * lane_stride + s * step_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) lane_stride: usize,
    pub(crate) step_stride: usize,
}

impl<'a> Source<'a> {
    /// The same matrix without its first lanes and steps.
    #[inline(always)]
    pub(crate) fn from(self, lane: usize, step: usize) -> Self {
        let first = (lane * self.lane_stride + step * self.step_stride).min(self.values.len());
        Self { values: &self.values[first..], ..self }
    }

    /// Copies `lanes` lanes, at most sixteen, and as many steps as `out` has, times `factor`.
    ///
    /// What the other lanes get is not specified.
    #[inline(always)]
    pub(crate) fn copy_scaled<S: Simd>(self, simd: S, lanes: usize, factor: f32, out: &mut [Step]) {
        assert!(lanes <= LANES, "a strip has {LANES} lanes");
        if self.lane_stride == 1 {
            self.copy_steps(simd, lanes, factor, out);
        } else if self.step_stride == 1 {
            self.copy_transposed(simd, lanes, factor, out);
        } else {
            self.copy_one_by_one(lanes, factor, 0, out);
        }
    }

    /// [`Self::copy_scaled`] with factor 1.
    #[inline(always)]
    pub(crate) fn copy<S: Simd>(self, simd: S, lanes: usize, out: &mut [Step]) {
        self.copy_scaled(simd, lanes, 1.0, out);
    }

    /// The lanes of a step lie side by side.
    #[inline(always)]
    fn copy_steps<S: Simd>(self, simd: S, lanes: usize, factor: f32, out: &mut [Step]) {
        let [zero, factors] = [simd.splat(0.0), simd.splat(factor)];
        for (step, Aligned(out)) in out.iter_mut().enumerate() {
            let source = &self.values[step * self.step_stride..];
            // A strip begins where the last one ends: the lines of those to come are asked for now.
            fetch(source.as_ptr().wrapping_add(lanes + LANES));
            if let Some(source) = source.first_chunk::<LANES>() {
                // Neighbours' numbers come along where there are fewer lanes: cheaper than to stop short.
                // SAFETY: sixteen numbers.
                let lanes = unsafe { simd.load(source.as_ptr()) };
                // SAFETY: sixteen numbers.
                unsafe { simd.store(simd.multiply_add(lanes, factors, zero), out.as_mut_ptr()) };
            } else {
                for (out, source) in out.iter_mut().zip(&source[..lanes]) {
                    *out = *source * factor;
                }
            }
        }
    }

    /// The steps of a lane lie side by side.
    #[inline(always)]
    fn copy_transposed<S: Simd>(self, simd: S, lanes: usize, factor: f32, out: &mut [Step]) {
        let whole = out.len() / LANES * LANES;
        let zero = simd.splat(0.0);
        let factors = simd.splat(factor);
        for first in (0..whole).step_by(LANES) {
            let mut rows = [zero; LANES];
            for (lane, row) in rows.iter_mut().enumerate() {
                if lane < lanes {
                    let source = &self.values[lane * self.lane_stride + first..][..LANES];
                    // SAFETY: sixteen numbers by the line above.
                    *row = unsafe { simd.load(source.as_ptr()) };
                }
            }
            let columns = simd.transpose(rows);
            for (Aligned(out), column) in out[first..first + LANES].iter_mut().zip(columns) {
                // SAFETY: sixteen numbers.
                unsafe { simd.store(simd.multiply_add(column, factors, zero), out.as_mut_ptr()) };
            }
        }
        self.copy_one_by_one(lanes, factor, whole, out);
    }

    /// From step `begin` on.
    #[inline(always)]
    fn copy_one_by_one(self, lanes: usize, factor: f32, begin: usize, out: &mut [Step]) {
        for (step, Aligned(out)) in out.iter_mut().enumerate().skip(begin) {
            for (lane, out) in out[..lanes].iter_mut().enumerate() {
                *out = self.values[lane * self.lane_stride + step * self.step_stride] * factor;
            }
        }
    }
}

/// Asks for the line of memory at an address, which need not be anyone's.
#[inline(always)]
fn fetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and faults nowhere, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Room for strips that a thread keeps for its next call.
#[derive(Default)]
pub(crate) struct Room(Vec<Step>);

impl Room {
    /// `steps` steps; what they hold is not specified.
    pub(crate) fn take(&mut self, steps: usize) -> &mut [Step] {
        if self.0.len() < steps {
            self.0.resize(steps, Aligned::zeros());
        }
        &mut self.0[..steps]
    }
}
