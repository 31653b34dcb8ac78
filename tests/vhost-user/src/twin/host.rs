//! What Linux does.

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, RenameFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::answer::{Answer, Attributes, Outcome};
use super::operation::{
    Access, Collision, Contents, Creation, How, Last, Operation, SLOTS, Setting, Space, bytes, set_options,
};
use super::ours::{INVALID, user_names};

/// More than the list of an object's attributes takes here, or a value.
const XATTRS: usize = 4096;

/// A directory, and files that are open in it.
pub struct Host<'a> {
    root: &'a Path,
    open: [Option<File>; SLOTS],
}

fn errno(error: Error) -> i32 {
    let invented = (error.kind() == ErrorKind::InvalidInput).then_some(INVALID);
    error.raw_os_error().or(invented).unwrap_or_else(|| panic!("an error without a number: {error:?}"))
}

fn raw(error: Errno) -> i32 {
    error.raw_os_error()
}

fn done(result: Result<(), Error>) -> Outcome {
    result.map(|()| Answer::Done).map_err(errno)
}

fn done_raw(result: Result<(), Errno>) -> Outcome {
    result.map(|()| Answer::Done).map_err(raw)
}

fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: metadata.mode(),
        len: if metadata.is_dir() { 0 } else { metadata.len() },
        links: metadata.nlink(),
        owner: (metadata.uid(), metadata.gid()),
        modified: None,
    }
}

fn at_flags(last: Last) -> AtFlags {
    match last {
        Last::Follow => AtFlags::empty(),
        Last::Keep => AtFlags::SYMLINK_NOFOLLOW,
    }
}

impl<'a> Host<'a> {
    /// With nothing open.
    pub fn new(root: &'a Path) -> Self {
        Self { root, open: Default::default() }
    }

    /// Slashes and dots at the end count.
    fn at(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("{}/{path}", self.root.display()))
    }

    /// Does it.
    pub fn perform(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::MakeDir { path, mode } => done(std::fs::DirBuilder::new().mode(*mode).create(self.at(path))),
            Operation::RemoveDir { path } => done(std::fs::remove_dir(self.at(path))),
            Operation::RemoveFile { path } => done(std::fs::remove_file(self.at(path))),
            Operation::RemoveTree { path } => done(std::fs::remove_dir_all(self.at(path))),
            Operation::Rename { from, to, collision } => {
                let flags = match collision {
                    Collision::Replace => RenameFlags::empty(),
                    Collision::Refuse => RenameFlags::NOREPLACE,
                    Collision::Exchange => RenameFlags::EXCHANGE,
                };
                done_raw(rustix::fs::renameat_with(CWD, self.at(from), CWD, self.at(to), flags))
            }
            Operation::Link { from, to } => done(std::fs::hard_link(self.at(from), self.at(to))),
            Operation::SymLink { target, path } => done(std::os::unix::fs::symlink(target, self.at(path))),
            Operation::ReadLink { path } => {
                let target = std::fs::read_link(self.at(path)).map_err(errno)?;
                Ok(Answer::Bytes(target.as_os_str().as_bytes().to_vec()))
            }
            Operation::Pipe { path, mode } => {
                done_raw(rustix::fs::mknodat(CWD, self.at(path), FileType::Fifo, Mode::from_raw_mode(*mode), 0))
            }
            Operation::Open { slot, path, how, mode } => {
                self.open[*slot] = None;
                let file = set_options!(std::fs::OpenOptions::new(), *how, *mode).open(self.at(path)).map_err(errno)?;
                // Linux opens directories for reading; as a file that is nothing that std has a use for.
                if file.metadata().map_err(errno)?.is_dir() {
                    return Err(raw(Errno::ISDIR));
                }
                self.open[*slot] = Some(file);
                Ok(Answer::Done)
            }
            Operation::Close { slot } => Ok(self.open[*slot].take().map_or(Answer::Nothing, |_| Answer::Done)),
            Operation::ReadAt { slot, .. }
            | Operation::WriteAt { slot, .. }
            | Operation::SetLen { slot, .. }
            | Operation::Sync { slot }
            | Operation::Allocate { slot, .. }
            | Operation::FileAttributes { slot }
            | Operation::FileMode { slot, .. } => match &self.open[*slot] {
                Some(file) => with_file(file, operation),
                None => Ok(Answer::Nothing),
            },
            Operation::Attributes { path, last } => {
                self.metadata(path, *last).map(|metadata| Answer::Attributes(attributes(&metadata))).map_err(errno)
            }
            Operation::List { path } => {
                let entries = std::fs::read_dir(self.at(path)).map_err(errno)?;
                let names: Result<Vec<_>, _> =
                    entries.map(|entry| entry.map(|entry| entry.file_name().as_bytes().to_vec())).collect();
                let mut names = names.map_err(errno)?;
                names.sort();
                Ok(Answer::Names(names))
            }
            Operation::Read { path } => std::fs::read(self.at(path)).map(Answer::Bytes).map_err(errno),
            Operation::Write { path, len, stamp } => done(self.write(path, &bytes(*stamp, *len))),
            Operation::Copy { from, to } => {
                std::fs::copy(self.at(from), self.at(to)).map(Answer::Number).map_err(errno)
            }
            _ => self.change_attributes(operation),
        }
    }

    fn change_attributes(&self, operation: &Operation) -> Outcome {
        match operation {
            Operation::SetMode { path, mode } => {
                done(std::fs::set_permissions(self.at(path), std::fs::Permissions::from_mode(*mode)))
            }
            Operation::SetTimes { path, last, seconds, nanoseconds } => {
                let time = Timespec { tv_sec: *seconds, tv_nsec: (*nanoseconds).into() };
                let times = Timestamps { last_access: time, last_modification: time };
                rustix::fs::utimensat(CWD, self.at(path), &times, at_flags(*last)).map_err(raw)?;
                let metadata = self.metadata(path, *last).map_err(errno)?;
                let modified = Some((metadata.mtime(), metadata.mtime_nsec() as u32));
                Ok(Answer::Attributes(Attributes { modified, ..attributes(&metadata) }))
            }
            Operation::Chown { path, last, user, group } => {
                let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
                done_raw(rustix::fs::chownat(CWD, self.at(path), user, group, at_flags(*last)))
            }
            Operation::SetXattr { path, name, len, stamp, setting } => {
                let flags = match setting {
                    Setting::Any => XattrFlags::empty(),
                    Setting::Create => XattrFlags::CREATE,
                    Setting::Replace => XattrFlags::REPLACE,
                };
                done_raw(rustix::fs::setxattr(self.at(path), *name, &bytes(*stamp, *len), flags))
            }
            Operation::Xattr { path, name } => {
                let mut value = vec![0; XATTRS];
                match rustix::fs::getxattr(self.at(path), *name, &mut value[..]) {
                    Ok(len) => Ok(Answer::Perhaps(Some(value[..len].to_vec()))),
                    Err(Errno::NODATA) => Ok(Answer::Perhaps(None)),
                    Err(error) => Err(raw(error)),
                }
            }
            Operation::ListXattrs { path } => {
                let mut list = vec![0; XATTRS];
                let len = rustix::fs::listxattr(self.at(path), &mut list[..]).map_err(raw)?;
                let names = list[..len].split(|&byte| byte == 0).map(<[u8]>::to_vec);
                Ok(Answer::Names(user_names(names)))
            }
            Operation::RemoveXattr { path, name } => done_raw(rustix::fs::removexattr(self.at(path), *name)),
            _ => unreachable!("it is done above"),
        }
    }

    fn metadata(&self, path: &str, last: Last) -> Result<Metadata, Error> {
        match last {
            Last::Follow => std::fs::metadata(self.at(path)),
            Last::Keep => std::fs::symlink_metadata(self.at(path)),
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        self.create(path)?.write_all(bytes)
    }

    /// With the permissions that `toro::fs` gives a file if it is not told others: there is no umask.
    fn create(&self, path: &str) -> Result<File, Error> {
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(self.at(path))
    }
}

fn with_file(file: &File, operation: &Operation) -> Outcome {
    match operation {
        Operation::ReadAt { offset, len, .. } => {
            let mut buffer = vec![0; *len];
            let count = file.read_at(&mut buffer, *offset).map_err(errno)?;
            buffer.truncate(count);
            Ok(Answer::Bytes(buffer))
        }
        Operation::WriteAt { offset, len, stamp, .. } => {
            let bytes = bytes(*stamp, *len);
            file.write_at(&bytes, *offset).map(|count| Answer::Number(count as u64)).map_err(errno)
        }
        Operation::SetLen { len, .. } => done(file.set_len(*len)),
        Operation::Sync { .. } => done(file.sync_all()),
        Operation::Allocate { offset, len, space, .. } => {
            let flags = match space {
                Space::Extend => FallocateFlags::empty(),
                Space::KeepSize => FallocateFlags::KEEP_SIZE,
                Space::Hole => FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE,
            };
            done_raw(rustix::fs::fallocate(file, flags, *offset, *len))
        }
        Operation::FileAttributes { .. } => {
            file.metadata().map(|metadata| Answer::Attributes(attributes(&metadata))).map_err(errno)
        }
        Operation::FileMode { mode, .. } => done(file.set_permissions(std::fs::Permissions::from_mode(*mode))),
        _ => unreachable!("it is none on an open file"),
    }
}
