//! Real devices: see the crate's documentation.

mod files;
mod transport;
