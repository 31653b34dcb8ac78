//! What a slot remembers of the descriptors that its last request left behind.
//!
//! The descriptors of a header and of a trailer say the same for each request, unless requests differ in how many buffers
//! lie between the two. Most requests of one queue are of one kind: so a slot remembers how many there were, and what is
//! there already is not written again. A lying device that has overwritten it gets back what it wrote.

mod sealed {
    pub trait Sealed {}
}

/// See the module.
pub trait Layout: sealed::Sealed + Copy {
    /// Before the first request.
    const NONE: Self;
    /// Whether it ever changes.
    const IS_VARYING: bool;

    /// Takes note of the number of a request's buffers; says whether it is another one than before.
    fn changes_to(&mut self, count: u16) -> bool;
}

/// All requests have the same number of buffers: nothing to remember.
#[derive(Clone, Copy, Debug)]
pub struct Fixed;

impl sealed::Sealed for Fixed {}

impl Layout for Fixed {
    const NONE: Self = Self;
    const IS_VARYING: bool = false;

    #[inline(always)]
    fn changes_to(&mut self, _: u16) -> bool {
        false
    }
}

/// The number of buffers of the last request.
#[derive(Clone, Copy, Debug)]
pub struct Varying(u16);

impl sealed::Sealed for Varying {}

impl Layout for Varying {
    // No request has as many.
    const NONE: Self = Self(u16::MAX);
    const IS_VARYING: bool = true;

    #[inline(always)]
    fn changes_to(&mut self, count: u16) -> bool {
        core::mem::replace(&mut self.0, count) != count
    }
}
