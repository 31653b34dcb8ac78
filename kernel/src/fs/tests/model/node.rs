//! The model's nodes, and listings.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::file::ModelFile;
use super::{Kind, Model, Object, Result};
use crate::fs::metadata::{AttributeChanges, FileType, Metadata};
use crate::fs::options::{Contents, Rights};
use crate::fs::vfs::{
    Collision, Freshness, Node, NodeChanges, OpenDirectory, OpenFile, RawEntry, SpecialFile, XattrMode,
};

pub struct ModelNode {
    pub model: Rc<Model>,
    pub number: u64,
    pub file_type: FileType,
}

impl ModelNode {
    fn file(&self) -> Result<Box<dyn OpenFile>> {
        self.model.check()?;
        match self.file_type {
            FileType::File => Ok(Box::new(ModelFile::new(self.model.handle(self.number)))),
            FileType::Directory => Err(Errno::EISDIR),
            FileType::Symlink => Err(Errno::ELOOP),
            _ => Err(Errno::ENXIO),
        }
    }

    pub fn metadata(&self) -> Result<Metadata> {
        self.model.metadata(self.number)
    }

    pub fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        self.model.check()?;
        self.model.object(self.number, |object| object.apply(changes));
        Ok(())
    }

    fn add(&self, name: &[u8], kind: Kind, mode: u32) -> Result<ModelNode> {
        self.model.add(self.number, name, Object::new(kind, mode))
    }

    fn xattrs_with<T>(&self, function: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<T>) -> Result<T> {
        self.model.check()?;
        self.model.object(self.number, |object| function(&mut object.xattrs))
    }

    /// Moves or exchanges names, when nothing stands against it.
    fn exchange(&self, name: &[u8], directory: u64, new_name: &[u8], other: u64) -> Result<()> {
        let moved = self.model.find(self.number, name)?;
        if self.model.is_below(directory, moved) || self.model.is_below(self.number, other) {
            return Err(Errno::EINVAL);
        }
        self.model.names(self.number, |names| Ok(names.insert(name.to_vec(), other)))?;
        self.model.names(directory, |names| Ok(names.insert(new_name.to_vec(), moved))).map(drop)
    }
}

impl Node for ModelNode {
    fn id(&self) -> u64 {
        self.number
    }

    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn metadata(&self) -> Result<Metadata> {
        Self::metadata(self)
    }

    fn lookup(&self, name: &[u8], _: Freshness) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(self.model.handle(self.model.find(self.number, name)?)))
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        self.model.check()?;
        self.model.object(self.number, |object| match &object.kind {
            Kind::Link(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        })
    }

    fn open(&self) -> Result<Box<dyn OpenFile>> {
        self.file()
    }

    fn open_for_writing(&self, _: Rights, contents: Contents) -> Result<Box<dyn OpenFile>> {
        let file = self.file()?;
        if contents == Contents::Truncate {
            file.set_len(0)?;
        }
        Ok(file)
    }

    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>> {
        let names = self.model.names(self.number, |names| Ok(names.clone()))?;
        let entry = |(name, number): (Vec<u8>, u64)| RawEntry {
            name: name.into(),
            inode: number,
            // Some file systems do not say.
            file_type: (number % 3 > 0).then(|| self.model.handle(number).file_type),
        };
        Ok(Box::new(ModelListing(names.into_iter().map(entry).collect::<Vec<_>>().into_iter())))
    }
}

impl NodeChanges for ModelNode {
    fn create(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(self.add(name, Kind::File(Vec::new()), mode)?))
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(self.add(name, Kind::Directory(BTreeMap::new()), mode)?))
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<()> {
        self.add(name, Kind::Link(target.to_vec()), 0o777).map(drop)
    }

    fn create_special(&self, name: &[u8], mode: u32, what: SpecialFile) -> Result<()> {
        self.add(name, Kind::Special(what), mode).map(drop)
    }

    fn link(&self, name: &[u8], node: u64) -> Result<()> {
        self.model.give_name(self.number, name, node)?;
        self.model.object(node, |object| object.links += 1);
        Ok(())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        Self::set_attributes(self, changes)
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.xattrs_with(|xattrs| xattrs.get(name).cloned().ok_or(Errno::ENODATA))
    }

    fn xattrs(&self) -> Result<Vec<Box<[u8]>>> {
        self.xattrs_with(|xattrs| Ok(xattrs.keys().map(|name| name.as_slice().into()).collect()))
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.xattrs_with(|xattrs| match (mode, xattrs.contains_key(name)) {
            (XattrMode::Create, true) => Err(Errno::EEXIST),
            (XattrMode::Replace, false) => Err(Errno::ENODATA),
            _ => {
                xattrs.insert(name.to_vec(), value.to_vec());
                Ok(())
            }
        })
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.xattrs_with(|xattrs| xattrs.remove(name).map(drop).ok_or(Errno::ENODATA))
    }

    fn sync_directory(&self) -> Result<()> {
        self.model.check()?;
        self.model.synced.borrow_mut().push("directory");
        Ok(())
    }

    fn remove(&self, name: &[u8]) -> Result<()> {
        match self.model.handle(self.model.find(self.number, name)?).file_type {
            FileType::Directory => Err(Errno::EISDIR),
            _ => self.model.take(self.number, name),
        }
    }

    fn remove_directory(&self, name: &[u8]) -> Result<()> {
        self.model.expect_empty(self.model.find(self.number, name)?)?;
        self.model.take(self.number, name)
    }

    fn rename(&self, name: &[u8], directory: u64, new_name: &[u8], collision: Collision) -> Result<()> {
        let moved = self.model.find(self.number, name)?;
        let is_directory = self.model.handle(moved).file_type.is_dir();
        if is_directory && self.model.is_below(directory, moved) {
            return Err(Errno::EINVAL);
        }
        match (self.model.find(directory, new_name), collision) {
            (Ok(_), Collision::Refuse) => return Err(Errno::EEXIST),
            (Ok(other), Collision::Exchange) => return self.exchange(name, directory, new_name, other),
            (Ok(replaced), Collision::Replace) if replaced == moved => return Ok(()),
            (Ok(replaced), Collision::Replace) => {
                match (is_directory, self.model.handle(replaced).file_type.is_dir()) {
                    (true, true) => self.model.expect_empty(replaced)?,
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) if self.model.is_below(self.number, replaced) => return Err(Errno::ENOTEMPTY),
                    (false, true) => return Err(Errno::EISDIR),
                    (false, false) => {}
                }
                self.model.take(directory, new_name)?;
            }
            (Err(Errno::ENOENT), Collision::Replace | Collision::Refuse) => {}
            (Err(errno), _) => return Err(errno),
        }
        self.model.names(self.number, |names| Ok(names.remove(name)))?;
        self.model.names(directory, |names| Ok(names.insert(new_name.to_vec(), moved))).map(drop)
    }
}

struct ModelListing(alloc::vec::IntoIter<RawEntry>);

impl OpenDirectory for ModelListing {
    fn next(&mut self) -> Result<Option<RawEntry>> {
        Ok(self.0.next())
    }
}
