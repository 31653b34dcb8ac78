//! Names and lists of extended attributes.
//!
//! An extended attribute is a value under a name, beside the contents of a file: `user.mime_type`,
//! `security.selinux`. Its name is *not* that of a directory entry. It is as long, 1 to 255 bytes, but a `/` in it
//! means nothing and is allowed; only NUL is not, because it ends the name on the wire. So it has a type of its own,
//! and a name of the one kind cannot stand where the other belongs.
//!
//! ```text
//!   LISTXATTR    user.a \0 user.mime_type \0 security.selinux \0
//!                '- 1 to 255 bytes each, every one with its terminator, and nothing behind the last -'
//! ```
//!
//! # Hostile servers
//!
//! A list is checked as a whole before the first name of it is seen (HD-FS-31): somebody who looks for the end of a
//! name whose terminator is missing reads what lies behind the reply. After that check the iteration cannot fail.

use core::fmt;
use core::iter::FusedIterator;

use crate::error::Defect;
use crate::name::NameError;

/// The longest name of an extended attribute, in bytes (`XATTR_NAME_MAX` on Linux).
pub const MAX_XATTR_NAME_LEN: usize = 255;

/// The longest value of an extended attribute, in bytes (`XATTR_SIZE_MAX` on Linux).
pub const MAX_XATTR_VALUE_LEN: u32 = 65536;

/// The longest list of names of extended attributes, in bytes (`XATTR_LIST_MAX` on Linux).
pub const MAX_XATTR_LIST_LEN: u32 = 65536;

/// The name of an extended attribute: 1 to 255 bytes without NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XattrName<'a>(&'a [u8]);

impl<'a> XattrName<'a> {
    /// Accepts `bytes` as a name.
    ///
    /// # Errors
    ///
    /// [`NameError::Empty`], [`NameError::TooLong`] or, for a NUL, [`NameError::ForbiddenByte`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, NameError> {
        match bytes.len() {
            0 => Err(NameError::Empty),
            1..=MAX_XATTR_NAME_LEN if bytes.contains(&0) => Err(NameError::ForbiddenByte),
            1..=MAX_XATTR_NAME_LEN => Ok(Self(bytes)),
            _ => Err(NameError::TooLong),
        }
    }

    /// The bytes of the name, without a terminator.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for XattrName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for XattrName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The names in a list of extended attributes, in the server's order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XattrNames<'a> {
    /// Names with a terminator each.
    rest: &'a [u8],
}

impl<'a> XattrNames<'a> {
    /// Accepts `list` if it is nothing but names with their terminators; an empty list is one.
    ///
    /// # Errors
    ///
    /// [`Defect::XattrList`].
    pub fn new(list: &'a [u8]) -> Result<Self, Defect> {
        let mut rest = list;
        while !rest.is_empty() {
            (_, rest) = split(rest).ok_or(Defect::XattrList)?;
        }
        Ok(Self { rest: list })
    }

    /// What is left of the list, as it came: names with a terminator each.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.rest
    }
}

/// The first name, and what follows its terminator; `None` if there is no good name with a terminator.
fn split(list: &[u8]) -> Option<(XattrName<'_>, &[u8])> {
    let end = list.iter().position(|&byte| byte == 0)?;
    let (name, rest) = list.split_at_checked(end)?;
    Some((XattrName::new(name).ok()?, rest.get(1..)?))
}

impl<'a> Iterator for XattrNames<'a> {
    type Item = XattrName<'a>;

    fn next(&mut self) -> Option<XattrName<'a>> {
        let (name, rest) = split(self.rest)?;
        self.rest = rest;
        Some(name)
    }
}

impl FusedIterator for XattrNames<'_> {}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_name_is_1_to_255_bytes_without_nul_and_may_have_slashes() {
        assert_eq!(XattrName::new(b""), Err(NameError::Empty));
        assert_eq!(XattrName::new(&[b'x'; 256]), Err(NameError::TooLong));
        assert_eq!(XattrName::new(b"user.\0"), Err(NameError::ForbiddenByte));
        for good in [&b"user.a/b"[..], b".", b"..", &[b'x'; 255], b"caf\xe9"] {
            assert_eq!(XattrName::new(good).map(XattrName::as_bytes), Ok(good));
        }
        let name = XattrName::new(b"user.\xe9").expect("any byte but one is allowed");
        assert_eq!((format!("{name}"), format!("{name:?}")), ("user.\\xe9".into(), "\"user.\\xe9\"".into()));
    }

    #[test]
    fn names_are_listed_in_order() {
        let mut names = XattrNames::new(b"user.a\0b\0user.c/d\0").expect("a good list");
        let first = names.next().expect("three names");
        assert_eq!(first.as_bytes(), b"user.a");
        assert_eq!(names.as_bytes(), b"b\0user.c/d\0");
        let rest: Vec<_> = names.by_ref().map(XattrName::as_bytes).collect();
        assert_eq!(rest, [&b"b"[..], b"user.c/d"]);
        assert_eq!(names.next(), None);
        assert_eq!(XattrNames::new(b"").expect("no names").count(), 0);
    }

    #[test]
    fn hd_fs_31_every_name_of_a_list_ends_inside_it() {
        for bad in [&b"user.a"[..], b"\0", b"user.a\0user.b", b"user.a\0\0", b"\0user.a\0", b"user.a\0\0user.b\0"] {
            assert_eq!(XattrNames::new(bad), Err(Defect::XattrList), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn hd_fs_31_no_name_of_a_list_is_longer_than_a_name_may_be() {
        let mut list = vec![b'x'; 255];
        list.push(0);
        assert_eq!(XattrNames::new(&list).map(Iterator::count), Ok(1));
        list.insert(0, b'x');
        assert_eq!(XattrNames::new(&list), Err(Defect::XattrList));
    }
}
