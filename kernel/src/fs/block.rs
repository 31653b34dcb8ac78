//! Disks: raw access for applications, and volumes with a cache for file systems.
//!
//! ```text
//!   Disk         an application's handle, on any core        CachedDisk   a file system's, on the owner's
//!   ------------------------------------------------------------------------------
//!   volume       a run of sectors, and nothing beyond        registry     names, and who may write what
//!   queue        all requests on a device: merging, splitting, errors, resets        buffers
//!   ------------------------------------------------------------------------------
//!   dyn BlockDevice                     a driver
//! ```
//!
//! # Ownership
//!
//! A device belongs to one core, and a device with several queues gives each of its owners one; see
//! [`Disk`] for what others do. The queue, its requests and a cache are never shared between cores.
//!
//! # Whom we believe
//!
//! A disk decides what it holds. It cannot make us panic, wait without end, or take a request for done that it did not
//! confirm; see [`queue`] for how errors are kept apart.

pub mod buffers;
pub mod cache;
mod disk;
mod error;
pub mod queue;
pub mod registry;
#[cfg(target_os = "none")]
mod system;
#[cfg(test)]
pub(super) mod tests;
pub mod volume;

pub use self::cache::CachedDisk;
pub use self::disk::{Disk, Pending};
pub use self::error::DiskError;
pub use self::registry::DiskInfo;
#[cfg(target_os = "none")]
pub(crate) use self::system::{attach, attach_queues, shutdown};
#[cfg(target_os = "none")]
pub use self::system::{disks, volumes};
