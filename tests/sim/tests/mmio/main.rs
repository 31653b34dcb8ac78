//! Requirements on virtio over memory-mapped registers, and lies of such devices, one test each and named after them.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../conformance/trace.rs"]
mod trace;

mod legacy;
mod lies;
mod modern;
mod rig;
mod strict;
