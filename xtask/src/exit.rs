//! How a command ends: the exit status of `cargo xtask`, and what the guest's exit status means.
//!
//! `cargo xtask run` exits with the application's own status. The statuses that the tool adds are those that shells and
//! container tools use for the same things, so that a script can tell "my application failed" from "it never ran":
//!
//! ```text
//!   0        the application's `main` returned
//!   1        the application's `main` returned an error
//!   101      the guest panicked
//!   102      the guest took a processor exception
//!   103      the machine lacks something that the kernel cannot do without
//!   others   what the application passed to `toro::process::exit`
//!
//!   2        wrong or missing input: nothing was started
//!   124      the time limit of `--timeout` passed
//!   125      QEMU or virtiofsd failed, or the guest vanished without a status
//!   126      set-up or build failed: nothing was started
//!   130, 143 stopped by Ctrl-C, by SIGTERM
//! ```
//!
//! # Failure
//!
//! Everything that goes wrong in the tool itself is one [`Failure`]: a kind, which decides the status, and one line for
//! the person who reads it.

use std::fmt;
use std::process::{ExitCode, ExitStatus};

/// What kind of thing went wrong in the tool itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The command line, or something that it names, is wrong; nothing was started.
    Input,
    /// A tool is missing and could not be installed, or the build failed; nothing was started.
    Preparation,
    /// The guest did not end within its time limit.
    Timeout,
    /// QEMU or virtiofsd ended by themselves, or the guest ended without telling a status.
    Machine,
    /// A signal asked the tool to stop.
    Signal(i32),
    /// Checks ran, and some of them failed.
    Checks,
}

impl FailureKind {
    /// Exit status of the process for this kind of failure.
    pub fn status(self) -> u8 {
        match self {
            Self::Checks => 1,
            Self::Input => 2,
            Self::Timeout => 124,
            Self::Machine => 125,
            Self::Preparation => 126,
            Self::Signal(number) => u8::try_from(128 + number).unwrap_or(255),
        }
    }
}

/// One line that says what went wrong, and the kind that decides the exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    message: String,
}

impl Failure {
    /// A failure of `kind`, explained by `message`: one line, lower case, no full stop.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Wrong or missing input.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Input, message)
    }

    /// Set-up or build trouble.
    pub fn preparation(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Preparation, message)
    }

    /// QEMU or virtiofsd trouble.
    pub fn machine(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Machine, message)
    }

    /// What kind of thing went wrong.
    #[cfg(test)]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The status that the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.status())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What the kernel adds to its exit code before it writes the sum to the debug exit device, so that no code looks like
/// one of QEMU's own statuses; `kernel/src/shutdown.rs` defines it.
const DEBUG_EXIT_BASE: i32 = 0x10;
/// The value that stands for every code that does not fit.
const DEBUG_EXIT_MAX: i32 = 0x7f;
/// How the kernel's last line on the console begins, when the code is not 0.
const LAST_LINE: &str = "[toro] exit status ";

/// Reads the guest's exit code out of QEMU's exit status.
///
/// The `isa-debug-exit` device ends QEMU with `(value << 1) | 1`, and the kernel writes its code plus 16. Codes above
/// 110 do not fit: their number is in the console's last line, `last_line`.
///
/// # Errors
///
/// [`FailureKind::Machine`] when the status is not one that the kernel can have caused: QEMU's own errors, a signal, or
/// a guest that was reset (QEMU runs with `-no-reboot`, so a triple fault ends it with status 0).
pub fn guest_status(qemu: ExitStatus, last_line: &str) -> Result<u8, Failure> {
    use std::os::unix::process::ExitStatusExt;

    let Some(code) = qemu.code() else {
        return Err(Failure::machine(match qemu.signal() {
            Some(signal) => format!("QEMU was ended by signal {signal}"),
            None => "QEMU ended in an unknown way".to_owned(),
        }));
    };
    let value = code >> 1;
    if code & 1 == 1 && value == DEBUG_EXIT_MAX {
        return Ok(told(last_line).unwrap_or(u8::MAX));
    }
    match u8::try_from(value - DEBUG_EXIT_BASE) {
        Ok(status) if code & 1 == 1 => Ok(status),
        _ if code == 0 => {
            Err(Failure::machine("the guest reset or powered off without an exit status (a triple fault?)"))
        }
        _ => Err(Failure::machine(format!("QEMU failed with status {code}"))),
    }
}

/// Reads the guest's exit code from the last line on its console, for a monitor that has no other way.
///
/// # Errors
///
/// [`FailureKind::Machine`] where there is no such line: Firecracker failed, or the guest reset without a word.
pub fn console_status(monitor: ExitStatus, last_line: &str) -> Result<u8, Failure> {
    use std::os::unix::process::ExitStatusExt;

    if let Some(status) = told(last_line) {
        return Ok(status);
    }
    Err(Failure::machine(match (monitor.code(), monitor.signal()) {
        (Some(0), _) => "the guest reset without an exit status (a triple fault?)".to_owned(),
        (Some(code), _) => format!("Firecracker failed with status {code}"),
        (None, Some(signal)) => format!("Firecracker was ended by signal {signal}"),
        (None, None) => "Firecracker ended in an unknown way".to_owned(),
    }))
}

/// The exit code that the kernel's last line on the console says.
fn told(last_line: &str) -> Option<u8> {
    last_line.trim().strip_prefix(LAST_LINE).and_then(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn status_of_the_application_survives_the_debug_exit_device() {
        for status in [0u8, 1, 7, 101, 102, 110] {
            let qemu = ((i32::from(status) + 0x10) << 1) | 1;
            assert_eq!(guest_status(exited(qemu), ""), Ok(status));
        }
    }

    #[test]
    fn large_status_of_the_application_comes_from_the_last_line() {
        assert_eq!(guest_status(exited(255), "[toro] exit status 200"), Ok(200));
        assert_eq!(guest_status(exited(255), "something else"), Ok(255));
        // Only the device decides whether the line is looked at.
        assert_eq!(guest_status(exited(33), "[toro] exit status 200"), Ok(0));
    }

    #[test]
    fn own_failure_of_qemu_is_not_a_status_of_the_guest() {
        for code in [0, 1, 2, 4, 31, 34] {
            assert_eq!(guest_status(exited(code), "").unwrap_err().kind(), FailureKind::Machine, "{code}");
        }
    }

    #[test]
    fn qemu_ended_by_a_signal_is_named() {
        let failure = guest_status(ExitStatus::from_raw(9), "").unwrap_err();
        assert_eq!(failure.to_string(), "QEMU was ended by signal 9");
    }

    #[test]
    fn without_a_device_the_last_line_is_the_status() {
        for (code, line, status) in
            [(0, "[toro] exit status 0", 0), (0, "[toro] exit status 101", 101), (1, " [toro] exit status 7\t", 7)]
        {
            assert_eq!(console_status(exited(code), line), Ok(status));
        }
        for (code, line) in
            [(0, ""), (0, "hello"), (0, "[toro] exit status"), (0, "[toro] exit status 256"), (153, "hello")]
        {
            assert_eq!(console_status(exited(code), line).unwrap_err().kind(), FailureKind::Machine, "{line}");
        }
        let message = |status, line| console_status(status, line).unwrap_err().to_string();
        assert!(message(exited(0), "hello").contains("triple fault"));
        assert!(message(exited(153), "").contains("status 153"));
        assert!(message(ExitStatus::from_raw(9), "").contains("signal 9"));
    }

    #[test]
    fn signals_map_to_the_status_that_shells_use() {
        assert_eq!(FailureKind::Signal(2).status(), 130);
        assert_eq!(FailureKind::Signal(15).status(), 143);
    }
}
