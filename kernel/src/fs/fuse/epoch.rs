//! Which session of a share something belongs to.
//!
//! A server that was started anew gives the numbers of before to other objects. Whoever still has a node or an open file of an
//! old session cannot use it: its connection is closed for ever. But it can be named by its number to something of the
//! *new* session, as the directory that a file goes to, the file that gets another name, or the file that is copied to; and then
//! another object would be meant. So the numbers that leave the client are marked:
//!
//! ```text
//!   number of the server  0x0000_0000_0000_0007      in the first session 0x0000_0000_0000_0007
//!                                                    in the third         0x0002_0000_0000_0007
//! ```
//!
//! Taken back by a client of another session, the mark does not come off, and nothing has that number. Servers count their
//! nodes, or use addresses, so that the upper bits are theirs to use as much as they like but hardly ever are.

/// Bits below the mark.
const NUMBER_BITS: u32 = 48;

/// A session of a share, among those that it has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epoch {
    /// The session that a share is mounted with.
    pub const FIRST: Self = Self(0);

    /// The next session. After 65,536 of them the marks are used again.
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Puts the session's mark on a number, or takes it off: no two numbers of a session become the same.
    pub fn mark(self, number: u64) -> u64 {
        number ^ (self.0 << NUMBER_BITS)
    }
}
