//! What an operation says.

use std::fmt;

/// What came of an operation: an answer, or an error number of Linux.
pub type Outcome = Result<Answer, i32>;

/// What is known of an object, as far as two file systems must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Kind and permissions.
    pub mode: u32,
    /// Bytes; 0 for a directory, where each file system counts as it likes.
    pub len: u64,
    /// Names.
    pub links: u64,
    /// Who owns it.
    pub owner: (u32, u32),
    /// When it was modified, where that was just set.
    pub modified: Option<(i64, u32)>,
}

/// What an operation says.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// That it is done.
    Done,
    /// How many bytes, or where.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Whether there is one, and which.
    Perhaps(Option<Vec<u8>>),
    /// Names, sorted.
    Names(Vec<Vec<u8>>),
    /// Attributes.
    Attributes(Attributes),
    /// No such slot is in use: nothing was done.
    Nothing,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Nothing => f.write_str("nothing"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bytes(bytes) | Self::Perhaps(Some(bytes)) => {
                // What tells one from another, without a page of it.
                let sum = bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
                let start = &bytes[..bytes.len().min(16)];
                write!(f, "{} bytes, sum {sum:016x}, \"{}\"..", bytes.len(), start.escape_ascii())
            }
            Self::Perhaps(None) => f.write_str("none"),
            Self::Names(names) => {
                f.debug_list().entries(names.iter().map(|name| name.escape_ascii().to_string())).finish()
            }
            Self::Attributes(attributes) => attributes.fmt(f),
        }
    }
}
