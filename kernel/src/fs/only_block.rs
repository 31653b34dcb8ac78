//! What is left of `toro::fs` in an image with disks and without files (features `block` and not `fs`): [`block`], and how it
//! waits.
#![deny(unsafe_code)]

pub mod block;
#[cfg(target_os = "none")]
mod kernel_scheduler;
mod scheduler;
