//! Operations that answer with a new object: what they refuse to send, and which objects they refuse.
//!
//! That their bytes are the right ones is seen in the comparison with Linux, `golden_tests.rs`.

use super::*;
use crate::entry::WireEntry;
use crate::extensions::{Extended, Extensions};

const PARENT: u64 = 5;
const NEW: u64 = 9;

fn name() -> Name<'static> {
    Name::new(b"new").expect("a good name")
}

fn symlink(target: &[u8]) -> SymLink<'_> {
    SymLink { parent: node(PARENT), name: name(), target }
}

fn mknod(mode: u32) -> MkNod<'static> {
    MkNod { parent: node(PARENT), name: name(), mode, device: 0x0103, umask: 0o022 }
}

fn mkdir(mode: u32) -> MkDir<'static> {
    MkDir { parent: node(PARENT), name: name(), mode, umask: 0o022 }
}

fn link() -> Link<'static> {
    Link { node: node(NEW), parent: node(PARENT), name: name() }
}

fn create(flags: OpenFlags) -> Create<'static> {
    Create { parent: node(PARENT), name: name(), mode: 0o644, umask: 0o022, flags, set_ids: SetIds::Keep }
}

fn tmpfile(flags: OpenFlags) -> TmpFile {
    TmpFile { parent: node(PARENT), mode: 0o644, umask: 0o022, flags, set_ids: SetIds::Keep }
}

fn created(entry: WireEntry) -> WireCreated {
    let opened = WireOpened { handle: U64::new(77), flags: U32::new(0x80 | 2), backing_id: U32::new(1) };
    WireCreated { entry, opened }
}

/// What each of the operations makes of an entry: the node that it accepts, or its error.
fn verdicts(entry: WireEntry) -> [(Opcode, FileType, Result<NodeId, ReplyError>); 6] {
    let one = reply(0, entry.as_bytes());
    let both = reply(0, created(entry).as_bytes());
    let flags = OpenFlags::READ_WRITE;
    let node = |made: Entry| made.node;
    [
        (Opcode::SymLink, FileType::SymLink, symlink(b"t").decode(UNIQUE, &one).map(node)),
        (Opcode::MkNod, FileType::Fifo, mknod(0o010_600).decode(UNIQUE, &one).map(node)),
        (Opcode::MkDir, FileType::Directory, mkdir(0o755).decode(UNIQUE, &one).map(node)),
        (Opcode::Link, FileType::Regular, link().decode(UNIQUE, &one).map(node)),
        (Opcode::Create, FileType::Regular, create(flags).decode(UNIQUE, &both).map(|made| made.entry.node)),
        (Opcode::TmpFile, FileType::Regular, tmpfile(flags).decode(UNIQUE, &both).map(|made| made.entry.node)),
    ]
}

/// The verdict of each operation on an entry of its own kind, spoiled.
fn spoiled(spoil: impl Fn(&mut WireEntry)) -> Vec<(Opcode, Result<NodeId, ReplyError>)> {
    FileType::ALL
        .into_iter()
        .flat_map(|kind| {
            let mut entry = wire_entry(NEW, kind);
            spoil(&mut entry);
            verdicts(entry).into_iter().filter(move |(_, theirs, _)| *theirs == kind)
        })
        .map(|(opcode, _, verdict)| (opcode, verdict))
        .collect()
}

/// Whether a reply to the operation opens something besides.
fn opens(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Create | Opcode::TmpFile)
}

/// The error that names what is owed: the node, and the handle where there is one.
fn owing(opcode: Opcode, defect: Defect, named: Option<NodeId>, forget: Option<NodeId>) -> ReplyError {
    let release = named.filter(|_| opens(opcode)).map(|node| (node, FileHandle(77)));
    ReplyError::Malformed { defect, forget, release }
}

#[test]
fn fu_sem_1_a_new_object_is_one_reference() {
    let good = spoiled(|_| ());
    assert_eq!(good.len(), 6);
    for (opcode, verdict) in good {
        assert_eq!(verdict, Ok(node(NEW)), "{opcode}");
    }
}

#[test]
fn hd_fs_12_no_node_is_malformed_and_owes_nothing() {
    for (opcode, verdict) in spoiled(|entry| entry.node = U64::ZERO) {
        assert_eq!(verdict, Err(owing(opcode, Defect::NoNode, None, None)), "{opcode}");
    }
}

#[test]
fn hd_fs_13_the_root_is_malformed_and_not_forgotten_but_its_handle_is_released() {
    for (opcode, verdict) in spoiled(|entry| entry.node = U64::new(1)) {
        assert_eq!(verdict, Err(owing(opcode, Defect::RootNode, Some(NodeId::ROOT), None)), "{opcode}");
    }
}

#[test]
fn hd_fs_14_the_parent_is_malformed_and_forgotten() {
    let parent = Some(node(PARENT));
    for (opcode, verdict) in spoiled(|entry| entry.node = U64::new(PARENT)) {
        assert_eq!(verdict, Err(owing(opcode, Defect::ParentNode, parent, parent)), "{opcode}");
    }
}

#[test]
fn hd_fs_16_a_link_is_to_the_node_that_was_linked() {
    let other = reply(0, wire_entry(NEW + 1, FileType::Regular).as_bytes());
    let expected = ReplyError::owing(Defect::OtherNode, Some(node(NEW + 1)));
    assert_eq!(link().decode(UNIQUE, &other), Err(expected));
}

#[test]
fn hd_fs_17_fu_rv_8_another_kind_than_was_asked_for_is_malformed_and_forgotten() {
    let new = Some(node(NEW));
    for kind in FileType::ALL {
        for (opcode, asked, verdict) in verdicts(wire_entry(NEW, kind)) {
            // A link may be to anything but a directory.
            let good = if opcode == Opcode::Link { kind != FileType::Directory } else { kind == asked };
            let expected = if good { Ok(node(NEW)) } else { Err(owing(opcode, Defect::FileType, new, new)) };
            assert_eq!(verdict, expected, "{opcode} {kind:?}");
        }
    }
    for (opcode, verdict) in spoiled(|entry| entry.attributes.mode = U32::new(0o644)) {
        assert_eq!(verdict, Err(owing(opcode, Defect::FileType, new, new)), "{opcode}");
    }
}

#[test]
fn hd_fs_18_impossible_sizes_are_malformed_and_forgotten() {
    let new = Some(node(NEW));
    for (opcode, verdict) in spoiled(|entry| entry.attributes.size = U64::new(1 << 63)) {
        assert_eq!(verdict, Err(owing(opcode, Defect::Size, new, new)), "{opcode}");
    }
}

#[test]
fn hd_fs_18_only_a_temporary_file_has_no_name() {
    let new = Some(node(NEW));
    for (opcode, verdict) in spoiled(|entry| entry.attributes.links = U32::ZERO) {
        let nameless = opcode == Opcode::TmpFile;
        let expected = if nameless { Ok(node(NEW)) } else { Err(owing(opcode, Defect::LinkCount, new, new)) };
        assert_eq!(verdict, expected, "{opcode}");
    }
}

#[test]
fn fu_rv_5_a_reply_to_create_is_an_entry_and_a_handle() {
    let wire = created(wire_entry(NEW, FileType::Regular));
    let create = create(OpenFlags::default());
    assert_eq!(create.reply_capacity(), 16 + 144);
    let bytes = reply(0, wire.as_bytes());
    let made = create.decode(UNIQUE, &bytes).expect("good");
    assert_eq!(made.opened.handle, Some(FileHandle(77)));
    assert_eq!(made.opened.flags, OpenedFlags::KEEP_CACHE, "unknown ones are dropped (HD-FS-41)");
    for short in [0, 16, 128, 143] {
        let bytes = reply(0, &wire.as_bytes()[..short]);
        assert_eq!(create.decode(UNIQUE, &bytes), Err(Defect::PayloadLength.into()), "{short}");
    }
    let long = reply(0, &[wire.as_bytes(), &[0]].concat());
    assert_eq!(create.decode(UNIQUE, &long), Err(Defect::Overlong.into()));
}

#[test]
fn create_passes_on_what_belongs_to_it_and_nothing_else() {
    let all = OpenFlags::all();
    let sent = create(all).sent_flags();
    assert_eq!(all.difference(sent), OpenFlags::NO_CONTROLLING_TERMINAL | OpenFlags::NAMELESS);
    assert_eq!(create(OpenFlags::default()).sent_flags(), OpenFlags::CREATE);
    let handle = sent.of_handle();
    assert_eq!(sent.difference(handle), OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE);
}

#[test]
fn a_temporary_file_is_nameless_and_nothing_is_truncated() {
    let sent = tmpfile(OpenFlags::all()).sent_flags();
    let never = OpenFlags::CREATE | OpenFlags::NO_CONTROLLING_TERMINAL | OpenFlags::TRUNCATE;
    assert_eq!(OpenFlags::all().difference(sent), never);
    let least = tmpfile(OpenFlags::default()).sent_flags();
    assert_eq!(least.bits(), 0o20_200_000, "O_TMPFILE is two bits");
}

#[test]
fn modes_are_of_the_kind_that_is_made() {
    assert_eq!(body(&mkdir(0o041_755))[..4], 0o1755u32.to_le_bytes());
    assert_eq!(body(&mknod(0o644))[..4], 0o100_644u32.to_le_bytes());
    assert_eq!(body(&mknod(0o100_644))[4..8], [0; 4], "no device");
    assert_eq!(body(&mknod(0o020_644))[4..8], [3, 1, 0, 0]);
    for mode in [0o100_755, 0o200_755, u32::MAX] {
        assert_eq!(encode_error(&mkdir(mode)), EncodeError::Mode, "{mode:o}");
    }
    for mode in [0o040_755, 0o120_777, 0o030_644, 0o200_644, 0o1_100_644] {
        assert_eq!(encode_error(&mknod(mode)), EncodeError::Mode, "{mode:o}");
    }
    let directory = Create { mode: 0o040_644, ..create(OpenFlags::default()) };
    assert_eq!(encode_error(&directory), EncodeError::Mode);
    let directory = TmpFile { mode: 0o040_644, ..tmpfile(OpenFlags::default()) };
    assert_eq!(encode_error(&directory), EncodeError::Mode);
}

#[test]
fn masks_are_of_permissions() {
    for umask in [0o1000, 0o1022, u32::MAX] {
        assert_eq!(encode_error(&MkDir { umask, ..mkdir(0o755) }), EncodeError::Mode);
        assert_eq!(encode_error(&MkNod { umask, ..mknod(0o644) }), EncodeError::Mode);
        assert_eq!(encode_error(&Create { umask, ..create(OpenFlags::default()) }), EncodeError::Mode);
        assert_eq!(encode_error(&TmpFile { umask, ..tmpfile(OpenFlags::default()) }), EncodeError::Mode);
    }
    assert_eq!(body(&MkDir { umask: 0o777, ..mkdir(0o755) })[4..8], 0o777u32.to_le_bytes());
}

#[test]
fn a_target_is_one_to_4095_bytes_without_nul() {
    for bad in [&b""[..], b"a\0b", b"\0", &[b'x'; 4096]] {
        assert_eq!(encode_error(&symlink(bad)), EncodeError::LinkTarget);
    }
    let longest = [b'x'; 4095];
    assert_eq!(symlink(&longest).request_len(), Ok(40 + 4 + 4096));
}

#[test]
fn an_extended_operation_is_itself_in_all_else() {
    let plain = mkdir(0o755);
    let extended = Extended { operation: plain, extensions: Extensions::NONE };
    assert_eq!(body(&extended), body(&plain));
    assert_eq!(encode(&extended).0.extension_len.get(), 0);
    assert_eq!(extended.node(), plain.node());
    let bytes = reply(0, wire_entry(PARENT, FileType::Directory).as_bytes());
    assert_eq!(extended.decode(UNIQUE, &bytes), plain.decode(UNIQUE, &bytes));
    assert_eq!(extended.reply_capacity(), plain.reply_capacity());
}

fn set_ids() -> impl Strategy<Value = SetIds> {
    prop::sample::select(vec![SetIds::Keep, SetIds::Remove])
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_creates_reads_back_as_it_was_written(
        parent in any_node(),
        bytes in super::name(),
        mode in 0u32..=0o7777,
        umask in 0u32..=0o777,
        flags: u32,
        device: u32,
        set_ids in set_ids(),
    ) {
        let name = Name::new(&bytes).expect("filtered");
        let named = |rest: &[u8]| rest.split_last().map(|(nul, name)| (*nul, name.to_vec())) == Some((0, bytes.clone()));

        let flags = OpenFlags::from_bits_truncate(flags);
        let create = Create { parent, name, mode, umask, flags, set_ids };
        let (header, body) = encode(&create);
        let (wire, rest) = WireCreate::read_from_prefix(&body).expect("16 bytes");
        prop_assert_eq!(header.node.get(), parent.get());
        prop_assert_eq!(wire.flags.get(), create.sent_flags().bits());
        prop_assert_eq!((wire.mode.get(), wire.umask.get()), (0o100_000 | mode, umask));
        prop_assert_eq!(wire.open_flags.get() == 1, set_ids == SetIds::Remove);
        prop_assert!(named(rest));

        let (header, body) = encode(&MkNod { parent, name, mode: 0o060_000 | mode, device, umask });
        let (wire, rest) = WireMkNod::read_from_prefix(&body).expect("16 bytes");
        prop_assert_eq!(header.node.get(), parent.get());
        prop_assert_eq!((wire.mode.get(), wire.umask.get()), (0o060_000 | mode, umask));
        prop_assert_eq!((wire.device.get(), wire.padding.get()), (device, 0));
        prop_assert!(named(rest));

        let (_, body) = encode(&MkDir { parent, name, mode, umask });
        let (wire, rest) = WireMkDir::read_from_prefix(&body).expect("8 bytes");
        prop_assert_eq!((wire.mode.get(), wire.umask.get()), (mode, umask));
        prop_assert!(named(rest));

        let (header, body) = encode(&Link { node: node(NEW), parent, name });
        let (wire, rest) = WireLink::read_from_prefix(&body).expect("8 bytes");
        prop_assert_eq!((header.node.get(), wire.node.get()), (parent.get(), NEW));
        prop_assert!(named(rest));

        // The name first, and then the target (here another name will do).
        let (_, body) = encode(&SymLink { parent, name, target: &bytes });
        prop_assert!(named(&body[..=bytes.len()]) && named(&body[bytes.len() + 1..]));
    }

    #[test]
    fn a_created_file_reads_back_as_it_was_written(mut entry in entry(), handle: u64, flags in 0u32..=0x7f) {
        entry.attributes.file_type = FileType::Regular;
        let flags = OpenedFlags::from_bits_truncate(flags);
        let opened = WireOpened { handle: U64::new(handle), flags: U32::new(flags.bits()), backing_id: U32::ZERO };
        let bytes = reply(0, WireCreated { entry: entry.to_wire(), opened }.as_bytes());
        let create = Create { parent: NodeId::ROOT, ..create(OpenFlags::default()) };
        let expected = Created { entry, opened: Opened { handle: Some(FileHandle(handle)), flags } };
        prop_assert_eq!(create.decode(UNIQUE, &bytes), Ok(expected));
    }

    #[test]
    fn fu_rv_8_whatever_comes_back_every_node_is_used_or_owed(
        mut payload in prop::collection::vec(any::<u8>(), 144),
        kind in prop::sample::select(&FileType::ALL[..]),
        small in 0u64..8,
        plausible: bool,
    ) {
        if plausible {
            payload[..128].copy_from_slice(wire_entry(small, kind).as_bytes());
        }
        let raw = u64::from_le_bytes(payload[..8].try_into().expect("8 bytes"));
        let wire = WireEntry::read_from_bytes(&payload[..128]).expect("128 bytes");
        for (opcode, _, verdict) in verdicts(wire) {
            match verdict {
                Ok(node) => prop_assert_eq!(node.get(), raw),
                Err(error) => {
                    prop_assert_eq!(error.forget(), NodeId::new(raw).filter(|node| !node.is_root()), "{}", opcode);
                    prop_assert_eq!(error.release().is_some(), opens(opcode) && raw != 0, "{}", opcode);
                }
            }
        }
    }
}
