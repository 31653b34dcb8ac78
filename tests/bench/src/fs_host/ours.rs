//! Our way: the driver with so many requests in flight, and the file system above it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use fuse_proto::ops::{Init, Lookup, LookupReply, Open, OpenFlags, Read};
use fuse_proto::{Caller, FileHandle, Name, NodeId, Operation, Session, Unique, UniqueAllocator};
use toro::fs::host::Options as MountOptions;
use toro_core::driver::Armed;
use toro_core::driver::fuse::{FuseCompletion, FuseDevice, FuseRequest, Priority, RequestId};
use vhost_user_tests::{Daemon, PATIENCE, Share, Waiting, connect};
use virtio_fs::VirtioFs;
use virtio_vhost_user::{Call, GuestMemory, VhostUser};

use super::case::{Case, LARGE, Places, Run, is_right};

/// What comes before a turn is measured: each buffer is used, and the server has seen it.
const WARM_UP: usize = 64;

/// A share with an open file.
pub struct Ours {
    device: VirtioFs<VhostUser>,
    calls: Vec<Call>,
    waiting: Waiting,
    unique: UniqueAllocator,
    case: Case,
    places: Places,
    node: NodeId,
    handle: FileHandle,
    flags: OpenFlags,
    /// By the number of the request: what was asked for.
    in_flight: Vec<Option<(Unique, u64)>>,
}

impl Ours {
    /// Connects, and opens the large file.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn new(daemon: &Daemon, memory: &'static GuestMemory, case: Case, waiting: Waiting) -> Result<Self> {
        let (device, calls) = connect(&daemon.socket(), memory);
        let in_flight = vec![None; 1 << 16];
        let (unique, places) = (UniqueAllocator::new(), Places::new(case));
        let (node, handle, flags) = (NodeId::ROOT, FileHandle(0), OpenFlags::empty());
        let mut ours = Self { device, calls, waiting, unique, case, places, node, handle, flags, in_flight };
        let session: Session = ours.ask(&Init::new(1 << 20), |session| session)?;
        ensure!(session.max_read() as usize >= case.bytes, "the server reads {} bytes at a time", session.max_read());
        let name = Name::new(b"large").context("a name")?;
        ours.node = ours.ask(&Lookup { parent: NodeId::ROOT, name }, |reply| match reply {
            LookupReply::Found(entry) => Ok(entry.node),
            LookupReply::Negative { .. } => Err(anyhow!("there is no large file")),
        })??;
        let open = Open::new(ours.node, OpenFlags::empty(), &session);
        ours.handle = ours.ask(&open, |opened| opened.handle)?.unwrap_or_default();
        ours.flags = open.flags();
        Ok(ours)
    }

    /// Reads for so long.
    ///
    /// # Errors
    ///
    /// A read fails, or none finishes for long.
    pub fn read(&mut self, daemon: &Daemon, length: Duration) -> Result<Run> {
        self.run(|reads, _| reads >= WARM_UP)?;
        let processor = daemon.processor_time();
        let start = Instant::now();
        let reads = self.run(|_, start| start.elapsed() >= length)?;
        let (elapsed, after) = (start.elapsed(), daemon.processor_time());
        Ok(Run { reads: reads as u64, elapsed, processor: after.saturating_sub(processor) })
    }

    /// Keeps as many in flight as there shall be until it is enough, and then lets them finish.
    fn run(&mut self, is_enough: impl Fn(usize, Instant) -> bool) -> Result<usize> {
        let (mut reads, mut in_flight, mut is_over) = (0, 0, false);
        let start = Instant::now();
        while !is_over || in_flight > 0 {
            while !is_over && in_flight < self.case.depth {
                self.submit_read()?;
                in_flight += 1;
            }
            self.device.publish();
            // As many as are finished, and at least one.
            let mut finished = self.wait()?;
            loop {
                self.finish_read(finished)?;
                in_flight -= 1;
                reads += 1;
                match self.device.complete()? {
                    Some(more) => finished = more,
                    None => break,
                }
            }
            is_over = is_over || is_enough(reads, start);
        }
        Ok(reads)
    }

    fn read_at(&self, offset: u64) -> Read {
        Read { node: self.node, handle: self.handle, offset, size: self.case.bytes as u32, flags: self.flags }
    }

    #[inline]
    fn submit_read(&mut self) -> Result<()> {
        let offset = self.places.next();
        let (id, unique) = self.submit(&self.read_at(offset), self.case.bytes)?;
        self.in_flight[usize::from(id.0)] = Some((unique, offset));
        Ok(())
    }

    #[inline]
    fn finish_read(&mut self, completion: FuseCompletion) -> Result<()> {
        let FuseCompletion { id, request, .. } = completion;
        let (unique, offset) = self.in_flight[usize::from(id.0)].take().context("it is in flight")?;
        let (reply, data) = (request.reply.context("a reply")?, request.payload.context("room")?);
        let header = reply.first_chunk().context("room for a header")?;
        let range = self.read_at(offset).payload_range(unique, header).map_err(|error| anyhow!("{error:?}"))?;
        ensure!(range.len() == self.case.bytes && is_right(&data, offset), "what was read at {offset}");
        for buffer in [request.request, reply, data] {
            self.device.recycle(buffer);
        }
        Ok(())
    }

    /// Queues an operation; so much of its reply goes to a buffer of its own.
    fn submit(&mut self, operation: &impl Operation, payload: usize) -> Result<(RequestId, Unique)> {
        let unique = self.unique.allocate();
        let len = operation.request_len().map_err(|error| anyhow!("{error:?}"))?;
        let mut request = self.device.buffer(len).context("a buffer")?;
        operation.encode(unique, Caller::SUPERUSER, &mut request).map_err(|error| anyhow!("{error:?}"))?;
        let mut reply = self.device.buffer(operation.reply_capacity() - payload).context("a buffer")?;
        reply.fill(0);
        let payload = match payload {
            0 => None,
            size => Some(self.device.buffer(size).context("a buffer")?),
        };
        let request = FuseRequest { priority: Priority::Normal, request, data: None, reply: Some(reply), payload };
        let id = self.device.submit(request).map_err(|refused| anyhow!("{}", refused.reason))?;
        Ok((id, unique))
    }

    /// The next that is finished.
    fn wait(&mut self) -> Result<FuseCompletion> {
        let looks_for = self.waiting.looks_for();
        let (mut looks, mut start) = (0_u32, None);
        loop {
            if let Some(done) = self.device.complete()? {
                return Ok(done);
            }
            looks = looks.wrapping_add(1);
            // It takes as long to see what time it is as to look.
            if looks_for.is_zero() || looks.is_multiple_of(64) {
                let waited = start.get_or_insert_with(Instant::now).elapsed();
                ensure!(waited < PATIENCE, "nothing is finished for {PATIENCE:?}");
                if waited >= looks_for && self.device.arm()? == Armed::Idle {
                    Call::wait_any(&self.calls, PATIENCE)?;
                }
            }
            std::hint::spin_loop();
        }
    }

    fn ask<O: Operation, M>(&mut self, operation: &O, meaning: impl FnOnce(O::Reply<'_>) -> M) -> Result<M> {
        let (_, unique) = self.submit(operation, 0)?;
        self.device.publish();
        let reply = self.wait()?.request.reply.context("a reply")?;
        operation.decode(unique, &reply).map(meaning).map_err(|error| anyhow!("{error:?}"))
    }
}

/// Reads the file in order through `toro::fs`, as an application that takes the server's own memory.
///
/// # Errors
///
/// A read fails.
pub fn by_toro_fs(
    daemon: &Daemon,
    memory: &'static GuestMemory,
    case: Case,
    length: Duration,
    waiting: Waiting,
) -> Result<Run> {
    let (device, calls) = connect(&daemon.socket(), memory);
    // Ahead of a reader of 1 MiB at a time, three of them.
    let options = MountOptions { read_ahead: 4 << 20, ..MountOptions::default() };
    let share = Share::mount_device(Box::new(device), calls, options, waiting);
    let file = share.namespace().open(b"/large").map_err(|error| anyhow!("{error}"))?;
    let mut offset = 0;
    let mut read = || -> Result<()> {
        let data = file.read_buffer(offset, case.bytes).map_err(|error| anyhow!("{error}"))?;
        if data.len() != case.bytes || !is_right(&data, offset) {
            bail!("{} bytes were read at {offset}", data.len());
        }
        offset = (offset + case.bytes as u64) % LARGE;
        Ok(())
    };
    for _ in 0..WARM_UP {
        read()?;
    }
    let (start, processor) = (Instant::now(), daemon.processor_time());
    let mut reads = 0;
    while start.elapsed() < length {
        read()?;
        reads += 1;
    }
    let (elapsed, after) = (start.elapsed(), daemon.processor_time());
    drop(file);
    share.unmount();
    Ok(Run { reads, elapsed, processor: after.saturating_sub(processor) })
}
