//! Open files: what an application has of one.
//!
//! ```text
//!   FuseFile                              Handle                      server
//!     reading.rs   READ, ahead of the     shared by all readers   --> one descriptor for all readers
//!                  reader
//!     straight.rs  READ, straight into
//!                  the caller's memory
//!     writing.rs   WRITE, appending       one per writer          --> one descriptor each
//!     locking.rs   SETLK                  one per reader that locks
//!     space.rs     length, holes, FSYNC,
//!                  copies, FLUSH
//! ```
//!
//! # What is written is written
//!
//! A write returns when the server has answered it (write-through). The other way, to collect writes here and to tell the
//! server later, makes the client the one who knows the length and the times of a file (WRITEBACK_CACHE says so to the
//! server), and a file that is also changed on the host then has two lengths. The host's own cache is what a write goes to in
//! any case, so it would save a message and not a disk; and an error, such as a full disk, would reach whoever comes later.
//! So it is not done, and [`sync`](OpenFile::sync) has nothing to send but FSYNC.
//!
//! # Who sees a change
//!
//! All handles of this mount, as soon as it has returned: the change is counted at the node
//! ([`FuseNode::note_change`]), cached contents and attributes go, and what other readers have asked for in advance is
//! dropped by them. Somebody elsewhere sees it as soon as his own caches let him.
//!
//! # Closing
//!
//! Dropping a file takes no time. A reader's handle is kept for a while, for the next one. A writer's is flushed and then
//! released, one after the other, by messages that nobody waits for; who wants to know whether that went well calls
//! [`flush`](OpenFile::flush) before.

use alloc::rc::Rc;
use core::cell::RefCell;

use fuse_proto::Errno;
use fuse_proto::ops::{OpenFlags, Opened};
use toro_core::DmaBuf;

#[cfg(feature = "fs-write")]
use self::locking::Locking;
use self::reading::Stream;
use super::handle::Handle;
use super::node::FuseNode;
use super::{Client, metadata};
use crate::fs::metadata::Metadata;
use crate::fs::options::{Contents, Rights, WritePosition};
use crate::fs::vfs::OpenFile;
#[cfg(feature = "fs-write")]
use crate::fs::vfs::SeekTarget;

#[cfg(feature = "fs-write")]
mod changing;
#[cfg(feature = "fs-write")]
mod locking;
mod reading;
mod space;
mod straight;
mod writing;

/// An open file.
pub struct FuseFile {
    handle: Rc<Handle>,
    rights: Rights,
    stream: RefCell<Stream>,
    #[cfg(feature = "fs-write")]
    locking: Locking,
}

/// The flags that stand for these rights.
pub fn open_flags(rights: Rights) -> OpenFlags {
    let (access, position) = match rights {
        Rights::Read => (OpenFlags::empty(), WritePosition::Anywhere),
        Rights::Write(position) => (OpenFlags::WRITE_ONLY, position),
        Rights::ReadAndWrite(position) => (OpenFlags::READ_WRITE, position),
    };
    let append = match position {
        WritePosition::Anywhere => OpenFlags::empty(),
        WritePosition::End => OpenFlags::APPEND,
    };
    OpenFlags::LARGE_FILE | access | append
}

impl FuseFile {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn open(node: &Rc<FuseNode>) -> Result<Self, Errno> {
        Ok(Self::new(Handle::open(node)?, Rights::Read))
    }

    /// Opens a file with rights that may include writing; what it holds goes if that is asked for.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn open_for_writing(node: &Rc<FuseNode>, rights: Rights, contents: Contents) -> Result<Self, Errno> {
        let flags = open_flags(rights);
        let file = match contents {
            Contents::Keep => Self::new(Handle::open_alone(node, flags)?, rights),
            Contents::Truncate => {
                let handle = Handle::open_alone(node, flags | OpenFlags::TRUNCATE)?;
                let is_empty = handle.was_truncated();
                let file = Self::new(handle, rights);
                if is_empty {
                    node.note_change()
                } else {
                    file.change_length(0)?
                }
                file
            }
        };
        Ok(file)
    }

    /// A file that CREATE or TMPFILE has opened with these rights.
    pub fn created(node: &Rc<FuseNode>, opened: Opened, rights: Rights) -> Self {
        Self::new(Handle::adopt(node, opened, open_flags(rights)), rights)
    }

    fn new(handle: Rc<Handle>, rights: Rights) -> Self {
        Self {
            handle,
            rights,
            stream: RefCell::default(),
            #[cfg(feature = "fs-write")]
            locking: Locking::default(),
        }
    }

    fn client(&self) -> &Rc<Client> {
        self.handle.node.client()
    }

    /// Most bytes of one READ.
    fn limit(&self) -> usize {
        self.client().read_limit()
    }

    fn check_readable(&self) -> Result<(), Errno> {
        match self.rights {
            Rights::Read | Rights::ReadAndWrite(_) => Ok(()),
            Rights::Write(_) => Err(Errno::EBADF),
        }
    }

    fn check_writable(&self) -> Result<(), Errno> {
        match self.rights {
            Rights::Read => Err(Errno::EBADF),
            Rights::Write(_) | Rights::ReadAndWrite(_) => self.handle.node.check(),
        }
    }
}

impl OpenFile for FuseFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.handle.node.attributes(self.handle.handle).map(|attributes| metadata(&attributes))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.read_into(buffer, offset)
    }

    fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf, Errno> {
        self.read_owned(offset, length)
    }

    fn read_limit(&self) -> usize {
        self.limit()
    }

    #[cfg(feature = "fs-write")]
    fn seek(&self, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
        self.find(offset, target)
    }
}

#[cfg(not(feature = "fs-write"))]
impl crate::fs::vfs::FileChanges for FuseFile {}

impl Drop for FuseFile {
    fn drop(&mut self) {
        #[cfg(feature = "fs-write")]
        {
            self.leave_lock();
            if self.rights != Rights::Read {
                return self.flush_afterwards();
            }
        }
        let client = Rc::clone(self.client());
        // This reader and the list hold it; a request in flight may, too.
        if self.handle.handle.is_some() && client.options.idle_handles > 0 {
            let until = client.now().saturating_add(client.options.idle_time);
            client.idle.park(Rc::clone(&self.handle), until, client.options.idle_handles);
        }
    }
}
