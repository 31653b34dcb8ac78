//! Requirements on virtio over PCI, and lies of functions, one test each and named after them.
//!
//! ```text
//!   rig   a function behind traced registers, and a request that goes through
//!   discovery, capabilities   what a function is and where its registers are      legacy         the block of ports
//!   queues, notify, interrupts   what is done with them                           memory, lies   what is not believed
//! ```

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../conformance/trace.rs"]
mod trace;

mod capabilities;
mod discovery;
mod interrupts;
mod legacy;
mod lies;
mod memory;
mod notify;
mod queues;
mod rig;
