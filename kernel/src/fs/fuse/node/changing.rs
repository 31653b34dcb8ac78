//! What is done with a node beyond looking at it and opening it: changes, and extended attributes.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::FuseNode;
use crate::fs::metadata::AttributeChanges;
use crate::fs::vfs::{Collision, Node, NodeChanges, SpecialFile, XattrMode};

impl NodeChanges for FuseNode {
    fn create(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>, Errno> {
        let node: Rc<dyn Node> = self.make_file(name, mode)?;
        Ok(node)
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>, Errno> {
        let node: Rc<dyn Node> = self.make_directory(name, mode)?;
        Ok(node)
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        self.make_symlink(name, target).map(drop)
    }

    fn create_special(&self, name: &[u8], mode: u32, what: SpecialFile) -> Result<(), Errno> {
        self.make_special(name, mode, what).map(drop)
    }

    fn link(&self, name: &[u8], node: u64) -> Result<(), Errno> {
        self.make_link(name, node)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.apply(changes)
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.get_xattr(name)
    }

    fn xattrs(&self) -> Result<Vec<Box<[u8]>>, Errno> {
        self.list_xattrs()
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), Errno> {
        self.put_xattr(name, value, mode)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.take_xattr(name)
    }

    fn sync_directory(&self) -> Result<(), Errno> {
        self.check_directory()?;
        self.handle_to_self().make_stable()
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        self.unlink(name)
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        self.unlink_directory(name)
    }

    fn rename(&self, name: &[u8], directory: u64, new_name: &[u8], collision: Collision) -> Result<(), Errno> {
        self.move_name(name, directory, new_name, collision)
    }
}
