//! Each piece on one thread: what it answers in which state, and who drops what.

mod doorbell;
mod inbox;
#[cfg(feature = "alloc")]
mod mailbox;
#[cfg(feature = "alloc")]
mod node;
#[cfg(feature = "alloc")]
mod spsc;
mod wake;
