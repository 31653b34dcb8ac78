//! [`FileServer`]: the two programs called virtiofsd, where they are, and what each wants to be told.
//!
//! QEMU had one written in C until 8.0; the one written in Rust followed. Debian 12 has the former. The latter is built
//! from its source by `cargo xtask setup --with rust-virtiofsd`, into the user's cache:
//!
//! ```text
//!   $XDG_CACHE_HOME or ~/.cache
//!     toro/virtiofsd-1.14.0/bin/virtiofsd
//! ```
//!
//! Neither is confined more than it must be: what they serve here is a directory that a test has made.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where QEMU's distributions keep the one in C; others keep the one in Rust at some of these places.
const PLACES: [&str; 4] =
    ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/local/libexec/virtiofsd"];

/// Which of the two programs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileServerKind {
    /// QEMU's own, up to 7.2.
    C,
    /// Its successor.
    Rust,
}

/// How long the client may believe what the server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// Not at all.
    Never,
    /// A second.
    Auto,
    /// A day.
    #[default]
    Always,
}

/// How a directory is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// How long the client may believe it.
    pub caching: Caching,
    /// How many threads work on requests beside the one that takes them; with none, that one does.
    pub threads: u16,
    /// Whether extended attributes are served.
    pub xattrs: Xattrs,
    /// How the server keeps what the client has references to.
    pub references: References,
}

/// How a server keeps what the client has references to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// As it does by itself: the one in Rust with handles, if the file system has them, which nobody sees from outside.
    #[default]
    AsUsual,
    /// With a descriptor for each.
    Visible,
}

/// Whether extended attributes are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xattrs {
    /// They are not: the server says ENOSYS.
    #[default]
    No,
    /// They are.
    Yes,
}

/// A server for virtio-fs on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileServer {
    /// The program.
    pub program: PathBuf,
    /// Which of the two it is.
    pub kind: FileServerKind,
}

impl FileServer {
    /// The one in C, or else the one in Rust.
    pub fn any() -> Option<Self> {
        Self::find(FileServerKind::C).or_else(|| Self::find(FileServerKind::Rust))
    }

    /// All that are here, at most one of each kind.
    pub fn all() -> Vec<Self> {
        [FileServerKind::C, FileServerKind::Rust].into_iter().filter_map(Self::find).collect()
    }

    /// One of this kind, if it is here.
    pub fn find(kind: FileServerKind) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).map(|directory| directory.join("virtiofsd"));
        let places = built().into_iter().chain(in_path).chain(PLACES.map(PathBuf::from));
        places.filter_map(|place| Self::at(&place)).find(|server| server.kind == kind)
    }

    /// The server that this program is, by what it says of itself.
    pub fn at(program: &Path) -> Option<Self> {
        if !program.is_file() {
            return None;
        }
        let output = Command::new(program).arg("--help").stdin(Stdio::null()).output().ok()?;
        let help = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let kind = if help.contains("--shared-dir") {
            FileServerKind::Rust
        } else if help.contains("-o source=") || help.contains("setgroups() failed") {
            // For an ordinary user it gives up its groups first, and fails before it reads its options.
            FileServerKind::C
        } else {
            return None;
        };
        Some(Self { program: program.to_owned(), kind })
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self.kind {
            FileServerKind::C => "virtiofsd (C)",
            FileServerKind::Rust => "virtiofsd (Rust)",
        }
    }

    /// Its arguments: to serve this directory to whoever connects to that socket.
    pub(crate) fn arguments(&self, socket: RawFd, served: &Path, serving: &Serving) -> Vec<OsString> {
        let mut words = vec![format!("--fd={socket}").into(), format!("--thread-pool-size={}", serving.threads).into()];
        let caching = match serving.caching {
            Caching::Never => "never",
            Caching::Auto => "auto",
            Caching::Always => "always",
        };
        match self.kind {
            FileServerKind::C => {
                let caching = if serving.caching == Caching::Never { "none" } else { caching };
                let source = format!("source={}", served.display());
                let cache = format!("cache={caching}");
                let xattrs = if serving.xattrs == Xattrs::Yes { "xattr" } else { "no_xattr" };
                for option in [source.as_str(), &cache, xattrs, "sandbox=chroot", "log_level=err"] {
                    words.extend([OsString::from("-o"), option.into()]);
                }
            }
            FileServerKind::Rust => {
                words.push(format!("--shared-dir={}", served.display()).into());
                words.push(format!("--cache={caching}").into());
                if serving.references == References::Visible {
                    words.push("--inode-file-handles=never".into());
                }
                words.extend(["--sandbox=none", "--seccomp=none", "--log-level=error"].map(OsString::from));
                if serving.xattrs == Xattrs::Yes {
                    words.push("--xattr".into());
                }
            }
        }
        words
    }
}

/// Those that the set-up has built, the newest first.
fn built() -> Vec<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let entries = cache.and_then(|cache| std::fs::read_dir(cache.join("toro")).ok()).into_iter().flatten().flatten();
    let is_ours = |name: &OsString| name.to_string_lossy().starts_with("virtiofsd-");
    let mut found: Vec<_> = entries.filter(|entry| is_ours(&entry.file_name())).map(|entry| entry.path()).collect();
    found.sort_by_key(|path| std::cmp::Reverse(version(path)));
    found.into_iter().map(|path| path.join("bin/virtiofsd")).collect()
}

/// The numbers in the name.
fn version(path: &Path) -> Vec<u32> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split(['-', '.']).filter_map(|part| part.parse().ok()).collect()
}
