//! Operations, and how they are picked.

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Those of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Files that are open at once.
pub const SLOTS: usize = 6;
/// Directories and files have the same names, so that each is found where the other is expected.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// The name of pipes.
const PIPE: &str = "p";
/// What links name. None leads out, whatever directory the link is moved to.
const TARGETS: [&str; 7] = ["a", "b/c", "./d", "nowhere", "f", "c/e", "a/b/c"];
/// Names of extended attributes; those of "user" are the only ones for everybody.
const XATTRS: [&str; 4] = ["user.colour", "user.size", "user.a.rather.long.name", "user."];
/// Bytes that files have at most, roughly.
const LONGEST: u64 = 300_000;

/// Which access a file is opened for, and what becomes of what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// What may be done.
    pub access: Access,
    /// What happens where there is none.
    pub creation: Creation,
    /// Whether it is emptied.
    pub contents: Contents,
}

/// Options of `toro::fs` or of std, fresh ones, set to this: both have the same methods, and no trait says so.
macro_rules! set_options {
    ($options:expr, $how:expr, $mode:expr) => {{
        let (mut options, how): (_, How) = ($options, $how);
        match how.access {
            Access::Read => options.read(true),
            Access::Write => options.write(true),
            Access::Both => options.read(true).write(true),
            Access::Append => options.read(true).append(true),
        };
        match how.creation {
            Creation::Never => &mut options,
            Creation::Missing => options.create(true),
            Creation::Always => options.create_new(true),
        };
        options.truncate(how.contents == Contents::Truncate);
        options.mode($mode);
        options
    }};
}
pub(super) use set_options;

/// What may be done with an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Both.
    Both,
    /// Both, writing at the end only.
    Append,
}

/// What happens where there is no file, or is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// There must be one.
    Never,
    /// It is made.
    Missing,
    /// There must be none.
    Always,
}

/// What becomes of what a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// It stays.
    Keep,
    /// It goes.
    Truncate,
}

/// What happens where a new name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collision {
    /// That is replaced.
    Replace,
    /// An error.
    Refuse,
    /// Both change places.
    Exchange,
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It is.
    Follow,
    /// It is not.
    Keep,
}

/// How space is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The file becomes that long.
    Extend,
    /// It does not.
    KeepSize,
    /// Zeros, and no space.
    Hole,
}

/// How an extended attribute is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Whether it was there or not.
    Any,
    /// It must not have been there.
    Create,
    /// It must have been there.
    Replace,
}

/// What is done. Paths have no slash in front.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are those of system calls, or of functions of std::fs")]
pub enum Operation {
    MakeDir { path: String, mode: u32 },
    RemoveDir { path: String },
    RemoveFile { path: String },
    RemoveTree { path: String },
    Rename { from: String, to: String, collision: Collision },
    Link { from: String, to: String },
    SymLink { target: String, path: String },
    ReadLink { path: String },
    Pipe { path: String, mode: u32 },
    Open { slot: usize, path: String, how: How, mode: u32 },
    Close { slot: usize },
    ReadAt { slot: usize, offset: u64, len: usize },
    WriteAt { slot: usize, offset: u64, len: usize, stamp: u64 },
    SetLen { slot: usize, len: u64 },
    Sync { slot: usize },
    Allocate { slot: usize, offset: u64, len: u64, space: Space },
    FileAttributes { slot: usize },
    FileMode { slot: usize, mode: u32 },
    Attributes { path: String, last: Last },
    List { path: String },
    Read { path: String },
    Write { path: String, len: usize, stamp: u64 },
    Copy { from: String, to: String },
    SetMode { path: String, mode: u32 },
    SetTimes { path: String, last: Last, seconds: i64, nanoseconds: u32 },
    Chown { path: String, last: Last, user: Option<u32>, group: Option<u32> },
    SetXattr { path: String, name: &'static str, len: usize, stamp: u64, setting: Setting },
    Xattr { path: String, name: &'static str },
    ListXattrs { path: String },
    RemoveXattr { path: String, name: &'static str },
}

impl Operation {
    /// Any one.
    pub fn any(random: &mut Random) -> Self {
        let slot = random.below(SLOTS as u64) as usize;
        let last = random.pick(&[Last::Follow, Last::Keep]);
        match random.below(100) {
            0..=6 => Self::MakeDir { path: path(random), mode: mode(random, 0o777) },
            7..=8 => Self::RemoveDir { path: path(random) },
            9..=12 => Self::RemoveFile { path: path(random) },
            // What a slash at the end says there, std decides, and not Linux.
            13 if random.one_in(4) => Self::RemoveTree { path: path(random).trim_end_matches('/').to_owned() },
            13..=18 => {
                let collision =
                    random.pick(&[Collision::Replace, Collision::Replace, Collision::Refuse, Collision::Exchange]);
                Self::Rename { from: good_path(random), to: good_path(random), collision }
            }
            19..=22 => Self::Link { from: good_path(random), to: good_path(random) },
            23..=25 => Self::SymLink { target: random.pick(&TARGETS).to_owned(), path: path(random) },
            26..=27 => Self::ReadLink { path: path(random) },
            28 => Self::Pipe { path: pipe(random), mode: mode(random, 0o666) },
            29..=38 => Self::Open { slot, path: path(random), how: how(random), mode: mode(random, 0o666) },
            39..=40 => Self::Close { slot },
            41..=50 => Self::ReadAt { slot, offset: offset(random), len: len(random) },
            51..=60 => Self::WriteAt { slot, offset: offset(random), len: len(random), stamp: random.next() },
            61..=64 => Self::SetLen { slot, len: offset(random) },
            65 => Self::Sync { slot },
            66..=67 => {
                let space = random.pick(&[Space::Extend, Space::KeepSize, Space::Hole]);
                Self::Allocate { slot, offset: offset(random), len: random.below(100_000), space }
            }
            68..=69 => Self::FileAttributes { slot },
            70 => Self::FileMode { slot, mode: mode(random, 0o7777) },
            71..=75 => Self::Attributes { path: path_or_pipe(random), last },
            76..=79 => Self::List { path: directory(random) },
            80..=82 => Self::Read { path: path(random) },
            83..=84 => Self::Write { path: path(random), len: len(random), stamp: random.next() },
            85 => Self::Copy { from: good_path(random), to: good_path(random) },
            86..=87 => Self::SetMode { path: path_or_pipe(random), mode: mode(random, 0o7777) },
            88..=89 => Self::SetTimes {
                path: path_or_pipe(random),
                last,
                seconds: random.below(4_000_000_000) as i64,
                nanoseconds: random.below(1_000_000_000) as u32,
            },
            90 => {
                // One of them at least: to change neither is nothing to us, and removes the set-user-ID bit on Linux.
                let id = |random: &mut Random| random.below(1000) as u32;
                let (user, group) = match random.below(3) {
                    0 => (Some(id(random)), None),
                    1 => (None, Some(id(random))),
                    _ => (Some(id(random)), Some(id(random))),
                };
                Self::Chown { path: path_or_pipe(random), last, user, group }
            }
            91..=94 => {
                let setting = random.pick(&[Setting::Any, Setting::Create, Setting::Replace]);
                let len = random.pick(&[0, 1, 10, 100, 1000]);
                Self::SetXattr { path: path(random), name: random.pick(&XATTRS), len, stamp: random.next(), setting }
            }
            95..=96 => Self::Xattr { path: path(random), name: random.pick(&XATTRS) },
            97..=98 => Self::ListXattrs { path: path(random) },
            _ => Self::RemoveXattr { path: path(random), name: random.pick(&XATTRS) },
        }
    }
}

/// Bytes that follow from a number.
pub fn bytes(stamp: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(stamp);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn how(random: &mut Random) -> How {
    let access = random.pick(&[Access::Read, Access::Write, Access::Both, Access::Both, Access::Append]);
    let creation = match access {
        Access::Read => Creation::Never,
        _ => random.pick(&[Creation::Never, Creation::Missing, Creation::Missing, Creation::Always]),
    };
    let may_truncate = matches!(access, Access::Write | Access::Both);
    let contents = if may_truncate && random.one_in(4) { Contents::Truncate } else { Contents::Keep };
    How { access, creation, contents }
}

/// The path of a directory, more often than not.
fn directory(random: &mut Random) -> String {
    let depth = random.below(3);
    let names: Vec<_> = (0..depth).map(|_| random.pick(&NAMES[..3])).collect();
    if names.is_empty() { ".".to_owned() } else { names.join("/") }
}

/// A path with names that can exist.
fn good_path(random: &mut Random) -> String {
    // Of two paths Linux looks for both directories first, and for the names then: of two reasons either may be given.
    loop {
        let path = path(random);
        if path.len() < 256 {
            return path;
        }
    }
}

/// The path of anything.
fn path(random: &mut Random) -> String {
    let directory = directory(random);
    let name = match random.below(200) {
        0 => "x".repeat(255),
        1 => "y".repeat(256),
        _ => random.pick(&NAMES).to_owned(),
    };
    match random.below(60) {
        0 => format!("{directory}//{name}"),
        1 => format!("{directory}/./{name}"),
        2 if directory != "." => format!("{directory}/../{name}"),
        // Of two reasons for an error either may be given.
        3 if name.len() < 256 => format!("{directory}/{name}/"),
        _ if directory == "." => name,
        _ => format!("{directory}/{name}"),
    }
}

fn pipe(random: &mut Random) -> String {
    format!("{}/{PIPE}", directory(random))
}

fn path_or_pipe(random: &mut Random) -> String {
    if random.one_in(10) { pipe(random) } else { path(random) }
}

/// Permissions; an ordinary user's own files stay his to use.
fn mode(random: &mut Random, most: u32) -> u32 {
    let mode = random.next() as u32 & most;
    if rustix::process::geteuid().is_root() { mode } else { mode | 0o700 }
}

fn offset(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => 0,
        1 => random.below(LONGEST / 4096) * 4096,
        _ => random.below(LONGEST),
    }
}

fn len(random: &mut Random) -> usize {
    let most = random.pick(&[1, 100, 4096, 20_000, 140_000]);
    let len = match random.below(100) {
        // More than one request takes.
        0 => 1_500_000,
        _ => random.below(most + 1),
    };
    len as usize
}
