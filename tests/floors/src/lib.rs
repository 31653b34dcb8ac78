//! Checks that each crate depends on lower floors only; see `tests/floors.rs`.
