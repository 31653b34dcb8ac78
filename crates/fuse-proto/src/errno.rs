//! Error numbers, as the server sends them.
//!
//! FUSE carries bare Linux numbers (`asm-generic`, the ones of x86-64 and AArch64), whatever the client's
//! operating system calls its errors. A reply holds 0 or a negative number:
//!
//! ```text
//!   error ==  0            success, a payload may follow
//!   error in -511..=-1     failure; the errno is -error
//!   anything else          not an errno: -512 and below are codes of the Linux kernel's inside, and a
//!                          positive one means nothing (FU-RV-3); the request fails with EIO
//! ```
//!
//! [`Errno`] holds any of the 511 numbers, with names for those that a file server has a reason to send. An
//! unnamed one is passed on and not judged: servers forward what their own system calls returned.

use core::fmt;
use core::num::NonZeroU16;

/// A Linux error number, `1..=511`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Errno(NonZeroU16);

/// The largest error number that may arrive (FU-RV-3).
const MAX: u16 = 511;

impl Errno {
    /// Makes an error number of `raw`; `None` outside `1..=511`.
    #[must_use]
    pub const fn new(raw: u16) -> Option<Self> {
        if raw > MAX {
            return None;
        }
        match NonZeroU16::new(raw) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// For the constants below: the compiler stops on a number out of range.
    const fn named(raw: u16) -> Self {
        match Self::new(raw) {
            Some(errno) => errno,
            None => panic!("an errno lies in 1..=511"),
        }
    }

    /// Reads the error field of a reply: `Ok(None)` is success.
    ///
    /// # Errors
    ///
    /// The number itself when it is neither 0 nor in `-511..=-1`.
    pub(crate) fn from_reply(error: i32) -> Result<Option<Self>, i32> {
        if error == 0 {
            return Ok(None);
        }
        error.checked_neg().and_then(|errno| u16::try_from(errno).ok()).and_then(Self::new).map(Some).ok_or(error)
    }

    /// The number, positive.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

macro_rules! errnos {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl Errno {
            $(
                #[doc = concat!($text, " (", stringify!($value), ").")]
                pub const $name: Self = Self::named($value);
            )*

            /// The symbolic name (`"ENOENT"`), where the number has one here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.get() {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            const fn text(self) -> &'static str {
                match self.get() {
                    $($value => $text,)*
                    _ => "unnamed error",
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such file or directory";
    ESRCH = 3, "no such process";
    EINTR = 4, "interrupted";
    EIO = 5, "input or output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "value too large to hand over";
    EBADF = 9, "bad file handle";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "busy";
    EEXIST = 17, "file exists";
    EXDEV = 18, "link across file systems";
    ENODEV = 19, "no such device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory";
    EINVAL = 22, "invalid argument";
    ENFILE = 23, "too many open files in the system";
    EMFILE = 24, "too many open files";
    ENOTTY = 25, "not a terminal";
    ETXTBSY = 26, "program file is busy";
    EFBIG = 27, "file too large";
    ENOSPC = 28, "no space left";
    ESPIPE = 29, "cannot seek";
    EROFS = 30, "read-only file system";
    EMLINK = 31, "too many links";
    EPIPE = 32, "broken pipe";
    ERANGE = 34, "result out of range";
    EDEADLK = 35, "lock would deadlock";
    ENAMETOOLONG = 36, "name too long";
    ENOLCK = 37, "no locks available";
    ENOSYS = 38, "operation not implemented";
    ENOTEMPTY = 39, "directory not empty";
    ELOOP = 40, "too many symbolic links";
    ENODATA = 61, "no such attribute";
    ETIME = 62, "timer expired";
    EREMOTE = 66, "object is remote";
    ENOLINK = 67, "link to the server is severed";
    EPROTO = 71, "protocol error";
    EBADMSG = 74, "bad message";
    EOVERFLOW = 75, "value too large for its type";
    EILSEQ = 84, "invalid byte sequence";
    EUSERS = 87, "too many users";
    EOPNOTSUPP = 95, "operation not supported";
    ENOBUFS = 105, "no buffer space";
    ENOTCONN = 107, "not connected";
    ETIMEDOUT = 110, "timed out";
    EALREADY = 114, "already in progress";
    EINPROGRESS = 115, "in progress";
    ESTALE = 116, "stale file handle";
    EUCLEAN = 117, "file system needs repair";
    EREMOTEIO = 121, "remote input or output error";
    EDQUOT = 122, "quota exceeded";
    ENOMEDIUM = 123, "no medium";
    ECANCELED = 125, "cancelled";
    ENOKEY = 126, "key not available";
    EKEYEXPIRED = 127, "key has expired";
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.get()),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.get())
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn fu_rv_3_only_zero_to_minus_511_is_an_outcome() {
        assert_eq!(Errno::from_reply(0), Ok(None));
        assert_eq!(Errno::from_reply(-2), Ok(Some(Errno::ENOENT)));
        assert_eq!(Errno::from_reply(-511), Ok(Errno::new(511)));
        for lie in [1, 2, i32::MAX, -512, -4095, -65_537, i32::MIN] {
            assert_eq!(Errno::from_reply(lie), Err(lie));
        }
    }

    #[test]
    fn numbers_are_the_asm_generic_ones() {
        let sample = [
            (Errno::ENOENT, 2),
            (Errno::EIO, 5),
            (Errno::ENOTDIR, 20),
            (Errno::ENOSYS, 38),
            (Errno::ELOOP, 40),
            (Errno::EOPNOTSUPP, 95),
            (Errno::ESTALE, 116),
        ];
        for (errno, number) in sample {
            assert_eq!(errno.get(), number);
        }
    }

    #[test]
    fn display_is_words_and_number_debug_is_the_symbol() {
        assert_eq!(format!("{}", Errno::ENOENT), "no such file or directory (2)");
        assert_eq!(format!("{:?}", Errno::ENOENT), "ENOENT");
        let unnamed = Errno::named(400);
        assert_eq!(format!("{unnamed}"), "unnamed error (400)");
        assert_eq!(format!("{unnamed:?}"), "Errno(400)");
    }
}
