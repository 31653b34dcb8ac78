//! Archives that come with the kernel: the web server serves what is in them.
//!
//! A directory that the tool packs, a tar of GNU tar's and a cpio of GNU cpio's, each on another machine; and an archive that is
//! cut off, of which the machine says so and goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::disks::new_directory;
use super::tree::{self, Tree};
use super::web::Server;
use crate::case::Case;
use crate::tool::Tool;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("initrd::files_of_a_directory_are_identical", |tool| serves(tool, Archive::Directory, "microvm")),
        Case::new("initrd::files_of_a_tar_are_identical_on_pc", |tool| serves(tool, Archive::Tar, "pc")),
        Case::new("initrd::files_of_a_cpio_are_identical_on_q35", |tool| serves(tool, Archive::Cpio, "q35")),
        Case::new("initrd::a_damaged_archive_is_reported_and_the_machine_goes_on", damaged),
    ]
}

/// How files come to the guest.
#[derive(Clone, Copy)]
enum Archive {
    /// In a directory of the host.
    Directory,
    /// In a file that tar made.
    Tar,
    /// In a file that cpio made.
    Cpio,
}

fn serves(tool: &Tool, archive: Archive, machine: &'static str) -> Result<(), String> {
    let tree = Tree::build(&tree::few())?;
    let place = new_directory()?;
    let file = place.path().join("archive");
    let path = match archive {
        Archive::Directory => tree.path(),
        Archive::Tar => pack(&file, tree.path(), "tar --create --file=- .")?,
        Archive::Cpio => pack(&file, tree.path(), "find . -print0 | cpio --create --null --quiet --format=newc")?,
    };
    let server = Server::start(tool, None, &["--machine", machine, "--initrd", &path.to_string_lossy()])?;
    tree.fetch_and_compare(&server.url)?;
    server.stop()
}

fn damaged(tool: &Tool) -> Result<(), String> {
    let tree = Tree::build(&tree::few())?;
    let place = new_directory()?;
    let file = place.path().join("archive");
    pack(&file, tree.path(), "tar --create --file=- . | head --bytes=1000000")?;
    let path = file.to_string_lossy();
    // The server has only what it brings along, then.
    let mut running = tool.start(["run", "static-web-server", "--port", "0", "--initrd", &*path], &[])?;
    running
        .await_line(|line| line.contains("\"initrd\" is not mounted: the archive is damaged at byte").then_some(()))?;
    running.await_line(|line| line.starts_with("http://127.0.0.1:").then_some(()))?;
    running.signal(rustix::process::Signal::INT)?;
    running.finish()?.expect_status(130).map(drop)
}

/// Writes what a shell command says about a directory to a file.
fn pack<'a>(file: &'a Path, directory: &Path, command: &str) -> Result<&'a Path, String> {
    let output = fs::File::create(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let status = Command::new("sh")
        .args(["-c", command])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output)
        .status()
        .map_err(|error| format!("sh: {error}"))?;
    if status.success() { Ok(file) } else { Err(format!("{command}: {status}")) }
}
