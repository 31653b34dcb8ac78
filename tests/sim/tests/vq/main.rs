//! The split virtqueue's requirements, one by one, by looking at what the driver leaves in memory.
//!
//! The device is played by the test, step by step. What needs the device to run at the same time is in `threads.rs`,
//! what happens when it lies in `hostile`.

#[path = "../common/mod.rs"]
mod common;

mod bare;
mod chains;
mod completion;
mod in_order;
mod indirect;
mod layout;
mod legacy;
mod notify;
mod rig;
mod segments;
