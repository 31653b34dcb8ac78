//! [`Answer`]: what an owner says to another core.
//!
//! All calls are carried by the same code, whatever they return: what goes back is one type, made of the result there and
//! taken apart here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use fuse_proto::Errno;
use toro_core::DmaBuf;

use super::exports::{Batch, FileAnswer, NodeAnswer, Number, PlaceAnswer};
#[cfg(feature = "fs-mounts")]
use crate::fs::metadata::FileSystemStats;
use crate::fs::metadata::Metadata;
#[cfg(feature = "fs-mounts")]
use crate::fs::statistics::Statistics;
use crate::fs::vfs::Appended;
#[cfg(feature = "fs-mounts")]
use crate::fs::vfs::Health;

/// What can be the result of a call.
pub trait Reply: Sized {
    /// As it is sent.
    fn wrap(self) -> Answer;

    /// As it was sent.
    ///
    /// # Errors
    ///
    /// EIO for the answer to another question, which nobody gives.
    fn unwrap(answer: Answer) -> Result<Self, Errno>;
}

/// The answers, one for each type of result.
macro_rules! answers {
    ($($(#[$attribute:meta])* $name:ident($type:ty),)*) => {
        /// What an owner says to another core.
        pub enum Answer {
            $($(#[$attribute])* $name($type),)*
        }

        $(
            $(#[$attribute])*
            impl Reply for $type {
                fn wrap(self) -> Answer {
                    Answer::$name(self)
                }

                fn unwrap(answer: Answer) -> Result<Self, Errno> {
                    match answer {
                        Answer::$name(value) => Ok(value),
                        _ => Err(Errno::EIO),
                    }
                }
            }
        )*
    };
}

answers! {
    Done(()),
    Node(NodeAnswer),
    Resolved((NodeAnswer, Vec<u8>)),
    Place(PlaceAnswer),
    Listing(Number),
    Batch(Batch),
    File(FileAnswer),
    Metadata(Metadata),
    Bytes(Vec<u8>),
    Buffer(DmaBuf),
    Size(usize),
    Position(u64),
    Appended(Appended),
    Names(Vec<Box<[u8]>>),
    #[cfg(feature = "fs-mounts")]
    Stats(FileSystemStats),
    #[cfg(feature = "fs-mounts")]
    Statistics(Option<Statistics>),
    #[cfg(feature = "fs-mounts")]
    Health(Health),
}
