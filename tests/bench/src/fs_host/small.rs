//! Many small files.

use std::io::Read as _;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use toro::fs::host::Options as MountOptions;
use vhost_user_tests::{Daemon, Share, Waiting, connect};
use virtio_vhost_user::GuestMemory;

use super::case::{Run, SMALL, Tree};
use super::pread::processor_time;

/// Whether the files have been read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// They have not.
    First,
    /// They have, in the same session.
    Again,
}

/// Opens, reads and closes each file through `toro::fs`.
///
/// # Errors
///
/// A file cannot be read.
pub fn by_toro_fs(
    daemon: &Daemon,
    memory: &'static GuestMemory,
    tree: &Tree,
    time: Time,
    waiting: Waiting,
) -> Result<Run> {
    let (device, calls) = connect(&daemon.socket(), memory);
    // As many names and contents as it takes to remember all of them.
    let paths = tree.small();
    let options = MountOptions { names: paths.len() * 2, contents: paths.len() * SMALL * 2, ..MountOptions::default() };
    let share = Share::mount_device(Box::new(device), calls, options, waiting);
    let files = share.namespace();
    let mut buffer = [0; SMALL];
    let mut read_all = || -> Result<()> {
        for path in &paths {
            let file = files.open(path.as_bytes()).map_err(|error| anyhow!("{path}: {error}"))?;
            let count = file.read_at(&mut buffer, 0).map_err(|error| anyhow!("{path}: {error}"))?;
            ensure!(count == SMALL, "{path} has {count} bytes");
        }
        Ok(())
    };
    if time == Time::Again {
        read_all()?;
    }
    let (start, processor) = (Instant::now(), daemon.processor_time());
    read_all()?;
    let (elapsed, after) = (start.elapsed(), daemon.processor_time());
    share.unmount();
    Ok(Run { reads: paths.len() as u64, elapsed, processor: after.saturating_sub(processor) })
}

/// Does the same by the host.
///
/// # Errors
///
/// A file cannot be read.
pub fn by_host(tree: &Tree) -> Result<Run> {
    let paths: Vec<_> = tree.small().iter().map(|path| tree.root().join(&path[1..])).collect();
    let mut buffer = [0; SMALL];
    let (start, processor) = (Instant::now(), processor_time());
    for path in &paths {
        std::fs::File::open(path)?.read_exact(&mut buffer)?;
    }
    let (elapsed, processor) = (start.elapsed(), processor_time().saturating_sub(processor));
    Ok(Run { reads: paths.len() as u64, elapsed, processor })
}
