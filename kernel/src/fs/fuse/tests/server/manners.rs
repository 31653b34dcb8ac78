//! How the server behaves, which tests change.

use std::collections::BTreeSet;
use std::time::Duration;

use fuse_proto::ops::OpenedFlags;
use fuse_proto::{Errno, InitFlags};

use super::LARGEST_FILE;

/// What the server does besides its duty.
#[derive(Clone)]
pub struct Manners {
    pub name_lifetime: Duration,
    pub attr_lifetime: Duration,
    /// Whether a missing name is an entry without a node, which may be remembered, or ENOENT.
    pub negative_entries: bool,
    pub unsupported: BTreeSet<u32>,
    pub opened: OpenedFlags,
    pub init_flags: InitFlags,
    pub max_pages: u16,
    /// Directory entries carry no kind.
    pub hide_kinds: bool,
    /// DESTROY is answered without a header.
    pub silent_destroy: bool,
    /// What READDIRPLUS is answered with behind the first reply: a name that it has read is gone when it looks at it.
    pub refuse_nodes: Option<Errno>,
    /// What every change of a name or an attribute is answered with.
    pub refuse_changes: Option<Errno>,
    /// All objects have the inode number 7, as those of several file systems of the host may.
    pub one_inode: bool,
    /// Whether RENAME2 knows its flags, as not every file system of the host does.
    pub rename_flags: bool,
    /// The minor version that INIT is answered with.
    pub minor: u32,
    /// The largest WRITE that INIT agrees to.
    pub max_write: u32,
    /// The most that one WRITE writes.
    pub longest_write: usize,
    /// The most that one request copies.
    pub longest_copy: usize,
    /// Where files have to end.
    pub room: usize,
    /// Whether O_APPEND is heeded; else the client's offset is.
    pub appends: bool,
    /// What FLUSH is answered with.
    pub flush_error: Option<Errno>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            name_lifetime: Duration::from_secs(86_400),
            attr_lifetime: Duration::from_secs(86_400),
            negative_entries: true,
            unsupported: BTreeSet::new(),
            opened: OpenedFlags::KEEP_CACHE,
            init_flags: InitFlags::BASIC,
            max_pages: 256,
            hide_kinds: false,
            silent_destroy: false,
            refuse_nodes: None,
            refuse_changes: None,
            one_inode: false,
            rename_flags: true,
            minor: 36,
            max_write: 1 << 20,
            longest_write: usize::MAX,
            longest_copy: usize::MAX,
            room: LARGEST_FILE,
            appends: true,
            flush_error: None,
        }
    }
}
