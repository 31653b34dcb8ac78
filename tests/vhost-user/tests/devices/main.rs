//! Real devices: see the crate's documentation.

mod disk;
mod files;
mod names;
mod network;
mod outages;
mod share;
mod transport;
