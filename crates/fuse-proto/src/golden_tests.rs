//! FU-T-2: what Linux sends for a thing is, to the byte, what this crate sends for it.
//!
//! `golden/linux.txt` is what a kernel sent to a server on `/dev/fuse`, captured by the script beside it: one request
//! per line, with its name. The test goes through the same steps as the script and asks for the next line of each
//! operation. Number, user, group and process are taken from the line, and so are the two values that a kernel makes
//! up, lock owners and the times of its clock; everything else is written down here.

use std::collections::{BTreeMap, VecDeque};
use std::string::String;
use std::vec;
use std::vec::Vec;

use zerocopy::{FromBytes, IntoBytes};

use crate::attr::Timestamp;
use crate::extensions::{Creates, Extended, Extensions};
use crate::file_type::FileType;
use crate::header::{Caller, REQUEST_HEADER_LEN, RequestHeader, Unique};
use crate::id::{DirOffset, FileHandle, LockOwner, NodeId};
use crate::init::{Init, InitFlags, WireInit};
use crate::name::Name;
use crate::operation::Request;
use crate::ops::*;
use crate::testing::{node, session};

const ROOT: NodeId = NodeId::ROOT;

/// Operations in the capture that this crate does not encode.
const NOT_HERE: &[&str] = &[
    "ACCESS",
    "COPY_FILE_RANGE_64",
    "GETLK",
    "GETXATTR",
    "LISTXATTR",
    "LSEEK",
    "REMOVEXATTR",
    "SETLK",
    "SETLKW",
    "SETXATTR",
];

/// The lines of the capture that nobody has asked for yet.
struct Golden(BTreeMap<String, VecDeque<Vec<u8>>>);

impl Golden {
    fn read() -> Self {
        let mut lines: BTreeMap<String, VecDeque<Vec<u8>>> = BTreeMap::new();
        for line in include_str!("../golden/linux.txt").lines().filter(|line| !line.starts_with('#')) {
            let (name, digits) = line.split_once(' ').expect("a name and digits");
            let digit = |digit: u8| char::from(digit).to_digit(16).expect("a digit");
            let byte = |pair: &[u8]| u8::try_from(digit(pair[0]) << 4 | digit(pair[1])).expect("two digits");
            let bytes = digits.as_bytes().chunks(2).map(byte).collect();
            lines.entry(name.into()).or_default().push_back(bytes);
        }
        Self(lines)
    }

    /// The next line of this operation.
    fn next(&mut self, name: &str) -> Vec<u8> {
        self.0.get_mut(name).and_then(VecDeque::pop_front).unwrap_or_else(|| panic!("no more {name}"))
    }

    /// Compares the next line of the operation with `request` and the data behind it.
    fn expect_with<R: Request>(&mut self, request: &R, data: &[u8]) {
        let line = self.next(R::OPCODE.name());
        assert_eq!(encode_like(request, data, &line), line, "{}", R::OPCODE);
    }

    fn expect<R: Request>(&mut self, request: &R) {
        self.expect_with(request, &[]);
    }

    /// The same for an operation with the extensions of the second mount.
    fn expect_extended<O: Creates>(&mut self, operation: O) {
        self.expect(&Extended { operation, extensions: Extensions { groups: &[8], security: Some(&[]) } });
    }

    /// The next FLUSH, of this handle. Returns its lock owner.
    fn expect_flush(&mut self, raw: u64) -> LockOwner {
        let line = self.0["FLUSH"].front().expect("a line");
        let wire = WireFlush::read_from_bytes(&line[REQUEST_HEADER_LEN..]).expect("24 bytes");
        let lock_owner = LockOwner(wire.lock_owner.get());
        self.expect(&Flush { node: node(raw), handle: handle(raw), lock_owner });
        lock_owner
    }
}

/// The request in the name of the caller who sent `line`, and with its number.
fn encode_like<R: Request>(request: &R, data: &[u8], line: &[u8]) -> Vec<u8> {
    let (header, _) = RequestHeader::read_from_prefix(line).expect("40 bytes at least");
    let caller = Caller { uid: header.uid.get(), gid: header.gid.get(), pid: header.pid.get() };
    let unique = Unique::new(header.unique.get()).expect("what Linux sends");
    let mut buffer = vec![0xff; request.request_len().expect("it can be encoded")];
    assert_eq!(request.encode(unique, caller, &mut buffer), Ok(buffer.len()));
    assert_eq!(request.data_len(), data.len());
    [&buffer, data].concat()
}

fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).expect("a good name")
}

/// The handle that the script's server gives out for a node.
fn handle(raw: u64) -> FileHandle {
    FileHandle(0x11_2233_4400 + raw)
}

#[test]
fn fu_t_2_requests_are_the_bytes_that_linux_sends() {
    use OpenFlags as Flags;
    let mut golden = Golden::read();
    let large = Flags::LARGE_FILE;
    let umask = 0o027;

    let init = golden.next("INIT");
    let (_, rest) = RequestHeader::read_from_prefix(&init).expect("40 bytes");
    let (wire, _) = WireInit::read_from_prefix(rest).expect("16 bytes");
    let ours = Init::new(1 << 20).offer(InitFlags::all()).with_readahead(wire.max_readahead.get());
    let ours = encode_like(&ours, &[], &init);
    assert_eq!(ours.len(), init.len());
    assert_eq!(ours[..52], init[..52], "all but the flags");
    assert_eq!(wire.flags.get() & !InitFlags::all().bits() as u32, 0b111 << 7, "all but splicing is known");
    golden.expect(&GetAttr { node: ROOT, handle: None, expected: None });
    golden.expect(&Lookup { parent: ROOT, name: name("directory") });

    golden.expect(&MkDir { parent: ROOT, name: name("directory"), mode: 0o1775 & !umask, umask });
    let new = MkNod { parent: ROOT, name: name("node"), mode: 0o640, device: 0, umask };
    golden.expect(&new);
    golden.expect(&SymLink { parent: ROOT, name: name("link"), target: b"target/of/it" });
    let flags = Flags::WRITE_ONLY | Flags::TRUNCATE | Flags::NO_CONTROLLING_TERMINAL | large;
    let create = Create { parent: ROOT, name: name("new"), mode: 0o640, umask, flags, set_ids: SetIds::Keep };
    golden.expect(&create);
    golden.expect_flush(5);
    golden.expect(&Release::new(node(5), handle(5), create.sent_flags().of_handle()));
    let flags = Flags::READ_WRITE | large;
    let nameless = TmpFile { parent: ROOT, mode: 0o640, umask, flags, set_ids: SetIds::Keep };
    golden.expect(&nameless);
    golden.expect_flush(6);
    golden.expect(&Release::new(node(6), handle(6), nameless.sent_flags().of_handle()));
    golden.expect(&Forget { node: node(6), lookups: 1 });

    golden.expect(&MkNod { name: name("pipe"), mode: 0o010_640, ..new });
    golden.expect(&MkNod { name: name("null"), mode: 0o020_640, device: 0x0010_0123, ..new });
    let flags = Flags::READ_WRITE | Flags::EXCLUSIVE | large;
    let create = Create { name: name("file"), mode: 0o4750, flags, ..create };
    golden.expect(&create);
    let (file, fh) = (node(9), handle(9));
    golden.expect(&Link { node: file, parent: ROOT, name: name("second") });
    let write = |offset, data: &[u8]| Write {
        node: file,
        handle: fh,
        offset,
        size: u32::try_from(data.len()).expect("small"),
        open_flags: create.sent_flags().of_handle(),
        flags: WriteFlags::empty(),
        lock_owner: None,
    };
    golden.expect_with(&write(0, b"hello, world"), b"hello, world");
    golden.expect_with(&write(0x1_2345_6789, b"far away"), b"far away");
    golden.expect(&FSync { node: file, handle: fh, what: SyncWhat::All });
    golden.expect(&FSync { node: file, handle: fh, what: SyncWhat::Data });

    let owner = golden.expect_flush(9);
    attributes(&mut golden, file, fh, owner);
    for (mode, offset, length) in [
        (AllocateMode::empty(), 4096, 8192),
        (AllocateMode::PUNCH_HOLE | AllocateMode::KEEP_SIZE, 100, 200),
        (AllocateMode::ZERO_RANGE | AllocateMode::KEEP_SIZE, 100, 200),
    ] {
        golden.expect(&FAllocate { node: file, handle: fh, offset, length, mode });
    }
    let line = golden.0["RELEASE"].front().expect("a line");
    let wire = WireRelease::read_from_bytes(&line[REQUEST_HEADER_LEN..]).expect("24 bytes");
    let whole_file = LockOwner(wire.lock_owner.get());
    golden.expect(&Release {
        ends: ReleaseFlags::UNLOCK_FILE,
        lock_owner: Some(whole_file),
        ..Release::new(file, fh, create.sent_flags().of_handle())
    });

    let session = session(InitFlags::ATOMIC_O_TRUNC);
    let open = Open::new(file, Flags::WRITE_ONLY | Flags::TRUNCATE | Flags::APPEND | large, &session);
    golden.expect(&open);
    let append = Write { open_flags: open.flags().of_handle(), ..write(0, b"appended") };
    golden.expect_with(&append, b"appended");
    golden.expect_flush(9);
    golden.expect(&Release::new(file, fh, open.flags().of_handle()));
    let open = Open::new(file, Flags::READ_WRITE | large, &session);
    golden.expect(&open);
    golden.expect(&Read { node: file, handle: fh, offset: 0, size: 4096, flags: open.flags() });
    golden.expect_flush(9);
    golden.expect(&Release::new(file, fh, open.flags()));

    names(&mut golden);
    as_user(&mut golden);

    for (operation, lines) in golden.0 {
        assert!(lines.is_empty() || NOT_HERE.contains(&&*operation), "{operation} is left: {lines:?}");
    }
}

/// The eight changes of attributes.
fn attributes(golden: &mut Golden, file: NodeId, handle: FileHandle, owner: LockOwner) {
    let none = AttributeChanges::default();
    let mut expect = |changes| {
        golden.expect(&SetAttr { node: file, expected: Some(FileType::Regular), changes });
    };
    let sized = |size| AttributeChanges { size: Some(size), lock_owner: Some(owner), ..none };
    expect(AttributeChanges { handle: Some(handle), ..sized(4711) });
    expect(sized(99));
    expect(AttributeChanges { mode: Some(0o102_640), ..none });
    let chown = AttributeChanges { gid: Some(100), set_ids: SetIds::Remove, ..none };
    expect(AttributeChanges { uid: Some(1000), ..chown });
    expect(AttributeChanges { gid: Some(101), ..chown });
    let time = |seconds, nanoseconds| Some(TimeChange::To(Timestamp { seconds, nanoseconds }));
    expect(AttributeChanges { accessed: time(1_600_000_000, 123_456_789), modified: time(-6, 999_999_999), ..none });

    // Linux says what time it is besides, and no server listens.
    let line = golden.next("SETATTR");
    let now = Some(TimeChange::Now);
    let ours =
        SetAttr { node: file, expected: None, changes: AttributeChanges { accessed: now, modified: now, ..none } };
    let (head, rest) = line.split_at(REQUEST_HEADER_LEN);
    let mut wire = WireSetAttr::read_from_bytes(rest).expect("88 bytes");
    wire.accessed = 0.into();
    wire.modified = 0.into();
    wire.accessed_nanos = 0.into();
    wire.modified_nanos = 0.into();
    assert_eq!(encode_like(&ours, &[], &line), [head, wire.as_bytes()].concat());
}

/// What is done with names, and in directories.
fn names(golden: &mut Golden) {
    let directory = node(2);
    golden.expect(&Rename { parent: ROOT, name: name("second"), new_parent: directory, new_name: name("third") });
    for (old, new, flags) in [
        ("node", "node2", RenameFlags::NO_REPLACE),
        ("node2", "file", RenameFlags::EXCHANGE),
        ("pipe", "pipe2", RenameFlags::WHITEOUT),
    ] {
        golden.expect(&Rename2 { parent: ROOT, name: name(old), new_parent: ROOT, new_name: name(new), flags });
    }
    // A directory is opened as a large file, too; this crate does not say so, and nobody minds.
    let line = golden.next("OPENDIR");
    let ours = encode_like(&OpenDir::new(directory), &[], &line);
    let large_file = OpenFlags::LARGE_FILE.bits();
    let wire = WireOpen::read_from_bytes(&line[REQUEST_HEADER_LEN..]).expect("8 bytes");
    assert_eq!(wire.flags.get(), OpenDir::new(directory).flags().bits() | large_file);
    assert_eq!(ours.len(), line.len());
    golden.expect(&FSyncDir { node: directory, handle: handle(2), what: SyncWhat::All });
    let line = golden.next("READDIR");
    let list = ReadDir { node: directory, handle: handle(2), offset: DirOffset::START, size: 1 << 15 };
    let ours = encode_like(&list, &[], &line);
    assert_eq!(ours[..72], line[..72], "all but the flags");
    let line = golden.next("RELEASEDIR");
    let ours = encode_like(&ReleaseDir { node: directory, handle: handle(2) }, &[], &line);
    assert_eq!(ours[..48], line[..48], "all but the flags");
    golden.expect(&ReadLink { node: node(4) });
    golden.expect(&StatFs { node: ROOT });
    golden.expect(&Unlink { parent: ROOT, name: name("link") });
    golden.expect(&RmDir { parent: ROOT, name: name("directory") });
}

/// What somebody does who must not keep set-id bits, and what is created with extensions.
fn as_user(golden: &mut Golden) {
    let umask = 0o027;
    let flags = OpenFlags::WRITE_ONLY | OpenFlags::TRUNCATE | OpenFlags::LARGE_FILE;
    let set_ids = SetIds::Remove;
    let mine = Create { parent: ROOT, name: name("mine"), mode: 0o640, umask, flags, set_ids };
    golden.expect(&mine);
    let write = Write {
        node: node(10),
        handle: handle(10),
        offset: 0,
        size: 4,
        open_flags: mine.sent_flags().of_handle(),
        flags: WriteFlags::REMOVE_SET_IDS,
        lock_owner: None,
    };
    golden.expect_with(&write, b"user");
    let owner = golden.expect_flush(10);
    let changes = AttributeChanges {
        handle: Some(handle(10)),
        size: Some(3),
        lock_owner: Some(owner),
        set_ids,
        ..AttributeChanges::default()
    };
    golden.expect(&SetAttr { node: node(10), expected: Some(FileType::Regular), changes });
    golden.expect(&Release::new(node(10), handle(10), mine.sent_flags().of_handle()));

    // The server applies the mask from here on, and knows of groups.
    golden.expect_extended(MkDir { parent: ROOT, name: name("directory"), mode: 0o1775, umask });
    golden.expect_extended(MkNod { parent: ROOT, name: name("node"), mode: 0o644, device: 0, umask });
    golden.expect_extended(SymLink { parent: ROOT, name: name("link"), target: b"target/of/it" });
    golden.expect_extended(Create { name: name("new"), mode: 0o666, ..mine });
    let flags = OpenFlags::READ_WRITE | OpenFlags::LARGE_FILE;
    golden.expect_extended(TmpFile { parent: ROOT, mode: 0o666, umask, flags, set_ids: SetIds::Keep });
}
