//! Processes that cannot outlive the tool.
//!
//! QEMU and virtiofsd must end when the tool does, also when it is killed in a way that leaves it no time to clean up.
//! Linux offers this as a property of a process (`PR_SET_PDEATHSIG`), which a program has to set on itself between
//! `fork` and `exec`. The standard library's hook for that moment is unsafe, so the tool starts *itself* with the hidden
//! command `bound`, which sets the property and then becomes the wanted program:
//!
//! ```text
//!   cargo xtask run --spawn--> xtask bound PID kill -- qemu-system-x86_64 ... --exec--> qemu-system-x86_64 ...
//! ```
//!
//! The property belongs to the *thread* that spawned the process: start children from a thread that lives as long as
//! they should, which is the main thread throughout this crate.
//!
//! File descriptors that a child shall inherit are named explicitly; all others close on `exec`.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};

use crate::cli::{BoundArgs, ParentEnd};
use crate::exit::Failure;

/// A command that starts `program` tied to this process; `end` is what it gets when this process ends.
pub fn bound(program: impl AsRef<OsStr>, end: ParentEnd) -> Command {
    if cfg!(test) {
        // Unit tests are not the tool.
        return Command::new(program);
    }
    // The link stays good when cargo replaces the file of a running tool.
    let mut command = Command::new("/proc/self/exe");
    let signal = match end {
        ParentEnd::Terminate => "terminate",
        ParentEnd::Kill => "kill",
    };
    command.arg("bound").arg(std::process::id().to_string()).arg(signal).arg("--").arg(program);
    command
}

/// The hidden command itself: ties the process to its parent and becomes the program. Returns only on failure.
pub fn become_bound(arguments: &BoundArgs) -> Failure {
    let signal = match arguments.signal {
        ParentEnd::Terminate => Signal::TERM,
        ParentEnd::Kill => Signal::KILL,
    };
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(signal)) {
        return Failure::machine(format!("cannot tie a process to its parent: {error}"));
    }
    // The parent may have ended before the property was set; then nobody will send the signal.
    if std::os::unix::process::parent_id() != arguments.parent {
        return Failure::machine("the parent process has already ended");
    }
    let Some((program, rest)) = arguments.program.split_first() else {
        return Failure::input("no program given");
    };
    let error = Command::new(program).args(rest).exec();
    Failure::machine(format!("cannot start {}: {error}", program.to_string_lossy()))
}

/// Starts `command` with the descriptors `inherited` open in the child under the numbers they have here, and closes
/// them here.
///
/// # Errors
///
/// What the operating system says.
pub fn spawn_inheriting(command: &mut Command, inherited: Vec<OwnedFd>) -> io::Result<Child> {
    for descriptor in &inherited {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    command.spawn()
}

/// Asks `child` to end, waits up to `patience`, then kills it. Gives the status it ended with.
pub fn stop(child: &mut Child, patience: Duration) -> io::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // The child has not been waited for, so the number is still its own.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    if let Some(status) = wait_until(child, Instant::now() + patience)? {
        return Ok(status);
    }
    child.kill()?;
    child.wait()
}

/// Waits for `child` until `deadline`; `None` when it still runs then.
pub fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A script, for tests.
#[cfg(test)]
pub fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obedient_process_ends_on_request() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let status = stop(&mut child, Duration::from_secs(60)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    }

    #[test]
    fn stubborn_process_is_killed() {
        let mut command = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        // Wait until the trap is set.
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
        let status = stop(&mut child, Duration::from_millis(50)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }

    #[test]
    fn inherited_descriptor_keeps_its_number_in_the_child() {
        use std::os::fd::AsRawFd;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let theirs = OwnedFd::from(theirs);
        let script = format!("echo hello >&{}", theirs.as_raw_fd());
        let mut child = spawn_inheriting(&mut shell(&script), vec![theirs]).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut &ours, &mut text).unwrap();
        assert_eq!(text, "hello\n");
        assert!(child.wait().unwrap().success());
    }
}
