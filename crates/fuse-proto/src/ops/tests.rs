//! The bytes of each request, the meaning of each reply, and that one reads back as the other.

use core::time::Duration;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::*;
use crate::attr::{AttributeFlags, Attributes, Timestamp};
use crate::dirent::MIN_DIRECTORY_READ;
use crate::entry::Entry;
use crate::errno::Errno;
use crate::error::{Defect, EncodeError, ReplyError};
use crate::file_type::FileType;
use crate::header::{Caller, RequestHeader, Unique};
use crate::id::{DirOffset, FileHandle, Generation, NodeId};
use crate::init::InitFlags;
use crate::name::Name;
use crate::opcode::Opcode;
use crate::operation::{Operation, Request};
use crate::testing::{UNIQUE, config, node, reply, reply_claiming, session, wire_attributes, wire_entry};

mod control;
mod locks;
mod ranges;
mod statx;
mod xattrs;

/// The request's header and body, with the length checked.
fn encode<R: Request>(request: &R) -> (RequestHeader, Vec<u8>) {
    let mut buffer = vec![0xff; request.request_len().expect("it can be encoded")];
    let len = request.encode(UNIQUE, Caller::SUPERUSER, &mut buffer).expect("it was measured");
    assert_eq!(len, buffer.len());
    let (header, body) = RequestHeader::read_from_prefix(&buffer).expect("40 bytes at least");
    assert_eq!(header.len.get(), u32::try_from(len + request.data_len()).expect("small"));
    assert_eq!(header.opcode.get(), R::OPCODE.raw());
    assert_eq!(header.unique.get(), UNIQUE.get());
    (header, body.to_vec())
}

fn body<R: Request>(request: &R) -> Vec<u8> {
    encode(request).1
}

fn encode_error<R: Request>(request: &R) -> EncodeError {
    let measured = request.request_len().expect_err("refused");
    let mut buffer = [0; 4096];
    let written = request.encode(UNIQUE, Caller::SUPERUSER, &mut buffer);
    assert_eq!(written, Err(measured));
    measured
}

fn lookup(parent: NodeId) -> Lookup<'static> {
    Lookup { parent, name: Name::new(b"name").expect("a good name") }
}

mod changing;
mod creating;

mod lookup_and_forget {
    use super::*;

    #[test]
    fn a_found_entry_is_the_entry() {
        let wire = wire_entry(9, FileType::Regular);
        let bytes = reply(0, wire.as_bytes());
        let Ok(LookupReply::Found(entry)) = lookup(NodeId::ROOT).decode(UNIQUE, &bytes) else {
            panic!("not found");
        };
        assert_eq!(entry.node, node(9));
        assert_eq!(entry.generation, Generation(3));
        assert_eq!(entry.name_lifetime, Duration::new(1, 10));
        assert_eq!(entry.attr_lifetime, Duration::new(2, 20));
        assert_eq!(entry.attributes.size, 12);
        assert_eq!(entry.attributes.permissions, 0o644);
    }

    #[test]
    fn hd_fs_11_fu_sem_4_no_node_is_a_negative_entry_with_a_lifetime() {
        // Nothing else in it counts: a negative entry has no attributes to be right or wrong.
        let mut wire = crate::entry::WireEntry::new_zeroed();
        wire.name_lifetime = U64::new(5);
        let bytes = reply(0, wire.as_bytes());
        assert_eq!(
            lookup(NodeId::ROOT).decode(UNIQUE, &bytes),
            Ok(LookupReply::Negative { lifetime: Duration::from_secs(5) })
        );
        // An error says the same for no time at all.
        assert_eq!(lookup(NodeId::ROOT).decode(UNIQUE, &reply(-2, &[])), Err(ReplyError::Remote(Errno::ENOENT)));
    }

    #[test]
    fn fu_rv_7_fu_rv_8_hd_fs_14_a_refused_entry_is_to_be_forgotten() {
        let wire = wire_entry(9, FileType::Directory);
        let result = lookup(node(9)).decode(UNIQUE, &reply(0, wire.as_bytes()));
        let error = result.expect_err("a directory in itself");
        assert_eq!(error.errno(), Errno::EIO);
        assert_eq!(error.forget(), Some(node(9)));
    }

    #[test]
    fn fu_fr_4_forget_returns_a_count() {
        let (header, body) = encode(&Forget { node: node(9), lookups: 0x0102_0304_0506_0708 });
        assert_eq!((header.opcode.get(), header.node.get()), (2, 9));
        assert_eq!(body, [8, 7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn fu_sem_2_the_root_cannot_be_forgotten() {
        let root = Forget { node: NodeId::ROOT, lookups: 1 };
        assert_eq!(encode_error(&root), EncodeError::ForgetsRoot);
        let good = Forget { node: node(2), lookups: 1 };
        let batch = BatchForget { nodes: &[good, root] };
        assert_eq!(encode_error(&batch), EncodeError::ForgetsRoot);
    }

    #[test]
    fn forgetting_nothing_is_refused() {
        let nothing = Forget { node: node(2), lookups: 0 };
        assert_eq!(encode_error(&nothing), EncodeError::ForgetsNothing);
        let batch = BatchForget { nodes: &[] };
        assert_eq!(encode_error(&batch), EncodeError::ForgetsNothing);
    }

    #[test]
    fn fu_fr_4_batch_forget_lists_nodes_and_counts() {
        let nodes = [(2, 1), (3, 7)].map(|(raw, lookups)| Forget { node: node(raw), lookups });
        let (header, body) = encode(&BatchForget { nodes: &nodes });
        assert_eq!((header.opcode.get(), header.node.get()), (42, 0));
        let mut expected = vec![2, 0, 0, 0, 0, 0, 0, 0];
        for number in [2u64, 1, 3, 7] {
            expected.extend(number.to_le_bytes());
        }
        assert_eq!(body, expected);
    }

    #[test]
    fn batch_forget_stops_at_a_mebibyte() {
        let forget = Forget { node: node(2), lookups: 1 };
        let nodes = vec![forget; BatchForget::MAX_NODES + 1];
        assert_eq!(encode_error(&BatchForget { nodes: &nodes }), EncodeError::TooManyForgets);
        let most = BatchForget { nodes: &nodes[1..] };
        assert_eq!(most.request_len(), Ok(40 + 8 + (1 << 20)));
    }
}

mod getattr_and_statfs {
    use super::*;

    fn getattr(handle: Option<FileHandle>, expected: Option<FileType>) -> GetAttr {
        GetAttr { node: node(9), handle, expected }
    }

    fn attributes_reply(file_type: FileType) -> Vec<u8> {
        let wire = WireAttributesReply {
            lifetime: U64::MAX_VALUE,
            lifetime_nanos: U32::MAX_VALUE,
            dummy: U32::MAX_VALUE,
            attributes: wire_attributes(file_type),
        };
        reply(0, wire.as_bytes())
    }

    #[test]
    fn a_handle_is_sent_with_the_flag_that_says_so() {
        assert_eq!(body(&getattr(None, None)), [0; 16]);
        let with = body(&getattr(Some(FileHandle(0)), None));
        assert_eq!(with[0], 1, "handle 0 is a handle (HD-FS-40)");
        let with = body(&getattr(Some(FileHandle(0x55)), None));
        assert_eq!(with[8..], [0x55, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn hd_fs_20_attributes_may_live_for_ever() {
        let bytes = attributes_reply(FileType::Regular);
        let reply = getattr(None, None).decode(UNIQUE, &bytes).expect("good");
        assert_eq!(reply.lifetime, Duration::MAX);
        assert_eq!(reply.attributes.inode, 4711);
    }

    #[test]
    fn fu_rv_7_hd_fs_15_hd_fs_17_a_node_keeps_its_kind() {
        let bytes = attributes_reply(FileType::Regular);
        let file = getattr(None, Some(FileType::Regular));
        assert!(file.decode(UNIQUE, &bytes).is_ok());
        let directory = getattr(None, Some(FileType::Directory));
        assert_eq!(directory.decode(UNIQUE, &bytes), Err(Defect::FileType.into()));
    }

    #[test]
    fn an_open_file_may_have_no_name_left() {
        let mut wire = WireAttributesReply::new_zeroed();
        wire.attributes = wire_attributes(FileType::Regular);
        wire.attributes.links = U32::ZERO;
        let bytes = reply(0, wire.as_bytes());
        let reply = getattr(None, None).decode(UNIQUE, &bytes).expect("good");
        assert_eq!(reply.attributes.links, 0);
    }

    #[test]
    fn fu_sem_15_a_fragment_of_zero_is_a_block() {
        let statfs = StatFs { node: NodeId::ROOT };
        assert_eq!(body(&statfs), []);
        let mut wire = WireStatFs::new_zeroed();
        wire.blocks = U64::new(10);
        wire.blocks_free = U64::new(9);
        wire.blocks_available = U64::new(8);
        wire.files = U64::new(7);
        wire.files_free = U64::new(6);
        wire.block_size = U32::new(1 << 20);
        wire.name_len = U32::new(255);
        let bytes = reply(0, wire.as_bytes());
        let status = statfs.decode(UNIQUE, &bytes).expect("good");
        assert_eq!(status.fragment_size, 1 << 20);
        assert_eq!(
            [status.blocks, status.blocks_free, status.blocks_available, status.files, status.files_free],
            [10, 9, 8, 7, 6]
        );
        assert_eq!(status.name_len, 255);

        wire.fragment_size = U32::new(4096);
        let status = statfs.parse(wire.as_bytes()).expect("good");
        assert_eq!((status.block_size, status.fragment_size), (1 << 20, 4096));

        let nothing = statfs.parse(&[0; 80]).expect("good");
        assert_eq!((nothing.block_size, nothing.fragment_size), (4096, 4096));
    }
}

mod open_read_release {
    use super::*;

    #[test]
    fn open_withholds_what_is_not_for_the_server() {
        let wanted = OpenFlags::READ_WRITE
            | OpenFlags::APPEND
            | OpenFlags::CREATE
            | OpenFlags::EXCLUSIVE
            | OpenFlags::NO_CONTROLLING_TERMINAL
            | OpenFlags::TRUNCATE;
        let open = Open::new(node(9), wanted, &session(InitFlags::ATOMIC_O_TRUNC));
        let sent = OpenFlags::READ_WRITE | OpenFlags::APPEND | OpenFlags::TRUNCATE;
        assert_eq!(open.flags(), sent);
        assert_eq!(body(&open), 0o3002u64.to_le_bytes());
        let open = Open::new(node(9), wanted, &session(InitFlags::MAX_PAGES));
        assert_eq!(open.flags(), OpenFlags::READ_WRITE | OpenFlags::APPEND);
    }

    #[test]
    fn opendir_asks_for_a_directory() {
        let (header, body) = encode(&OpenDir::new(node(9)));
        assert_eq!((header.opcode.get(), header.node.get()), (27, 9));
        assert_eq!(body, 0o200_000u64.to_le_bytes());
    }

    #[test]
    fn hd_fs_40_hd_fs_41_any_handle_is_good_and_unknown_flags_are_dropped() {
        for raw in [0, 7, u64::MAX] {
            let wire = WireOpened { handle: U64::new(raw), flags: U32::MAX_VALUE, backing_id: U32::MAX_VALUE };
            let bytes = reply(0, wire.as_bytes());
            let opened = OpenDir::new(node(9)).decode(UNIQUE, &bytes).expect("good");
            assert_eq!(opened.handle, Some(FileHandle(raw)));
            assert_eq!(opened.flags, OpenedFlags::all());
            let open = Open::new(node(9), OpenFlags::default(), &session(InitFlags::BASIC));
            assert_eq!(open.decode(UNIQUE, &bytes), Ok(opened));
        }
    }

    #[test]
    fn fu_sem_7_fu_sem_9_opening_without_a_handle_keeps_the_cache() {
        assert_eq!(Opened::WITHOUT_HANDLE.flags, OpenedFlags::KEEP_CACHE);
    }

    fn read(offset: u64, size: u32) -> Read {
        Read { node: node(9), handle: FileHandle(5), offset, size, flags: OpenFlags::LARGE_FILE }
    }

    #[test]
    fn read_says_where_and_how_much() {
        let (header, body) = encode(&read(0x0102, 4096));
        assert_eq!((header.opcode.get(), header.node.get()), (15, 9));
        let mut expected = vec![5, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
        expected.extend([0; 12]);
        expected.extend([0, 0x80, 0, 0, 0, 0, 0, 0]);
        assert_eq!(body, expected);
    }

    #[test]
    fn a_read_ends_within_the_largest_offset() {
        let end = i64::MAX as u64;
        assert!(read(end - 8, 8).request_len().is_ok());
        for (offset, size) in [(end - 8, 9), (end + 1, 0), (u64::MAX, 1)] {
            let error = encode_error(&read(offset, size));
            assert_eq!(error, EncodeError::OffsetOutOfRange);
        }
    }

    #[test]
    fn hd_fs_21_more_data_than_asked_for_is_malformed() {
        let bytes = reply(0, &[1; 9]);
        assert_eq!(read(0, 8).decode(UNIQUE, &bytes), Err(Defect::Overlong.into()));
        assert_eq!(read(0, 9).decode(UNIQUE, &bytes), Ok(&bytes[16..]));
    }

    #[test]
    fn hd_fs_22_a_short_read_is_what_there_is() {
        let mut bytes = reply(0, b"end");
        bytes.extend(b"stale");
        assert_eq!(read(0, 8).decode(UNIQUE, &bytes), Ok(&b"end"[..]));
        let empty = reply(0, &[]);
        assert_eq!(read(0, 8).decode(UNIQUE, &empty), Ok(&[][..]));
    }

    #[test]
    fn releases_repeat_handle_and_flags() {
        let (header, body) = encode(&Release::new(node(9), FileHandle(5), OpenFlags::WRITE_ONLY));
        assert_eq!((header.opcode.get(), header.node.get()), (18, 9));
        let mut expected = vec![5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        expected.extend([0; 12]);
        assert_eq!(body, expected);
        let (header, body) = encode(&ReleaseDir { node: node(9), handle: FileHandle(5) });
        assert_eq!(header.opcode.get(), 29);
        expected[8..12].copy_from_slice(&0o200_000u32.to_le_bytes());
        assert_eq!(body, expected);
    }
}

mod listings_links_and_the_end {
    use super::*;

    #[test]
    fn listings_have_room_for_the_largest_name() {
        let list = |size| ReadDir { node: node(9), handle: FileHandle(5), offset: DirOffset(u64::MAX), size };
        assert_eq!(encode_error(&list(4095)), EncodeError::DirectoryReadTooSmall);
        let (header, body) = encode(&list(MIN_DIRECTORY_READ));
        assert_eq!(header.opcode.get(), 28);
        assert_eq!(body.len(), 40);
        assert_eq!(body[8..16], [0xff; 8], "a cookie is sent back as it came");
        assert_eq!(list(4096).reply_capacity(), 16 + 4096);
        assert!(list(4096).parse(&[0; 4097]).is_err());
    }

    #[test]
    fn hd_fs_28_a_listing_knows_where_it_began() {
        let list = ReadDirPlus { node: node(9), handle: FileHandle(5), offset: DirOffset(77), size: 8192 };
        assert_eq!(encode(&list).0.opcode.get(), 44);
        assert_eq!(list.reply_capacity(), 16 + 8192);
        let empty = reply(0, &[]);
        let entries = list.decode(UNIQUE, &empty).expect("the end");
        assert_eq!(entries.position(), DirOffset(77));
        assert_eq!(entries.count(), 0);
        assert!(list.parse(&[0; 8193]).is_err());
    }

    #[test]
    fn hd_fs_33_a_target_is_1_to_4095_bytes_without_nul() {
        let link = ReadLink { node: node(9) };
        assert_eq!(body(&link), []);
        assert_eq!(link.reply_capacity(), 16 + 4095);
        let decode = |payload: &[u8]| {
            let bytes = reply(0, payload);
            link.decode(UNIQUE, &bytes).map(<[u8]>::to_vec)
        };
        assert_eq!(decode(b"../a/b"), Ok(b"../a/b".to_vec()));
        assert_eq!(decode(&[b'x'; 4095]), Ok(vec![b'x'; 4095]));
        assert_eq!(decode(b""), Err(Defect::PayloadLength.into()));
        assert_eq!(decode(&[b'x'; 4096]), Err(Defect::Overlong.into()));
        assert_eq!(decode(b"a\0b"), Err(Defect::LinkTarget.into()));
        assert_eq!(decode(b"a\0"), Err(Defect::LinkTarget.into()));
        assert!(link.parse(b"").is_err());
    }

    #[test]
    fn fu_fr_12_destroy_is_answered_with_a_header_or_not_at_all() {
        let (header, body) = encode(&Destroy);
        assert_eq!((header.opcode.get(), header.node.get()), (38, 0));
        assert_eq!(body, []);
        assert_eq!(Destroy.decode(UNIQUE, &reply(0, &[])), Ok(()));
        assert_eq!(Destroy.decode(UNIQUE, &[0; 16]), Ok(()));
        assert_eq!(Destroy.decode(UNIQUE, &reply(-5, &[])), Err(ReplyError::Remote(Errno::EIO)));
        assert_eq!(Destroy.decode(UNIQUE, &reply_claiming(15, 0, &[])), Err(Defect::HeaderLength.into()));
        let other = Unique::new(4).expect("even");
        assert_eq!(Destroy.decode(other, &reply(0, &[])), Err(Defect::WrongUnique.into()));
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..=255).prop_filter("a name", |name| Name::new(name).is_ok())
}

fn any_node() -> impl Strategy<Value = NodeId> {
    (2u64..).prop_map(node)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let numbers = (any::<u64>(), 0..=i64::MAX as u64, 0..1u64 << 54);
    let words = (1..=u32::MAX, any::<[u32; 3]>(), 1..=u32::MAX);
    let kind = (prop::sample::select(&FileType::ALL[..]), 0u16..=0o7777, 0u32..4);
    let times = [timestamp(), timestamp(), timestamp()];
    (numbers, times, kind, words).prop_map(
        |(
            (inode, size, blocks),
            [accessed, modified, changed],
            (file_type, permissions, flags),
            (links, [uid, gid, device], block_size),
        )| Attributes {
            inode,
            size,
            blocks,
            accessed,
            modified,
            changed,
            file_type,
            permissions,
            links,
            uid,
            gid,
            device,
            block_size,
            flags: AttributeFlags::from_bits_truncate(flags),
        },
    )
}

fn duration() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
}

fn entry() -> impl Strategy<Value = Entry> {
    (any_node(), any::<u64>(), duration(), duration(), attributes()).prop_map(
        |(node, generation, name_lifetime, attr_lifetime, attributes)| Entry {
            node,
            generation: Generation(generation),
            name_lifetime,
            attr_lifetime,
            attributes,
        },
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn attributes_read_back_as_they_were_written(attributes in attributes()) {
        prop_assert_eq!(Attributes::from_wire(&attributes.to_wire()), Ok(attributes));
    }

    #[test]
    fn an_entry_reads_back_as_it_was_written(entry in entry()) {
        let bytes = reply(0, entry.to_wire().as_bytes());
        let found = lookup(NodeId::ROOT).decode(UNIQUE, &bytes);
        prop_assert_eq!(found, Ok(LookupReply::Found(entry)));
    }

    #[test]
    fn a_lookup_reads_back_as_it_was_written(parent in any_node(), name in name()) {
        let lookup = Lookup { parent, name: Name::new(&name).expect("filtered") };
        let (header, body) = encode(&lookup);
        let (terminator, bytes) = body.split_last().expect("not empty");
        prop_assert_eq!(*terminator, 0);
        let read_back = Lookup {
            parent: NodeId::new(header.node.get()).expect("not zero"),
            name: Name::new(bytes).expect("still a name"),
        };
        prop_assert_eq!(read_back, lookup);
    }

    #[test]
    fn forgets_read_back_as_they_were_written(
        list in prop::collection::vec((any_node(), 1u64..), 1..20),
    ) {
        let nodes: Vec<_> = list.iter().map(|&(node, lookups)| Forget { node, lookups }).collect();
        let body = body(&BatchForget { nodes: &nodes });
        let (head, rest) = WireBatchForget::read_from_prefix(&body).expect("8 bytes");
        let records = <[WireForgetOne]>::ref_from_bytes(rest).expect("whole records");
        prop_assert_eq!(usize::try_from(head.count.get()).expect("small"), nodes.len());
        let read_back: Vec<_> = records
            .iter()
            .map(|one| Forget {
                node: NodeId::new(one.node.get()).expect("not zero"),
                lookups: one.lookups.get(),
            })
            .collect();
        prop_assert_eq!(read_back, nodes);
    }

    #[test]
    fn a_read_reads_back_as_it_was_written(
        node in any_node(),
        handle: u64,
        offset in 0u64..1 << 62,
        size: u32,
        flags: u32,
    ) {
        let read = Read {
            node,
            handle: FileHandle(handle),
            offset,
            size,
            flags: OpenFlags::from_bits_truncate(flags),
        };
        let (header, body) = encode(&read);
        let wire = WireRead::read_from_bytes(&body).expect("40 bytes");
        let read_back = Read {
            node: NodeId::new(header.node.get()).expect("not zero"),
            handle: FileHandle(wire.handle.get()),
            offset: wire.offset.get(),
            size: wire.size.get(),
            flags: OpenFlags::from_bits_retain(wire.flags.get()),
        };
        prop_assert_eq!(read_back, read);
        prop_assert_eq!(wire.padding.get() | wire.read_flags.get(), 0);
        prop_assert_eq!(wire.lock_owner.get(), 0);
    }

    #[test]
    fn a_getattr_reads_back_as_it_was_written(node in any_node(), handle: Option<u64>) {
        let getattr = GetAttr { node, handle: handle.map(FileHandle), expected: None };
        let (header, body) = encode(&getattr);
        let wire = WireGetAttr::read_from_bytes(&body).expect("16 bytes");
        let read_back = GetAttr {
            node: NodeId::new(header.node.get()).expect("not zero"),
            handle: (wire.flags.get() == 1).then(|| FileHandle(wire.handle.get())),
            expected: None,
        };
        prop_assert_eq!(read_back, getattr);
    }

    #[test]
    fn no_reply_makes_any_operation_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..700),
        plausible: bool,
    ) {
        if plausible && bytes.len() >= 16 {
            let len = u32::try_from(bytes.len()).expect("small");
            bytes[..16].copy_from_slice(&reply_claiming(len, 0, &[]));
        }
        let root = NodeId::ROOT;
        let (handle, offset, size) = (FileHandle(1), DirOffset::START, 4096);
        let flags = OpenFlags::default();
        let _ = lookup(root).decode(UNIQUE, &bytes);
        let _ = Init::new(4096).decode(UNIQUE, &bytes);
        let _ = GetAttr { node: root, handle: None, expected: None }.decode(UNIQUE, &bytes);
        let _ = OpenDir::new(root).decode(UNIQUE, &bytes);
        let _ = Read { node: root, handle, offset: 0, size, flags }.decode(UNIQUE, &bytes);
        let _ = Release::new(root, handle, flags).decode(UNIQUE, &bytes);
        let _ = ReleaseDir { node: root, handle }.decode(UNIQUE, &bytes);
        let _ = ReadLink { node: root }.decode(UNIQUE, &bytes);
        let _ = StatFs { node: root }.decode(UNIQUE, &bytes);
        let _ = Destroy.decode(UNIQUE, &bytes);
        let (parent, mode, umask) = (root, 0, 0);
        let name = Name::new(b"name").expect("a good name");
        let changes = AttributeChanges::default();
        let (open_flags, lock_owner, set_ids) = (flags, None, SetIds::Keep);
        let _ = SetAttr { node: root, expected: None, changes }.decode(UNIQUE, &bytes);
        let _ = SymLink { parent, name, target: b"target" }.decode(UNIQUE, &bytes);
        let _ = MkNod { parent, name, mode, device: 0, umask }.decode(UNIQUE, &bytes);
        let _ = MkDir { parent, name, mode, umask }.decode(UNIQUE, &bytes);
        let _ = Link { node: node(2), parent, name }.decode(UNIQUE, &bytes);
        let _ = Create { parent, name, mode, umask, flags, set_ids }.decode(UNIQUE, &bytes);
        let _ = TmpFile { parent, mode, umask, flags, set_ids }.decode(UNIQUE, &bytes);
        let flags = WriteFlags::empty();
        let _ = Write { node: root, handle, offset: 0, size, open_flags, flags, lock_owner }.decode(UNIQUE, &bytes);
        let _ = Unlink { parent, name }.decode(UNIQUE, &bytes);
        let list = ReadDir { node: root, handle, offset, size };
        if let Ok(entries) = list.decode(UNIQUE, &bytes) {
            entries.for_each(drop);
        }
        let list = ReadDirPlus { node: root, handle, offset, size };
        if let Ok(entries) = list.decode(UNIQUE, &bytes) {
            entries.for_each(drop);
        }
    }
}

#[test]
fn operations_carry_the_codes_of_the_protocol() {
    let codes = [
        (Lookup::OPCODE, 1),
        (Forget::OPCODE, 2),
        (GetAttr::OPCODE, 3),
        (SetAttr::OPCODE, 4),
        (ReadLink::OPCODE, 5),
        (SymLink::OPCODE, 6),
        (MkNod::OPCODE, 8),
        (MkDir::OPCODE, 9),
        (Unlink::OPCODE, 10),
        (RmDir::OPCODE, 11),
        (Rename::OPCODE, 12),
        (Link::OPCODE, 13),
        (Open::OPCODE, 14),
        (Read::OPCODE, 15),
        (Write::OPCODE, 16),
        (StatFs::OPCODE, 17),
        (Release::OPCODE, 18),
        (FSync::OPCODE, 20),
        (Flush::OPCODE, 25),
        (Init::OPCODE, 26),
        (OpenDir::OPCODE, 27),
        (ReadDir::OPCODE, 28),
        (ReleaseDir::OPCODE, 29),
        (FSyncDir::OPCODE, 30),
        (Create::OPCODE, 35),
        (Destroy::OPCODE, 38),
        (BatchForget::OPCODE, 42),
        (FAllocate::OPCODE, 43),
        (ReadDirPlus::OPCODE, 44),
        (Rename2::OPCODE, 45),
        (TmpFile::OPCODE, 51),
    ];
    for (opcode, raw) in codes {
        assert_eq!(Opcode::raw(opcode), raw, "{opcode}");
    }
}
