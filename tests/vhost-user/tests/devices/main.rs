//! Real devices: see the crate's documentation.

mod disk;
mod files;
mod network;
mod share;
mod transport;
