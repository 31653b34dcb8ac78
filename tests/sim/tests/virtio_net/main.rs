//! The network driver against a card that the test plays: what it takes from the configuration, what it puts on
//! the wire, what it believes of what comes off it, and when it asks to be woken.
//!
//! Everything that depends on registers runs over both transports; the rings are the same behind either.

#[path = "../common/mod.rs"]
mod common;

mod accepted;
mod card;
mod changes;
mod commands;
mod configuration;
mod faults;
mod firecracker;
mod legacy;
mod memory;
mod merged;
mod offloads;
mod pairs;
mod receive;
mod transmit;
mod waking;
