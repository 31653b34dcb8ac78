//! What the server does not have, and what nobody has.

use fuse_proto::header::RequestHeader;
use fuse_proto::ops::{
    Bmap, CopyFileRange, Destroy, Ioctl, IoctlTarget, MappingFlags, OpenFlags, Poll, PollEvents, SetIds, SetupMapping,
    StatX, StatxFlags, StatxMask, SyncFs, TmpFile,
};
use fuse_proto::{Errno, NodeId, ReplyError};
use zerocopy::FromZeros;
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::{lookup, open, served, session};

const ENOSYS: ReplyError = ReplyError::Remote(Errno::ENOSYS);

#[test]
fn fu_rv_what_the_server_does_not_have_is_enosys() {
    let served = served();
    let (mut asker, session) = session(served.path());
    let node = lookup(&mut asker, b"file").node;
    let (handle, _) = open(&mut asker, &session, node, OpenFlags::empty());
    let copy = CopyFileRange { node, handle, offset: 0, to_node: node, to_handle: handle, to_offset: 4, length: 2 };
    assert_eq!(asker.ask(&copy, |count| count), Err(ENOSYS));
    let (flags, mask) = (StatxFlags::empty(), StatxMask::SIZE);
    let statx = StatX { node, handle: None, expected: None, flags, mask };
    assert_eq!(asker.ask(&statx, |attributes| attributes.size), Err(ENOSYS));
    assert_eq!(asker.ask(&SyncFs { node: NodeId::ROOT }, |()| ()), Err(ENOSYS));
    let flags = OpenFlags::READ_WRITE;
    let file = TmpFile { parent: NodeId::ROOT, mode: 0o600, umask: 0, flags, set_ids: SetIds::Keep };
    assert_eq!(asker.ask(&file, |_| ()), Err(ENOSYS));
    let bmap = asker.ask(&Bmap { node, block: 0, block_size: 4096 }, |block| block);
    assert_eq!(bmap, Err(ENOSYS));
    let poll = Poll { node, handle, events: PollEvents::READABLE, wake_up: None };
    assert_eq!(asker.ask(&poll, |events| events), Err(ENOSYS));
    let ioctl = Ioctl {
        node,
        handle,
        target: IoctlTarget::File,
        command: 0x8008_6601,
        argument: 0,
        input: &[],
        output_capacity: 8,
    };
    assert_eq!(asker.ask(&ioctl, |_| ()), Err(ReplyError::Remote(Errno::ENOTTY)));
    let map = SetupMapping {
        node,
        handle: Some(handle),
        file_offset: 0,
        length: 4096,
        flags: MappingFlags::READ,
        window_offset: 0,
    };
    // There is no window in this process to map into.
    assert!(matches!(asker.ask(&map, |()| ()), Err(ReplyError::Remote(_))));
    assert_eq!(asker.server().offences(), [""; 0]);
}

#[test]
fn fu_rv_an_operation_that_nobody_knows_is_enosys() {
    let served = served();
    let (mut asker, _) = session(served.path());
    for opcode in [47, 53, 200, u32::MAX] {
        let mut header = RequestHeader::new_zeroed();
        header.len = U32::new(size_of::<RequestHeader>() as u32);
        header.opcode = U32::new(opcode);
        header.unique = U64::new(2);
        header.node = U64::new(1);
        let reply = asker.send(header.as_bytes(), 16);
        let error = i32::from_le_bytes(reply[4..8].try_into().expect("four bytes"));
        assert_eq!((u32::from_le_bytes(reply[..4].try_into().expect("four bytes")), error), (16, -38), "{opcode}");
    }
    assert_eq!(asker.server().offences(), [""; 0]);
}

#[test]
fn fu_fr_8_a_server_that_says_nothing_to_destroy_ends_the_session_all_the_same() {
    let served = served();
    let (mut asker, _) = session(served.path());
    let silence = asker.ask(&Destroy, |()| ());
    assert!(matches!(silence, Ok(()) | Err(ReplyError::Malformed { .. })), "{silence:?}");
    assert_eq!(asker.server().offences(), [""; 0]);
}
