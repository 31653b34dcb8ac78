//! The virtiofsd written in Rust, built from its published source: Debian 12 has only the one in C.
//!
//! ```text
//!   Debian: libseccomp-dev libcap-ng-dev pkg-config      what it links with
//!   cargo install virtiofsd --version 1.14.0 --locked    to ~/.cache/toro/virtiofsd-1.14.0/bin/virtiofsd, once
//! ```
//!
//! It is the second server for the file system's tests and benchmarks. Building it takes both cores of a small machine for
//! more than a minute, so that nothing builds it unasked: `cargo xtask setup --with rust-virtiofsd` does, and so do the long
//! tests and the benchmark that compare with it. Where it is, the ordinary tests use it, too; where it is not, they say so.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::exit::Failure;
use crate::setup::{self, Needs, Program, quietly};
use crate::test::cargo;

/// The newest that builds with this workspace's toolchain.
const VERSION: &str = "1.14.0";

/// Where it is, or would be.
pub fn place() -> Option<PathBuf> {
    Some(root()?.join("bin/virtiofsd"))
}

/// Whether it is here and starts.
pub fn is_present() -> bool {
    place().is_some_and(|program| quietly(Command::new(program).arg("--version")))
}

/// Makes sure that it is here.
///
/// # Errors
///
/// A preparation failure with the command to type, where it cannot be built.
pub fn ensure() -> Result<(), Failure> {
    if is_present() {
        return Ok(());
    }
    let root = root().ok_or_else(|| Failure::preparation("there is no cache directory: HOME is not set"))?;
    setup::ensure(&Needs { target_for: None, programs: vec![Program::VirtiofsdLibraries] })?;
    let mut install = cargo(&["install", "virtiofsd", "--version", VERSION, "--locked", "--root"]);
    eprintln!(
        "xtask: no virtiofsd in Rust: cargo install virtiofsd --version {VERSION} --locked --root {} (a minute or two)",
        root.display()
    );
    // In no directory of ours: a toolchain file or target directory of this workspace means nothing to it.
    install.arg(&root).current_dir(std::env::temp_dir()).stdin(Stdio::null()).stdout(std::io::stderr());
    match install.status() {
        Ok(status) if status.success() && is_present() => Ok(()),
        _ => Err(Failure::preparation(format!(
            "virtiofsd {VERSION} cannot be built, type: cargo install virtiofsd --version {VERSION} --locked --root {}",
            root.display()
        ))),
    }
}

/// A directory of its own in the user's cache, where all copies of this workspace find it.
fn root() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("toro").join(format!("virtiofsd-{VERSION}")))
}
