//! The boot order, as a table of contents.

pub mod pvh;

#[cfg(target_os = "none")]
mod start;

#[cfg(target_os = "none")]
pub(crate) use start::{start, start_core};
