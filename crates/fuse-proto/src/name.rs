//! Names of directory entries.
//!
//! A name is bytes, not text: Linux file systems store whatever byte string they are given, and a client that
//! insisted on UTF-8 could not open what it just listed. Three kinds of byte string are not names
//! all the same: anything with a `/`, which would be a path, anything with a NUL, which ends a name on the
//! wire, and the two shorthands `.` and `..`.
//!
//! The shorthands deserve a word. A server resolves `..` against *its* tree, where the parent of the shared
//! directory is the host's own file system; a careful server refuses, an old one relied on the kernel to never
//! ask. Here nobody asks: the client that walks a path knows every parent it came through, so [`Name`] does not
//! admit the shorthands at all, and no request with one can be built.

use core::fmt;

/// The longest name, in bytes (`NAME_MAX` on Linux).
pub const MAX_NAME_LEN: usize = 255;

/// A name that may stand in a request (FU-SEM-17): 1 to 255 bytes without `/` and NUL, not `.` and not `..`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Accepts `bytes` as a name.
    ///
    /// # Errors
    ///
    /// The [`NameError`] that says what is wrong with it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, NameError> {
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        if bytes.len() > MAX_NAME_LEN {
            return Err(NameError::TooLong);
        }
        if is_dot_or_dot_dot(bytes) {
            return Err(NameError::Shorthand);
        }
        if !has_name_bytes(bytes) {
            return Err(NameError::ForbiddenByte);
        }
        Ok(Self(bytes))
    }

    /// The bytes of the name, without a terminator.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Whether a name is one of the shorthands for a directory itself and its parent.
pub(crate) fn is_dot_or_dot_dot(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// Whether none of the bytes is one that no name may contain.
pub(crate) fn has_name_bytes(name: &[u8]) -> bool {
    !name.iter().any(|&byte| byte == b'/' || byte == 0)
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Why bytes are not a [`Name`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameError {
    /// There are no bytes.
    Empty,
    /// There are more than 255; a Linux system call would say `ENAMETOOLONG`.
    TooLong,
    /// One of them is `/` or NUL.
    ForbiddenByte,
    /// They are `.` or `..`, which the client resolves itself.
    Shorthand,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "name is empty",
            Self::TooLong => "name is longer than 255 bytes",
            Self::ForbiddenByte => "name contains a separator or nul",
            Self::Shorthand => "name is a shorthand for a directory",
        })
    }
}

impl core::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn fu_sem_17_names_are_one_to_255_bytes() {
        assert_eq!(Name::new(b""), Err(NameError::Empty));
        assert!(Name::new(b"a").is_ok());
        assert!(Name::new(&[b'x'; 255]).is_ok());
        assert_eq!(Name::new(&[b'x'; 256]), Err(NameError::TooLong));
    }

    #[test]
    fn fu_sem_17_separators_nul_and_shorthands_are_refused() {
        for bad in [&b"/"[..], b"a/b", b"a\0", b"\0"] {
            assert_eq!(Name::new(bad), Err(NameError::ForbiddenByte));
        }
        assert_eq!(Name::new(b"."), Err(NameError::Shorthand));
        assert_eq!(Name::new(b".."), Err(NameError::Shorthand));
        assert!(Name::new(b"...").is_ok());
        assert!(Name::new(b".profile").is_ok());
    }

    #[test]
    fn fu_sem_18_no_request_can_ask_for_a_parent() {
        // Neither alone nor as a part of something longer: whoever walks a path knows where it came from.
        for bad in [&b".."[..], b"../..", b"a/..", b"..\0"] {
            assert!(Name::new(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_name_need_not_be_utf_8() {
        let name = Name::new(b"caf\xe9").expect("any byte but two is allowed");
        assert_eq!(name.as_bytes(), b"caf\xe9");
        assert_eq!(format!("{name}"), "caf\\xe9");
        assert_eq!(format!("{name:?}"), "\"caf\\xe9\"");
    }
}
