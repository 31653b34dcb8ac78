//! Network namespaces: a case with networks of its own, which it makes as root would and which end with it.
//!
//! ```text
//!   boot-tests --> unshare --net --> boot-tests --inside CASE       the namespace of a case: every socket, interface and
//!                                      |        |                   process of it
//!                                      |        +-- xtask run --net tap,if=tap0 --> QEMU
//!                                      +-- a far namespace ([`Far`]): another host, at the end of a [`cable`]
//! ```
//!
//! A case that is [`isolated`](crate::case::Case::isolated) runs in a process of its own, so its threads and children need no
//! care: what they see of networks is the namespace's. It may name interfaces and choose addresses as it likes, and nothing
//! has to be removed: interfaces end with the namespace, the namespace with its last process, and processes with the one that
//! started them, also where a case fails or is killed.
//!
//! # Privilege
//!
//! A namespace with a tap interface takes root, or a host that lets users make user namespaces and use `/dev/net/tun`. Where
//! neither is to be had, there is nothing to test with: [`run_case`] says so on standard output and passes.
//!
//! # Modules
//!
//! - [`cable`] leads from one interface to another, as a wire does: what the host left to a card is done, and recorded;
//! - [`icmpv6`] announces networks as routers do, and pings;
//! - [`relay`] loses, swaps and repeats frames between QEMU and an interface;
//! - [`valve`] stops to take what the guest sends.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::case::Case;
use crate::tool::Tool;

pub mod cable;
pub mod icmpv6;
pub mod relay;
pub mod valve;

/// The host's address in the usual network of a case, and the guest's.
pub const HOST: &str = "10.9.0.1";
/// See [`HOST`].
pub const GUEST: &str = "10.9.0.2";
/// The same of IPv6.
pub const HOST6: &str = "fd00:9::1";
/// See [`HOST6`].
pub const GUEST6: &str = "fd00:9::2";

/// The option of this program that runs one case in the namespace that it is in.
pub const INSIDE: &str = "--inside";
/// The exit status of a case that failed, in a process of its own.
pub const FAILED: u8 = 3;

/// The options of `unshare` with which this process gets a namespace in which it may do as it likes.
fn way() -> Option<&'static [&'static str]> {
    static WAY: OnceLock<Option<&'static [&'static str]>> = OnceLock::new();
    // For root the namespace alone: in a user namespace of its own it could not even look at the tool's executable.
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    let works = |options: &&[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(*options).args([
            "--",
            "ip",
            "tuntap",
            "add",
            "dev",
            "t",
            "mode",
            "tap",
            "multi_queue",
            "vnet_hdr",
        ]);
        unshare.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
    };
    *WAY.get_or_init(|| ways.into_iter().find(works))
}

/// Runs a case in a namespace of its own.
///
/// # Errors
///
/// Why the case failed, or cannot be run.
pub fn run_case(tool: &Tool, case: &Case) -> Result<(), String> {
    let Some(options) = way() else {
        println!("no network namespace with a tap device is to be had here: nothing tested");
        return Ok(());
    };
    let this = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut arguments: Vec<_> = options.iter().map(OsStr::new).collect();
    arguments.extend([OsStr::new("--"), this.as_os_str(), OsStr::new("--xtask"), tool.program().as_os_str()]);
    arguments.extend([OsStr::new(INSIDE), OsStr::new(&case.name)]);
    let finished = tool.run_program("unshare", arguments, &[])?;
    match finished.status.code() {
        Some(0) => {
            print!("{}", finished.stdout);
            Ok(())
        }
        Some(code) if code == i32::from(FAILED) => Err(finished.stdout),
        _ => finished.expect_status(0).map(drop),
    }
}

/// What [`run_case`] has the other process do. Says on standard output why the case failed.
pub fn run_inside(tool: &Tool, case: &Case) -> Result<(), String> {
    // What `unshare` did to this process's rights has undone its tie to the other one.
    let signal = Some(rustix::process::Signal::TERM);
    rustix::process::set_parent_process_death_signal(signal).map_err(|error| error.to_string())?;
    ip(&["link", "set", "dev", "lo", "up"]).and_then(|()| (case.body)(tool))
}

/// Runs `ip`, which makes and changes interfaces.
///
/// # Errors
///
/// What it says.
pub fn ip(arguments: &[&str]) -> Result<(), String> {
    succeed(Command::new("ip").args(arguments)).map(drop)
}

/// Runs a program to its end; gives its standard output.
///
/// # Errors
///
/// What it says where it fails.
pub fn succeed(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?}: {}\n{stdout}{stderr}", output.status))
}

/// How a tap interface is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapKind {
    /// One queue.
    Plain,
    /// As many queues as the card has.
    MultiQueue,
}

/// Makes a tap interface for `--net tap,if=NAME`, and brings it up, without an address.
///
/// # Errors
///
/// What `ip` says.
pub fn add_tap(name: &str, kind: TapKind) -> Result<(), String> {
    let kind: &[&str] = match kind {
        TapKind::Plain => &[],
        TapKind::MultiQueue => &["multi_queue"],
    };
    ip(&[&["tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr"], kind].concat())?;
    ip(&["link", "set", "dev", name, "up"])
}

/// Gives an interface the host's addresses of the usual network, [`HOST`] and [`HOST6`].
///
/// # Errors
///
/// What `ip` says.
pub fn add_addresses(name: &str) -> Result<(), String> {
    ip(&["address", "add", &format!("{HOST}/24"), "dev", name])?;
    // Nobody else is there who could have the address.
    ip(&["address", "add", &format!("{HOST6}/64"), "dev", name, "nodad"])
}

/// Another namespace, to which a case can give interfaces and in which it can run programs: another host. It ends with this.
#[derive(Debug)]
pub struct Far {
    /// A process that does nothing but be in it, until its standard input ends.
    keeper: Child,
}

impl Far {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn new() -> Result<Self, String> {
        let trouble = |error: std::io::Error| format!("a second namespace: {error}");
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().map_err(trouble)?;
        // It is in there when it answers.
        let (Some(input), Some(output)) = (&mut keeper.stdin, &mut keeper.stdout) else {
            return Err("a second namespace: no pipe".to_owned());
        };
        input.write_all(b".").map_err(trouble)?;
        std::io::Read::read_exact(output, &mut [0]).map_err(trouble)?;
        let far = Self { keeper };
        succeed(far.command("ip").args(["link", "set", "dev", "lo", "up"]))?;
        Ok(far)
    }

    /// A program to be run in there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--net").arg("--target").arg(self.keeper.id().to_string()).arg("--").arg(program);
        command
    }

    /// Gives it the interface `name`, with the addresses [`HOST`] and [`HOST6`], and brings that up.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn take_interface(&self, name: &str) -> Result<(), String> {
        ip(&["link", "set", "dev", name, "netns", &self.keeper.id().to_string()])?;
        let there = |words: &[&str]| succeed(self.command("ip").args(words)).map(drop);
        there(&["address", "add", &format!("{HOST}/24"), "dev", name])?;
        there(&["address", "add", &format!("{HOST6}/64"), "dev", name, "nodad"])?;
        there(&["link", "set", "dev", name, "up"])
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
