//! Operations that change what is there: attributes, names, contents, space.

use super::*;
use crate::id::LockOwner;

fn setattr(changes: AttributeChanges) -> SetAttr {
    SetAttr { node: node(9), expected: Some(FileType::Regular), changes }
}

fn write(offset: u64, size: u32) -> Write {
    Write {
        node: node(9),
        handle: FileHandle(5),
        offset,
        size,
        open_flags: OpenFlags::WRITE_ONLY,
        flags: WriteFlags::empty(),
        lock_owner: None,
    }
}

fn written(size: u32) -> Vec<u8> {
    reply(0, WireWritten { size: U32::new(size), padding: U32::MAX_VALUE }.as_bytes())
}

fn fallocate(offset: u64, length: u64, mode: AllocateMode) -> FAllocate {
    FAllocate { node: node(9), handle: FileHandle(5), offset, length, mode }
}

fn rename2(flags: RenameFlags) -> Rename2<'static> {
    let name = Name::new(b"name").expect("a good name");
    Rename2 { parent: node(2), name, new_parent: node(3), new_name: name, flags }
}

mod attributes {
    use super::*;

    #[test]
    fn nothing_to_change_is_88_zeros() {
        assert_eq!(body(&setattr(AttributeChanges::default())), [0; 88]);
    }

    #[test]
    fn each_field_counts_only_if_it_was_given() {
        let none = AttributeChanges::default();
        let now = Some(TimeChange::Now);
        let epoch = Some(TimeChange::To(Timestamp::default()));
        let table = [
            (AttributeChanges { mode: Some(0), ..none }, 0x1),
            (AttributeChanges { uid: Some(0), ..none }, 0x2),
            (AttributeChanges { gid: Some(0), ..none }, 0x4),
            (AttributeChanges { size: Some(0), ..none }, 0x8),
            (AttributeChanges { accessed: epoch, ..none }, 0x10),
            (AttributeChanges { modified: epoch, ..none }, 0x20),
            (AttributeChanges { handle: Some(FileHandle(0)), ..none }, 0x40),
            (AttributeChanges { accessed: now, ..none }, 0x90),
            (AttributeChanges { modified: now, ..none }, 0x120),
            (AttributeChanges { lock_owner: Some(LockOwner(0)), ..none }, 0x200),
            (AttributeChanges { changed: Some(Timestamp::default()), ..none }, 0x400),
            (AttributeChanges { set_ids: SetIds::Remove, ..none }, 0x800),
        ];
        for (changes, valid) in table {
            let mut expected = [0; 88];
            expected[..2].copy_from_slice(&u16::try_from(valid).expect("small").to_le_bytes());
            assert_eq!(body(&setattr(changes)), expected, "{changes:?}");
        }
    }

    #[test]
    fn a_mode_may_say_the_kind_that_is_known() {
        let mode = |mode| AttributeChanges { mode: Some(mode), ..AttributeChanges::default() };
        assert_eq!(body(&setattr(mode(0o104_755)))[68..72], 0o104_755u32.to_le_bytes());
        assert_eq!(body(&setattr(mode(0o7777)))[68..72], 0o7777u32.to_le_bytes());
        for bad in [0o040_755, 0o200_755, 0o1_100_755] {
            assert_eq!(encode_error(&setattr(mode(bad))), EncodeError::Mode, "{bad:o}");
        }
        let unknown = SetAttr { expected: None, ..setattr(mode(0o100_644)) };
        assert_eq!(encode_error(&unknown), EncodeError::Mode);
    }

    #[test]
    fn what_the_server_would_take_for_something_else_is_refused() {
        let none = AttributeChanges::default();
        let long = Timestamp { seconds: 0, nanoseconds: 1_000_000_000 };
        let late = Some(TimeChange::To(long));
        let table = [
            (AttributeChanges { uid: Some(u32::MAX), ..none }, EncodeError::InvalidId),
            (AttributeChanges { gid: Some(u32::MAX), ..none }, EncodeError::InvalidId),
            (AttributeChanges { size: Some(1 << 63), ..none }, EncodeError::OffsetOutOfRange),
            (AttributeChanges { accessed: late, ..none }, EncodeError::Nanoseconds),
            (AttributeChanges { modified: late, ..none }, EncodeError::Nanoseconds),
            (AttributeChanges { changed: Some(long), ..none }, EncodeError::Nanoseconds),
        ];
        for (changes, error) in table {
            assert_eq!(encode_error(&setattr(changes)), error);
        }
        let largest = AttributeChanges { size: Some((1 << 63) - 1), uid: Some(u32::MAX - 1), ..none };
        assert!(setattr(largest).request_len().is_ok());
    }

    #[test]
    fn fu_rv_7_hd_fs_17_a_changed_node_keeps_its_kind() {
        let mut wire = WireAttributesReply::new_zeroed();
        wire.attributes = wire_attributes(FileType::Directory);
        let bytes = reply(0, wire.as_bytes());
        let file = setattr(AttributeChanges::default());
        assert_eq!(file.decode(UNIQUE, &bytes), Err(Defect::FileType.into()));
        let any = SetAttr { expected: None, ..file };
        assert_eq!(any.decode(UNIQUE, &bytes).map(|reply| reply.attributes.inode), Ok(4711));
        wire.attributes.size = U64::MAX_VALUE;
        assert_eq!(any.decode(UNIQUE, &reply(0, wire.as_bytes())), Err(Defect::Size.into()));
    }
}

mod contents {
    use super::*;

    #[test]
    fn fu_fr_2_the_header_counts_the_data_behind_the_request() {
        let write = write(0, 1 << 20);
        assert_eq!(write.data_len(), 1 << 20);
        assert_eq!(write.request_len(), Ok(80));
        let mut buffer = [0; 80];
        assert_eq!(write.encode(UNIQUE, Caller::SUPERUSER, &mut buffer), Ok(80));
        assert_eq!(buffer[..4], (80 + (1u32 << 20)).to_le_bytes());
        assert_eq!(buffer[36..38], [0, 0], "data is no extension");
        assert_eq!(write.reply_capacity(), 16 + 8);
    }

    #[test]
    fn a_request_is_at_most_as_long_as_its_header_can_say() {
        assert_eq!(encode_error(&write(0, u32::MAX - 79)), EncodeError::TooLong);
        assert_eq!(write(0, u32::MAX - 80).request_len(), Ok(80));
    }

    #[test]
    fn a_write_ends_within_the_largest_offset() {
        let end = i64::MAX as u64;
        assert!(write(end - 8, 8).request_len().is_ok());
        for (offset, size) in [(end - 8, 9), (end + 1, 0), (u64::MAX, 1)] {
            assert_eq!(encode_error(&write(offset, size)), EncodeError::OffsetOutOfRange);
        }
    }

    #[test]
    fn a_lock_owner_is_sent_with_the_flag_that_says_so() {
        let owned = Write { lock_owner: Some(LockOwner(0)), ..write(0, 1) };
        assert_eq!(body(&owned)[20], 2);
        let flags = WriteFlags::all();
        let not_owned = Write { flags, ..write(0, 1) };
        assert_eq!(body(&not_owned)[20], 1 | 4, "the flag without an owner would name owner 0");
    }

    #[test]
    fn hd_fs_23_a_write_is_of_something_and_of_no_more_than_was_sent() {
        for good in [1, 7, 8] {
            assert_eq!(write(0, 8).decode(UNIQUE, &written(good)), Ok(good));
        }
        for bad in [0, 9, u32::MAX] {
            assert_eq!(write(0, 8).decode(UNIQUE, &written(bad)), Err(Defect::WriteLength.into()), "{bad}");
        }
        assert_eq!(write(0, 0).decode(UNIQUE, &written(0)), Ok(0));
        assert_eq!(write(0, 0).decode(UNIQUE, &written(1)), Err(Defect::WriteLength.into()));
    }

    #[test]
    fn an_allocation_is_of_something_within_the_largest_offset() {
        let mode = AllocateMode::empty();
        assert_eq!(encode_error(&fallocate(0, 0, mode)), EncodeError::EmptyRange);
        let end = i64::MAX as u64;
        assert!(fallocate(end - 8, 8, mode).request_len().is_ok());
        for (offset, length) in [(end - 8, 9), (end, 1), (u64::MAX, 1), (1, u64::MAX)] {
            assert_eq!(encode_error(&fallocate(offset, length, mode)), EncodeError::OffsetOutOfRange);
        }
    }

    #[test]
    fn an_allocation_is_in_a_mode_that_exists() {
        let good = [0, 1, 2 | 1, 8, 0x10, 0x10 | 1, 0x20, 0x40, 0x40 | 1];
        for bits in 0..=0x1ff {
            let mode = AllocateMode::from_bits_retain(bits);
            let result = fallocate(0, 4096, mode).request_len();
            let expected = if good.contains(&bits) { Ok(40 + 32) } else { Err(EncodeError::AllocateMode) };
            assert_eq!(result, expected, "{bits:#x}");
        }
    }

    #[test]
    fn a_release_may_flush_and_unlock() {
        let release = Release::new(node(9), FileHandle(5), OpenFlags::READ_WRITE);
        let ends = ReleaseFlags::FLUSH | ReleaseFlags::UNLOCK_FILE;
        let all = Release { ends, lock_owner: Some(LockOwner(0x66)), ..release };
        assert_eq!(body(&all)[8..], [2, 0, 0, 0, 3, 0, 0, 0, 0x66, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn only_a_truncation_that_says_so_takes_set_ids() {
        let open = Open::new(node(9), OpenFlags::TRUNCATE, &session(InitFlags::ATOMIC_O_TRUNC));
        assert_eq!(body(&open)[4..], [0; 4]);
        assert_eq!(body(&open.with_set_ids(SetIds::Remove))[4..], [1, 0, 0, 0]);
    }
}

mod names {
    use super::*;

    #[test]
    fn an_exchange_is_nothing_else_besides() {
        for bits in 0..16 {
            let flags = RenameFlags::from_bits_retain(bits);
            let result = rename2(flags).request_len();
            let good = [0, 1, 2, 4, 1 | 4].contains(&bits);
            let expected = if good { Ok(40 + 16 + 5 + 5) } else { Err(EncodeError::RenameFlags) };
            assert_eq!(result, expected, "{bits}");
        }
    }

    #[test]
    fn fu_rv_5_hd_fs_4_operations_without_an_answer_take_none() {
        fn check<O: for<'a> Operation<Reply<'a> = ()>>(operation: &O) {
            assert_eq!(operation.reply_capacity(), 16);
            assert_eq!(operation.decode(UNIQUE, &reply(0, &[])), Ok(()));
            assert_eq!(operation.decode(UNIQUE, &reply(0, &[0])), Err(Defect::Overlong.into()));
            assert_eq!(operation.decode(UNIQUE, &reply(-39, &[])), Err(ReplyError::Remote(Errno::ENOTEMPTY)));
            assert_eq!(operation.parse(&[0]), Err(Defect::PayloadLength.into()));
        }
        let Rename2 { parent, name, new_parent, new_name, .. } = rename2(RenameFlags::empty());
        let (node, handle, what) = (node(9), FileHandle(5), SyncWhat::All);
        check(&Unlink { parent, name });
        check(&RmDir { parent, name });
        check(&Rename { parent, name, new_parent, new_name });
        check(&rename2(RenameFlags::empty()));
        check(&FSync { node, handle, what });
        check(&FSyncDir { node, handle, what });
        check(&Flush { node, handle, lock_owner: LockOwner(1) });
        check(&fallocate(0, 1, AllocateMode::empty()));
    }
}

fn time_change() -> impl Strategy<Value = TimeChange> {
    prop_oneof![Just(TimeChange::Now), timestamp().prop_map(TimeChange::To)]
}

fn changes() -> impl Strategy<Value = AttributeChanges> {
    let ids = (any::<Option<u64>>(), prop::option::of(0u32..u32::MAX), prop::option::of(0u32..u32::MAX));
    let times = (prop::option::of(time_change()), prop::option::of(time_change()), prop::option::of(timestamp()));
    let others = (prop::option::of(0u32..=0o7777), prop::option::of(0..=i64::MAX as u64), any::<Option<u64>>());
    (ids, times, others, any::<bool>()).prop_map(
        |((handle, uid, gid), (accessed, modified, changed), (mode, size, owner), remove)| AttributeChanges {
            handle: handle.map(FileHandle),
            mode,
            uid,
            gid,
            size,
            accessed,
            modified,
            changed,
            lock_owner: owner.map(LockOwner),
            set_ids: if remove { SetIds::Remove } else { SetIds::Keep },
        },
    )
}

/// What a server reads in the body of a SETATTR.
fn read_changes(wire: &WireSetAttr) -> AttributeChanges {
    let valid = ChangedFields::from_bits(wire.valid.get()).expect("known fields");
    let has = |field| valid.contains(field);
    let time = |seconds: U64, nanos: U32| Timestamp {
        seconds: i64::from_le_bytes(seconds.to_bytes()),
        nanoseconds: nanos.get(),
    };
    let change = |field, now, seconds, nanos| match (has(field), has(now)) {
        (true, true) => Some(TimeChange::Now),
        (true, false) => Some(TimeChange::To(time(seconds, nanos))),
        (false, _) => None,
    };
    use ChangedFields as F;
    AttributeChanges {
        handle: has(F::HANDLE).then(|| FileHandle(wire.handle.get())),
        mode: has(F::MODE).then(|| wire.mode.get()),
        uid: has(F::UID).then(|| wire.uid.get()),
        gid: has(F::GID).then(|| wire.gid.get()),
        size: has(F::SIZE).then(|| wire.size.get()),
        accessed: change(F::ACCESSED, F::ACCESSED_NOW, wire.accessed, wire.accessed_nanos),
        modified: change(F::MODIFIED, F::MODIFIED_NOW, wire.modified, wire.modified_nanos),
        changed: has(F::CHANGED).then(|| time(wire.changed, wire.changed_nanos)),
        lock_owner: has(F::LOCK_OWNER).then(|| LockOwner(wire.lock_owner.get())),
        set_ids: if has(F::REMOVE_SET_IDS) { SetIds::Remove } else { SetIds::Keep },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn changes_read_back_as_they_were_written(changes in changes()) {
        let wire = WireSetAttr::read_from_bytes(&body(&setattr(changes))).expect("88 bytes");
        prop_assert_eq!(read_changes(&wire), changes);
        prop_assert_eq!(wire.padding.get() | wire.unused4.get() | wire.unused5.get(), 0);
    }

    #[test]
    fn a_write_reads_back_as_it_was_written(
        node in any_node(),
        handle: u64,
        offset in 0u64..1 << 62,
        size in 0..=u32::MAX - 80,
        flags: [u32; 2],
        owner: Option<u64>,
    ) {
        let write = Write {
            node,
            handle: FileHandle(handle),
            offset,
            size,
            open_flags: OpenFlags::from_bits_truncate(flags[0]),
            flags: WriteFlags::from_bits_truncate(flags[1]) - WriteFlags::LOCK_OWNER,
            lock_owner: owner.map(LockOwner),
        };
        let mut buffer = [0xff; 80];
        prop_assert_eq!(write.encode(UNIQUE, Caller::SUPERUSER, &mut buffer), Ok(80));
        let (header, body) = RequestHeader::read_from_prefix(&buffer).expect("40 bytes");
        let wire = WireWrite::read_from_bytes(body).expect("40 bytes");
        let flags = WriteFlags::from_bits_retain(wire.write_flags.get());
        let read_back = Write {
            node: NodeId::new(header.node.get()).expect("not zero"),
            handle: FileHandle(wire.handle.get()),
            offset: wire.offset.get(),
            size: wire.size.get(),
            open_flags: OpenFlags::from_bits_retain(wire.flags.get()),
            flags: flags - WriteFlags::LOCK_OWNER,
            lock_owner: flags.contains(WriteFlags::LOCK_OWNER).then(|| LockOwner(wire.lock_owner.get())),
        };
        prop_assert_eq!(read_back, write);
        prop_assert_eq!(header.len.get(), 80 + size);
        prop_assert_eq!(wire.padding.get(), 0);
    }

    #[test]
    fn hd_fs_23_no_answer_makes_a_write_longer_than_it_was_or_endless(size: u32, answer: u32) {
        if let Ok(written) = write(0, size).decode(UNIQUE, &written(answer)) {
            prop_assert!(written <= size && (written > 0 || size == 0));
        }
    }

    #[test]
    fn renames_read_back_as_they_were_written(
        parent in any_node(),
        new_parent in any_node(),
        old in name(),
        new in name(),
        flags in prop::sample::select(vec![0u32, 1, 2, 4, 5]),
    ) {
        let (name, new_name) = (Name::new(&old).expect("filtered"), Name::new(&new).expect("filtered"));
        let names = [&old[..], &[0], &new[..], &[0]].concat();
        let (header, body) = encode(&Rename { parent, name, new_parent, new_name });
        prop_assert_eq!(header.node.get(), parent.get());
        prop_assert_eq!(&body[..8], new_parent.get().to_le_bytes());
        prop_assert_eq!(&body[8..], &names[..]);
        let flags = RenameFlags::from_bits_retain(flags);
        let (header, body) = encode(&Rename2 { parent, name, new_parent, new_name, flags });
        let (wire, rest) = WireRename2::read_from_prefix(&body).expect("16 bytes");
        prop_assert_eq!(header.node.get(), parent.get());
        prop_assert_eq!(wire.new_parent.get(), new_parent.get());
        prop_assert_eq!((wire.flags.get(), wire.padding.get()), (flags.bits(), 0));
        prop_assert_eq!(rest, &names[..]);
        prop_assert_eq!(self::body(&Unlink { parent, name }), [&old[..], &[0]].concat());
        prop_assert_eq!(self::body(&RmDir { parent, name: new_name }), [&new[..], &[0]].concat());
    }

    #[test]
    fn syncs_and_allocations_read_back_as_they_were_written(
        node in any_node(),
        raw: u64,
        owner: u64,
        offset in 0u64..1 << 62,
        length in 1u64..1 << 62,
    ) {
        let handle = FileHandle(raw);
        let (header, body) = encode(&Flush { node, handle, lock_owner: LockOwner(owner) });
        let wire = WireFlush::read_from_bytes(&body).expect("24 bytes");
        prop_assert_eq!((header.node.get(), wire.handle.get(), wire.lock_owner.get()), (node.get(), raw, owner));
        prop_assert_eq!(wire.unused.get() | wire.padding.get(), 0);
        for (what, bits) in [(SyncWhat::All, 0), (SyncWhat::Data, 1)] {
            let (header, body) = encode(&FSync { node, handle, what });
            let wire = WireFSync::read_from_bytes(&body).expect("16 bytes");
            prop_assert_eq!((header.node.get(), wire.handle.get(), wire.flags.get()), (node.get(), raw, bits));
            prop_assert_eq!(self::body(&FSyncDir { node, handle, what }), body);
        }
        let mode = AllocateMode::KEEP_SIZE;
        let (header, body) = encode(&FAllocate { node, handle, offset, length, mode });
        let wire = WireFAllocate::read_from_bytes(&body).expect("32 bytes");
        prop_assert_eq!((header.node.get(), wire.handle.get()), (node.get(), raw));
        prop_assert_eq!((wire.offset.get(), wire.length.get(), wire.mode.get()), (offset, length, 1));
    }
}
