//! Locks: their bytes, ranges that are none, and who is in the way.

use super::*;
use crate::id::LockOwner;

const HANDLE: FileHandle = FileHandle(5);
const OWNER: LockOwner = LockOwner(0x0102_0304_0506_0708);

fn lock(start: u64, end: u64, kind: LockKind) -> FileLock {
    FileLock { start, end, kind, pid: 77 }
}

fn ask(lock: FileLock) -> GetLk {
    GetLk { node: node(9), handle: HANDLE, owner: OWNER, lock }
}

fn take(lock: FileLock, style: LockStyle) -> SetLk {
    SetLk { node: node(9), handle: HANDLE, owner: OWNER, lock, style }
}

#[test]
fn locks_say_who_what_and_where() {
    let range = lock(3, 9, LockKind::Write);
    let mut expected = vec![5, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let (header, body) = encode(&ask(range));
    assert_eq!((header.opcode.get(), header.node.get()), (31, 9));
    assert_eq!(body, expected);
    let (header, body) = encode(&take(range, LockStyle::Record));
    assert_eq!(header.opcode.get(), 32);
    assert_eq!(body, expected);
    let wait = SetLkW { node: node(9), handle: HANDLE, owner: OWNER, lock: range, style: LockStyle::Record };
    let (header, body) = encode(&wait);
    assert_eq!(header.opcode.get(), 33);
    assert_eq!(body, expected);

    let whole = take(FileLock::whole_file(LockKind::Unlock, 0), LockStyle::WholeFile);
    let wire = WireLock::read_from_bytes(&super::body(&whole)).expect("48 bytes");
    assert_eq!((wire.flags.get(), wire.lock.kind.get()), (1, 2));
    assert_eq!((wire.lock.start.get(), wire.lock.end.get()), (0, i64::MAX as u64));
}

#[test]
fn a_range_that_is_none_is_not_sent() {
    let end = FileLock::TO_THE_END;
    for (start, last) in [(4, 3), (0, end + 1), (u64::MAX, u64::MAX), (end + 1, end)] {
        let range = lock(start, last, LockKind::Read);
        assert_eq!(encode_error(&ask(range)), EncodeError::LockRange);
        assert_eq!(encode_error(&take(range, LockStyle::Record)), EncodeError::LockRange);
    }
    for (start, last) in [(4, 4), (0, end), (end, end)] {
        assert!(take(lock(start, last, LockKind::Read), LockStyle::Record).request_len().is_ok());
    }
    for (start, last) in [(1, end), (0, end - 1)] {
        let part = take(lock(start, last, LockKind::Read), LockStyle::WholeFile);
        assert_eq!(encode_error(&part), EncodeError::LockRange, "a part is not the whole file");
    }
    assert_eq!(encode_error(&ask(lock(0, 1, LockKind::Unlock))), EncodeError::LockKind);
}

#[test]
fn getlk_names_the_lock_that_is_in_the_way() {
    let asked = ask(lock(0, 10, LockKind::Write));
    let answer = |wire: WireFileLock| asked.decode(UNIQUE, &reply(0, wire.as_bytes()));
    let other = FileLock { start: 5, end: FileLock::TO_THE_END, kind: LockKind::Read, pid: 3 };
    assert_eq!(answer(other.to_wire()), Ok(Some(other)));
    // Nobody: nothing else in the answer counts.
    let nobody = WireFileLock { start: U64::MAX_VALUE, end: U64::ZERO, kind: U32::new(2), pid: U32::MAX_VALUE };
    assert_eq!(answer(nobody), Ok(None));
}

#[test]
fn a_lock_of_no_kind_or_range_is_malformed() {
    let asked = ask(lock(0, 10, LockKind::Write));
    let answer = |start: u64, end: u64, kind: u32| {
        let wire = WireFileLock { start: U64::new(start), end: U64::new(end), kind: U32::new(kind), pid: U32::ZERO };
        asked.decode(UNIQUE, &reply(0, wire.as_bytes()))
    };
    for (start, end, kind) in [(0, 0, 3), (0, 0, u32::MAX), (2, 1, 0), (0, 1 << 63, 1), (u64::MAX, u64::MAX, 0)] {
        assert_eq!(answer(start, end, kind), Err(Defect::Lock.into()), "{start} {end} {kind}");
    }
    assert_eq!(asked.decode(UNIQUE, &reply(0, &[0; 16])), Err(Defect::PayloadLength.into()));
}

#[test]
fn a_lock_that_cannot_be_had_now_is_an_answer() {
    let take = take(lock(0, 1, LockKind::Write), LockStyle::Record);
    assert_eq!(take.decode(UNIQUE, &reply(0, &[])), Ok(()));
    assert_eq!(take.decode(UNIQUE, &reply(-11, &[])), Err(ReplyError::Remote(Errno::EAGAIN)));
    assert_eq!(take.decode(UNIQUE, &reply(0, &[0; 24])), Err(Defect::Overlong.into()));
}

#[test]
fn hd_fs_38_an_interruption_is_passed_on_whoever_asked_for_it() {
    let wait = SetLkW {
        node: node(9),
        handle: HANDLE,
        owner: OWNER,
        lock: lock(0, 1, LockKind::Read),
        style: LockStyle::Record,
    };
    assert_eq!(wait.decode(UNIQUE, &reply(-4, &[])), Err(ReplyError::Remote(Errno::EINTR)));
    assert_eq!(lookup(NodeId::ROOT).decode(UNIQUE, &reply(-4, &[])), Err(ReplyError::Remote(Errno::EINTR)));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_lock_reads_back_as_it_was_written(
        node in any_node(),
        handle: u64,
        owner: u64,
        [a, b] in [0..=FileLock::TO_THE_END, 0..=FileLock::TO_THE_END],
        write: bool,
        pid: u32,
    ) {
        let kind = if write { LockKind::Write } else { LockKind::Read };
        let lock = FileLock { start: a.min(b), end: a.max(b), kind, pid };
        let request = GetLk { node, handle: FileHandle(handle), owner: LockOwner(owner), lock };
        let (header, body) = encode(&request);
        let wire = WireLock::read_from_bytes(&body).expect("48 bytes");
        prop_assert_eq!((wire.flags.get(), wire.padding.get()), (0, 0));
        let read_back = GetLk {
            node: NodeId::new(header.node.get()).expect("not zero"),
            handle: FileHandle(wire.handle.get()),
            owner: LockOwner(wire.owner.get()),
            // The same bytes are an answer.
            lock: request.parse(wire.lock.as_bytes()).expect("a good lock").expect("somebody's"),
        };
        prop_assert_eq!(read_back, request);
    }

    #[test]
    fn any_answer_is_a_lock_with_a_range_or_refused(payload in prop::collection::vec(any::<u8>(), 24), kind in 0u8..4) {
        let mut payload = payload;
        payload[16..20].copy_from_slice(&[kind, 0, 0, 0]);
        if let Ok(Some(lock)) = ask(lock(0, 1, LockKind::Read)).parse(&payload) {
            prop_assert!(lock.start <= lock.end && lock.end <= FileLock::TO_THE_END);
            prop_assert_ne!(lock.kind, LockKind::Unlock);
        }
    }
}
