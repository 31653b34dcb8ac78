//! Mounts of other cores: a file system that is somewhere else, by messages to the core that it belongs to.
//!
//! ```text
//!   this core                                          the owner
//!   Namespace --> RemoteFileSystem                     Exports:  7 -> Rc<dyn FileSystem>
//!                 RemoteNode 12    -- job: Call -->              12 -> Rc<dyn Node>
//!                 RemoteFile 13    <-- answer ----               13 -> Rc<dyn OpenFile>
//!                 RemoteListing 14 -- job: Close -->             14 -> RefCell<Box<dyn OpenDirectory>>
//! ```
//!
//! A device belongs to the core on which it was attached, and so do the file system on it and every node, file and listing.
//! Other cores hold numbers of these objects; what they want done with them goes to the owner as a job, and is done
//! there by a thread. The owner's own threads go to the file system directly and pay nothing for all this.
//!
//! # What goes from core to core
//!
//! A path is walked by the owner, all of it in one job ([`FileSystem::resolve`](super::vfs::FileSystem::resolve)). A
//! listing comes in batches. [`read_at`](super::vfs::OpenFile::read_at) copies twice: the owner from its memory into a
//! vector, which is sent, and the caller from there; [`read_buffer`](super::vfs::OpenFile::read_buffer) copies no more
//! than at home, as the buffer itself is sent. What is written is copied into a vector that is sent, and from there by the
//! file system. Errors travel as they are.
//!
//! A lock that cannot be had at once is waited for by a thread of the owner that does nothing else, beside those that do
//! calls: whoever has the lock may need one of them to give it up.
//!
//! # Ownership
//!
//! An object in [`Exports`] is held by exactly one handle on one other core. That handle is the only one to use its
//! number, and tells the owner when it is dropped, without waiting; whatever it asked for has been answered by then, since
//! a thread that asks waits for the answer. Numbers are never used again.
//!
//! # Failure
//!
//! A call takes as long as it takes the owner, whose requests have deadlines. When the owner's file system is shut down,
//! the calls under way are answered as those of the owner's own threads are, and later ones fail.
//!
//! # Who has what
//!
//! The [`Registry`] lists what is mounted where and by whom. A [`Namespace`](super::Namespace) holds a copy of the
//! part that is about others, and one load tells it whether that is still true.

// Without `fs-write` nobody asks for much of it.
#![cfg_attr(not(feature = "fs-write"), allow(dead_code))]

mod answer;
mod client;
mod exports;
mod registry;
#[cfg(target_os = "none")]
pub mod service;
#[cfg(test)]
pub(super) mod tests;

pub use answer::Answer;
pub use client::RemoteFileSystem;
pub use exports::{Exports, Number};
pub use registry::{Registry, Share, ShareId};

use alloc::boxed::Box;

use fuse_proto::Errno;

/// What another core wants to know, and how the owner finds it out.
pub type Question = Box<dyn FnOnce(&Exports) -> Result<Answer, Errno> + Send>;

/// What the owner shall do.
pub enum Job {
    /// Something that may wait for a device, so it needs a thread.
    Call(Box<dyn FnOnce(&Exports) + Send>),
    /// Something that may wait for other calls, so it needs a thread that is not theirs.
    LongCall(Box<dyn FnOnce(&Exports) + Send>),
    /// To drop an object, which does not wait.
    Close(Number),
}

/// The way to the core that owns a file system.
///
/// What a caller may rely on:
/// 1. every job that is posted is done, on the owner, with the owner's exports;
/// 2. a call that waits there keeps no other job from being done, up to a limit that the owner sets;
/// 3. a long call keeps none from being done, as long as there is memory for its thread.
pub trait Carrier: Clone + 'static {
    /// Sends a job. Does not wait.
    fn post(&self, job: Job);

    /// Has a thread of the owner find out the answer, and waits for it.
    ///
    /// # Errors
    ///
    /// The question's own.
    fn call(&self, question: Question) -> Result<Answer, Errno>;

    /// The same for what may wait for other calls: for somebody to unlock a file.
    ///
    /// # Errors
    ///
    /// The question's own.
    fn call_long(&self, question: Question) -> Result<Answer, Errno>;
}
