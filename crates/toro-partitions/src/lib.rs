#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! ```text
//!   scan      which table a disk has: protective MBR? -> GPT, primary or backup; else MBR
//!    |  |
//!    |  +---- gpt       header, entries, checksums
//!    +------- mbr       four entries, and the chain of logical partitions
//!   report    Partition, Report, Problem: what was found, and what was wrong with it
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod checksum;
mod gpt;
mod mbr;
pub mod report;
pub mod scan;

pub use crate::report::{Defect, GptCopy, Guid, Kind, MAX_PARTITIONS, Partition, Problem, Problems, Report, Scheme};
pub use crate::scan::{BlockSize, Disk, scan};
