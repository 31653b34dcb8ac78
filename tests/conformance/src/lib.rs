//! Our virtqueue against a device side that somebody else wrote: the crate `virtio-queue` of rust-vmm, on which
//! several virtual machine monitors are built.
//!
//! ```text
//!   driver under test                                      oracle
//!   Reset -> negotiate -> queue -> run   --registers-->    virtio-sim's register model, which only keeps the setup
//!   Virtqueue, DmaPool                   --GuestRam---->    virtio_queue::Queue over vm-memory's mapped memory
//! ```
//!
//! What is judged here is what two readers of the specification can disagree on: where the rings are, what a chain
//! looks like, how indices wrap, when either side must be woken. rust-vmm's verdicts (`is_valid`, the range check of
//! the available index, a chain that ends early) are taken, and where it is more tolerant than the specification,
//! [`OracleDevice`] asks for the rest. Every byte is checked: a request's contents and its place in the ring
//! determine the answer, which both sides compute for themselves ([`exchange`]).
//!
//! In the same way the file system is judged by the crate `fuse-backend-rs`, the server in several virtual machine monitors and
//! container runtimes ([`fuse_server`]).

pub mod device;
pub mod driver;
pub mod exchange;
pub mod fuse_server;
pub mod memory;
pub mod shapes;

pub use device::{OracleDevice, Request};
pub use driver::{Bus, DriverSide, Rig, rig, rig_over};
pub use memory::GuestRam;
pub use shapes::{Field, Shape};
