//! Target `fuse_dirents`: listings of directories, with and without nodes.
//!
//! | input | meaning |
//! |---|---|
//! | byte 0 | bit 0: with nodes; bit 1: the rest is the payload as it is |
//! | byte 1, 2 | the directory, and the cookie from which it is listed, from a handful of small numbers |
//! | rest | records, each: 0 for an honest one, or which lie; length of the name; node, cookie, kind; the name |
//!
//! Where records are built, the last two bytes of the input say how many bytes of the payload are cut off.
//!
//! Held, against a second parser that shares nothing with the first: the same names, kinds, cookies and errors in the same
//! order; the same position after each; the same nodes, accepted and refused; and, from wherever the consumer stops, the
//! same references to give back.

use fuse_proto::{Defect, DirEntries, DirEntriesPlus, DirOffset, FileType, ListedNode, NodeId, ReplyError};

use crate::script::Script;

/// The most bytes of a payload: several of the largest records.
const MOST_BYTES: usize = 16 * 1024;

/// A record, or what is wrong with the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    /// The name, or why it is none.
    name: Result<Vec<u8>, Defect>,
    inode: u64,
    /// Where the listing goes on.
    position: u64,
    kind: Option<FileType>,
    /// The node's number, where a node can be used.
    known: Option<u64>,
    /// The node to forget.
    owed: Option<u64>,
}

/// What came of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Names.
    pub names: usize,
    /// The last defect of a record or of the whole.
    pub defect: Option<Defect>,
    /// References to be given back if nothing of it is used.
    pub references: usize,
}

/// Runs an input.
pub fn body(input: &[u8]) -> Outcome {
    let script = Script::new(input);
    let [flags, directory, start] = script.bytes();
    let directory = NodeId::new(u64::from(directory % 4) + 1).expect("not zero");
    let start = DirOffset((start % 4).into());
    let has_nodes = flags & 1 == 1;
    let payload = if flags & 2 == 0 { records(&script, has_nodes) } else { script.take(MOST_BYTES).to_vec() };
    let expected = expected(&payload, has_nodes, directory.get(), start.0);
    if has_nodes {
        with_nodes(&payload, directory, start, &expected);
    } else {
        without_nodes(&payload, start, &expected);
    }
    Outcome {
        names: expected.iter().filter(|item| item.name.is_ok()).count(),
        defect: expected.iter().rev().find_map(|item| item.name.as_ref().err().copied()),
        references: expected.iter().filter(|item| item.owed.is_some()).count(),
    }
}

/// Records as a server would write them, but for the lies.
fn records(script: &Script<'_>, has_nodes: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    while !script.is_over() && payload.len() < MOST_BYTES {
        let [lie, len, node, cookie, kind] = script.bytes();
        let name = script.take(len.into());
        if has_nodes {
            let mut entry = [0; 128];
            entry[..8].copy_from_slice(&u64::from(node).to_le_bytes());
            entry[100..104].copy_from_slice(&(u32::from(kind) << 12 | 0o644).to_le_bytes());
            entry[104] = 1;
            match lie {
                1 => entry[55] = 0x80,
                2 => entry[104] = 0,
                3 => entry[63] = 0x80,
                _ => {}
            }
            payload.extend(entry);
        }
        let claimed = match lie {
            4 => u32::MAX - 7,
            5 => u32::from(len) + 256,
            6 => 0,
            _ => u32::from(len),
        };
        payload.extend(u64::from(node).to_le_bytes());
        payload.extend(u64::from(cookie).to_le_bytes());
        payload.extend(claimed.to_le_bytes());
        payload.extend(u32::from(kind).to_le_bytes());
        payload.extend(name);
        // Padding need not be zero.
        payload.resize(payload.len().next_multiple_of(8), lie);
        if lie == 7 {
            let cut = usize::from(script.word());
            payload.truncate(payload.len().saturating_sub(cut));
        }
    }
    payload
}

/// The other parser.
fn expected(payload: &[u8], has_nodes: bool, directory: u64, start: u64) -> Vec<Item> {
    let head = if has_nodes { 152 } else { 24 };
    let number = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().expect("8 bytes"));
    let word = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().expect("4 bytes"));
    let mut items: Vec<Item> = Vec::new();
    let (mut at, mut position) = (0, None);
    while payload.len() - at >= head {
        let dirent = at + head - 24;
        let node = if has_nodes { number(at) } else { 0 };
        let owed = (node > 1).then_some(node);
        let len = word(dirent + 16);
        let before = position.unwrap_or(start);
        let bad =
            |defect| Item { name: Err(defect), inode: number(dirent), position: before, kind: None, known: None, owed };
        if !(1..=255).contains(&len) {
            items.push(bad(Defect::NameLength));
            return items;
        }
        let name_at = at + head;
        let len = usize::try_from(len).expect("at most 255");
        let end = at + (head + len).div_ceil(8) * 8;
        if end > payload.len() {
            break;
        }
        let name = &payload[name_at..name_at + len];
        position = Some(number(dirent + 8));
        if name.iter().any(|&byte| byte == 0 || byte == b'/') {
            items.push(Item { position: number(dirent + 8), ..bad(Defect::NameBytes) });
        } else {
            let is_short = name == b"." || name == b"..";
            let kind = word(dirent + 20);
            let is_usable = || {
                let limit = i64::MAX.unsigned_abs();
                node > 1
                    && node != directory
                    && number(at + 48) <= limit
                    && number(at + 56) <= limit / 512
                    && kind_of(word(at + 100) >> 12 & 15).is_some()
                    && word(at + 104) != 0
            };
            items.push(Item {
                name: Ok(name.to_vec()),
                inode: number(dirent),
                position: number(dirent + 8),
                kind: kind_of(kind),
                known: (has_nodes && !is_short && is_usable()).then_some(node),
                owed: owed.filter(|_| !is_short),
            });
        }
        at = end;
    }
    let defect = match position {
        None if payload.is_empty() => return items,
        None => Defect::TruncatedEntry,
        Some(last) if last == start => Defect::NoProgress,
        Some(_) => return items,
    };
    let position = position.unwrap_or(start);
    items.push(Item { name: Err(defect), inode: 0, position, kind: None, known: None, owed: None });
    items
}

fn kind_of(bits: u32) -> Option<FileType> {
    FileType::ALL.into_iter().find(|kind| kind.mode_bits() >> 12 == bits)
}

fn without_nodes(payload: &[u8], start: DirOffset, expected: &[Item]) {
    let mut entries = DirEntries::new(payload, start);
    assert_eq!(entries.position(), start);
    for item in expected {
        let entry = entries.next().expect("one more");
        assert_eq!(entries.position().0, item.position);
        match (entry, &item.name) {
            (Ok(entry), Ok(name)) => {
                assert_eq!((entry.name, entry.inode, entry.next.0), (&name[..], item.inode, item.position));
                assert_eq!(entry.file_type, item.kind);
            }
            (Err(error), Err(defect)) => assert_eq!(error, ReplyError::from(*defect)),
            (entry, name) => panic!("{entry:?} where {name:?} was expected"),
        }
    }
    assert!(entries.next().is_none() && entries.next().is_none(), "more than there is");
}

fn with_nodes(payload: &[u8], directory: NodeId, start: DirOffset, expected: &[Item]) {
    let mut entries = DirEntriesPlus::new(payload, directory, start);
    for (taken, item) in expected.iter().enumerate() {
        let left: Vec<_> = entries.clone().into_references().map(NodeId::get).collect();
        let owed: Vec<_> = expected[taken..].iter().filter_map(|item| item.owed).collect();
        assert_eq!(left, owed, "after {taken} records");
        let entry = entries.next().expect("one more");
        assert_eq!(entries.position().0, item.position);
        match (entry, &item.name) {
            (Ok(entry), Ok(name)) => {
                assert_eq!((entry.dirent.name, entry.dirent.inode), (&name[..], item.inode));
                assert_eq!(entry.dirent.file_type, item.kind);
                let (known, forget) = match entry.node {
                    ListedNode::Unknown => (None, None),
                    ListedNode::Known(entry) => (Some(entry.node.get()), Some(entry.node.get())),
                    ListedNode::Rejected { forget, .. } => (None, forget.map(NodeId::get)),
                };
                assert_eq!((known, forget), (item.known, item.owed));
            }
            (Err(error), Err(defect)) => {
                let ReplyError::Malformed { defect: found, forget, release } = error else { panic!("{error}") };
                assert_eq!((found, forget.map(NodeId::get), release), (*defect, item.owed, None));
            }
            (entry, name) => panic!("{entry:?} where {name:?} was expected"),
        }
    }
    assert!(entries.next().is_none() && entries.next().is_none(), "more than there is");
    assert_eq!(entries.into_references().count(), 0);
}

/// Directories as they should be, and every lie of the catalogue about one.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let record = |lie: u8, node: u8, cookie: u8, kind: u8, name: &[u8]| {
        let len = u8::try_from(name.len()).expect("a name");
        [&[lie, len, node, cookie, kind][..], name].concat()
    };
    let list = |has_nodes: u8, records: &[Vec<u8>]| [&[has_nodes, 0, 0][..], &records.concat()].concat();
    let file = record(0, 9, 7, 8, b"file");
    let good = [record(0, 0, 5, 4, b"."), record(0, 0, 6, 4, b".."), file.clone(), record(0, 10, 9, 4, b"directory")];
    let longest = [b'x'; 255];
    let cut = |count: u8| [&record(7, 10, 9, 8, b"another")[..], &[count, 0]].concat();
    vec![
        ("names", list(0, &good)),
        ("nodes", list(1, &good)),
        ("longest", list(1, &[record(0, 9, 7, 8, &longest), file.clone()])),
        ("nothing", list(1, &[])),
        ("cut", list(1, &[file.clone(), cut(9)])),
        ("as_it_is", [&[2, 0, 0][..], &[1; 24], b"x"].concat()),
        ("hd_fs_15", list(1, &[file.clone(), record(0, 9, 8, 4, b"file")])),
        ("hd_fs_17", list(1, &[record(0, 9, 7, 3, b"file")])),
        ("hd_fs_18", list(1, &[record(1, 9, 7, 8, b"file"), record(2, 10, 8, 8, b"b"), record(3, 11, 9, 8, b"c")])),
        ("hd_fs_24", list(1, &[file.clone(), record(6, 10, 8, 8, b"b")])),
        ("hd_fs_24_long", list(1, &[file.clone(), record(5, 10, 8, 8, b"b")])),
        ("hd_fs_25", list(1, &[cut(1)])),
        ("hd_fs_26", list(0, &[record(4, 9, 7, 8, b"file"), file.clone()])),
        ("hd_fs_27", list(1, &[record(0, 9, 7, 8, b"../x"), record(0, 10, 8, 8, b"a\0b"), file.clone()])),
        ("hd_fs_28", list(1, &[file.clone(), record(0, 10, 0, 8, b"again")])),
        ("hd_fs_30", list(1, &[record(0, 1, 7, 4, b"root"), record(0, 10, 8, 0, b"nothing"), file])),
    ]
}
