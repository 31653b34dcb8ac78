//! The driver for gigabit controllers against one that the test plays: what it writes into which register and how often, what
//! becomes of frames, and what it does about devices that hang or lie.

mod filter;
mod hostile;
mod packets;
mod property;
mod receive;
mod recovery;
mod rig;
mod segments;
mod setup;
mod transmit;
mod waking;
