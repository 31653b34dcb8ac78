//! Target `fuse_replies`: any reply to any operation of FUSE.
//!
//! The input is a sequence of exchanges: which operation, its parameters, and the reply.
//!
//! | reply | meaning |
//! |---|---|
//! | byte 0, modulo 4 | 0: success with a right header; 1: an error, four bytes; 2: a header of any 16 bytes; 3: any length, four bytes |
//! | 2 bytes | length of the payload, 0 for that of the smallest good one |
//! | bytes | the payload, zeros where the input ends |
//!
//! Held, for each exchange, against a second reading of the protocol that shares nothing with the first:
//!
//! - A request is as long as was measured, its header says so, and one byte less is too small.
//! - What becomes of the header: which defect, which error, or which payload.
//! - What a good reply means, as far as the protocol bounds it.
//! - Debts: a refused reply that names a node leaves exactly that one to forget, never the root, and a refused CREATE its
//!   handle to release; everything else leaves nothing.
//! - Nothing behind the length in the header has any influence.

use std::fmt::Debug;

use fuse_proto::ops::*;
use fuse_proto::{
    AttributeFlags, Caller, Defect, DirOffset, EncodeError, Entry, Errno, Extended, Extensions, FileHandle, FileType,
    LockOwner, Name, NodeId, Operation, ReplyError, Request, Session, Timestamp, Unique, XattrName,
};

use crate::script::Script;

/// The most exchanges of one input.
const MOST_EXCHANGES: usize = 24;

const HEADER: usize = 16;

/// What a good reply can owe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owes {
    /// Nothing.
    Nothing,
    /// A reference: it begins with an entry.
    Entry,
    /// A reference and a handle: 128 bytes of entry, and then a handle.
    Created,
}

/// How the exchanges of an input ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Requests that could not be expressed.
    pub not_sent: u32,
    /// Good replies.
    pub good: u32,
    /// Errors of the server.
    pub remote: u32,
    /// The last reply that was refused, and how many were.
    pub malformed: (Option<Defect>, u32),
    /// References and handles that refused replies left to give back.
    pub owed: u32,
}

/// Runs an input.
pub fn body(input: &[u8]) -> Outcome {
    let mut table = Table { script: Script::new(input), outcome: Outcome::default() };
    for _ in 0..MOST_EXCHANGES {
        if table.script.is_over() {
            break;
        }
        table.any_operation();
    }
    table.outcome
}

/// Where client and server sit.
struct Table<'a> {
    script: Script<'a>,
    outcome: Outcome,
}

impl<'a> Table<'a> {
    /// A node: mostly a small one, so that they are met again.
    fn node(&self) -> NodeId {
        NodeId::new(u64::from(self.script.below(4)) + 1).expect("not zero")
    }

    fn handle(&self) -> FileHandle {
        FileHandle(self.script.byte().into())
    }

    /// A number: small, at the end of what a file can have, or beyond.
    fn number(&self) -> u64 {
        let [which, low] = self.script.bytes();
        match which % 4 {
            0 => low.into(),
            1 => i64::MAX.unsigned_abs() - u64::from(low),
            2 => u64::MAX - u64::from(low),
            _ => u64::from_le_bytes(self.script.bytes()),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.script.take(self.script.byte().into())
    }

    fn name(&self) -> Name<'a> {
        Name::new(self.bytes()).unwrap_or_else(|_| Name::new(b"name").expect("a good name"))
    }

    fn xattr_name(&self) -> XattrName<'a> {
        XattrName::new(self.bytes()).unwrap_or_else(|_| XattrName::new(b"user.a").expect("a good name"))
    }

    fn kind(&self) -> Option<FileType> {
        FileType::ALL.get(usize::from(self.script.below(8))).copied()
    }

    fn owner(&self) -> Option<LockOwner> {
        let [which, owner] = self.script.bytes();
        (which & 1 == 1).then_some(LockOwner(owner.into()))
    }

    fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_truncate(self.script.long())
    }

    fn time(&self) -> Option<TimeChange> {
        match self.script.below(3) {
            0 => None,
            1 => Some(TimeChange::Now),
            _ => {
                Some(TimeChange::To(Timestamp { seconds: self.script.word().into(), nanoseconds: self.script.long() }))
            }
        }
    }

    fn lock(&self) -> FileLock {
        let kind = [LockKind::Write, LockKind::Read, LockKind::Unlock][usize::from(self.script.below(3))];
        FileLock { start: self.number(), end: self.number(), kind, pid: self.script.byte().into() }
    }

    fn style(&self) -> LockStyle {
        if self.script.byte() & 1 == 0 { LockStyle::Record } else { LockStyle::WholeFile }
    }

    fn set_ids(&self) -> SetIds {
        if self.script.byte() & 1 == 0 { SetIds::Keep } else { SetIds::Remove }
    }

    /// One exchange.
    #[expect(clippy::too_many_lines, reason = "one arm for each operation, and nothing else")]
    fn any_operation(&mut self) {
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

    /// Sends a request and takes its reply.
    fn exchange<O: Operation>(&mut self, operation: &O, owes: Owes, check: impl Fn(&O, O::Reply<'_>, &[u8]))
    where
        for<'r> O::Reply<'r>: Debug,
    {
        let unique = Unique::new(2 * (1 + u64::from(self.script.below(100)))).expect("even");
        let is_sent = request(operation, unique);
        let reply = self.reply(operation, unique);
        let told = told(operation, unique, &reply);
        let result = operation.decode(unique, &reply);
        let shown = format!("{result:?}");
        if let Ok(longer) = told {
            let behind = [&reply[..HEADER + longer.len()], &[0xa5; 40]].concat();
            assert_eq!(shown, format!("{:?}", operation.decode(unique, &behind)), "something behind it counted");
        }
        if !is_sent {
            // Whatever is made of a reply to a request that does not exist, it has to be made in peace.
            self.outcome.not_sent += 1;
            return;
        }
        match (result, told) {
            (Ok(reply), Ok(payload)) => {
                self.outcome.good += 1;
                check(operation, reply, payload);
            }
            (Err(ReplyError::Malformed { defect, forget, release }), Ok(payload)) => {
                let debts = debts(owes, payload);
                assert_eq!((forget, release), debts, "after {defect:?}");
                self.outcome.malformed = (Some(defect), self.outcome.malformed.1 + 1);
                self.outcome.owed += u32::from(debts.0.is_some()) + u32::from(debts.1.is_some());
            }
            (Err(error), Err(expected)) => {
                assert_eq!(error, expected);
                match error {
                    ReplyError::Remote(_) => self.outcome.remote += 1,
                    ReplyError::Malformed { defect, .. } => {
                        self.outcome.malformed = (Some(defect), self.outcome.malformed.1 + 1);
                    }
                }
            }
            (result, told) => panic!("{result:?} where the header says {told:?}"),
        }
    }

    /// The server's reply.
    fn reply<O: Operation>(&self, operation: &O, unique: Unique) -> Vec<u8> {
        let manner = self.script.below(4);
        let mut header = [0; HEADER];
        header[8..].copy_from_slice(&unique.get().to_le_bytes());
        let mut claimed = None;
        match manner {
            0 => {}
            1 => {
                let error = i32::from_le_bytes(self.script.bytes());
                header[4..8].copy_from_slice(&error.to_le_bytes());
            }
            2 => header = self.script.bytes(),
            _ => claimed = Some(self.script.long()),
        }
        let lengths = operation.payload_len();
        let len = match usize::from(self.script.word()) {
            0 if manner != 1 => *lengths.start(),
            given => given.min(*lengths.end() + 8),
        };
        let mut reply = header.to_vec();
        reply.extend(self.script.take(len));
        reply.resize(HEADER + len, 0);
        if manner != 2 {
            let claimed = claimed.unwrap_or_else(|| u32::try_from(reply.len()).expect("less than a mebibyte"));
            reply[..4].copy_from_slice(&claimed.to_le_bytes());
        }
        reply
    }
}

/// Whether a request can be sent; if so, its bytes are held.
fn request<O: Request>(request: &O, unique: Unique) -> bool {
    let caller = Caller { uid: 1, gid: 2, pid: 3 };
    let len = match request.request_len() {
        Ok(len) => len,
        Err(error) => {
            assert_ne!(error, EncodeError::BufferTooSmall);
            assert_eq!(request.encode(unique, caller, &mut [0; 8192]), Err(error));
            return false;
        }
    };
    let mut buffer = vec![0xee; len + 8];
    assert_eq!(request.encode(unique, caller, &mut buffer), Ok(len));
    assert_eq!(buffer[len..], [0xee; 8], "wrote too far");
    assert_eq!(number(&buffer, 0, 4), (len + request.data_len()) as u64);
    assert_eq!(number(&buffer, 4, 4), u64::from(O::OPCODE.raw()));
    assert_eq!(number(&buffer, 8, 8), unique.get());
    assert_eq!(number(&buffer, 16, 8), request.node().map_or(0, NodeId::get));
    assert_eq!([24, 28, 32].map(|at| number(&buffer, at, 4)), [1, 2, 3]);
    assert!(number(&buffer, 36, 2) * 8 <= (len - 40) as u64);
    assert_eq!(request.encode(unique, caller, &mut buffer[..len - 1]), Err(EncodeError::BufferTooSmall));
    true
}

/// What the header of a reply says: its payload, or what is wrong.
fn told<'r, O: Operation>(operation: &O, unique: Unique, reply: &'r [u8]) -> Result<&'r [u8], ReplyError> {
    let lengths = operation.payload_len();
    if O::OPCODE.raw() == 38 && reply[..HEADER] == [0; HEADER] {
        // The end of a session need not be answered.
        return Ok(&[]);
    }
    let claimed = number(reply, 0, 4);
    let Some(payload) = claimed.checked_sub(16) else { return Err(Defect::HeaderLength.into()) };
    if payload > *lengths.end() as u64 {
        return Err(Defect::Overlong.into());
    }
    if number(reply, 8, 8) != unique.get() {
        return Err(Defect::WrongUnique.into());
    }
    let error = i32::from_le_bytes(reply[4..8].try_into().expect("four bytes"));
    match error {
        -511..=-1 => {
            let errno = u16::try_from(-error).ok().and_then(Errno::new);
            return Err(ReplyError::Remote(errno.expect("an error number")));
        }
        0 => {}
        _ => return Err(Defect::ErrorRange.into()),
    }
    if payload < *lengths.start() as u64 {
        return Err(Defect::PayloadLength.into());
    }
    let end = usize::try_from(claimed).expect("it was bounded");
    reply.get(HEADER..end).ok_or_else(|| Defect::Overlong.into())
}

/// What a refused reply with this payload leaves to give back.
fn debts(owes: Owes, payload: &[u8]) -> (Option<NodeId>, Option<(NodeId, FileHandle)>) {
    if owes == Owes::Nothing {
        return (None, None);
    }
    let named = NodeId::new(number(payload, 0, 8));
    let handle = named.filter(|_| owes == Owes::Created).map(|node| (node, FileHandle(number(payload, 128, 8))));
    (named.filter(|node| !node.is_root()), handle)
}

/// A number of up to 8 bytes.
fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(wide)
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

/// Replies as they should be, and every lie of the catalogue that one reply can tell, named after it.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let attributes = |kind: u32, change: &dyn Fn(&mut [u8])| {
        let mut bytes = [0; 88];
        bytes[8] = 12;
        bytes[16] = 8;
        bytes[60..64].copy_from_slice(&(kind << 12 | 0o644).to_le_bytes());
        bytes[64] = 1;
        change(&mut bytes);
        bytes.to_vec()
    };
    let entry = |node: u64, kind: u32, change: &dyn Fn(&mut [u8])| {
        let mut bytes = [0; 40].to_vec();
        bytes[..8].copy_from_slice(&node.to_le_bytes());
        bytes[16] = 1;
        bytes.extend(attributes(kind, &|_| ()));
        change(&mut bytes);
        bytes
    };
    let good = |payload: &[u8]| {
        let len = u16::try_from(payload.len()).expect("seeds are small");
        [&[0, 0][..], &len.to_le_bytes(), payload].concat()
    };
    let error = |error: i32, payload: &[u8]| {
        let len = u16::try_from(payload.len()).expect("seeds are small");
        [&[0, 1][..], &error.to_le_bytes(), &len.to_le_bytes(), payload].concat()
    };
    let headed = |len: u32, error: i32, unique: u64, payload: &[u8]| {
        let given = u16::try_from(payload.len()).expect("seeds are small");
        let header = [&len.to_le_bytes()[..], &error.to_le_bytes(), &unique.to_le_bytes()].concat();
        [&[0, 2][..], &header, &given.to_le_bytes(), payload].concat()
    };
    // In the root, under the name "name"; the same for nodes 2 and "name".
    let lookup = |reply: Vec<u8>| [&[0, 0, 0][..], &reply].concat();
    let getattr = |reply: Vec<u8>| [&[1, 1, 0, 7][..], &reply].concat();
    let read = |reply: Vec<u8>| [&[14, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0][..], &reply].concat();
    let write = |reply: Vec<u8>| [&[15, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &reply].concat();
    let link = |reply: Vec<u8>| [&[11, 1, 0, 0][..], &reply].concat();
    let mkdir = |reply: Vec<u8>| [&[6, 0, 0, 0xed, 1, 0, 0][..], &reply].concat();
    let create = |reply: Vec<u8>| [&[34, 0, 0, 0xa4, 1, 0, 0, 0, 0, 0][..], &reply].concat();
    let readlink = |reply: Vec<u8>| [&[3, 1][..], &reply].concat();
    let list_xattr = |reply: Vec<u8>| [&[25, 1, 16, 0][..], &reply].concat();
    let xattr_len = |reply: Vec<u8>| [&[24, 1, 0][..], &reply].concat();
    let statx = |reply: Vec<u8>| [&[48, 1, 7, 0xff, 0x0f, 0, 0][..], &reply].concat();
    let found = entry(9, 8, &|_| ());
    let created = |entry: &[u8]| [entry, &[5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]].concat();
    let attr_reply = |attributes: Vec<u8>| [&[0; 16][..], &attributes].concat();
    let statx_reply = |mask: u16| {
        let mut bytes = [0; 288];
        bytes[32..34].copy_from_slice(&mask.to_le_bytes());
        bytes[60..62].copy_from_slice(&0o100_644_u16.to_le_bytes());
        bytes.to_vec()
    };
    let story: Vec<u8> = [
        lookup(good(&found)),
        getattr(good(&attr_reply(attributes(8, &|_| ())))),
        read(good(b"contents")),
        write(good(&[8, 0, 0, 0, 0, 0, 0, 0])),
        link(good(&entry(2, 8, &|_| ()))),
        mkdir(good(&entry(9, 4, &|_| ()))),
        create(good(&created(&found))),
        readlink(good(b"../a")),
        list_xattr(good(b"user.a\0user.b\0")),
        xattr_len(good(&[4, 0, 0, 0, 0, 0, 0, 0])),
        statx(good(&statx_reply(0xfff))),
    ]
    .concat();
    // Parameters of zeros and replies of the smallest good length: what is left is a walk over all operations.
    let all: Vec<u8> = (0..=48).collect();
    let one_of_each =
        |operations: &[u8]| operations.iter().flat_map(|&which| [&[which][..], &[0; 30]].concat()).collect();
    vec![
        ("obedient", story),
        ("one_of_each_0", one_of_each(&all[..20])),
        ("one_of_each_1", one_of_each(&all[20..40])),
        ("one_of_each_2", one_of_each(&all[40..])),
        ("hd_fs_1", lookup(headed(15, 0, 2, &found))),
        ("hd_fs_2", lookup(headed(145, 0, 2, &found))),
        ("hd_fs_3", lookup(good(&found[..120]))),
        ("hd_fs_4", getattr(good(&[0; 112]))),
        ("hd_fs_5", lookup(headed(144, 0, 4, &found))),
        ("hd_fs_6", lookup(error(-512, &[]))),
        ("hd_fs_7", lookup(error(-13, &found))),
        ("hd_fs_8", lookup(headed(16, 0, 2, &[]))),
        ("hd_fs_11", lookup(good(&entry(0, 8, &|_| ())))),
        ("hd_fs_12", mkdir(good(&entry(0, 4, &|_| ())))),
        ("hd_fs_13", lookup(good(&entry(1, 4, &|_| ())))),
        ("hd_fs_13_elsewhere", [&[0, 1, 0][..], &good(&entry(1, 4, &|_| ()))].concat()),
        ("hd_fs_14", [&[0, 1, 0][..], &good(&entry(2, 4, &|_| ()))].concat()),
        ("hd_fs_16", link(good(&found))),
        ("hd_fs_17", mkdir(good(&found))),
        ("hd_fs_18", lookup(good(&entry(9, 8, &|bytes| bytes[40 + 15] = 0x80)))),
        ("hd_fs_19", lookup(good(&entry(9, 8, &|bytes| bytes[40 + 48..40 + 60].fill(0xff))))),
        ("hd_fs_20", lookup(good(&entry(9, 8, &|bytes| bytes[16..40].fill(0xff))))),
        ("hd_fs_21", read(good(b"123456789"))),
        ("hd_fs_22", read(good(b"end"))),
        ("hd_fs_23", [write(good(&[9, 0, 0, 0, 0, 0, 0, 0])), write(good(&[0; 8]))].concat()),
        ("hd_fs_31", list_xattr(good(b"user.a\0user.b"))),
        ("hd_fs_32", xattr_len(good(&[0xff; 8]))),
        ("hd_fs_33", readlink(good(b"a\0b"))),
        ("hd_fs_38", lookup(error(-4, &[]))),
        ("hd_fs_41", [&[13, 0][..], &good(&[0xff; 16])].concat()),
        ("hd_fs_42_no_blocks", statx(good(&statx_reply(0xbff)))),
        ("hd_fs_42", statx(good(&statx_reply(0xffe)))),
        ("fu_rv_8", create(good(&created(&entry(9, 4, &|_| ()))))),
    ]
}
