//! The pieces of `toro-sync`, in every interleaving and with every stale value that the memory model allows.
//!
//! ```text
//!   toro-sync/src                          tests/loom-sync/src
//!   inbox, node, mailbox,    #[path]       the very files
//!   doorbell, spsc, wake,
//!   claim                    ------->      atomic, cell    what they are written with, by loom
//! ```
//!
//! `deliveries` asks whether everything that is sent arrives, once and complete; `homecoming` the same of the heap's blocks,
//! which are used anew at once; `visits` whether a node that is queued
//! already is still looked at; `sleep` who sleeps while there is work; `streams` whether a slot of the ring is read and written
//! by one at a time; `waiting` whether everybody is woken who has to be; `claims` whether a wait is ended once. Cells tell loom who touches them, so that memory that two
//! own at a time is an error by itself.
#![cfg(test)]

mod atomic;
/// loom's cells, under the name by which the files ask for their own.
mod cell {
    pub use loom::cell::UnsafeCell;
}

#[path = "../../../crates/toro-sync/src/claim.rs"]
mod claim;
#[path = "../../../crates/toro-sync/src/doorbell.rs"]
#[allow(dead_code, reason = "not all of it matters to a model")]
mod doorbell;
#[path = "../../../crates/toro-sync/src/inbox.rs"]
#[allow(dead_code, reason = "not all of it matters to a model")]
mod inbox;
#[path = "../../../crates/toro-sync/src/mailbox.rs"]
#[allow(dead_code, reason = "not all of it matters to a model")]
mod mailbox;
#[path = "../../../crates/toro-sync/src/node.rs"]
#[allow(dead_code, reason = "not all of it matters to a model")]
mod node;
#[path = "../../../crates/toro-sync/src/spsc.rs"]
#[allow(dead_code, reason = "not all of it matters to a model")]
mod spsc;
#[path = "../../../crates/toro-sync/src/wake.rs"]
#[allow(dead_code, reason = "not all of it matters to a model")]
mod wake;

mod claims;
mod deliveries;
mod homecoming;
mod sleep;
mod streams;
mod visits;
mod waiting;

// Under the name by which the files ask for it.
extern crate std as alloc;

/// Runs a model in every interleaving with up to so many preemptions.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
