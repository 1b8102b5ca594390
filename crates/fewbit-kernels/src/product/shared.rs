//! An output that several threads write at once, each its own part.

use std::marker::PhantomData;

/// A slice, lent to threads that each write other elements of it.
pub(crate) struct Shared<'a> {
    start: *mut f32,
    length: usize,
    lent: PhantomData<&'a mut [f32]>,
}

// SAFETY: the elements are reached only through `part`, whose callers keep to different ones.
unsafe impl Sync for Shared<'_> {}
// SAFETY: as for `Sync`; numbers may be written from any thread.
unsafe impl Send for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), lent: PhantomData }
    }

    /// The `length` elements from `first` on; panics where the slice ends before.
    ///
    /// # Safety
    /// While the result lives, nothing else reaches these elements.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the caller vouches that no two parts overlap")]
    pub(crate) unsafe fn part(&self, first: usize, length: usize) -> &mut [f32] {
        assert!(first <= self.length && length <= self.length - first, "a part ends after the slice");
        // SAFETY: inside the slice by the line above, and lent to no one else by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), length) }
    }
}
