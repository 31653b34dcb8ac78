//! Input and output: errors, and the traits [`Read`], [`Write`] and [`Seek`]. Names and semantics are those of `std::io`.
#![deny(unsafe_code)]

mod error;
mod slices;
mod traits;

pub use error::{Error, ErrorKind, Result};
pub use slices::{IoSlice, IoSliceMut};
pub use traits::{Read, Seek, SeekFrom, Write};
