//! Boot tests: Toro images in virtual machines, started by the command line tool exactly as a user starts them.
//!
//! ```text
//!   cargo xtask test --> boot-tests --> cargo xtask run hello --machine q35 --> QEMU
//!        ^ counts            ^ judges output and exit status        |
//!        +-------------------+--------------------------------------+
//! ```
//!
//! So the tests cover the tool as well as the kernel: what is typed, what is printed, and the exit status are the whole
//! interface. Verdicts never depend on how long something takes; the deadlines only keep a hang from blocking
//! everything, and are generous.
//!
//! - [`tool`] runs the tool, to its end or in the background;
//! - [`case`] is one test, and running many with a report in libtest's format;
//! - [`cases`] lists them, one module per subject;
//! - [`netns`] gives a case networks of its own;
//! - [`soak`] is the client of an application that has streams of bytes;
//! - [`file_server`] is the server of a share, and [`manifest`] what the host's tools find in one;
//! - [`image`] looks into the disks that guests leave behind.
//!
//! # Adding a case
//!
//! Write a `fn(&Tool) -> Result<(), String>` in the module of its subject under `cases`, and list it there. The error
//! says what was expected and what came instead; helpers on [`tool::Finished`] write it, with the output.

#![forbid(unsafe_code)]

pub mod case;
pub mod cases;
pub mod file_server;
pub mod image;
pub mod manifest;
pub mod netns;
pub mod soak;
pub mod tool;
