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
//!
//! Bounds on preemptions keep each model within seconds. See `atomic` for what loom overlooks, and what is done about it.
//!
//! # Who notices which mistake
//!
//! Each was made on purpose, one at a time. `alone` and `threads` are the tests of `toro-sync`; Miri ran `threads` with eight
//! seeds. A dash: nobody there. Blank: not tried.
//!
//! | change to `inbox.rs` | loom | Miri |
//! |---|---|---|
//! | `push`: exchange released only | `sleep`, with `ring_after_push` | – |
//! | `push`: exchange relaxed | `deliveries`, `sleep` | `threads`, data race |
//! | `push`: link written in the first round only | `deliveries`, `sleep` | |
//! | `push`: answers the opposite | `deliveries` | |
//! | `take_all`: exchange relaxed | `deliveries`, `sleep` | `threads`, data race |
//! | `take_all`: a load, then an exchange | `deliveries` | |
//! | `take_all`: last pushed first | `deliveries` | |
//! | list: ends after the first | `deliveries` | |
//!
//! | change to `node.rs`, `mailbox.rs` | loom | Miri |
//! |---|---|---|
//! | `push`: exchange acquires only | `visits` | `threads`, hangs |
//! | `push`: exchange releases only | `visits` | `threads`, data race |
//! | taker: exchange acquires only | `visits` | `threads`, data race |
//! | taker: exchange releases only | `visits` | `threads`, hangs |
//! | taker: a released store | `visits` | `threads`, hangs |
//! | taker: leaves the node queued | `visits` | |
//! | drop of an inbox: forgets its nodes | `visits` | |
//! | drop of a mailbox: forgets its messages | –, but `alone` | |
//!
//! | change to `doorbell.rs` | loom | Miri |
//! |---|---|---|
//! | `lie_down`: no fence | `sleep` | `threads`, deadlock |
//! | `lie_down`: fence weaker, or before the exchange | `sleep` | |
//! | `ring`: no fence | `sleep` | –, a push comes before |
//! | `ring`: fence weaker | `sleep` | |
//! | `ring_after_push`: load acquires only | `sleep` | `threads`, deadlock |
//! | `ring`: everybody who finds the owner asleep interrupts | `sleep` | |
//! | `ring`: a store in place of the exchange | `sleep` | |
//! | `ring`: exchange relaxed | `sleep`, with `ring_after_push` | |
//! | `get_up`: exchange relaxed, or nothing at all | `sleep` | – |
//!
//! | change to `spsc.rs` | loom | Miri |
//! |---|---|---|
//! | `push`: head loaded relaxed | `streams` | `threads`, data race |
//! | `push`: tail stored relaxed | `streams` | `threads`, data race |
//! | `push`: tail shown before the element | `streams` | |
//! | `push`: one more than fits | `streams` | |
//! | `pop`: tail loaded relaxed | `streams` | `threads`, data race |
//! | `pop`: head stored relaxed | `streams` | `threads`, data race |
//! | `pop`: head shown before the element is out | `streams` | |
//! | the end: stored relaxed, or loaded relaxed | `streams` | `threads`, the former |
//! | drop of a ring: forgets its elements | `streams` | |
//!
//! | change to `wake.rs` | loom | Miri |
//! |---|---|---|
//! | `register`, `take`: no fence | `waiting` | – |
//! | `register`, `take`: fence weaker | `waiting` | |
//! | `register`: exchange to `WRITING` relaxed | `waiting` | `threads`, data race |
//! | `register`: exchange to `FULL` relaxed | `waiting` | `threads`, data race |
//! | `register`: `FULL` stored, not exchanged | `waiting` | |
//! | `register`: too late, and acquires nothing | `waiting` | |
//! | `register`: too late, and answers `Waiting` | `waiting` | |
//! | `register`: `EMPTY` relaxed, after being woken | `waiting`, two who register | – |
//! | `take`: exchange relaxed | `waiting` | |
//! | `take`: does not tell one who is writing | `waiting` | |
//! | `take`: `EMPTY` relaxed | `waiting` | `threads`, data race |
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
