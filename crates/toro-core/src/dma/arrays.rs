//! [`SharedArrays`]: a region cut into arrays once, and then reached without a comparison.
//!
//! ```text
//!   region   [ array 0: 2^a bytes ][ array 1: 2^b bytes ]..[ array 2 ].
//!   index    wraps around at its array's end
//! ```
//!
//! Rings are powers of two long and their indices run freely, so that an index has to be cut down by a mask anyway.
//! Where the mask comes with the array, the cut is the bounds check too: no index leads out of the array, and nothing
//! is compared on the way. [`SharedRegion::at`] is for everything else.

use core::fmt;
use core::ptr::NonNull;

use super::shared::{SharedCell, SharedRegion};

/// The largest cell, in bytes. Every array has room for one.
const LARGEST: usize = 16;

/// A region and `N` arrays in it, the first `WIDE` of which may have cells of 64-bit words.
pub struct SharedArrays<const N: usize, const WIDE: usize = N> {
    arrays: [Array; N],
    region: SharedRegion,
}

/// The alignment of an array, in bytes.
const fn align<const WIDE: usize>(array: usize) -> usize {
    if array < WIDE { 8 } else { 4 }
}

/// Invariant: `base` is aligned as [`align`] says; `mask` is a power of two less one; from `base` on, `mask + 1` bytes
/// and also `LARGEST` bytes lie in the region beside it.
#[derive(Clone, Copy)]
struct Array {
    base: NonNull<u8>,
    mask: usize,
}

// SAFETY: the pointers lead into the region, which is reached through atomics only.
unsafe impl<const N: usize, const WIDE: usize> Send for SharedArrays<N, WIDE> {}
// SAFETY: as above.
unsafe impl<const N: usize, const WIDE: usize> Sync for SharedArrays<N, WIDE> {}

impl<const N: usize, const WIDE: usize> SharedArrays<N, WIDE> {
    /// Cuts a region: each place is the offset of an array, a multiple of 8, or of 4 from array `WIDE` on, and its
    /// length, a power of two, both in bytes. Arrays may overlap. Those that are shorter than 16 bytes still need as
    /// much room.
    ///
    /// # Panics
    ///
    /// If a place is none of this, or not in the region.
    pub fn new(region: SharedRegion, places: [(usize, usize); N]) -> Self {
        let mut number = 0;
        let arrays = places.map(|(offset, len)| {
            let align = align::<WIDE>(number);
            number += 1;
            assert!(offset.is_multiple_of(align) && len.is_power_of_two(), "no array: {len} bytes at {offset}");
            let end = offset.checked_add(len.max(LARGEST));
            assert!(end.is_some_and(|end| end <= region.size()), "{len} bytes at {offset} of {region:?}");
            // SAFETY: inside the region, as just checked.
            let base = unsafe { region.base().add(offset) };
            Array { base, mask: len - 1 }
        });
        Self { arrays, region }
    }

    /// The region.
    pub fn region(&self) -> &SharedRegion {
        &self.region
    }

    /// The cell at `index` of array `A`, counted in cells from its start, and again from there at its end.
    #[inline(always)]
    pub fn at<const A: usize, C: SharedCell>(&self, index: usize) -> &C {
        const { assert!(A < N && size_of::<C>().is_power_of_two() && size_of::<C>() <= LARGEST) };
        const { assert!(align_of::<C>() <= align::<WIDE>(A)) };
        let array = &self.arrays[A];
        let offset = index.wrapping_mul(size_of::<C>()) & array.mask;
        // SAFETY: cell size and array length are powers of two. If the cell is the smaller one, `offset` is a multiple
        // of its size below the length, so that the cell ends in the array; otherwise `offset` is 0, where there is
        // room for the largest cell. The array is aligned as the cell is, as just checked.
        unsafe { Self::cell(array, offset) }
    }

    /// The cell at index `I` of array `A`, somewhere in its first 16 bytes.
    #[inline(always)]
    pub fn front<const A: usize, const I: usize, C: SharedCell>(&self) -> &C {
        const { assert!(A < N && size_of::<C>() > 0 && I < LARGEST / size_of::<C>()) };
        const { assert!(align_of::<C>() <= align::<WIDE>(A)) };
        // SAFETY: it ends in the first `LARGEST` bytes, which are in the region, and the array is aligned as just
        // checked.
        unsafe { Self::cell(&self.arrays[A], I * size_of::<C>()) }
    }

    /// # Safety
    ///
    /// The array is aligned as a cell is, `offset` is a multiple of the size of a cell, and the cell there is in the
    /// region that the array lies in.
    #[inline(always)]
    unsafe fn cell<C: SharedCell>(array: &Array, offset: usize) -> &C {
        // SAFETY: in the region, as the caller promises.
        let cell = unsafe { array.base.add(offset) }.cast::<C>();
        // SAFETY:
        // - in bounds: as the caller promises;
        // - aligned: the array, as the caller promises, and the size of a cell is a multiple of its alignment;
        // - initialised: the platform's memory is zeroed, and any bit pattern is a valid cell;
        // - aliasing: the region is reached through atomics only, which permit concurrent writers;
        // - alive: the reference borrows the array, which lies beside its region.
        unsafe { cell.as_ref() }
    }
}

impl<const N: usize, const WIDE: usize> fmt::Debug for SharedArrays<N, WIDE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedArrays({N} in {:?})", self.region)
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::dma::testing::Heap;

    fn region(size: usize) -> SharedRegion {
        SharedRegion::new(Heap::default().leak(), size).expect("the heap has a few bytes")
    }

    #[test]
    fn an_index_wraps_at_the_end_of_its_array() {
        let arrays = SharedArrays::<2>::new(region(64), [(0, 32), (32, 8)]);
        arrays.at::<0, AtomicU16>(17).store(0x1234, Ordering::Relaxed);
        assert_eq!(arrays.region().at::<AtomicU16>(1).load(Ordering::Relaxed), 0x1234);
        arrays.at::<1, AtomicU8>(usize::MAX).store(9, Ordering::Relaxed);
        assert_eq!(arrays.region().at::<AtomicU8>(39).load(Ordering::Relaxed), 9);
        assert_eq!(arrays.front::<0, 1, AtomicU16>().load(Ordering::Relaxed), 0x1234);
    }

    #[test]
    fn a_cell_longer_than_its_array_still_lies_in_the_region() {
        let arrays = SharedArrays::<1>::new(region(64), [(48, 1)]);
        for index in [0, 1, 2, 15, usize::MAX] {
            let cell = core::ptr::from_ref(arrays.at::<0, [AtomicU64; 2]>(index));
            assert_eq!(cell.cast::<AtomicU8>(), core::ptr::from_ref(arrays.region().at::<AtomicU8>(48)));
        }
    }

    #[test]
    fn narrow_arrays_may_lie_between_wide_ones() {
        let arrays = SharedArrays::<2, 1>::new(region(64), [(8, 8), (20, 4)]);
        arrays.at::<1, AtomicU16>(1).store(7, Ordering::Relaxed);
        assert_eq!(arrays.region().at::<AtomicU16>(11).load(Ordering::Relaxed), 7);
        let cut = catch_unwind(AssertUnwindSafe(|| SharedArrays::<2, 1>::new(region(64), [(4, 8), (20, 4)])));
        assert!(cut.is_err());
    }

    #[test]
    fn an_array_that_is_not_in_the_region_is_a_panic() {
        for place in [(0, 128), (56, 8), (64, 16), (usize::MAX - 7, 16), (4, 16), (0, 24), (0, 0)] {
            let cut = catch_unwind(AssertUnwindSafe(|| SharedArrays::<1>::new(region(64), [place])));
            assert!(cut.is_err(), "{place:?}");
        }
    }
}
