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
//! `wakeups` asks who sleeps while there is work, `visibility` whether what is shown is complete, and `life` lets two
//! sides that sleep whenever they may talk to each other. Indices start shortly before they wrap; wishes are told by flag
//! and by index. loom tries every order of the two threads' accesses (up to a number of preemptions in the longer
//! models) and, for each load, every value that it may still see. `notes` runs another file, the note in `asynchronous`.
//!
//! # Who notices which mistake in the orderings
//!
//! Each was made on purpose, one at a time. `queue`, `vq` and `threads` are tests of `virtio-sim`, `unit` those beside the
//! code, `litmus` is `cargo xtask bench litmus` on x86-64 with the round in which it fell; the other tests
//! ran unoptimised. A dash: nobody there. Blank: not tried.
//!
//! | change to `handshake.rs` | loom | Miri | natively |
//! |---|---|---|---|
//! | `store_then_load`: released store, acquired load | `wakeups`, `life` | `threads` | `litmus`, 10 |
//! | `store_then_load`: only the store weaker | `wakeups`, `life` | `threads` | `litmus`, 11 |
//! | `store_then_load`: only the load weaker | `wakeups`, `life` | `threads` | –, `xchg` is a fence |
//! | `store_then_load`: load before store | `wakeups`, `life` | | – |
//! | `publish` by flag: released store, acquired load | `wakeups`, `life` | `threads` | `litmus`, 16 |
//! | `publish` by index: the same | `wakeups`, `life` | `threads` | `litmus`, 2 |
//! | `publish`: the device's wish before the index | `wakeups`, `life` | `threads` | – |
//! | `publish`: the index shown relaxed, then as before | all three | `threads` | –, x86 stores in order |
//! | `publish` before the ring entry (in `queue.rs`) | all three | – with one seed | – |
//! | `publish` by index: looks at the flags | `wakeups`, `life` | | `queue` |
//! | `publish` by flag: another bit | –, costs kicks only | | `queue` |
//! | `need_event`: `new > event` | `wakeups`, `life` | | `unit`; `litmus`, 65,535 |
//! | `need_event`: without the `- 1` | `wakeups`, `life` | | `unit`, `queue` |
//! | `need_event`: `old` and `new` swapped | `wakeups`, `life` | | `queue` |
//! | kick decided on the last of a batch | `wakeups`, `life` | | `vq` |
//! | `arm_event`: released store, acquired load | `wakeups`, `life` | `threads` | `litmus`, 458 |
//! | `arm_flag`: the same | `wakeups`, `life` | `threads` | `litmus`, 486 |
//! | `arm_event`, `arm_flag`: look before the wish | `wakeups`, `life` | – with one seed | – |
//! | `arm`: no second look | `wakeups`, `life` | – with one seed | `queue` |
//! | `arm_event`: for the next but one | `wakeups`, `life` | | `queue` |
//! | `arm_event`: for the one before | `wakeups`, `life` | | `queue` |
//! | `arm_flag`: leaves interrupts off | `wakeups`, `life` | | `queue` |
//! | `disarm_flag`: does nothing | –, costs interrupts only | | `queue` |
//! | `used`: loaded relaxed | all three | `threads`, data race | –, x86 loads in order |
//!
//! # Who notices which mistake in the checks around them
//!
//! | change to `queue.rs` | noticed by |
//! |---|---|
//! | `look`: up to what was submitted, published or not | `hd_vq_15_..` |
//! | `look`: any used index is believed | `hd_vq_6_..`, `hd_vq_7_..`, `hd_vq_15_..` |
//! | `look`: one more than is in flight | `hd_vq_6_..`, `hd_vq_15_..` |
//! | `look`, `poll`: goes on after a fault | `hd_g_7_..` |
//! | `look`: forgets how far it saw | `hd_vq_12_..` and others |
//! | a fault: forgotten, or the queue still accepts | `hd_vq_1_..` to `hd_vq_15_..` |
//! | an id: cut to 16 bits | `hd_vq_1_..` |
//! | a length: not clamped | `hd_vq_4_..`, `hd_g_6_..` |
//! | `submit`: one more than there are slots | `vq_34_..` |
//! | `publish`: forgets that it published | nearly all |
//! | `arm` by flag: never disarmed again | `vq_19_20_22_..` in `queue` |
//! | ring entry: kept where it differs | nearly all |
//! | in order: a batch beyond the used index, or by one | `hd_vq_12_..` |
//! | in order: a batch that ends one early, or late | `hd_vq_12_..` |
//! | in order: ids modulo the queue | `hd_vq_1_..`, `hd_vq_12_..` |
//! | in order: an element for each | `hd_vq_12_..` |
//! | in order: no wrap between slots, or the wrong slot | `hd_vq_12_..` |
//! | in order: the length of the last is everybody's | `vq_29_..` |
//! | in order: the last was used in full, too | `hd_vq_5_..`, `hd_vq_9_..` |
#![cfg(test)]

/// The model's atomics, under the name by which `note` asks for the machine's.
mod atomic {
    pub use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

mod device;
mod driver;
#[path = "../../../crates/virtio-queue-rt/src/handshake.rs"]
mod handshake;
mod life;
#[path = "../../../crates/virtio-queue-rt/src/asynchronous/note.rs"]
mod note;
mod notes;
mod ring;
mod visibility;
mod wakeups;
mod word;
