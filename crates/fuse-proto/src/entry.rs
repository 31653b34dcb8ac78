//! What a server says about a name: the node behind it, and its attributes.
//!
//! ```text
//!   0       8            16            24           32        36        40
//!   +-------+------------+-------------+------------+---------+---------+--------------
//!   | nodeid| generation | entry_valid | attr_valid | .. nsec | .. nsec | attributes 88
//!   +-------+------------+-------------+------------+---------+---------+--------------
//! ```
//!
//! LOOKUP returns one of these, READDIRPLUS one per name, and so does everything that creates an object. Each
//! carries **one lookup reference** if its node id is not zero: the server keeps the node until FORGET has
//! returned as many references as were given (FU-SEM-1). A reply that is refused was counted like any other,
//! which is why the error of [`Entry::from_wire`] carries the node to forget.
//!
//! # What is refused
//!
//! A tree that contains itself would deadlock or recurse in whoever walks it, so neither the root nor the
//! directory that was searched may come back as the thing that was found (HD-FS-13, HD-FS-14). One check needs
//! memory and is left to the layer above: when a known node returns with another generation or another kind,
//! it is *another* object under a number used again, and everything known of the old one is stale (HD-FS-15).
//! [`Entry::identity`] is the value to compare.

use core::time::Duration;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::attr::{Attributes, WireAttributes, lifetime};
use crate::error::{Defect, ReplyError};
use crate::file_type::FileType;
use crate::id::{Generation, NodeId};

/// An entry as it lies in a reply.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_entry_out")]
pub struct WireEntry {
    /// The node, 0 for none.
    #[doc(alias = "nodeid")]
    pub node: U64,
    /// Which object of that number.
    pub generation: U64,
    /// Seconds for which the name keeps meaning this node.
    #[doc(alias = "entry_valid")]
    pub name_lifetime: U64,
    /// Seconds for which the attributes stay true.
    #[doc(alias = "attr_valid")]
    pub attr_lifetime: U64,
    /// Nanoseconds of the name's lifetime.
    pub name_lifetime_nanos: U32,
    /// Nanoseconds of the attributes' lifetime.
    pub attr_lifetime_nanos: U32,
    /// The attributes.
    pub attributes: WireAttributes,
}
const _: () = assert!(size_of::<WireEntry>() == 128);

impl WireEntry {
    /// How long the name may be taken to mean what this entry says, "nothing" included.
    pub(crate) fn name_lifetime(&self) -> Duration {
        lifetime(self.name_lifetime, self.name_lifetime_nanos)
    }
}

/// An object that was found by name. Whoever holds one owes the server one FORGET of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an entry is a reference that must be remembered, or forgotten"]
pub struct Entry {
    /// The node, on which the server has counted one lookup.
    pub node: NodeId,
    /// Which object of that number.
    pub generation: Generation,
    /// How long, from the receipt of the reply, the name may be used without another LOOKUP; zero: not at all.
    /// Up to [`Duration::MAX`]: add it to a clock with saturation.
    pub name_lifetime: Duration,
    /// How long the attributes stay true, counted likewise.
    pub attr_lifetime: Duration,
    /// The attributes.
    pub attributes: Attributes,
}

/// What makes an object the same object (FU-SEM-3, HD-FS-15).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// Which object of that number.
    pub generation: Generation,
    /// Its kind, which an object never changes.
    pub file_type: FileType,
}

impl Entry {
    /// Checks an entry off the wire that was found in the directory `parent`.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Malformed`] with the defect, and with the node to forget if the entry had one.
    pub fn from_wire(wire: &WireEntry, parent: NodeId) -> Result<Self, ReplyError> {
        let raw = wire.node.get();
        Self::check(wire, parent).map_err(|defect| ReplyError::owing(defect, NodeId::owed(raw)))
    }

    /// The same checks, for a caller that settles the debt itself.
    pub(crate) fn check(wire: &WireEntry, parent: NodeId) -> Result<Self, Defect> {
        let entry = Self::check_nameless(wire, parent)?;
        if entry.attributes.links == 0 {
            return Err(Defect::LinkCount);
        }
        Ok(entry)
    }

    /// The same checks but for the number of names, for an object that was made without one.
    pub(crate) fn check_nameless(wire: &WireEntry, parent: NodeId) -> Result<Self, Defect> {
        let node = NodeId::new(wire.node.get()).ok_or(Defect::NoNode)?;
        if node.is_root() {
            return Err(Defect::RootNode);
        }
        if node == parent {
            return Err(Defect::ParentNode);
        }
        let attributes = Attributes::from_wire(&wire.attributes)?;
        Ok(Self {
            node,
            generation: Generation(wire.generation.get()),
            name_lifetime: wire.name_lifetime(),
            attr_lifetime: lifetime(wire.attr_lifetime, wire.attr_lifetime_nanos),
            attributes,
        })
    }

    /// The value to compare with that of a known node of the same number: unequal means another object.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { node: self.node, generation: self.generation, file_type: self.attributes.file_type }
    }

    /// The entry as it would lie in a reply: what a server, or the model of one, sends.
    #[must_use]
    pub fn to_wire(&self) -> WireEntry {
        WireEntry {
            node: U64::new(self.node.get()),
            generation: U64::new(self.generation.0),
            name_lifetime: U64::new(self.name_lifetime.as_secs()),
            attr_lifetime: U64::new(self.attr_lifetime.as_secs()),
            name_lifetime_nanos: U32::new(self.name_lifetime.subsec_nanos()),
            attr_lifetime_nanos: U32::new(self.attr_lifetime.subsec_nanos()),
            attributes: self.attributes.to_wire(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, wire_entry};

    fn defect(wire: &WireEntry, parent: NodeId) -> (Defect, Option<NodeId>) {
        match Entry::from_wire(wire, parent) {
            Err(ReplyError::Malformed { defect, forget, release: None }) => (defect, forget),
            other => panic!("accepted: {other:?}"),
        }
    }

    #[test]
    fn hd_fs_12_no_node_is_malformed_and_owes_nothing() {
        let wire = wire_entry(0, FileType::Regular);
        assert_eq!(defect(&wire, NodeId::ROOT), (Defect::NoNode, None));
    }

    #[test]
    fn hd_fs_13_the_root_as_a_child_is_malformed_and_never_forgotten() {
        let wire = wire_entry(1, FileType::Directory);
        assert_eq!(defect(&wire, NodeId::ROOT), (Defect::RootNode, None));
        assert_eq!(defect(&wire, node(7)), (Defect::RootNode, None));
    }

    #[test]
    fn hd_fs_14_a_directory_as_its_own_child_is_malformed_and_forgotten() {
        let wire = wire_entry(7, FileType::Directory);
        assert_eq!(defect(&wire, node(7)), (Defect::ParentNode, Some(node(7))));
    }

    #[test]
    fn hd_fs_15_identity_tells_a_number_used_again() {
        let wire = wire_entry(7, FileType::Regular);
        let known = Entry::from_wire(&wire, NodeId::ROOT).expect("valid");

        let mut reborn = wire;
        reborn.generation = U64::new(wire.generation.get() + 1);
        let reborn = Entry::from_wire(&reborn, NodeId::ROOT).expect("valid");
        assert_ne!(known.identity(), reborn.identity());

        let mut retyped = wire;
        retyped.attributes.mode = U32::new(FileType::Directory.mode_bits());
        let retyped = Entry::from_wire(&retyped, NodeId::ROOT).expect("valid");
        assert_ne!(known.identity(), retyped.identity());

        let mut grown = wire;
        grown.attributes.size = U64::new(99);
        let grown = Entry::from_wire(&grown, NodeId::ROOT).expect("valid");
        assert_eq!(known.identity(), grown.identity());
    }

    #[test]
    fn fu_sem_3_fu_sem_19_an_object_is_its_node_and_generation_and_not_its_inode_number() {
        let wire = wire_entry(7, FileType::Regular);
        let known = Entry::from_wire(&wire, NodeId::ROOT).expect("valid");

        // The same file, seen through another mount of the host, say: its number says nothing.
        let mut renumbered = wire;
        renumbered.attributes.inode = U64::new(1);
        let renumbered = Entry::from_wire(&renumbered, NodeId::ROOT).expect("valid");
        assert_eq!(known.identity(), renumbered.identity());

        // Two files of two mounts, with one inode number.
        let mut other = wire;
        other.node = U64::MAX_VALUE;
        let other = Entry::from_wire(&other, NodeId::ROOT).expect("any number is a node");
        assert_eq!(known.attributes.inode, other.attributes.inode);
        assert_ne!(known.identity(), other.identity());
    }

    #[test]
    fn hd_fs_18_a_named_object_has_a_link() {
        let mut wire = wire_entry(7, FileType::Regular);
        wire.attributes.links = U32::ZERO;
        let expected = (Defect::LinkCount, Some(node(7)));
        assert_eq!(defect(&wire, NodeId::ROOT), expected);
    }

    #[test]
    fn fu_rv_8_bad_attributes_leave_a_node_to_forget() {
        let mut wire = wire_entry(7, FileType::Regular);
        wire.attributes.mode = U32::ZERO;
        let expected = (Defect::FileType, Some(node(7)));
        assert_eq!(defect(&wire, NodeId::ROOT), expected);
    }

    #[test]
    fn hd_fs_20_lifetimes_saturate() {
        let mut wire = wire_entry(7, FileType::Regular);
        wire.name_lifetime = U64::MAX_VALUE;
        wire.name_lifetime_nanos = U32::MAX_VALUE;
        wire.attr_lifetime = U64::new(5);
        wire.attr_lifetime_nanos = U32::new(500);
        let entry = Entry::from_wire(&wire, NodeId::ROOT).expect("valid");
        assert_eq!(entry.name_lifetime, Duration::MAX);
        assert_eq!(entry.attr_lifetime, Duration::new(5, 500));
    }
}
