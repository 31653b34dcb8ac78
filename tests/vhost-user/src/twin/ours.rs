//! What `toro::fs` does.

use toro::fs::path::LastLink;
use toro::fs::{
    Allocation, Collision as OurCollision, DirBuilder, File, FileTime, FileTimes, Metadata, Namespace, OpenOptions,
    Permissions, SpecialFile, XattrMode,
};
use toro::io::{Error, ErrorKind};

use super::answer::{Answer, Attributes, Outcome};
use super::operation::{
    Access, Collision, Contents, Creation, How, Last, Operation, SLOTS, Setting, Space, bytes, set_options,
};

/// The number for what std calls `InvalidInput` by itself.
pub const INVALID: i32 = 22;

/// A namespace, and files that are open in it.
pub struct Ours<'a> {
    files: &'a Namespace,
    open: [Option<File>; SLOTS],
}

fn errno(error: Error) -> i32 {
    // std has errors of its own, without a number: `copy` of what is no file.
    let invented = (error.kind() == ErrorKind::InvalidInput).then_some(INVALID);
    error.raw_os_error().or(invented).unwrap_or_else(|| panic!("an error without a number: {error:?}"))
}

fn done(result: Result<(), Error>) -> Outcome {
    result.map(|()| Answer::Done).map_err(errno)
}

fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: metadata.mode(),
        len: if metadata.is_dir() { 0 } else { metadata.len() },
        links: metadata.links().into(),
        owner: (metadata.uid(), metadata.gid()),
        modified: None,
    }
}

fn last_link(last: Last) -> LastLink {
    match last {
        Last::Follow => LastLink::Follow,
        Last::Keep => LastLink::Keep,
    }
}

impl<'a> Ours<'a> {
    /// With nothing open.
    pub fn new(files: &'a Namespace) -> Self {
        Self { files, open: Default::default() }
    }

    /// Does it.
    pub fn perform(&mut self, operation: &Operation) -> Outcome {
        let files = self.files;
        match operation {
            Operation::MakeDir { path, mode } => {
                let mut how = DirBuilder::new();
                how.mode(*mode);
                done(files.create_dir_with(path.as_bytes(), &how))
            }
            Operation::RemoveDir { path } => done(files.remove_dir(path.as_bytes())),
            Operation::RemoveFile { path } => done(files.remove_file(path.as_bytes())),
            Operation::RemoveTree { path } => done(files.remove_dir_all(path.as_bytes())),
            Operation::Rename { from, to, collision } => {
                let collision = match collision {
                    Collision::Replace => OurCollision::Replace,
                    Collision::Refuse => OurCollision::Refuse,
                    Collision::Exchange => OurCollision::Exchange,
                };
                done(files.rename_with(from.as_bytes(), to.as_bytes(), collision))
            }
            Operation::Link { from, to } => done(files.hard_link(from.as_bytes(), to.as_bytes())),
            Operation::SymLink { target, path } => done(files.symlink(target.as_bytes(), path.as_bytes())),
            Operation::ReadLink { path } => files.read_link(path.as_bytes()).map(Answer::Bytes).map_err(errno),
            Operation::Pipe { path, mode } => done(files.create_special(path.as_bytes(), *mode, SpecialFile::Fifo)),
            Operation::Open { slot, path, how, mode } => {
                self.open[*slot] = None;
                let options = set_options!(OpenOptions::new(), *how, *mode);
                let file = files.open_with(path.as_bytes(), &options).map_err(errno)?;
                self.open[*slot] = Some(file);
                Ok(Answer::Done)
            }
            Operation::Close { slot } => match self.open[*slot].take() {
                Some(file) => done(file.close()),
                None => Ok(Answer::Nothing),
            },
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
            Operation::Attributes { path, last } => self.attributes(path, *last).map(Answer::Attributes),
            Operation::List { path } => {
                let entries = files.read_dir(path.as_bytes()).map_err(errno)?;
                let names: Result<Vec<_>, _> =
                    entries.map(|entry| entry.map(|entry| entry.file_name().to_vec())).collect();
                let mut names = names.map_err(errno)?;
                names.sort();
                Ok(Answer::Names(names))
            }
            Operation::Read { path } => files.read(path.as_bytes()).map(Answer::Bytes).map_err(errno),
            Operation::Write { path, len, stamp } => done(files.write(path.as_bytes(), &bytes(*stamp, *len))),
            Operation::Copy { from, to } => {
                files.copy(from.as_bytes(), to.as_bytes()).map(Answer::Number).map_err(errno)
            }
            Operation::SetMode { path, mode } => {
                done(files.set_permissions(path.as_bytes(), &Permissions::from_mode(*mode)))
            }
            Operation::SetTimes { path, last, seconds, nanoseconds } => {
                let time = FileTime { seconds: *seconds, nanoseconds: *nanoseconds };
                let times = FileTimes::new().set_accessed(time).set_modified(time);
                files.set_times(path.as_bytes(), last_link(*last), times).map_err(errno)?;
                let metadata = self.metadata(path, *last).map_err(errno)?;
                let modified = metadata.modified_time();
                let modified = Some((modified.seconds, modified.nanoseconds));
                Ok(Answer::Attributes(Attributes { modified, ..attributes(&metadata) }))
            }
            Operation::Chown { path, last, user, group } => {
                done(files.chown(path.as_bytes(), last_link(*last), *user, *group))
            }
            Operation::SetXattr { path, name, len, stamp, setting } => {
                let mode = match setting {
                    Setting::Any => XattrMode::Any,
                    Setting::Create => XattrMode::Create,
                    Setting::Replace => XattrMode::Replace,
                };
                done(files.set_xattr(path.as_bytes(), name.as_bytes(), &bytes(*stamp, *len), mode))
            }
            Operation::Xattr { path, name } => {
                files.xattr(path.as_bytes(), name.as_bytes()).map(Answer::Perhaps).map_err(errno)
            }
            Operation::ListXattrs { path } => {
                let names = files.list_xattrs(path.as_bytes()).map_err(errno)?;
                Ok(Answer::Names(user_names(names.iter().map(|name| name.to_vec()))))
            }
            Operation::RemoveXattr { path, name } => done(files.remove_xattr(path.as_bytes(), name.as_bytes())),
        }
    }

    fn metadata(&self, path: &str, last: Last) -> Result<Metadata, Error> {
        match last {
            Last::Follow => self.files.metadata(path.as_bytes()),
            Last::Keep => self.files.symlink_metadata(path.as_bytes()),
        }
    }

    fn attributes(&self, path: &str, last: Last) -> Result<Attributes, i32> {
        self.metadata(path, last).map(|metadata| attributes(&metadata)).map_err(errno)
    }
}

/// Those that anybody may set, sorted: a host may have others of its own.
pub fn user_names(names: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = names.filter(|name| name.starts_with(b"user.")).collect();
    names.sort();
    names
}

fn with_file(file: &File, operation: &Operation) -> Outcome {
    match operation {
        Operation::ReadAt { offset, len, .. } => {
            let mut buffer = vec![0; *len];
            let count = file.read_at(&mut buffer, *offset).map_err(errno)?;
            buffer.truncate(count);
            // The other way to read says the same.
            if *len > 0 && *len <= file.read_limit() {
                let other = file.read_buffer(*offset, *len).map_err(errno)?;
                assert!(other[..] == buffer[..], "read_buffer at {offset}");
            }
            Ok(Answer::Bytes(buffer))
        }
        Operation::WriteAt { offset, len, stamp, .. } => {
            let bytes = bytes(*stamp, *len);
            file.write_at(&bytes, *offset).map(|count| Answer::Number(count as u64)).map_err(errno)
        }
        Operation::SetLen { len, .. } => done(file.set_len(*len)),
        Operation::Sync { .. } => done(file.sync_all()),
        Operation::Allocate { offset, len, space, .. } => {
            let how = match space {
                Space::Extend => Allocation::Extend,
                Space::KeepSize => Allocation::KeepSize,
                Space::Hole => Allocation::PunchHole,
            };
            done(file.allocate(*offset, *len, how))
        }
        Operation::FileAttributes { .. } => {
            file.metadata().map(|metadata| Answer::Attributes(attributes(&metadata))).map_err(errno)
        }
        Operation::FileMode { mode, .. } => done(file.set_permissions(Permissions::from_mode(*mode))),
        _ => unreachable!("it is none on an open file"),
    }
}
