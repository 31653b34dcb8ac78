//! Real devices: see the crate's documentation.

mod disk;
mod files;
mod transport;
