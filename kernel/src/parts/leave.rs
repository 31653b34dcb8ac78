//! What file servers and disks are to know before the machine ends, on all cores at once.
//!
//! A file system belongs to a core, and so does what has not been written to a disk yet; each core does it for its own,
//! in a thread. One that does not end in time is left behind: nobody waits for it for ever.

use alloc::boxed::Box;
use core::time::Duration;

use crate::core::{all, current};
use crate::thread::Builder;
use crate::time::Instant;

/// How long other cores may take to tell their file servers, and to write to their disks.
const PATIENCE: Duration = Duration::from_secs(20);
/// Enough for what the kernel has to say to devices.
const STACK_SIZE: usize = 64 * 1024;

/// Takes leave on every core, and waits for all.
pub(super) fn take() {
    let deadline = Instant::now().saturating_add(PATIENCE);
    let start = |core| Builder::new().stack_size(STACK_SIZE).spawn_on(core, take_here).ok();
    let others: Box<[_]> = all().filter(|&core| core != current()).filter_map(start).collect();
    take_here();
    for other in others {
        let _ = other.join_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// On this core.
fn take_here() {
    #[cfg(feature = "fs")]
    crate::fs::shutdown();
    #[cfg(feature = "block")]
    crate::fs::block::shutdown();
}
