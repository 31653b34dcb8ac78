#![doc = include_str!("../README.md")]
//!
//! # Where the unsafe code is
//!
//! In [`inbox`] and [`wake`] and, with the feature `alloc`, in `node`, `mailbox` and `spsc`: memory is handed from core to
//! core, and the argument that one core has it at a time is made in the essay at the head of each. [`RawInbox::push`] asks
//! its caller for a promise; all else is safe to call. The [`doorbell`] has none.
//!
//! # How it is checked
//!
//! The files name their atomics and cells by `crate::atomic` and `crate::cell`, so that `tests/loom-sync` can include the very
//! files with loom's and try every interleaving; its documentation has the table of orderings that were weakened on purpose, and
//! which model noticed. Miri runs the tests of this crate under several schedules.

#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod atomic;
mod cell;
pub mod claim;
pub mod doorbell;
pub mod inbox;
#[cfg(feature = "alloc")]
pub mod mailbox;
#[cfg(feature = "alloc")]
pub mod node;
#[cfg(feature = "alloc")]
pub mod spsc;
pub mod wake;

pub use claim::{WaitId, WaitKind, Waits};
pub use doorbell::{Doorbell, Ring};
pub use inbox::{RawInbox, RawLink, RawList};
#[cfg(feature = "alloc")]
pub use mailbox::{Mailbox, Messages};
#[cfg(feature = "alloc")]
pub use node::{Inbox, Node, Nodes, Pushed};
pub use wake::{Registered, WakeSlot};
