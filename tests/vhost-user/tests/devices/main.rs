//! Real devices: see the crate's documentation.

mod disk;
mod files;
mod names;
mod network;
mod share;
mod transport;
