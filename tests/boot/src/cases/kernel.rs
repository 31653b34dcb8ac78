//! The kernel's own tests, run inside a guest.

use crate::case::Case;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    Vec::new()
}
