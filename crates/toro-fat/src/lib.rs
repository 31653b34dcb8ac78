#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! ```text
//!   volume        mounting, nodes, statistics
//!    |
//!   tree          names: look up, list, make, remove, rename      file    contents
//!    |                                                             |
//!   directory     slots: find, make room, take out                 |
//!    |   |                                                         |
//!    |  entry, name                                              chain    which clusters
//!    |                                                             |
//!   node          what is in use ------------------------------- table    what follows a cluster
//!    |                                                             |
//!   sync          in which order things become stable ----------- disk    sectors in memory
//!                                                                  |
//!   boot_sector, time, error                                    storage   yours
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod boot_sector;
mod chain;
mod directory;
mod disk;
mod entry;
pub mod error;
mod file;
mod name;
mod node;
pub mod storage;
mod sync;
mod table;
mod time;
mod tree;
mod volume;

pub use crate::boot_sector::FatKind;
pub use crate::entry::Attributes;
pub use crate::error::{Corruption, Error, Unsupported};
pub use crate::node::NodeId;
pub use crate::storage::{SECTOR, Storage, StorageError};
pub use crate::time::Timestamp;
pub use crate::volume::{Entry, Kind, Metadata, Options, Statistics, Volume};
