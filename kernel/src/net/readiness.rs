//! [`Readiness`]: what one could do with a socket without waiting.
//!
//! The words are those of `poll` in POSIX.1-2017; [`crate::socket`] has the same with its names.
//!
//! | | listener | connection | datagrams |
//! |---|---|---|---|
//! | `READABLE` | a connection can be accepted | bytes, or the end of the stream, or an error can be read | a datagram can be read |
//! | `WRITABLE` | never | there is room, or writing fails at once | there is room for a datagram |
//! | `READ_CLOSED` | never | the peer has finished, or this side stopped reading | never |
//! | `HANG_UP` | never | both directions are over | never |
//! | `ERROR` | the device has failed | the connection broke and nobody has asked why | the device has failed |

use core::fmt;
use core::ops::{BitAnd, BitOr, BitOrAssign};

/// What one could do with a socket without waiting: a set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Reading or accepting would not wait.
    pub const READABLE: Self = Self(1);
    /// Writing would not wait.
    pub const WRITABLE: Self = Self(2);
    /// There is an end of the stream, behind what can still be read.
    pub const READ_CLOSED: Self = Self(4);
    /// Both directions are over.
    pub const HANG_UP: Self = Self(8);
    /// There is an error to ask for.
    pub const ERROR: Self = Self(16);
    /// What is reported whether it was asked for or not.
    pub const ALWAYS: Self = Self(Self::HANG_UP.0 | Self::ERROR.0);

    const NAMES: [(Self, &'static str); 5] = [
        (Self::READABLE, "READABLE"),
        (Self::WRITABLE, "WRITABLE"),
        (Self::READ_CLOSED, "READ_CLOSED"),
        (Self::HANG_UP, "HANG_UP"),
        (Self::ERROR, "ERROR"),
    ];

    /// Whether it is the empty set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether something of `other` is in it.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Itself where `condition` holds, else nothing.
    pub(super) const fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }
}

impl BitOr for Readiness {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Readiness {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Self::NAMES.iter().filter(|(set, _)| self.contains(*set)).map(|(_, name)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_joined_cut_and_named() {
        let both = Readiness::READABLE | Readiness::ERROR;
        assert!(both.contains(Readiness::READABLE) && !both.contains(Readiness::READABLE | Readiness::WRITABLE));
        assert!(both.intersects(Readiness::ALWAYS) && !(both & Readiness::WRITABLE).intersects(both));
        assert!((both & Readiness::WRITABLE).is_empty());
        assert_eq!(alloc::format!("{both:?}"), r#"{"READABLE", "ERROR"}"#);
    }
}
