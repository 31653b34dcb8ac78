//! A real exchange.

use crate::share::*;

/// A server that knows one file, `motd` with 12 bytes, and speaks FUSE 7.31.
fn serve(queue: &mut DeviceQueue) -> usize {
    let chains = popped(queue);
    for chain in &chains {
        let bytes = queue.read(chain);
        let (header, body) = RequestHeader::read_from_prefix(&bytes).expect("a whole header");
        let (error, payload) = match Opcode::from_raw(header.opcode.get()) {
            Some(Opcode::Init) => {
                let mut reply = WireInitReply::new_zeroed();
                reply.major = 7.into();
                reply.minor = 31.into();
                reply.flags = (InitFlags::BASIC.bits() as u32).into();
                reply.max_write = (128 << 10).into();
                reply.max_pages = 32.into();
                (0, reply.as_bytes().to_vec())
            }
            Some(Opcode::Lookup) if body == b"motd\0" && header.node.get() == NodeId::ROOT.get() => {
                let mut reply = WireEntry::new_zeroed();
                reply.node = 2.into();
                reply.attributes = WireAttributes::new_zeroed();
                reply.attributes.mode = (FileType::Regular.mode_bits() | 0o644).into();
                reply.attributes.links = 1.into();
                reply.attributes.size = 12.into();
                reply.attributes.block_size = 4096.into();
                (0, reply.as_bytes().to_vec())
            }
            Some(Opcode::Lookup) => (-2, Vec::new()),
            _ => (-38, Vec::new()),
        };
        let len = U32::new(16 + payload.len() as u32);
        let reply = ReplyHeader { len, error: I32::new(error), unique: U64::new(header.unique.get()) };
        let written = queue.write(chain, &[reply.as_bytes(), &payload].concat());
        queue.push(u32::from(chain.head), written);
    }
    chains.len()
}

/// Sends a request, lets the server work, and gives the reply its meaning.
fn exchange<O: Operation, R>(
    share: &mut Share,
    uniques: &mut UniqueAllocator,
    operation: &O,
    with: impl FnOnce(Result<O::Reply<'_>, ReplyError>) -> R,
) -> R {
    let unique = uniques.allocate();
    let request = share.encoded(operation, unique);
    let id = share.fs.submit(request).expect("there is room");
    share.fs.publish();
    assert_eq!(serve(&mut share.requests), 1);
    let done = share.completion();
    assert_eq!(done.id, id);
    let reply = done.request.reply.expect("it was sent with one");
    let result = with(operation.decode(unique, &reply));
    share.fs.recycle(done.request.request);
    share.fs.recycle(reply);
    result
}

#[test]
fn fs_10_a_session_begins_and_a_name_is_found() {
    for bus in BUSES {
        let mut share = Setup { bus, ..Setup::small(128) }.share();
        let mut uniques = UniqueAllocator::new();
        let session = exchange(&mut share, &mut uniques, &Init::new(1 << 20), |reply| reply.expect("a sound server"));
        assert_eq!((session.minor(), session.max_write()), (31, 128 << 10));

        let motd = Lookup { parent: NodeId::ROOT, name: Name::new(b"motd").expect("a sound name") };
        let found = exchange(&mut share, &mut uniques, &motd, |reply| reply.expect("it is there"));
        let LookupReply::Found(Entry { node, attributes, .. }) = found else { panic!("not found: {found:?}") };
        assert_eq!((node.get(), attributes.size, attributes.file_type), (2, 12, FileType::Regular));

        let other = Lookup { parent: NodeId::ROOT, name: Name::new(b"else").expect("a sound name") };
        let error = exchange(&mut share, &mut uniques, &other, |reply| reply.map(|_| ()).expect_err("not there"));
        assert_eq!(error, ReplyError::Remote(Errno::ENOENT));

        // The reference that LOOKUP gave goes back, past everything else and without an answer.
        let forget = share.encoded_one_way(&Forget { node, lookups: 1 }, uniques.allocate());
        let id = share.fs.submit(forget).expect("there is room");
        share.fs.publish();
        let chain = share.high.pop().expect("it was published");
        assert_eq!(opcode(&share.high, &chain), Some(Opcode::Forget));
        share.high.push(u32::from(chain.head), 0);
        assert_eq!(share.completion().id, id);
    }
}

#[test]
fn fs_10_after_a_reset_another_session_begins() {
    for bus in BUSES {
        let mut share = Setup { bus, ..Setup::small(128) }.share();
        let mut uniques = UniqueAllocator::new();
        let motd = Lookup { parent: NodeId::ROOT, name: Name::new(b"motd").expect("a sound name") };
        for _ in 0..3 {
            let minor =
                exchange(&mut share, &mut uniques, &Init::new(1 << 20), |reply| reply.map(|session| session.minor()));
            assert_eq!(minor, Ok(31));
            // It is under way when the session ends.
            let unique = uniques.allocate();
            let lost = share.encoded(&motd, unique);
            let lost = share.fs.submit(lost).expect("there is room");
            share.fs.publish();
            let mut back = Vec::new();
            share.fs.reset(&mut |id, request| back.push((id, request))).expect("an obedient device");
            share.look_again();
            let (id, request) = back.pop().expect("it comes back");
            assert_eq!((id, back.len()), (lost, 0));
            let reply = request.reply.expect("it was sent with one");
            assert!(motd.decode(unique, &reply).is_err(), "FU-FR-8: an answer that was never written is none");
        }
    }
}

#[test]
fn fs_14_requests_are_little_endian() {
    let mut share = Setup::default().share();
    let unique = UniqueAllocator::new().allocate();
    let node = NodeId::new(0x0102_0304_0506_0708).expect("not zero");
    let request = share.encoded(&GetAttr { node, handle: None, expected: None }, unique);
    share.fs.submit(request).expect("there is room");
    share.fs.publish();
    let chain = share.requests.pop().expect("it was published");
    let bytes = share.requests.read(&chain);
    assert_eq!((bytes.len(), &bytes[..8]), (56, &[56, 0, 0, 0, 3, 0, 0, 0][..]), "length and operation");
    assert_eq!(bytes[8..16], unique.get().to_le_bytes());
    assert_eq!(bytes[16..24], [8, 7, 6, 5, 4, 3, 2, 1]);
}
