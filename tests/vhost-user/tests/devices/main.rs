//! Real devices: see the crate's documentation.

mod transport;
