//! Which part of the heap serves a request, and the sizes of its small blocks.
//!
//! ```text
//!   size     1 ... 16 ... 32 ...... 128 ... 160 192 224 256 ... 896 1024 | ..... 128 KiB - 1 | .....
//!   route    Small: 20 classes, in steps of 16 and then four per doubling | Pool              | Frames
//! ```
//!
//! The route of a request is a function of its layout alone. Whoever frees a block says the layout again, so that nobody
//! has to find out where a block came from; the price is that everything here is part of a promise between `alloc` and
//! `dealloc`, and has to give the same answer to both.
//!
//! An alignment of 16 comes with every class. Up to 64 it comes with those whose size is a multiple of 64, as a slab's
//! first block is so aligned: a request that wants it is rounded up to such a class. What wants more goes to the pool.

use core::alloc::Layout;

/// The largest small request.
pub const SMALL: usize = 1024;
/// Requests of this size or alignment get frames of their own.
pub const LARGE: usize = 128 * 1024;
/// Every small block is so aligned, and no block is smaller: a freed block has to hold a link and a route.
pub const GRAIN: usize = 16;
/// The alignment of a slab's first block, and of every block whose size is a multiple of it.
pub const SMALL_ALIGN: usize = 64;
/// Number of classes.
pub const CLASSES: usize = SIZES.len();

/// Bytes of a block, by class.
const SIZES: [u16; 20] =
    [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024];

/// The smallest class that holds so many grains.
const BY_GRAINS: [Class; SMALL / GRAIN + 1] = {
    let mut table = [Class(0); SMALL / GRAIN + 1];
    let mut grains = 1;
    while grains < table.len() {
        let mut class = table[grains - 1].0;
        while (SIZES[class as usize] as usize) < grains * GRAIN {
            class += 1;
        }
        table[grains] = Class(class);
        grains += 1;
    }
    table
};

/// A size class. Invariant: the number is less than [`CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u8);

impl Class {
    /// The smallest class that holds `size` bytes.
    ///
    /// # Panics
    ///
    /// If `size` exceeds [`SMALL`].
    #[inline]
    pub const fn holding(size: usize) -> Self {
        BY_GRAINS[size.div_ceil(GRAIN)]
    }

    /// The class of a request that is small and asks for no particular alignment, as nearly all do.
    #[inline(always)]
    pub const fn of_usual(layout: Layout) -> Option<Self> {
        if layout.size() <= SMALL && layout.align() <= GRAIN { Some(Self::holding(layout.size())) } else { None }
    }

    /// Its number, less than [`CLASSES`].
    #[inline]
    pub const fn index(self) -> usize {
        // SAFETY: the type's invariant: numbers come from the table, which the compiler filled with indices of `SIZES`.
        unsafe { core::hint::assert_unchecked((self.0 as usize) < CLASSES) };
        self.0 as usize
    }

    /// Bytes of a block.
    #[inline]
    pub const fn size(self) -> usize {
        SIZES[self.index()] as usize
    }

    /// Bytes of a slab. A slab of either size holds at least fifteen blocks, and loses no more than a sixteenth.
    #[inline]
    pub const fn slab_size(self) -> usize {
        if self.0 < Self::holding(320).0 { 4 * 1024 } else { 16 * 1024 }
    }

    /// Every class, from the smallest on.
    #[cfg(test)]
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }
}

/// Where a block comes from and goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A slab of this class.
    Small(Class),
    /// The pool of a core, which calls the block so many bytes long.
    Pool(u32),
    /// The frame allocator.
    Frames,
}

impl Route {
    /// The route of a request.
    pub const fn of(layout: Layout) -> Self {
        let (size, align) = (layout.size(), layout.align());
        if let Some(class) = Class::of_usual(layout) {
            return Self::Small(class);
        }
        if size <= SMALL && align <= SMALL_ALIGN {
            return Self::Small(Class::holding(size.next_multiple_of(SMALL_ALIGN)));
        }
        if size >= LARGE || align >= LARGE {
            return Self::Frames;
        }
        // No block is too small for what a freed one has to hold.
        Self::Pool(if size < GRAIN { GRAIN as u32 } else { size as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(size: usize, align: usize) -> Route {
        Route::of(Layout::from_size_align(size, align).unwrap())
    }

    #[test]
    fn a_request_gets_the_smallest_class_that_holds_it() {
        for size in 1..=SMALL {
            let Route::Small(class) = route(size, 8) else { panic!("{size} is small") };
            assert!(class.size() >= size, "{size}");
            assert!(Class::all().all(|other| other.size() < size || other.size() >= class.size()), "{size}");
        }
    }

    #[test]
    fn no_class_wastes_more_than_a_quarter_of_a_block_of_more_than_a_few_grains() {
        for size in 4 * GRAIN..=SMALL {
            assert!((Class::holding(size).size() - size) * 4 <= size, "{size}");
        }
    }

    #[test]
    fn an_alignment_up_to_64_gets_a_class_that_has_it() {
        for size in 1..=SMALL {
            for align in [32, 64] {
                let Route::Small(class) = route(size, align) else { panic!("{size} is small") };
                assert!(class.size() >= size && class.size().is_multiple_of(SMALL_ALIGN), "{size}");
            }
            assert_eq!(route(size, 128), Route::Pool(size.max(16) as u32));
        }
    }

    #[test]
    fn what_is_not_small_goes_to_the_pool_and_from_128_kib_on_to_the_frames() {
        assert_eq!(route(SMALL + 1, 1), Route::Pool(1025));
        assert_eq!(route(LARGE - 1, LARGE / 2), Route::Pool(LARGE as u32 - 1));
        assert_eq!(route(LARGE, 1), Route::Frames);
        assert_eq!(route(1, LARGE), Route::Frames);
    }
}
