//! Who removes the set-id bits of a file that is changed.
//!
//! A program file that runs with its owner's rights must lose them when somebody else writes to it, truncates it
//! or gives it away. Three ways have been negotiated over time, and one question decides between them: may
//! *this* caller keep the bits? Only the client knows that.
//!
//! ```text
//!   nothing negotiated      the client does it: a SETATTR with the reduced mode before the WRITE
//!   HANDLE_KILLPRIV         the server does it on every write, truncation and change of owner
//!   HANDLE_KILLPRIV_V2      the server does it where a request says so: OPEN and CREATE that truncate, SETATTR of
//!                           a length, WRITE; and SETATTR of an owner, where Linux always says so
//! ```

/// Whether a request asks the server to remove set-id bits. Only with
/// [`InitFlags::HANDLE_KILLPRIV_V2`](crate::InitFlags::HANDLE_KILLPRIV_V2); other servers do not look at it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SetIds {
    /// The caller may keep them, or nothing was negotiated.
    #[default]
    Keep,
    /// Remove set-user-id, and set-group-id where the group may execute.
    #[doc(alias = "FUSE_OPEN_KILL_SUIDGID")]
    #[doc(alias = "FATTR_KILL_SUIDGID")]
    Remove,
}

/// `open_flags` of OPEN and CREATE: remove the bits.
const OPEN_KILL_SUIDGID: u32 = 1;

impl SetIds {
    /// As OPEN and CREATE have it.
    pub(super) const fn open_bits(self) -> u32 {
        match self {
            Self::Keep => 0,
            Self::Remove => OPEN_KILL_SUIDGID,
        }
    }
}
