//! Every operation, and what a good reply to it means, as far as the protocol bounds it.

use fuse_proto::ops::*;
use fuse_proto::{
    AttributeFlags, DirOffset, Entry, Extended, Extensions, FileHandle, FileType, NodeId, Operation, Session,
};

use super::reading::number;
use super::{Owes, Table};

impl Table<'_> {
    #[expect(clippy::too_many_lines, reason = "one arm for each operation, and nothing else")]
    pub(super) fn any_operation(&mut self) {
        match self.script.below(49) {
            0 => {
                let lookup = Lookup { parent: self.node(), name: self.name() };
                self.exchange(&lookup, Owes::Entry, |lookup, reply, payload| match reply {
                    LookupReply::Found(entry) => found(&entry, lookup.parent, payload),
                    LookupReply::Negative { .. } => assert_eq!(payload[..8], [0; 8], "there was a node"),
                });
            }
            1 => {
                let (node, handle, expected) = (self.node(), self.handle(), self.kind());
                let getattr = GetAttr { node, handle: Some(handle), expected };
                self.exchange(&getattr, Owes::Nothing, |getattr, reply, _| {
                    attributes(&reply.attributes, getattr.expected);
                });
            }
            2 => {
                let changes = AttributeChanges {
                    handle: Some(self.handle()),
                    mode: (self.script.byte() & 1 == 1).then(|| self.script.word().into()),
                    uid: Some(self.script.long()),
                    gid: None,
                    size: Some(self.number()),
                    accessed: self.time(),
                    modified: self.time(),
                    changed: None,
                    lock_owner: self.owner(),
                    set_ids: self.set_ids(),
                };
                let setattr = SetAttr { node: self.node(), expected: self.kind(), changes };
                self.exchange(&setattr, Owes::Nothing, |setattr, reply, _| {
                    attributes(&reply.attributes, setattr.expected);
                });
            }
            3 => {
                let readlink = ReadLink { node: self.node() };
                self.exchange(&readlink, Owes::Nothing, |_, target, payload| {
                    assert!(target == payload && (1..=MAX_TARGET_LEN).contains(&target.len()) && !target.contains(&0));
                });
            }
            4 => {
                let link = SymLink { parent: self.node(), name: self.name(), target: self.bytes() };
                self.exchange(&link, Owes::Entry, |link, entry, payload| {
                    made(&entry, link.parent, FileType::SymLink, payload);
                });
            }
            5 => {
                let mode = u32::from(self.script.word());
                let make = MkNod { parent: self.node(), name: self.name(), mode, device: 0x0103, umask: 0o022 };
                self.exchange(&make, Owes::Entry, |make, entry, payload| {
                    made(&entry, make.parent, FileType::from_mode(make.mode).unwrap_or(FileType::Regular), payload);
                });
            }
            6 => {
                let (parent, name, mode) = (self.node(), self.name(), self.script.word().into());
                let make = MkDir { parent, name, mode, umask: self.script.word().into() };
                self.exchange(&make, Owes::Entry, |make, entry, payload| {
                    made(&entry, make.parent, FileType::Directory, payload);
                });
            }
            7 => {
                let unlink = Unlink { parent: self.node(), name: self.name() };
                self.exchange(&unlink, Owes::Nothing, |_, (), _| ());
            }
            8 => {
                let remove = RmDir { parent: self.node(), name: self.name() };
                self.exchange(&remove, Owes::Nothing, |_, (), _| ());
            }
            9 => {
                let (parent, name) = (self.node(), self.name());
                let rename = Rename { parent, name, new_parent: self.node(), new_name: self.name() };
                self.exchange(&rename, Owes::Nothing, |_, (), _| ());
            }
            10 => {
                let flags = RenameFlags::from_bits_retain(self.script.byte().into());
                let (parent, name) = (self.node(), self.name());
                let rename = Rename2 { parent, name, new_parent: self.node(), new_name: self.name(), flags };
                self.exchange(&rename, Owes::Nothing, |_, (), _| ());
            }
            11 => {
                let link = Link { node: self.node(), parent: self.node(), name: self.name() };
                self.exchange(&link, Owes::Entry, |link, entry, payload| {
                    found(&entry, link.parent, payload);
                    assert_eq!(entry.node, link.node, "another object");
                });
            }
            12 => {
                let session = any_session(self.script.byte());
                let open = Open::new(self.node(), self.flags(), &session);
                self.exchange(&open, Owes::Nothing, |_, opened, payload| is_opened(&opened, payload));
            }
            13 => {
                let open = OpenDir::new(self.node());
                self.exchange(&open, Owes::Nothing, |_, opened, payload| is_opened(&opened, payload));
            }
            14 => {
                let (node, handle, offset) = (self.node(), self.handle(), self.number());
                let read = Read { node, handle, offset, size: self.script.word().into(), flags: self.flags() };
                self.exchange(&read, Owes::Nothing, |_, data, payload| assert_eq!(data, payload));
            }
            15 => {
                let write = Write {
                    node: self.node(),
                    handle: self.handle(),
                    offset: self.number(),
                    size: self.script.long(),
                    open_flags: self.flags(),
                    flags: WriteFlags::from_bits_truncate(self.script.byte().into()),
                    lock_owner: self.owner(),
                };
                self.exchange(&write, Owes::Nothing, |write, written, _| {
                    assert!(written <= write.size && (written != 0 || write.size == 0), "{written}");
                });
            }
            16 => {
                let statfs = StatFs { node: self.node() };
                self.exchange(&statfs, Owes::Nothing, |_, status, _| {
                    assert!(status.block_size != 0 && status.fragment_size != 0);
                });
            }
            17 => {
                let release = Release {
                    node: self.node(),
                    handle: self.handle(),
                    flags: self.flags(),
                    ends: ReleaseFlags::from_bits_truncate(self.script.byte().into()),
                    lock_owner: self.owner(),
                };
                self.exchange(&release, Owes::Nothing, |_, (), _| ());
            }
            18 => {
                let release = ReleaseDir { node: self.node(), handle: self.handle() };
                self.exchange(&release, Owes::Nothing, |_, (), _| ());
            }
            19 => {
                let sync = FSync { node: self.node(), handle: self.handle(), what: SyncWhat::Data };
                self.exchange(&sync, Owes::Nothing, |_, (), _| ());
            }
            20 => {
                let sync = FSyncDir { node: self.node(), handle: self.handle(), what: SyncWhat::All };
                self.exchange(&sync, Owes::Nothing, |_, (), _| ());
            }
            21 => {
                let (node, handle) = (self.node(), self.handle());
                let flush = Flush { node, handle, lock_owner: self.owner().unwrap_or_default() };
                self.exchange(&flush, Owes::Nothing, |_, (), _| ());
            }
            22 => {
                let form = match self.script.below(2) {
                    0 => SetXattrForm::Short,
                    _ => SetXattrForm::Extended(SetXattrFlags::from_bits_truncate(self.script.byte().into())),
                };
                let (node, name, mode) = (self.node(), self.xattr_name(), XattrMode::Replace);
                let set = SetXattr { node, name, value: self.bytes(), mode, form };
                self.exchange(&set, Owes::Nothing, |_, (), _| ());
            }
            23 => {
                let get = GetXattr { node: self.node(), name: self.xattr_name(), capacity: self.script.word().into() };
                self.exchange(&get, Owes::Nothing, |_, value, payload| assert_eq!(value, payload));
            }
            24 => {
                let get = GetXattrLen { node: self.node(), name: self.xattr_name() };
                self.exchange(&get, Owes::Nothing, |_, len, payload| {
                    assert_eq!(u64::from(len), number(payload, 0, 4).min(65536));
                });
            }
            25 => {
                let list = ListXattr { node: self.node(), capacity: self.script.word().into() };
                self.exchange(&list, Owes::Nothing, |_, names, payload| {
                    assert!(names.clone().all(|name| (1..=255).contains(&name.as_bytes().len())));
                    let again: Vec<u8> = names.flat_map(|name| [name.as_bytes(), &[0]].concat()).collect();
                    assert_eq!(again, payload);
                });
            }
            26 => {
                let list = ListXattrLen { node: self.node() };
                self.exchange(&list, Owes::Nothing, |_, len, _| assert!(len <= 65536));
            }
            27 => {
                let remove = RemoveXattr { node: self.node(), name: self.xattr_name() };
                self.exchange(&remove, Owes::Nothing, |_, (), _| ());
            }
            28 => {
                let (node, handle, offset) = (self.node(), self.handle(), DirOffset(self.number()));
                let list = ReadDir { node, handle, offset, size: 4096 };
                self.exchange(&list, Owes::Nothing, |_, entries, payload| {
                    assert!(entries.count() <= payload.len() / 24 + 1);
                });
            }
            29 => {
                let (node, handle, offset) = (self.node(), self.handle(), DirOffset(self.number()));
                let list = ReadDirPlus { node, handle, offset, size: 4096 };
                self.exchange(&list, Owes::Nothing, |_, entries, payload| {
                    assert!(entries.count() <= payload.len() / 152 + 1);
                });
            }
            30 => {
                let owner = self.owner().unwrap_or_default();
                let ask = GetLk { node: self.node(), handle: self.handle(), owner, lock: self.lock() };
                self.exchange(&ask, Owes::Nothing, |_, lock, payload| match lock {
                    Some(lock) => {
                        assert!(lock.start <= lock.end && lock.end <= FileLock::TO_THE_END);
                        assert_eq!(u64::from(lock.kind == LockKind::Write), number(payload, 16, 4));
                    }
                    None => assert_eq!(number(payload, 16, 4), 2),
                });
            }
            31 => {
                let (owner, style) = (self.owner().unwrap_or_default(), self.style());
                let take = SetLk { node: self.node(), handle: self.handle(), owner, lock: self.lock(), style };
                self.exchange(&take, Owes::Nothing, |_, (), _| ());
            }
            32 => {
                let (owner, style) = (self.owner().unwrap_or_default(), self.style());
                let take = SetLkW { node: self.node(), handle: self.handle(), owner, lock: self.lock(), style };
                self.exchange(&take, Owes::Nothing, |_, (), _| ());
            }
            33 => {
                let mask = AccessMask::from_bits_truncate(self.script.byte().into());
                let access = Access { node: self.node(), mask };
                self.exchange(&access, Owes::Nothing, |_, (), _| ());
            }
            34 => {
                let create = Create {
                    parent: self.node(),
                    name: self.name(),
                    mode: self.script.word().into(),
                    umask: 0o022,
                    flags: self.flags(),
                    set_ids: self.set_ids(),
                };
                self.exchange(&create, Owes::Created, |create, created, payload| {
                    made(&created.entry, create.parent, FileType::Regular, payload);
                    is_opened(&created.opened, &payload[128..]);
                });
            }
            35 => {
                let (parent, flags, set_ids) = (self.node(), self.flags(), self.set_ids());
                let create = TmpFile { parent, mode: 0o600, umask: 0, flags, set_ids };
                self.exchange(&create, Owes::Created, |_, created, payload| {
                    assert_eq!(created.entry.attributes.file_type, FileType::Regular);
                    is_opened(&created.opened, &payload[128..]);
                });
            }
            36 => {
                let groups: Vec<u32> = self.bytes().iter().map(|&group| group.into()).collect();
                let operation = MkDir { parent: self.node(), name: self.name(), mode: 0o755, umask: 0 };
                let extensions = Extensions { groups: &groups, ..Extensions::NONE };
                let make = Extended { operation, extensions };
                self.exchange(&make, Owes::Entry, |make, entry, payload| {
                    made(&entry, make.operation.parent, FileType::Directory, payload);
                });
            }
            37 => {
                let (node, block) = (self.node(), self.number());
                self.exchange(&Bmap { node, block, block_size: 512 }, Owes::Nothing, |_, block, payload| {
                    assert_eq!(block.unwrap_or(0), number(payload, 0, 8));
                });
            }
            38 => {
                self.exchange(&Destroy, Owes::Nothing, |_, (), _| ());
            }
            39 => {
                let (node, handle, input) = (self.node(), self.handle(), self.bytes());
                let output_capacity = self.script.word().into();
                let target = IoctlTarget::Directory;
                let ioctl = Ioctl { node, handle, target, command: 7, argument: 8, input, output_capacity };
                self.exchange(&ioctl, Owes::Nothing, |_, reply, payload| match reply {
                    IoctlReply::Done { output, .. } => {
                        assert_eq!(output, &payload[16..]);
                        assert_eq!(number(payload, 4, 4) & 4, 0, "it was to be tried again");
                    }
                    IoctlReply::Retry { inputs, outputs } => {
                        assert!(inputs.len() + outputs.len() <= 256);
                        assert_eq!(
                            (inputs.len() as u64, outputs.len() as u64),
                            (number(payload, 8, 4), number(payload, 12, 4))
                        );
                    }
                });
            }
            40 => {
                let events = PollEvents::from_bits_truncate(self.script.word().into());
                let (node, handle) = (self.node(), self.handle());
                let poll = Poll { node, handle, events, wake_up: Some(WakeUp(self.number())) };
                self.exchange(&poll, Owes::Nothing, |poll, events, _| {
                    let always = PollEvents::ERROR | PollEvents::HANG_UP | PollEvents::INVALID;
                    assert!((poll.events | always).contains(events));
                });
            }
            41 => {
                let mode = AllocateMode::from_bits_retain(self.script.byte().into());
                let (node, handle) = (self.node(), self.handle());
                let allocate = FAllocate { node, handle, offset: self.number(), length: self.number(), mode };
                self.exchange(&allocate, Owes::Nothing, |_, (), _| ());
            }
            42 => {
                let what = if self.script.byte() & 1 == 0 { SeekWhat::Data } else { SeekWhat::Hole };
                let seek = LSeek { node: self.node(), handle: self.handle(), offset: self.number(), what };
                self.exchange(&seek, Owes::Nothing, |seek, found, _| {
                    assert!(found >= seek.offset && found <= i64::MAX.unsigned_abs());
                });
            }
            43 => {
                let (node, handle, offset) = (self.node(), self.handle(), self.number());
                let (to_node, to_handle, to_offset) = (self.node(), self.handle(), self.number());
                let copy = CopyFileRange { node, handle, offset, to_node, to_handle, to_offset, length: self.number() };
                self.exchange(&copy, Owes::Nothing, |copy, copied, _| assert!(u64::from(copied) <= copy.length));
            }
            44 => {
                let (node, handle, offset) = (self.node(), self.handle(), self.number());
                let (to_node, to_handle, to_offset) = (self.node(), self.handle(), self.number());
                let copy =
                    CopyFileRange64 { node, handle, offset, to_node, to_handle, to_offset, length: self.number() };
                self.exchange(&copy, Owes::Nothing, |copy, copied, _| assert!(copied <= copy.length));
            }
            45 => {
                let (node, handle) = (self.node(), Some(self.handle()));
                let (file_offset, length, window_offset) = (self.number(), self.number(), self.number());
                let flags = MappingFlags::READ;
                let map = SetupMapping { node, handle, file_offset, length, flags, window_offset };
                self.exchange(&map, Owes::Nothing, |_, (), _| ());
            }
            46 => {
                let ranges: Vec<_> = (0..self.script.below(5))
                    .map(|_| WindowRange { offset: self.number(), length: self.number() })
                    .collect();
                let remove = RemoveMapping { node: self.node(), ranges: &ranges };
                self.exchange(&remove, Owes::Nothing, |_, (), _| ());
            }
            47 => {
                let sync = SyncFs { node: self.node() };
                self.exchange(&sync, Owes::Nothing, |_, (), _| ());
            }
            _ => {
                let (node, expected) = (self.node(), self.kind());
                let mask = StatxMask::from_bits_truncate(self.script.word().into());
                let flags = StatxFlags::from_bits_truncate(self.script.word().into());
                let statx = StatX { node, handle: None, expected, flags, mask };
                self.exchange(&statx, Owes::Nothing, |statx, reply, payload| {
                    assert!(statx.expected.is_none_or(|kind| kind == reply.file_type));
                    let given = number(payload, 32, 4) & u64::from(statx.mask.bits());
                    assert_eq!(number(payload, 32, 4) & 1, 1, "a kind that was not given");
                    let attributes_that_can_be = number(payload, 40, 8) & number(payload, 88, 8);
                    assert_eq!(reply.attributes.bits() & !attributes_that_can_be, 0);
                    assert_eq!(reply.size.is_some(), given & 0x200 != 0);
                    assert_eq!(reply.born.is_some(), given & 0x800 != 0);
                    if let Some(reply) = reply.to_attributes() {
                        assert_eq!(given & 0x7fe, 0x7fe);
                        attributes(&reply.attributes, statx.expected);
                    }
                });
            }
        }
    }
}

/// An entry that a client may keep.
fn found(entry: &Entry, parent: NodeId, payload: &[u8]) {
    assert_eq!((entry.node.get(), entry.generation.0), (number(payload, 0, 8), number(payload, 8, 8)));
    assert!(!entry.node.is_root() && entry.node != parent && entry.attributes.links != 0);
    attributes(&entry.attributes, None);
}

/// The same for one that was made.
fn made(entry: &Entry, parent: NodeId, kind: FileType, payload: &[u8]) {
    found(entry, parent, payload);
    assert_eq!(entry.attributes.file_type, kind);
}

fn attributes(attributes: &fuse_proto::Attributes, expected: Option<FileType>) {
    assert!(expected.is_none_or(|kind| kind == attributes.file_type));
    assert!(attributes.size <= i64::MAX.unsigned_abs() && attributes.blocks <= i64::MAX.unsigned_abs() / 512);
    let times = [attributes.accessed, attributes.modified, attributes.changed];
    assert!(times.iter().all(|time| time.nanoseconds < 1_000_000_000));
    assert!(attributes.permissions <= 0o7777 && attributes.block_size != 0);
    assert!(AttributeFlags::all().contains(attributes.flags));
}

fn is_opened(opened: &Opened, payload: &[u8]) {
    assert_eq!(opened.handle, Some(FileHandle(number(payload, 0, 8))));
    assert!(OpenedFlags::all().contains(opened.flags));
}

/// A session with a server that agrees to everything, or to nothing.
fn any_session(which: u8) -> Session {
    let mut reply = [0; 64];
    reply[0] = 7;
    reply[4] = 38;
    reply[12..16].copy_from_slice(&[if which & 1 == 0 { 0xff } else { 0 }; 4]);
    Init::new(1 << 20).parse(&reply).expect("a good reply")
}
