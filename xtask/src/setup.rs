//! Installing what is missing, or saying exactly what to type.
//!
//! ```text
//!   Needs --look--> what is missing --apt or rustup--> look again --> ready, or a failure with the commands
//! ```
//!
//! Looking comes first and is quick, so every command does it every time. What is installed comes from the toolchain's
//! and the distribution's own channels: the bare-metal target through `rustup`, programs through `apt-get` as root, through
//! `sudo` without a password, or through `sudo` with one where somebody sits at a terminal. Anywhere else, the tool
//! prints the commands and stops.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exit::Failure;
use crate::image::TARGET;
use crate::qemu;
pub use crate::virtiofsd::User;

mod packages;
mod program;

pub use program::{Program, find_program};

/// What a command needs besides cargo.
#[derive(Clone, Debug)]
pub struct Needs {
    /// The bare-metal target, for the toolchain that is active in this directory.
    pub target_for: Option<PathBuf>,
    /// Programs.
    pub programs: Vec<Program>,
}

/// Makes sure that everything in `needs` is here, installing what is missing.
///
/// # Errors
///
/// A preparation failure after printing the commands to type, where something is missing and cannot be installed. An
/// input failure where QEMU is there and too old.
pub fn ensure(needs: &Needs) -> Result<(), Failure> {
    if let Some(directory) = &needs.target_for {
        ensure_target(directory)?;
    }
    let missing: Vec<_> = needs.programs.iter().copied().filter(|program| !program.is_present()).collect();
    if !missing.is_empty() {
        packages::install(&missing)?;
        if let Some(program) = missing.into_iter().find(|program| !program.is_present()) {
            return Err(Failure::preparation(format!("{} is still missing after its installation", program.name())));
        }
    }
    if needs.programs.contains(&Program::Qemu) {
        qemu::check_version()?;
    }
    Ok(())
}

/// Makes sure that the toolchain that is active in `directory` has the bare-metal target.
fn ensure_target(directory: &Path) -> Result<(), Failure> {
    if has_target(directory)? {
        return Ok(());
    }
    let arguments = ["target", "add", TARGET];
    eprintln!("xtask: the Rust target {TARGET} is missing: rustup {}", arguments.join(" "));
    let done = toolchain_command("rustup", directory).args(arguments).stdin(Stdio::null()).status();
    if !done.is_ok_and(|status| status.success()) || !has_target(directory)? {
        return Err(Failure::preparation(format!(
            "the Rust target {TARGET} is missing, type: rustup target add {TARGET}"
        )));
    }
    Ok(())
}

/// Makes sure that a nightly toolchain is here, with `components` if it has to be installed. `purpose` is what needs it.
///
/// # Errors
///
/// A preparation failure with the command to type, where it cannot be installed.
pub fn ensure_nightly(purpose: &str, components: &str) -> Result<(), Failure> {
    let rustup = |arguments: &[&str]| {
        let mut command = Command::new("rustup");
        command.args(arguments).env_remove("RUSTUP_TOOLCHAIN").current_dir(crate::image::workspace());
        command
    };
    if quietly(&mut rustup(&["run", "nightly", "rustc", "--version"])) {
        return Ok(());
    }
    let mut arguments = vec!["toolchain", "install", "nightly", "--profile", "minimal"];
    if !components.is_empty() {
        arguments.extend(["--component", components]);
    }
    let shown = format!("rustup {}", arguments.join(" "));
    eprintln!("xtask: no nightly toolchain for {purpose}: {shown}");
    let done = rustup(&arguments).stdin(Stdio::null()).stdout(std::io::stderr()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::preparation(format!("there is no nightly toolchain for {purpose}, type: {shown}"))),
    }
}

/// Whether `command` succeeds; its output is nobody's business.
pub fn quietly(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Looks for the target's libraries, which works with any way of installing Rust.
fn has_target(directory: &Path) -> Result<bool, Failure> {
    let output = toolchain_command("rustc", directory)
        .args(["--print", "sysroot"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::preparation(format!("cannot run rustc: {error}")))?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

/// A command whose toolchain is the one that `directory` chooses, unless it is this workspace, where the one that runs
/// this tool stays in charge.
fn toolchain_command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory);
    if directory != crate::image::workspace() {
        command.env_remove("RUSTUP_TOOLCHAIN");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_target_of_this_test_has_its_libraries() {
        // The build of this test proves that rustc is here; whether the bare-metal target is, is another question.
        assert!(has_target(&crate::image::workspace()).is_ok());
    }
}
