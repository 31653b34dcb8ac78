#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! ```text
//!   volume        mounting, nodes, statistics
//!    |
//!   tree          names: look up, list, make, remove, rename      file    contents
//!    |                                                             |
//!   directory     entries: put in, take out                        |
//!   find, index   names: where they are, where there is room       |
//!   walk          slots: go through them                           |
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
mod find;
mod index;
mod name;
mod node;
pub mod storage;
mod sync;
mod table;
mod time;
mod tree;
mod volume;
mod walk;

pub use crate::boot_sector::FatKind;
pub use crate::entry::Attributes;
pub use crate::error::{Corruption, Error, Unsupported};
pub use crate::node::NodeId;
pub use crate::storage::{SECTOR, Storage, StorageError};
pub use crate::time::Timestamp;
pub use crate::volume::{Entry, Kind, Metadata, Options, Statistics, Volume};
