#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod error;
pub mod storage;
pub mod time;
pub mod volume;

pub use crate::error::{Corruption, Error, Unsupported};
pub use crate::storage::{SECTOR, Storage, StorageError};
pub use crate::time::Timestamp;
pub use crate::volume::{Attributes, Entry, FatKind, Kind, Metadata, NodeId, Options, Statistics, Volume};
