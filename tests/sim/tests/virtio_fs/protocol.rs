//! What the FUSE protocol asks of buffers and queues, with requests that `fuse-proto` made and a server that reads them.

use fuse_proto::ops::{Interrupt, OpenFlags, Read, Write};
use fuse_proto::{FileHandle, Session};

use crate::share::*;

const FILE: NodeId = match NodeId::new(2) {
    Some(node) => node,
    None => NodeId::ROOT,
};
const HANDLE: FileHandle = FileHandle(77);

/// Each way to the device, with queues of all sizes, without tables of descriptors and with.
fn each_shape(mut check: impl FnMut(u16, u64, Share)) {
    for bus in BUSES {
        for size in [8, 16, 128, 1024] {
            for tables in [0, INDIRECT_DESC] {
                check(size, tables, Setup { bus, features: EVENT_IDX | tables, ..Setup::small(size) }.share());
            }
        }
    }
}

fn write(offset: u64, size: usize) -> Write {
    let size = size.try_into().expect("a mebibyte at most");
    let (node, handle, lock_owner) = (FILE, HANDLE, None);
    Write { node, handle, offset, size, open_flags: OpenFlags::default(), flags: Default::default(), lock_owner }
}

fn read(offset: u64, size: usize) -> Read {
    let size = size.try_into().expect("a mebibyte at most");
    Read { node: FILE, handle: HANDLE, offset, size, flags: OpenFlags::default() }
}

fn contents(offset: u64, length: usize) -> Vec<u8> {
    (offset as usize..offset as usize + length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

impl Share {
    /// A WRITE, with its data in a buffer of its own.
    fn writing(&mut self, operation: &Write, unique: Unique, data: &[u8]) -> FuseRequest {
        FuseRequest { data: Some(self.buffer(data)), ..self.encoded(operation, unique) }
    }

    /// A READ, with a buffer of its own for what is read.
    fn reading(&mut self, operation: &Read, unique: Unique) -> FuseRequest {
        let mut request = self.encoded_one_way(operation, unique);
        request.priority = Priority::Normal;
        request.reply = Some(self.buffer(&[0; 16]));
        request.payload = Some(self.fs.buffer(operation.size as usize).expect("memory"));
        request
    }

    fn recycle(&mut self, request: FuseRequest) {
        let FuseRequest { request, data, reply, payload, .. } = request;
        [Some(request), data, reply, payload].into_iter().flatten().for_each(|buffer| self.fs.recycle(buffer));
    }
}

/// A server with one file.
#[derive(Default)]
struct Server {
    file: Vec<u8>,
    /// The numbers of all requests, as they came.
    uniques: Vec<u64>,
}

impl Server {
    /// Checks that neither header is divided, and that a chain is no longer than its queue (FU-FR-5, FU-FR-6).
    fn check(chain: &PoppedChain, size: u16) {
        assert!(chain.readable[0].1 >= 40, "FU-FR-5: {chain:?}");
        assert!(chain.writable.is_empty() || chain.writable[0].1 >= 16, "FU-FR-5: {chain:?}");
        assert!(chain.len() <= usize::from(size), "FU-FR-6: {chain:?} in a queue of {size}");
        if let Some((_, bytes)) = chain.table {
            assert!(bytes / 16 <= size.into(), "FU-FR-6: a table of {bytes} bytes for a queue of {size}");
        }
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let (header, body) = RequestHeader::read_from_prefix(request).expect("a whole header");
        assert_eq!(header.len.get() as usize, request.len(), "FU-FR-2");
        self.uniques.push(header.unique.get());
        let number = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().expect("eight bytes"));
        let payload = match Opcode::from_raw(header.opcode.get()) {
            Some(Opcode::Init) => {
                let mut reply = WireInitReply::new_zeroed();
                (reply.major, reply.minor) = (7.into(), 45.into());
                reply.flags = ((InitFlags::BIG_WRITES | InitFlags::MAX_PAGES).bits() as u32).into();
                reply.max_write = (MIB as u32).into();
                reply.max_pages = 256.into();
                reply.as_bytes().to_vec()
            }
            Some(Opcode::Write) => {
                let (offset, data) = (number(8) as usize, &body[40..]);
                self.file.resize(self.file.len().max(offset + data.len()), 0);
                self.file[offset..offset + data.len()].copy_from_slice(data);
                (data.len() as u64).to_le_bytes().to_vec()
            }
            Some(Opcode::Read) => {
                let (offset, size) = (number(8) as usize, (number(16) as u32) as usize);
                self.file[offset..offset + size].to_vec()
            }
            other => panic!("{other:?} is not a part of this"),
        };
        let len = U32::new(16 + payload.len() as u32);
        let reply = ReplyHeader { len, error: I32::new(0), unique: header.unique };
        [reply.as_bytes(), &payload].concat()
    }

    /// Takes everything that was published, and answers the last first.
    fn serve(&mut self, queue: &mut DeviceQueue, size: u16) -> usize {
        let chains = popped(queue);
        for chain in chains.iter().rev() {
            Self::check(chain, size);
            let answer = self.answer(&queue.read(chain));
            let written = queue.write(chain, &answer);
            assert_eq!(written as usize, answer.len(), "FU-FR-3: there is room for all of it");
            queue.push(u32::from(chain.head), written);
        }
        if chains.iter().all(|chain| chain.table.is_none()) {
            let descriptors: usize = chains.iter().map(PoppedChain::len).sum();
            assert!(descriptors <= usize::from(size), "{descriptors} descriptors in a queue of {size}");
        }
        chains.len()
    }
}

/// Begins a session.
fn begin(share: &mut Share, server: &mut Server, uniques: &mut UniqueAllocator, size: u16) -> Session {
    let (init, unique) = (Init::new(MIB as u32), uniques.allocate());
    let request = share.encoded(&init, unique);
    share.fs.submit(request).expect("nothing else is in flight");
    share.fs.publish();
    assert_eq!(server.serve(&mut share.requests, size), 1);
    let done = share.completion();
    let session = init.decode(unique, done.request.reply.as_deref().unwrap_or_default()).expect("a sound server");
    share.recycle(done.request);
    session
}

#[test]
fn fu_fr_5_neither_header_is_divided_and_data_has_buffers_of_its_own() {
    each_shape(|_, _, mut share| {
        let mut uniques = UniqueAllocator::new();
        let data = contents(0, 5000);
        let writing = share.writing(&write(0, 5000), uniques.allocate(), &data);
        let reading = share.reading(&read(0, 4096), uniques.allocate());
        for request in [writing, reading] {
            share.fs.submit(request).expect("there is room");
        }
        share.fs.publish();
        let shapes: Vec<[Vec<u32>; 2]> = popped(&mut share.requests)
            .iter()
            .map(|chain| {
                [&chain.readable, &chain.writable].map(|part| part.iter().map(|(_, len)| *len).collect::<Vec<_>>())
            })
            .collect();
        let expected: [[Vec<u32>; 2]; 2] = [[vec![80, 5000], vec![24]], [vec![80], vec![16, 4096]]];
        assert_eq!(shapes, expected);
    });
    // What would divide one is refused, however much room there is behind it.
    let mut share = Setup::small(64).share();
    for short in [1, 15] {
        let mut request = share.reading(&read(0, 4096), UniqueAllocator::new().allocate());
        request.reply = Some(share.buffer(&vec![0; short]));
        assert!(share.fs.submit(request).is_err_and(|refused| refused.reason == Refusal::Invalid), "{short} and 4096");
    }
    for short in [8, 39] {
        let unique = UniqueAllocator::new().allocate();
        let mut request = share.writing(&write(0, 5000), unique, &contents(0, 5000));
        request.request.set_len(short).expect("shorter than it was");
        assert!(share.fs.submit(request).is_err_and(|refused| refused.reason == Refusal::Invalid), "{short} and 5000");
    }
}

#[test]
fn fu_fr_6_a_queue_is_filled_to_its_last_descriptor_and_no_further() {
    each_shape(|size, tables, mut share| {
        // As many buffers as a request can have, as an IOCTL with data both ways has.
        let mut accepted = 0;
        let refused = loop {
            let mut request = share.request(accepted);
            (request.data, request.payload) = (Some(share.buffer(&[1; 8])), Some(share.buffer(&[2; 8])));
            match share.fs.submit(request) {
                Ok(_) => accepted += 1,
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.reason, Refusal::Full);
        assert_eq!(accepted as usize, share.fs.limits().in_flight, "queue of {size}, {tables:#x}");
        share.fs.publish();
        let chains = popped(&mut share.requests);
        assert_eq!(chains.len(), accepted as usize);
        chains.iter().for_each(|chain| Server::check(chain, size));
        assert!(chains.iter().all(|chain| chain.len() == 4 && chain.table.is_some() == (tables != 0)));
        let in_ring: usize = chains.iter().map(|chain| if chain.table.is_some() { 1 } else { chain.len() }).sum();
        assert_eq!(in_ring, usize::from(size), "queue of {size}, {tables:#x}");
    });
}

#[test]
fn fu_fr_6_fu_t_8_the_largest_read_and_write_go_over_any_queue() {
    each_shape(|size, tables, mut share| {
        let (mut server, mut uniques) = (Server::default(), UniqueAllocator::new());
        let session = begin(&mut share, &mut server, &mut uniques, size);
        let most = share.fs.limits().max_payload;
        assert_eq!((session.max_read() as usize, session.max_write() as usize, most), (MIB, MIB, MIB));
        // Several at once, as far as the queue has room.
        let count = share.fs.limits().in_flight.min(3) as u64;
        let expected = contents(0, count as usize * MIB);
        let offsets = (0..count).map(|index| index * MIB as u64);
        let mut sent = HashMap::new();
        for offset in offsets.clone() {
            let (operation, unique) = (write(offset, MIB), uniques.allocate());
            let request = share.writing(&operation, unique, &expected[offset as usize..][..MIB]);
            sent.insert(share.fs.submit(request).expect("there is room"), (operation, unique));
        }
        share.fs.publish();
        assert_eq!(server.serve(&mut share.requests, size) as u64, count);
        for _ in 0..count {
            let done = share.completion();
            let (operation, unique) = sent.remove(&done.id).expect("once each");
            let reply = done.request.reply.as_deref().unwrap_or_default();
            assert_eq!(operation.decode(unique, reply), Ok(MIB as u32), "queue of {size}, {tables:#x}");
            share.recycle(done.request);
        }
        assert!(server.file == expected, "queue of {size}, {tables:#x}");
        let mut sent = HashMap::new();
        for offset in offsets {
            let (operation, unique) = (read(offset, MIB), uniques.allocate());
            let request = share.reading(&operation, unique);
            sent.insert(share.fs.submit(request).expect("there is room"), (operation, unique));
        }
        share.fs.publish();
        assert_eq!(server.serve(&mut share.requests, size) as u64, count);
        for _ in 0..count {
            let done = share.completion();
            let (operation, unique) = sent.remove(&done.id).expect("once each");
            let header = done.request.reply.as_deref().and_then(|reply| reply.first_chunk()).expect("a header");
            assert_eq!(operation.payload_range(unique, header), Ok(16..16 + MIB));
            let payload = done.request.payload.as_deref().unwrap_or_default();
            assert!(*payload == expected[operation.offset as usize..][..MIB], "queue of {size}, {tables:#x}");
            share.recycle(done.request);
        }
    });
}

#[test]
fn fu_fr_9_forgets_and_interrupts_are_alone_on_the_high_priority_queue() {
    for bus in BUSES {
        for count in [1_u32, 3] {
            let sizes = vec![64; 1 + count as usize];
            let mut share = Setup { bus, sizes, config: config(b"share", count), ..Setup::default() }.share();
            let mut uniques = UniqueAllocator::new();
            let forget = Forget { node: FILE, lookups: 3 };
            let unwanted = uniques.allocate();
            let lookup = Lookup { parent: NodeId::ROOT, name: Name::new(b"motd").expect("a sound name") };
            let all = [
                share.encoded(&lookup, unwanted),
                share.encoded_one_way(&forget, uniques.allocate()),
                share.encoded(&GetAttr { node: FILE, handle: None, expected: None }, uniques.allocate()),
                share.encoded_one_way(&Interrupt { unique: unwanted }, uniques.allocate()),
                share.writing(&write(0, 16), uniques.allocate(), &[0; 16]),
                share.encoded_one_way(&BatchForget { nodes: &[forget, forget] }, uniques.allocate()),
                share.reading(&read(0, 16), uniques.allocate()),
            ];
            for request in all {
                share.fs.submit(request).expect("there is room");
            }
            share.fs.publish();
            let on = |queue: &mut DeviceQueue| -> Vec<_> {
                let chains = popped(queue);
                chains.iter().filter_map(|chain| opcode(queue, chain)).collect()
            };
            let urgent = [Opcode::Forget, Opcode::Interrupt, Opcode::BatchForget];
            assert_eq!(on(&mut share.high), urgent, "{count} queues");
            let mut ordinary: Vec<_> = (0..count as usize).flat_map(|lane| on(share.lane(lane))).collect();
            ordinary.sort_by_key(|opcode| opcode.raw());
            assert_eq!(ordinary, [Opcode::Lookup, Opcode::GetAttr, Opcode::Read, Opcode::Write], "{count} queues");
        }
    }
}

#[test]
fn fu_t_9_a_second_session_sees_nothing_of_the_first() {
    each_shape(|size, tables, mut share| {
        let mut uniques = UniqueAllocator::new();
        let mut before: Vec<u64> = Vec::new();
        for round in 0..3 {
            let mut server = Server { file: contents(round, 4096), uniques: Vec::new() };
            begin(&mut share, &mut server, &mut uniques, size);
            let (operation, unique) = (read(0, 4096), uniques.allocate());
            let request = share.reading(&operation, unique);
            let id = share.fs.submit(request).expect("there is room");
            share.fs.publish();
            assert_eq!(server.serve(&mut share.requests, size), 1);
            let done = share.completion();
            assert_eq!((done.id, done.request.payload.as_deref()), (id, Some(&contents(round, 4096)[..])));
            share.recycle(done.request);
            assert!(server.uniques.iter().all(|unique| !before.contains(unique)), "round {round}");
            assert_eq!(server.uniques.len(), 2, "INIT and READ");

            // Three are under way when the session ends: one answered, one taken, and one that nobody has seen.
            let most = share.fs.limits().in_flight.min(3);
            let mut sent = HashMap::new();
            for place in 0..most {
                let unique = uniques.allocate();
                let request = share.reading(&operation, unique);
                sent.insert(share.fs.submit(request).expect("there is room"), unique);
                if place + 2 == most {
                    share.fs.publish();
                }
            }
            let chain = share.requests.pop().expect("it was published");
            let answer = server.answer(&share.requests.read(&chain));
            let written = share.requests.write(&chain, &answer);
            share.requests.push(u32::from(chain.head), written);
            let mut back = Vec::new();
            share.fs.reset(&mut |id, request| back.push((id, request))).expect("an obedient device");
            share.look_again();
            assert_eq!(back.len(), most, "queue of {size}, {tables:#x}");
            for (id, request) in back {
                let unique = sent.remove(&id).expect("once each");
                let (header, _) = RequestHeader::read_from_prefix(&request.request).expect("a whole header");
                assert_eq!(header.unique.get(), unique.get(), "each under its own number");
                share.recycle(request);
            }
            share.fs.publish();
            assert!(share.requests.pop().is_none() && share.high.pop().is_none(), "nothing is sent again");
            assert!(share.fs.complete().expect("an obedient device").is_none(), "nor answered again");
            before.append(&mut server.uniques);
        }
        // A device that goes on with what it was given in another session is found out.
        share.requests.push(0, 16);
        assert!(share.fs.complete().is_err());
    });
}
