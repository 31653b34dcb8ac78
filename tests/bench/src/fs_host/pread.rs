//! The host's own way.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::time::ClockId;

use super::case::{Case, Places, Run, is_right};

/// Reads the large file for so long.
///
/// # Errors
///
/// A read fails.
pub fn read(path: &Path, case: Case, length: Duration) -> Result<Run> {
    let file = File::open(path)?;
    // Written to, so that the system has given memory for all of it.
    let mut buffers = vec![vec![0x5a_u8; case.bytes]; case.buffers()];
    let mut places = Places::new(case);
    let mut reads = 0;
    let (start, processor) = (Instant::now(), processor_time());
    while start.elapsed() < length {
        let turn = reads as usize % buffers.len();
        let buffer = &mut buffers[turn];
        let offset = places.next();
        let count = file.read_at(buffer, offset)?;
        ensure!(count == buffer.len() && is_right(buffer, offset), "pread at {offset}");
        reads += 1;
    }
    let (elapsed, processor) = (start.elapsed(), processor_time().saturating_sub(processor));
    Ok(Run { reads, elapsed, processor })
}

/// How long this thread has been running on a processor.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
