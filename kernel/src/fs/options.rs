//! How a file is opened.

use fuse_proto::Errno;

use super::path::LastLink;
use super::vfs::Sync;

/// How a file is opened, as `std::fs::OpenOptions`: at first nothing is allowed and nothing created.
///
/// ```ignore
/// let mut log = OpenOptions::new().append(true).create(true).open("/log")?;
/// writeln!(log, "started")?;
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "as in std: each says whether one thing was asked for")]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    flags: i32,
}

/// Permissions of a new file, if nothing else is said.
const DEFAULT_MODE: u32 = 0o644;

/// What may be done with an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Reading.
    Read,
    /// Writing.
    Write(WritePosition),
    /// Both.
    ReadAndWrite(WritePosition),
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePosition {
    /// To the file's position, or where it says.
    Anywhere,
    /// Behind the end, always.
    End,
}

/// What happens where there is no such file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    /// An error.
    Never,
    /// It is created.
    IfMissing,
    /// It is created; where there is one, that is an error.
    Always,
}

/// What happens to what the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// It stays.
    Keep,
    /// It goes.
    Truncate,
}

/// When what is written is made stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// When somebody asks for it.
    Later,
    /// Before the call that writes returns.
    EachWrite(Sync),
}

/// The flags of `open` on Linux that mean something in [`OpenOptions::custom_flags`].
mod flags {
    pub const ACCESS_MODE: i32 = 0o3;
    pub const DATA_SYNC: i32 = 0o10_000;
    pub const SYNC: i32 = 0o4_010_000;
    pub const NO_FOLLOW: i32 = 0o400_000;
    /// O_NOCTTY, O_NONBLOCK, O_LARGEFILE and O_CLOEXEC: no terminals, no waiting for pipes, no limit of 2 GiB, no `exec`.
    pub const MEANINGLESS: i32 = 0o400 | 0o4_000 | 0o100_000 | 0o2_000_000;
}

/// Options that make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub rights: Rights,
    pub creation: Creation,
    pub contents: Contents,
    pub mode: u32,
    pub last_link: LastLink,
    pub stability: Stability,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing allowed, nothing created.
    pub const fn new() -> Self {
        Self {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: DEFAULT_MODE,
            flags: 0,
        }
    }

    /// Whether the file can be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// Whether the file can be written.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// Whether the file can be written, and each write goes behind the end, wherever that is at that moment. Nobody else's
    /// bytes get between those of one write.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// Whether the file is emptied. It must be open for writing.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Whether the file is created if there is none. It must be open for writing or appending.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Whether the file is created, and must not have been there. [`create`](Self::create) and
    /// [`truncate`](Self::truncate) do not matter then.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// Which permissions the file has if it is created: the lower twelve bits of `st_mode`, 0o644 if nothing is said.
    /// There is no `umask`. Open handles may do what they were opened for, whatever these say.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode & 0o7777;
        self
    }

    /// More flags of Linux' `open`: `O_NOFOLLOW`, with which a symbolic link at the end of the path is `FilesystemLoop`;
    /// `O_SYNC` and `O_DSYNC`, with which each write is stable when it has returned. `O_CLOEXEC`, `O_NOCTTY`, `O_NONBLOCK` and
    /// `O_LARGEFILE` change nothing here; any other is refused when the file is opened. As in std, the bits of the access
    /// mode are ignored.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.flags = flags & !flags::ACCESS_MODE;
        self
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for options that contradict each other, as in std: no access at all, emptying or creating without
    /// writing, emptying and appending; and for flags that mean nothing here. `AlreadyExists`, `NotFound`, `NotADirectory`, `IsADirectory`, `FilesystemLoop`,
    /// `ReadOnlyFilesystem`, `StorageFull`; ENXIO for a pipe, socket or device; and what the file system says.
    #[cfg(target_os = "none")]
    pub fn open(&self, path: impl AsRef<[u8]>) -> crate::io::Result<super::File> {
        super::system::namespace().open_with(path.as_ref(), self)
    }

    /// What the options ask for.
    ///
    /// # Errors
    ///
    /// EINVAL if they contradict each other.
    pub(super) fn plan(&self) -> Result<Plan, Errno> {
        let rights = match (self.read, self.write, self.append) {
            (true, false, false) => Rights::Read,
            (false, true, false) => Rights::Write(WritePosition::Anywhere),
            (true, true, false) => Rights::ReadAndWrite(WritePosition::Anywhere),
            (false, _, true) => Rights::Write(WritePosition::End),
            (true, _, true) => Rights::ReadAndWrite(WritePosition::End),
            (false, false, false) => return Err(Errno::EINVAL),
        };
        let is_excluded = match (rights, self.append) {
            (Rights::Read, _) => self.truncate || self.create || self.create_new,
            (_, true) => self.truncate && !self.create_new,
            (_, false) => false,
        };
        if is_excluded {
            return Err(Errno::EINVAL);
        }
        let (creation, contents) = match (self.create_new, self.create, self.truncate) {
            (true, _, _) => (Creation::Always, Contents::Keep),
            (false, create, truncate) => (
                if create { Creation::IfMissing } else { Creation::Never },
                if truncate { Contents::Truncate } else { Contents::Keep },
            ),
        };
        let known = flags::SYNC | flags::NO_FOLLOW | flags::MEANINGLESS;
        let has = |flag| self.flags & flag == flag;
        if self.flags & !known != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Plan {
            rights,
            creation,
            contents,
            mode: self.mode,
            last_link: if has(flags::NO_FOLLOW) { LastLink::Keep } else { LastLink::Follow },
            stability: if has(flags::SYNC) {
                Stability::EachWrite(Sync::All)
            } else if has(flags::DATA_SYNC) {
                Stability::EachWrite(Sync::Data)
            } else {
                Stability::Later
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_accepted_and_refused_as_in_std() {
        let path = std::env::temp_dir().join(std::format!("toro-options-{}", std::process::id()));
        for choice in 0..64_u8 {
            let has = |bit: u8| choice & 1 << bit != 0;
            let mut ours = OpenOptions::new();
            ours.read(has(0)).write(has(1)).append(has(2)).truncate(has(3)).create(has(4)).create_new(has(5));
            let mut theirs = std::fs::OpenOptions::new();
            theirs.read(has(0)).write(has(1)).append(has(2)).truncate(has(3)).create(has(4)).create_new(has(5));
            for exists in [false, true] {
                let _ = std::fs::remove_file(&path);
                if exists {
                    std::fs::write(&path, "x").expect("there is room");
                }
                let opened = theirs.open(&path);
                let is_invalid = opened.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::InvalidInput);
                assert_eq!(ours.plan().is_err(), is_invalid, "{ours:?}");
                let Ok(plan) = ours.plan() else { continue };
                let expected = match plan.creation {
                    Creation::Never => exists,
                    Creation::IfMissing => true,
                    Creation::Always => !exists,
                };
                assert_eq!(opened.is_ok(), expected, "{ours:?}");
                if expected && exists {
                    let is_empty = std::fs::metadata(&path).expect("it exists").len() == 0;
                    assert_eq!(plan.contents == Contents::Truncate, is_empty, "{ours:?}");
                }
            }
        }
        let _ = std::fs::remove_file(&path);
    }
}
