//! The orderings of the virtqueue, in every interleaving and with every stale value that the memory model allows.
//!
//! ```text
//!   virtio-queue-rt/src/handshake.rs     tests/loom/src
//!   publish, arm, used  ---- #[path] --> handshake    the very file
//!                                        driver       Virtqueue, reduced to what it shares with the device
//!                                        device       the other side, from the specification
//!                                        word, ring   their memory, over loom's atomics and cells
//! ```
//!
//! `wakeups` asks who sleeps while there is work, `visibility` whether what is shown is complete, and `life` lets two sides
//! that sleep whenever they may talk to each other. All indices start shortly before they wrap; wishes are told by
//! flag and by index. loom tries every order of the two threads' accesses (up to a number of preemptions in the longer
//! models) and, for each load, every value that it may still see.
#![cfg(test)]

mod device;
mod driver;
#[path = "../../../crates/virtio-queue-rt/src/handshake.rs"]
mod handshake;
mod life;
mod ring;
mod visibility;
mod wakeups;
mod word;
