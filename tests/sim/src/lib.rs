//! Virtio devices that run in a test.
//!
//! ```text
//!   driver under test                                    this crate
//!   Transport over Registers  <--- MmioModel, PciModel,  -->  Device (status, features, queues)
//!                                  LegacyMmioModel, StrictMmio
//!   rings and buffers         <--- SimMemory ------------->  DeviceQueue: pop a chain, write, push
//! ```
//!
//! A drive is behind [`ide`], whose driver has registers and a bus master instead of rings; a card with rings of another kind
//! is [`e1000`].
//!
//! The device side is written from the specification, shares no code with the driver side, and usually runs as a
//! second thread, under Miri too. It reads shared memory with the weakest orderings that the specification allows
//! a device, so that a driver that forgets its own is caught.

pub mod block;
pub mod bounce;
pub mod clock;
pub mod device;
pub mod e1000;
pub mod ide;
pub mod memory;
pub mod mmio;
pub mod mmio_legacy;
pub mod mmio_strict;
pub mod pci;
pub mod queue;

pub use block::BlockModel;
pub use bounce::{BounceMemory, Stopped};
pub use clock::StdClock;
pub use device::{Device, Kicks, QueueSetup};
pub use memory::{GuestMemory, SimMemory};
pub use mmio::MmioModel;
pub use mmio_legacy::LegacyMmioModel;
pub use mmio_strict::StrictMmio;
pub use pci::PciModel;
pub use queue::{DeviceQueue, PoppedChain, RawDescriptor};

/// The guide of `virtio-queue-rt`, whose driver is run against a device from here.
#[cfg(doctest)]
#[doc = include_str!("../../../crates/virtio-queue-rt/src/guide.md")]
pub mod guide {}
