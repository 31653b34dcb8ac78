//! Devices that lie, one test for each lie: what the driver says to it, that no buffer gets a second owner, and that
//! after a reset everything works again over the same registers.
//!
//! ```text
//!   used_ring    what the device writes into the rings                HD-VQ
//!   in_order     the same where completions come in order             HD-VQ-12
//!   setup        how it answers while queues are set up               HD-QS
//!   interrupts   when it interrupts, and what it says about that      HD-IRQ
//! ```

#[path = "../common/mod.rs"]
mod common;

mod in_order;
// Registers are values to their models: nothing for Miri.
#[cfg(not(miri))]
mod interrupts;
mod rig;
#[cfg(not(miri))]
mod setup;
mod used_ring;
