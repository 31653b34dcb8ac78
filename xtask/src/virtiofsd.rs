//! virtiofsd, the host's side of the share: finding it, knowing which of the two it is, starting it.
//!
//! There are two programs of that name. QEMU carried one written in C until 8.0 (Debian 12 has it in
//! `qemu-system-common`); the one written in Rust followed. Their options differ, their protocol does not.
//!
//! # No names, nothing left behind
//!
//! virtiofsd and QEMU meet on a Unix socket. The tool makes the socket in a private directory, connects to it, removes
//! the directory, and hands the listening end to virtiofsd and the connected end to QEMU as open descriptors. So nobody
//! else can connect, and even a tool that is killed leaves no file.
//!
//! ```text
//!   listening end --fd--> virtiofsd            connected end --fd--> QEMU (-chardev socket,fd=N)
//! ```
//!
//! # Sandboxes
//!
//! virtiofsd confines itself to the share before it serves. How it can do so depends on who runs it and on the
//! container around it, so the ways are tried in order, strongest first, and the first that starts is used:
//!
//! | user | C | Rust |
//! |---|---|---|
//! | root | `namespace`, `chroot` | `namespace`, `chroot`, `none` |
//! | other | the same two in a user namespace of its own (`unshare`, with newuidmap) | `namespace`, `none` |
//!
//! It ends by itself when QEMU closes the connection.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::child;
use crate::cli::ParentEnd;
use crate::exit::Failure;
use crate::qemu::in_path;
use crate::rust_virtiofsd;

/// Where distributions keep a virtiofsd that is not in `PATH`.
const PLACES: [&str; 4] =
    ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd", "/usr/local/libexec/virtiofsd"];
/// How long virtiofsd may take to start; it needs milliseconds.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// Which of the two programs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// QEMU's own, up to 7.2.
    C,
    /// Its successor, a project of its own.
    Rust,
}

/// Whose rights virtiofsd starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The superuser.
    Root,
    /// Anybody else.
    Ordinary,
}

impl User {
    /// Who runs this process.
    pub fn current() -> Self {
        if rustix::process::geteuid().is_root() { Self::Root } else { Self::Ordinary }
    }
}

/// A virtiofsd on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Virtiofsd {
    /// The program.
    pub program: PathBuf,
    /// Which options it takes.
    pub flavour: Flavour,
}

impl Virtiofsd {
    /// Finds one that answers `--help`; one that was built for the tests last.
    pub fn find() -> Option<Self> {
        let places = in_path("virtiofsd").into_iter().chain(PLACES.iter().map(PathBuf::from));
        let places = places.chain(rust_virtiofsd::place());
        places.filter(|program| program.is_file()).find_map(|program| {
            let output = Command::new(&program).arg("--help").stdin(Stdio::null()).output().ok()?;
            let help = [output.stdout, output.stderr].concat();
            let flavour = flavour(&String::from_utf8_lossy(&help))?;
            Some(Self { program, flavour })
        })
    }

    /// Starts it on `share` and gives the running server with the descriptor for QEMU.
    ///
    /// # Errors
    ///
    /// A machine failure with virtiofsd's own last words, when it starts in no sandbox.
    pub fn serve(&self, share: &Path) -> Result<(Server, OwnedFd), Failure> {
        let mut last_words = String::new();
        for plan in plans(self.flavour, User::current()) {
            match self.start(share, plan) {
                Ok(running) => return Ok(running),
                Err(words) => last_words = words,
            }
        }
        Err(Failure::machine(format!("{} does not start: {last_words}", self.program.display())))
    }

    /// Starts it in one sandbox; the error is its last words.
    fn start(&self, share: &Path, plan: Plan) -> Result<(Server, OwnedFd), String> {
        let (listener, connected) = socket_pair().map_err(|error| error.to_string())?;
        let listening = OwnedFd::from(listener);
        let mut command = if plan.own_user_namespace {
            let mut command = child::bound("unshare", ParentEnd::Kill);
            command.args(["--user", "--map-root-user", "--map-auto"]).arg(&self.program);
            command
        } else {
            child::bound(&self.program, ParentEnd::Kill)
        };
        command
            .args(arguments(self.flavour, share, listening.as_raw_fd(), plan.sandbox))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = child::spawn_inheriting(&mut command, vec![listening]).map_err(|error| error.to_string())?;
        let (sender, lines) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                // Reads on to the end even when nobody listens: a full pipe would stop virtiofsd.
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                }
            });
        }
        let mut server = Server { child };
        match await_start(&lines) {
            Ok(()) => Ok((server, OwnedFd::from(connected))),
            Err(words) => {
                server.stop();
                Err(words)
            }
        }
    }
}

/// Waits until virtiofsd's log says that it serves. The error is its last line.
fn await_start(lines: &mpsc::Receiver<String>) -> Result<(), String> {
    let deadline = Instant::now() + START_DEADLINE;
    let mut last = "it says nothing".to_owned();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if says_started(&line) => return Ok(()),
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => last = line.trim().to_owned(),
            Err(RecvTimeoutError::Timeout) => return Err(format!("it does not get ready: {last}")),
            Err(RecvTimeoutError::Disconnected) => return Err(last),
        }
    }
}

/// A virtiofsd that runs; stopped when dropped.
pub struct Server {
    child: Child,
}

impl Server {
    /// Waits a moment for it to end by itself, as it does when QEMU has gone, and ends it otherwise.
    pub fn stop(&mut self) {
        let patience = Duration::from_secs(2);
        if !matches!(child::wait_until(&mut self.child, Instant::now() + patience), Ok(Some(_))) {
            let _ = child::stop(&mut self.child, patience);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One way to start virtiofsd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    sandbox: &'static str,
    /// Whether it becomes the root of a new user namespace, for the rights that its sandbox needs.
    own_user_namespace: bool,
}

/// The ways to start it, strongest sandbox first.
fn plans(flavour: Flavour, user: User) -> Vec<Plan> {
    let sandboxes: &[&'static str] = match (flavour, user) {
        (Flavour::C, _) => &["namespace", "chroot"],
        (Flavour::Rust, User::Root) => &["namespace", "chroot", "none"],
        (Flavour::Rust, User::Ordinary) => &["namespace", "none"],
    };
    let own_user_namespace = (flavour, user) == (Flavour::C, User::Ordinary);
    sandboxes.iter().map(|sandbox| Plan { sandbox, own_user_namespace }).collect()
}

/// virtiofsd's arguments.
fn arguments(flavour: Flavour, share: &Path, listening: i32, sandbox: &str) -> Vec<OsString> {
    match flavour {
        Flavour::C => {
            let mut source = OsString::from("source=");
            source.push(escape_option(share.as_os_str()));
            let sandbox = format!("sandbox={sandbox}");
            let mut arguments = vec![OsString::from(format!("--fd={listening}"))];
            for option in [source, "cache=auto".into(), sandbox.into()] {
                arguments.extend([OsString::from("-o"), option]);
            }
            arguments
        }
        Flavour::Rust => {
            let mut directory = OsString::from("--shared-dir=");
            directory.push(share);
            let mut arguments = vec![OsString::from(format!("--fd={listening}")), directory];
            arguments.extend(["--cache=auto".into(), format!("--sandbox={sandbox}").into()]);
            arguments
        }
    }
}

/// `text` as one value of an `-o` option, where commas separate options.
fn escape_option(text: &OsStr) -> OsString {
    let mut escaped = Vec::new();
    for &byte in text.as_bytes() {
        if byte == b',' || byte == b'\\' {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    OsString::from_vec(escaped)
}

/// A listening Unix socket and a connection to it, without a name by the time this returns.
fn socket_pair() -> std::io::Result<(UnixListener, UnixStream)> {
    let directory = tempfile::Builder::new().prefix("toro-share-").tempdir()?;
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    let connected = UnixStream::connect(&path)?;
    Ok((listener, connected))
}

/// Which program prints this help.
fn flavour(help: &str) -> Option<Flavour> {
    if help.contains("--shared-dir") {
        Some(Flavour::Rust)
    } else if help.contains("-o source=") || help.contains("setgroups() failed") {
        // For an ordinary user the one in C gives up its groups first, and fails before it reads its options.
        Some(Flavour::C)
    } else {
        None
    }
}

/// Whether `line` of the log says that the sandbox stands and requests are served.
fn says_started(line: &str) -> bool {
    line.contains("virtio_loop: Entry") || line.contains("Client connected, servicing requests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_programs_are_told_apart_by_their_help() {
        assert_eq!(flavour("    -o source=PATH             shared directory tree"), Some(Flavour::C));
        assert_eq!(flavour("      --shared-dir <SHARED_DIR>\n          Shared directory path"), Some(Flavour::Rust));
        assert_eq!(flavour("setgroups() failed with error=1:Operation not permitted"), Some(Flavour::C));
        assert_eq!(flavour("usage: something else"), None);
    }

    #[test]
    fn arguments_suit_the_flavour() {
        let c = arguments(Flavour::C, Path::new("/a,b"), 5, "chroot");
        assert_eq!(c, ["--fd=5", "-o", "source=/a\\,b", "-o", "cache=auto", "-o", "sandbox=chroot"]);
        let rust = arguments(Flavour::Rust, Path::new("/a,b"), 5, "none");
        assert_eq!(rust, ["--fd=5", "--shared-dir=/a,b", "--cache=auto", "--sandbox=none"]);
    }

    #[test]
    fn ordinary_user_needs_a_user_namespace_for_the_c_program_only() {
        assert!(plans(Flavour::C, User::Ordinary).iter().all(|plan| plan.own_user_namespace));
        for (flavour, user) in [(Flavour::C, User::Root), (Flavour::Rust, User::Root), (Flavour::Rust, User::Ordinary)]
        {
            assert!(plans(flavour, user).iter().all(|plan| !plan.own_user_namespace));
        }
    }

    #[test]
    fn weakest_sandbox_comes_last() {
        assert_eq!(plans(Flavour::Rust, User::Root).last().unwrap().sandbox, "none");
        assert_eq!(plans(Flavour::Rust, User::Root)[0].sandbox, "namespace");
    }

    #[test]
    fn socket_has_no_name_and_works() {
        let (listener, mut connected) = socket_pair().unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!address.as_pathname().unwrap().exists());
        let (mut accepted, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut connected, b"x").unwrap();
        std::io::Read::read_exact(&mut accepted, &mut [0]).unwrap();
    }

    #[test]
    fn server_ends_when_its_client_goes() {
        let Some(virtiofsd) = Virtiofsd::find() else {
            return;
        };
        let share = tempfile::tempdir().unwrap();
        // In a container that allows no sandbox at all there is nothing to test.
        if let Ok((mut server, connected)) = virtiofsd.serve(share.path()) {
            assert!(server.child.try_wait().unwrap().is_none());
            drop(connected);
            assert!(child::wait_until(&mut server.child, Instant::now() + START_DEADLINE).unwrap().is_some());
        }
    }
}
