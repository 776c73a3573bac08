//! A mutable slice of which several workers write parts that do not overlap.

use core::marker::PhantomData;

/// See the module.
pub(crate) struct Disjoint<'a, T> {
    pointer: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is only a slice; whoever calls `part` promises that no two parts overlap.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Lends the slice out.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { pointer: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// Where the element at `start` is. From there on there are at least `length`, which the caller
    /// may write some of: those that are his alone, under the conditions of [`Self::part`].
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
    #[inline(always)]
    pub(crate) fn pointer(&self, start: usize, length: usize) -> *mut T {
        assert!(start <= self.length && length <= self.length - start, "part outside the slice");
        // SAFETY: it lies in the slice, just checked.
        unsafe { self.pointer.add(start) }
    }

    /// The `length` elements from `start` on.
    ///
    /// # Safety
    ///
    /// No other part that is in use at the same time overlaps it.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // that is what it is for
    pub(crate) unsafe fn part(&self, start: usize, length: usize) -> &mut [T] {
        // SAFETY: it lies in the slice, just checked, and the caller promises that it is his alone.
        unsafe { core::slice::from_raw_parts_mut(self.pointer(start, length), length) }
    }
}
