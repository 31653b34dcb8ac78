//! The small ones: permissions, durability, blocks, readiness, commands, interrupts, and the answer to a question.

use super::*;
use crate::notify::Question;

#[test]
fn access_says_what_for() {
    let (header, body) = encode(&Access { node: node(9), mask: AccessMask::READ | AccessMask::EXECUTE });
    assert_eq!((header.opcode.get(), header.node.get()), (34, 9));
    assert_eq!(body, [5, 0, 0, 0, 0, 0, 0, 0]);
    let ask = Access { node: node(9), mask: AccessMask::WRITE };
    assert_eq!(ask.decode(UNIQUE, &reply(0, &[])), Ok(()));
    assert_eq!(ask.decode(UNIQUE, &reply(-13, &[])), Err(ReplyError::Remote(Errno::EACCES)));
    assert_eq!(ask.decode(UNIQUE, &reply(0, &[0; 8])), Err(Defect::Overlong.into()));
}

#[test]
fn syncfs_is_eight_zeros() {
    let (header, body) = encode(&SyncFs { node: NodeId::ROOT });
    assert_eq!((header.opcode.get(), header.node.get()), (50, 1));
    assert_eq!(body, [0; 8]);
    assert_eq!(SyncFs { node: NodeId::ROOT }.decode(UNIQUE, &reply(0, &[])), Ok(()));
}

#[test]
fn a_block_of_zero_is_a_hole() {
    let bmap = Bmap { node: node(9), block: 3, block_size: 512 };
    let (header, body) = encode(&bmap);
    assert_eq!((header.opcode.get(), header.node.get()), (37, 9));
    assert_eq!(body, [3, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bmap.decode(UNIQUE, &reply(0, &[0; 8])), Ok(None));
    assert_eq!(bmap.decode(UNIQUE, &reply(0, &[0xff; 8])), Ok(Some(u64::MAX)));
    assert_eq!(bmap.decode(UNIQUE, &reply(0, &[])), Err(Defect::PayloadLength.into()));
}

#[test]
fn poll_answers_what_was_asked_and_errors() {
    let poll = Poll {
        node: node(9),
        handle: FileHandle(5),
        events: PollEvents::READABLE | PollEvents::WRITABLE,
        wake_up: None,
    };
    let (header, body) = encode(&poll);
    assert_eq!((header.opcode.get(), header.node.get()), (40, 9));
    assert_eq!(body, [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
    let waking = Poll { wake_up: Some(WakeUp(0)), ..poll };
    assert_eq!(super::body(&waking)[16], 1, "0 is a number");
    let waking = Poll { wake_up: Some(WakeUp(0x0102)), ..poll };
    assert_eq!(super::body(&waking)[8..10], [2, 1]);

    let answer = |events: u32| {
        let wire = WirePollReply { events: U32::new(events), padding: U32::MAX_VALUE };
        poll.decode(UNIQUE, &reply(0, wire.as_bytes()))
    };
    assert_eq!(answer(0), Ok(PollEvents::empty()));
    assert_eq!(answer(0x41), Ok(PollEvents::READABLE));
    let everything = poll.events | PollEvents::ERROR | PollEvents::HANG_UP | PollEvents::INVALID;
    assert_eq!(answer(u32::MAX), Ok(everything));
}

fn ioctl(input: &[u8], output_capacity: u32) -> Ioctl<'_> {
    Ioctl {
        node: node(9),
        handle: FileHandle(5),
        target: IoctlTarget::File,
        command: 0x8008_6601,
        argument: 0x0102,
        input,
        output_capacity,
    }
}

fn ioctl_reply(result: i32, flags: u32, counts: [u32; 2], rest: &[u8]) -> Vec<u8> {
    let wire = WireIoctlReply {
        result: result.into(),
        flags: U32::new(flags),
        inputs: U32::new(counts[0]),
        outputs: U32::new(counts[1]),
    };
    reply(0, &[wire.as_bytes(), rest].concat())
}

#[test]
fn an_ioctl_says_how_much_goes_each_way() {
    let (header, body) = encode(&ioctl(b"abc", 8));
    assert_eq!((header.opcode.get(), header.node.get()), (39, 9));
    let mut expected = vec![5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x66, 0x08, 0x80, 2, 1, 0, 0, 0, 0, 0, 0];
    expected.extend(b"\x03\0\0\0\x08\0\0\0abc");
    assert_eq!(body, expected);
    assert_eq!(ioctl(b"abc", 8).reply_capacity(), 16 + 16 + 8);
    let directory = Ioctl { target: IoctlTarget::Directory, ..ioctl(b"", 0) };
    assert_eq!(super::body(&directory)[8], 16);
}

#[test]
fn an_ioctl_returns_a_result_and_bytes() {
    let request = ioctl(b"", 4);
    let bytes = ioctl_reply(7, 0, [9, 9], b"out");
    assert_eq!(request.decode(UNIQUE, &bytes), Ok(IoctlReply::Done { result: 7, output: b"out" }));
    let bytes = ioctl_reply(0, 0, [0, 0], b"");
    assert_eq!(request.decode(UNIQUE, &bytes), Ok(IoctlReply::Done { result: 0, output: b"" }));
    assert_eq!(request.decode(UNIQUE, &ioctl_reply(0, 0, [0, 0], b"12345")), Err(Defect::Overlong.into()));
    assert_eq!(request.parse(&[0; 21]), Err(Defect::PayloadLength.into()));
    assert_eq!(request.decode(UNIQUE, &reply(0, &[0; 15])), Err(Defect::PayloadLength.into()));
    assert_eq!(request.decode(UNIQUE, &reply(-25, &[])), Err(ReplyError::Remote(Errno::ENOTTY)));
}

#[test]
fn an_ioctl_that_is_to_be_tried_again_keeps_its_ranges_as_they_came() {
    let request = ioctl(b"", 64);
    let range = |base: u64, len: u64| WireIoctlRange { base: U64::new(base), len: U64::new(len) };
    let ranges = [range(1, 2), range(u64::MAX, u64::MAX), range(0, 0)];
    let bytes = ioctl_reply(0, 4, [1, 2], ranges.as_bytes());
    let expected = IoctlReply::Retry { inputs: &ranges[..1], outputs: &ranges[1..] };
    assert_eq!(request.decode(UNIQUE, &bytes), Ok(expected));
    let bytes = ioctl_reply(0, 4, [0, 0], b"");
    assert_eq!(request.decode(UNIQUE, &bytes), Ok(IoctlReply::Retry { inputs: &[], outputs: &[] }));
    let lies = [[1, 1], [2, 2], [4, 0], [0, 4], [256, 1], [u32::MAX, 4], [u32::MAX, 1]];
    for counts in lies {
        let bytes = ioctl_reply(0, 4, counts, ranges.as_bytes());
        assert_eq!(request.decode(UNIQUE, &bytes), Err(Defect::IoctlRanges.into()), "{counts:?}");
    }
    let bytes = ioctl_reply(0, 4, [1, 2], &ranges.as_bytes()[1..]);
    assert_eq!(request.decode(UNIQUE, &bytes), Err(Defect::IoctlRanges.into()));
}

#[test]
fn an_ioctl_asks_for_256_ranges_at_most() {
    let ranges = [WireIoctlRange { base: U64::ZERO, len: U64::ZERO }; 257];
    let request = ioctl(b"", 257 * 16);
    let bytes = ioctl_reply(0, 4, [0, 256], ranges[1..].as_bytes());
    assert_eq!(request.decode(UNIQUE, &bytes), Ok(IoctlReply::Retry { inputs: &[], outputs: &ranges[1..] }));
    for counts in [[0, 257], [257, 0], [128, 129]] {
        let bytes = ioctl_reply(0, 4, counts, ranges.as_bytes());
        assert_eq!(request.decode(UNIQUE, &bytes), Err(Defect::IoctlRanges.into()), "{counts:?}");
    }
}

#[test]
fn hd_fs_39_an_interrupt_names_a_request_and_has_no_reply() {
    // It is a `Request` and no `Operation`: there is no capacity to give it, and nothing to decode.
    let other = Unique::new(0x0102_0304_0506_0708).expect("even");
    let (header, body) = encode(&Interrupt { unique: other });
    assert_eq!((header.opcode.get(), header.node.get()), (36, 0));
    assert_eq!(body, [8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn an_answer_has_the_number_of_its_question() {
    let answer = NotifyReply { question: Question(0x8000_0000_0000_0001), node: node(9), offset: 3, data: b"data" };
    let mut buffer = [0xee; 128];
    let len = answer.encode(Caller { uid: 1, gid: 2, pid: 3 }, &mut buffer).expect("it fits");
    assert_eq!((len, answer.request_len()), (84, 84));
    let (header, body) = RequestHeader::read_from_prefix(&buffer).expect("40 bytes");
    assert_eq!((header.len.get(), header.opcode.get()), (84, 41));
    assert_eq!((header.unique.get(), header.node.get()), (0x8000_0000_0000_0001, 9));
    assert_eq!((header.uid.get(), header.gid.get(), header.pid.get()), (1, 2, 3));
    let (wire, data) = WireNotifyReply::read_from_prefix(body).expect("40 bytes");
    assert_eq!((wire.offset.get(), wire.size.get()), (3, 4));
    assert_eq!(wire.dummy1.get() | wire.dummy3.get() | wire.dummy4.get(), 0);
    assert_eq!(data[..4], *b"data");
    assert_eq!(data[4..], [0xee; 44], "wrote too far");

    for short in 0..84 {
        let result = answer.encode(Caller::SUPERUSER, &mut buffer[..short]);
        assert_eq!(result, Err(EncodeError::BufferTooSmall), "{short}");
    }
    let beyond = NotifyReply { offset: i64::MAX as u64 - 3, ..answer };
    assert_eq!(beyond.encode(Caller::SUPERUSER, &mut buffer), Err(EncodeError::OffsetOutOfRange));
    let nothing = NotifyReply { data: b"", ..answer };
    assert_eq!(nothing.encode(Caller::SUPERUSER, &mut buffer), Ok(80));
}

#[test]
fn these_operations_carry_the_codes_of_the_protocol() {
    let codes = [
        (SetXattr::OPCODE, 21),
        (GetXattr::OPCODE, 22),
        (GetXattrLen::OPCODE, 22),
        (ListXattr::OPCODE, 23),
        (ListXattrLen::OPCODE, 23),
        (RemoveXattr::OPCODE, 24),
        (GetLk::OPCODE, 31),
        (SetLk::OPCODE, 32),
        (SetLkW::OPCODE, 33),
        (Access::OPCODE, 34),
        (Interrupt::OPCODE, 36),
        (Bmap::OPCODE, 37),
        (Ioctl::OPCODE, 39),
        (Poll::OPCODE, 40),
        (NotifyReply::OPCODE, 41),
        (LSeek::OPCODE, 46),
        (CopyFileRange::OPCODE, 47),
        (SetupMapping::OPCODE, 48),
        (RemoveMapping::OPCODE, 49),
        (SyncFs::OPCODE, 50),
        (StatX::OPCODE, 52),
        (CopyFileRange64::OPCODE, 53),
    ];
    for (opcode, raw) in codes {
        assert_eq!(Opcode::raw(opcode), raw, "{opcode}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_ioctl_reply_is_bounded_by_what_was_asked(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        capacity in 0u32..64,
        counts in prop::array::uniform2(0u32..5),
        retry: bool,
    ) {
        let mut payload = payload;
        if payload.len() >= 16 {
            payload[4..8].copy_from_slice(&u32::to_le_bytes(if retry { 4 } else { 0 }));
            payload[8..12].copy_from_slice(&counts[0].to_le_bytes());
            payload[12..16].copy_from_slice(&counts[1].to_le_bytes());
        }
        let room = usize::try_from(capacity).expect("small");
        match ioctl(b"", capacity).parse(&payload) {
            Ok(IoctlReply::Done { output, .. }) => prop_assert!(!retry && output.len() <= room),
            Ok(IoctlReply::Retry { inputs, outputs }) => {
                prop_assert!(retry && (inputs.len() + outputs.len()) * 16 <= room);
                prop_assert_eq!(inputs.len(), usize::try_from(counts[0]).expect("small"));
            }
            Err(error) => prop_assert_eq!(error.forget(), None),
        }
    }

    #[test]
    fn no_reply_makes_any_of_these_operations_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        plausible: bool,
    ) {
        if plausible && bytes.len() >= 16 {
            let len = u32::try_from(bytes.len()).expect("small");
            bytes[..16].copy_from_slice(&reply_claiming(len, 0, &[]));
        }
        let (node, handle) = (NodeId::ROOT, FileHandle(1));
        let name = crate::XattrName::new(b"user.a").expect("a good name");
        let lock = FileLock::whole_file(LockKind::Write, 0);
        let owner = crate::LockOwner(1);
        let _ = GetXattr { node, name, capacity: 300 }.decode(UNIQUE, &bytes);
        let _ = GetXattrLen { node, name }.decode(UNIQUE, &bytes);
        let _ = ListXattr { node, capacity: 300 }.decode(UNIQUE, &bytes).map(Iterator::count);
        let _ = ListXattrLen { node }.decode(UNIQUE, &bytes);
        let _ = GetLk { node, handle, owner, lock }.decode(UNIQUE, &bytes);
        let _ = SetLk { node, handle, owner, lock, style: LockStyle::WholeFile }.decode(UNIQUE, &bytes);
        let _ = Access { node, mask: AccessMask::READ }.decode(UNIQUE, &bytes);
        let _ = LSeek { node, handle, offset: 7, what: SeekWhat::Data }.decode(UNIQUE, &bytes);
        let _ = StatX { node, handle: None, expected: None, flags: StatxFlags::empty(), mask: StatxMask::all() }
            .decode(UNIQUE, &bytes);
        let _ = Bmap { node, block: 1, block_size: 512 }.decode(UNIQUE, &bytes);
        let _ = ioctl(b"", 300).decode(UNIQUE, &bytes);
        let _ = Poll { node, handle, events: PollEvents::all(), wake_up: None }.decode(UNIQUE, &bytes);
    }
}
