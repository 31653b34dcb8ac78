//! Names: what is found below a directory.
//!
//! A name is looked for in the cache, and asked for with LOOKUP if the cache does not know or must not be believed. What
//! LOOKUP and listings bring is remembered for as long as the server said (FU-SEM-4), unless a name of the directory has
//! been changed from here since it was asked for: the answer may be older than the change, and a name that was removed must
//! not come back (FU-SEM-6). Who asked gets it all the same, since for him both happened at once.

use alloc::rc::Rc;
use core::time::Duration;

use fuse_proto::ops::{Lookup, LookupReply};
use fuse_proto::{Errno, Name, NameError};

use super::{FuseNode, Version};
use crate::fs::fuse::cache::Known;
use crate::fs::fuse::connection::Late;
use crate::fs::vfs::{Freshness, Node};

/// FU-SEM-17: a name that can be sent. Paths are taken apart before, so there is none with a slash.
pub(super) fn checked(name: &[u8]) -> Result<Name<'_>, Errno> {
    Name::new(name).map_err(|error| match error {
        NameError::TooLong => Errno::ENAMETOOLONG,
        NameError::Empty => Errno::ENOENT,
        _ => Errno::EINVAL,
    })
}

impl FuseNode {
    /// Fails for everything but a directory.
    pub(super) fn check_directory(&self) -> Result<(), Errno> {
        self.check()?;
        if self.file_type().is_dir() { Ok(()) } else { Err(Errno::ENOTDIR) }
    }

    /// What `name` means in this directory.
    pub(super) fn find(&self, name: &[u8], freshness: Freshness) -> Result<Rc<FuseNode>, Errno> {
        self.check_directory()?;
        self.looked_into.set(true);
        let client = &self.client;
        if freshness == Freshness::Cached {
            match client.names.get(self, name, client.now()) {
                Known::Node(node) => return Ok(node),
                Known::Absent => return Err(Errno::ENOENT),
                Known::Nothing => {}
            }
        }
        let parent = self.number();
        let operation = Lookup { parent, name: checked(name)? };
        let asked = client.next_version();
        match client.connection.call(&operation, Late::Entry { parent }, self.keep(), |reply| reply) {
            Ok(LookupReply::Found(entry)) => {
                let node = client.receive(&entry, asked);
                self.remember(name, Some(Rc::clone(&node)), entry.name_lifetime, asked);
                Ok(node)
            }
            Ok(LookupReply::Negative { lifetime }) if lifetime > Duration::ZERO => {
                self.remember(name, None, lifetime, asked);
                Err(Errno::ENOENT)
            }
            Ok(LookupReply::Negative { .. }) | Err(Errno::ENOENT) => {
                client.names.remove(self, name);
                Err(Errno::ENOENT)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Remembers for how long `name` means `node`, or nothing, unless a name was changed since that was asked for.
    pub fn remember(&self, name: &[u8], node: Option<Rc<FuseNode>>, lifetime: Duration, asked: Version) {
        if asked >= self.names_changed.get() {
            let until = self.client.now().saturating_add(lifetime);
            self.client.names.insert(self, name, node, until);
        }
    }
}
