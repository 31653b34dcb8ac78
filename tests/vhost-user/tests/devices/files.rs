//! virtio-fs against QEMU's virtiofsd: a session, and a file that is read by many requests at once.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;

use fuse_proto::ops::{Destroy, GetAttr, Init, Lookup, LookupReply, Open, OpenFlags, Read, Release};
use fuse_proto::{Caller, Errno, FileHandle, FileType, Name, NodeId, Operation, ReplyError, Unique, UniqueAllocator};
use tempfile::TempDir;
use toro_core::driver::Armed;
use toro_core::driver::fuse::{FuseCompletion, FuseDevice, FuseRequest, Priority, RequestId};
use vhost_user_tests::{Daemon, PATIENCE};
use virtio_fs::{Options as FsOptions, VirtioFs};
use virtio_queue_rt::{DeviceType, QueueIndex};
use virtio_vhost_user::{CLOCK, Call, Configuration, GuestMemory, Options, VhostUser};

const TAG: &[u8] = b"share";
/// Bytes in the file, which is no multiple of what is read at once.
const LENGTH: usize = 1_000_003;
const CHUNK: u32 = 4096;
/// How many reads are under way at once.
const MOST_IN_FLIGHT: usize = 16;

/// A share, and what its queues interrupt.
struct Share {
    device: VirtioFs<VhostUser>,
    calls: Vec<Call>,
    unique: UniqueAllocator,
}

impl Share {
    fn new(daemon: &Daemon) -> Self {
        let memory = GuestMemory::new(16 << 20).expect("memory");
        // It has no configuration: the tag, padded, and the number of request queues (VIRTIO 1.3 §5.11.4).
        let mut configuration = TAG.to_vec();
        configuration.resize(36, 0);
        configuration.extend(1_u32.to_le_bytes());
        let configuration = Configuration::Given(configuration);
        let options = Options { patience: PATIENCE, configuration, ..Options::of(DeviceType::FILE_SYSTEM) };
        let transport = VhostUser::connect(daemon.socket(), DeviceType::FILE_SYSTEM, memory, options);
        let transport = transport.expect("a device");
        let calls = (0..2).filter_map(|queue| transport.call(QueueIndex(queue))).collect();
        let device = VirtioFs::new(transport, memory, &CLOCK, &FsOptions::default()).expect("a share");
        Self { device, calls, unique: UniqueAllocator::new() }
    }

    /// Queues an operation; a part of its reply may go to a buffer of its own.
    fn submit(&mut self, operation: &impl Operation, payload: Option<usize>) -> (RequestId, Unique) {
        let unique = self.unique.allocate();
        let mut request = self.device.buffer(operation.request_len().expect("it fits")).expect("a buffer");
        operation.encode(unique, Caller::SUPERUSER, &mut request).expect("as long as it said");
        let mut reply = self.device.buffer(operation.reply_capacity() - payload.unwrap_or(0)).expect("a buffer");
        reply.fill(0);
        let payload = payload.map(|size| self.device.buffer(size).expect("a buffer"));
        let request = FuseRequest { priority: Priority::Normal, request, data: None, reply: Some(reply), payload };
        (self.device.submit(request).expect("there is room"), unique)
    }

    /// Sleeps until a request is done.
    fn wait(&mut self) -> FuseCompletion {
        loop {
            if let Some(done) = self.device.complete().expect("the device keeps to the protocol") {
                return done;
            }
            if self.device.arm().expect("the device is there") == Armed::Idle {
                Call::wait_any(&self.calls, PATIENCE).expect("an answer");
            }
        }
    }

    /// Does one operation, and copies what `meaning` makes of its reply.
    fn ask<O: Operation, M>(
        &mut self,
        operation: &O,
        meaning: impl FnOnce(O::Reply<'_>) -> M,
    ) -> Result<M, ReplyError> {
        let (_, unique) = self.submit(operation, None);
        self.device.publish();
        let reply = self.wait().request.reply.expect("it was sent with one");
        operation.decode(unique, &reply).map(meaning)
    }
}

fn byte(offset: usize) -> u8 {
    (offset as u32).wrapping_mul(0x9e37_79b1).to_be_bytes()[0]
}

#[test]
fn a_file_is_read_by_many_requests_at_once() {
    let served = TempDir::new().expect("a temporary directory");
    let contents: Vec<u8> = (0..LENGTH).map(byte).collect();
    std::fs::write(served.path().join("file"), &contents).expect("a file");
    let daemon = Daemon::files(served.path());
    let mut share = Share::new(&daemon);
    assert_eq!(share.device.tag(), TAG);

    let session = share.ask(&Init::new(1 << 20), |session| session).expect("a session");
    let root = GetAttr { node: NodeId::ROOT, handle: None, expected: Some(FileType::Directory) };
    let links = share.ask(&root, |reply| reply.attributes.links).expect("the root");
    assert_eq!(u64::from(links), std::fs::metadata(served.path()).expect("it was made").nlink());
    let name = |name| Name::new(name).expect("a name");
    let missing = share.ask(&Lookup { parent: NodeId::ROOT, name: name(b"nothing") }, |reply| reply);
    let is_missing = matches!(missing, Err(ReplyError::Remote(Errno::ENOENT)) | Ok(LookupReply::Negative { .. }));
    assert!(is_missing, "{missing:?}");
    let found = share.ask(&Lookup { parent: NodeId::ROOT, name: name(b"file") }, |reply| reply);
    let Ok(LookupReply::Found(entry)) = found else { panic!("{found:?}") };
    assert_eq!(entry.attributes.size, LENGTH as u64);
    let open = Open::new(entry.node, OpenFlags::empty(), &session);
    let handle = share.ask(&open, |opened| opened.handle).expect("an open file").unwrap_or(FileHandle(0));

    let at = |offset| Read { node: entry.node, handle, offset, size: CHUNK, flags: open.flags() };
    let mut next = 0;
    let mut in_flight = HashMap::new();
    while next < LENGTH || !in_flight.is_empty() {
        while next < LENGTH && in_flight.len() < MOST_IN_FLIGHT {
            let (id, unique) = share.submit(&at(next as u64), Some(CHUNK as usize));
            in_flight.insert(id, (unique, next));
            next += CHUNK as usize;
        }
        share.device.publish();
        let FuseCompletion { id, request, .. } = share.wait();
        let (unique, offset) = in_flight.remove(&id).expect("it is in flight");
        let reply = request.reply.expect("it was sent with one");
        let header = reply.first_chunk().expect("room for a header");
        let payload = at(offset as u64).payload_range(unique, header).expect("a good reply");
        let data = request.payload.expect("it was sent with one");
        assert_eq!(data[..payload.len()], contents[offset..LENGTH.min(offset + CHUNK as usize)], "at {offset}");
        for buffer in [request.request, reply, data] {
            share.device.recycle(buffer);
        }
    }
    share.ask(&Release::new(entry.node, handle, open.flags()), |()| ()).expect("it was open");
}

#[test]
fn fs_10_hd_vq_14_a_reset_hands_back_what_is_in_flight_and_another_session_begins() {
    let served = TempDir::new().expect("a temporary directory");
    let contents: Vec<u8> = (0..LENGTH).map(byte).collect();
    std::fs::write(served.path().join("file"), &contents).expect("a file");
    let daemon = Daemon::files(served.path());
    let mut share = Share::new(&daemon);
    for round in 0..3 {
        // The server goes on from one session to the next: it is taken leave of first, where it has not been.
        if round > 0 {
            let farewell = share.ask(&Destroy, |()| ());
            assert!(farewell.is_ok(), "round {round}: {farewell:?}");
        }
        let session = share.ask(&Init::new(1 << 20), |session| session).expect("a session");
        let name = Name::new(b"file").expect("a name");
        let found = share.ask(&Lookup { parent: NodeId::ROOT, name }, |reply| reply);
        let Ok(LookupReply::Found(entry)) = found else { panic!("{found:?}") };
        let open = Open::new(entry.node, OpenFlags::empty(), &session);
        let handle = share.ask(&open, |opened| opened.handle).expect("an open file").unwrap_or(FileHandle(0));
        let at = |offset| Read { node: entry.node, handle, offset, size: CHUNK, flags: open.flags() };
        let mut sent: HashMap<_, _> = (0..MOST_IN_FLIGHT as u64)
            .map(|number| (share.submit(&at(number * u64::from(CHUNK)), Some(CHUNK as usize)).0, number))
            .collect();
        share.device.publish();
        // Some are done by now, and some are not.
        let done = share.wait();
        assert!(sent.remove(&done.id).is_some());
        let mut back = Vec::new();
        share.device.reset(&mut |id, request| back.push((id, request))).expect("the daemon is there");
        for (id, request) in back {
            assert!(sent.remove(&id).is_some(), "it was in flight, once");
            assert_eq!(request.payload.map(|payload| payload.len()), Some(CHUNK as usize));
        }
        assert!(sent.is_empty(), "all come back, whatever became of them");
    }
}
