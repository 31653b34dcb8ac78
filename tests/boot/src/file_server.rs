//! The server of a share, started by a case itself: which of the two virtiofsd, how it lets guests cache, and its end.
//!
//! ```text
//!   cargo xtask run ... -- -chardev socket,path=DIR/socket -device vhost-user-fs-...     QEMU, by the tool
//!                                         |
//!   virtiofsd --socket-path=DIR/socket ---+---> the directory that is shared            by the case
//! ```
//!
//! So a case can look at the server's descriptors, kill it, and start another one in its place. `cargo xtask run --share`
//! starts a server of its own, and ends it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// Where the programs are: that in C, and where distributions keep that in Rust.
const IN_C: &str = "/usr/lib/qemu/virtiofsd";
const IN_RUST: [&str; 3] = ["/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/local/libexec/virtiofsd"];
/// Where `cargo xtask setup --with rust-virtiofsd` puts it, in the user's cache.
const BUILT: &str = "toro/virtiofsd-1.14.0/bin/virtiofsd";
/// How long a server may take to open its socket, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// QEMU's own, up to 7.2.
    C,
    /// Its successor.
    Rust,
}

impl Flavour {
    /// For names of cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Rust => "rust",
        }
    }

    /// Files and directories that it opens once there is a guest, to serve at all: that in C the root of the share and two
    /// directories of /proc, that in Rust none, since it has them from the start.
    fn opened_later(self) -> usize {
        match self {
            Self::C => 3,
            Self::Rust => 0,
        }
    }

    /// The program, if it is here.
    pub fn program(self) -> Option<PathBuf> {
        let places: Vec<PathBuf> = match self {
            Self::C => vec![IN_C.into()],
            Self::Rust => built().into_iter().chain(IN_RUST.map(PathBuf::from)).collect(),
        };
        places.into_iter().find(|place| place.is_file())
    }
}

/// Where the one in Rust is built.
fn built() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join(BUILT))
}

/// What the guest may believe for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Nothing.
    Never,
    /// Names and attributes for a second.
    Auto,
    /// Everything for ever.
    Always,
}

impl Caching {
    /// What the options of the program call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Auto => "auto",
            Self::Always => "always",
        }
    }
}

/// A server that runs; killed when dropped.
pub struct FileServer {
    process: Child,
    socket: PathBuf,
    /// What it holds of the share before anybody uses it.
    descriptors: usize,
}

impl FileServer {
    /// Starts a server for `share`, with its socket in the directory `place`.
    ///
    /// # Errors
    ///
    /// It is not here, or does not open its socket.
    pub fn start(flavour: Flavour, caching: Caching, share: &Path, place: &Path) -> Result<Self, String> {
        let program = flavour.program().ok_or_else(|| format!("there is no virtiofsd in {flavour:?} here"))?;
        let socket = place.join("socket");
        let _ = fs::remove_file(&socket);
        let mut command = if flavour == Flavour::C && !rustix::process::geteuid().is_root() {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--map-auto"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.args(arguments(flavour, caching, share, &socket));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let mut server = Self { process, socket, descriptors: 0 };
        let deadline = Instant::now() + PATIENCE;
        while !server.socket.exists() {
            if let Ok(Some(status)) = server.process.try_wait() {
                return Err(format!("{} ends at once: {status}", program.display()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} opens no socket", program.display()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        server.descriptors = server.open_descriptors() + flavour.opened_later();
        Ok(server)
    }

    /// What to tell QEMU, behind `--`: a device with this tag.
    pub fn device(&self, machine: &str, tag: &str) -> [String; 4] {
        let device = if machine == "microvm" { "vhost-user-fs-device" } else { "vhost-user-fs-pci" };
        [
            "-chardev".to_owned(),
            format!("socket,id=of-{tag},path={}", self.socket.display()),
            "-device".to_owned(),
            format!("{device},chardev=of-{tag},tag={tag},queue-size=1024"),
        ]
    }

    /// Whether it holds no more of the share than before anybody used it.
    ///
    /// # Errors
    ///
    /// How much more it holds.
    pub fn holds_nothing(&self) -> Result<(), String> {
        let now = self.open_descriptors();
        if now <= self.descriptors {
            return Ok(());
        }
        Err(format!("the server has {now} descriptors of the share open, and had {}", self.descriptors))
    }

    /// Descriptors of files and directories that the server, or a process that it consists of, has open.
    fn open_descriptors(&self) -> usize {
        self.processes().into_iter().map(descriptors_of).max().unwrap_or(0)
    }

    /// The process and all that descend from it: the one in C serves in a child.
    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.process.id()];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|number| number.parse::<u32>().ok()));
            next += 1;
        }
        found
    }

    /// Kills it, as a crash would, whatever it is doing.
    pub fn kill(&mut self) {
        for process in self.processes().into_iter().rev() {
            if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.process.wait();
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        // It ends by itself when QEMU has gone.
        let deadline = Instant::now() + Duration::from_secs(2);
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                self.kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Descriptors of a process that are neither sockets nor devices nor anything without a file.
fn descriptors_of(process: u32) -> usize {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/fd")) else { return 0 };
    let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.is_absolute() && !target.starts_with("/dev") && !is_memory(target)).count()
}

/// Whether it is memory that has the form of a file, as that of the guest is.
fn is_memory(path: &Path) -> bool {
    path.to_string_lossy().starts_with("/memfd:")
}

fn arguments(flavour: Flavour, caching: Caching, share: &Path, socket: &Path) -> Vec<OsString> {
    let mut words = vec![joined("--socket-path=", socket)];
    let is_root = rustix::process::geteuid().is_root();
    match flavour {
        Flavour::C => {
            let caching = if caching == Caching::Never { "none" } else { caching.name() };
            let source = joined("source=", share);
            let others = ["xattr", "sandbox=chroot", "log_level=err"].map(OsString::from);
            for option in [source, format!("cache={caching}").into()].into_iter().chain(others) {
                words.extend(["-o".into(), option]);
            }
            words.push("-f".into());
        }
        Flavour::Rust => {
            words.push(joined("--shared-dir=", share));
            let sandbox = if is_root { "chroot" } else { "none" };
            let others = [format!("--cache={}", caching.name()), format!("--sandbox={sandbox}")];
            words.extend(others.map(OsString::from));
            words.extend(["--xattr", "--log-level=error"].map(OsString::from));
        }
    }
    words
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}
