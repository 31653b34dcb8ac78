//! File systems on disks, from end to end: made and filled by the host's own tools, read and written by the guest's
//! `file-bench`, then checked and read by the host's tools.
//!
//! ```text
//!   mkfs.fat, mcopy --> image --> guest: /host.dat is read, /guest.dat is written --> fsck.fat, mcopy
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use super::disks::{new_directory, new_image};
use crate::case::Case;
use crate::tool::{Finished, Tool};

/// A file system to make.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    /// Of the image.
    bytes: u64,
    /// Options of `mkfs.fat`.
    options: &'static [&'static str],
    /// Of the machine.
    machine: &'static [&'static str],
    disk: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind { name: "fat12", bytes: 8 << 20, options: &["-F", "12"], machine: &["--machine", "pc"], disk: ",if=ata" },
    Kind { name: "fat16", bytes: 32 << 20, options: &["-F", "16"], machine: &["--machine", "q35"], disk: "" },
    Kind { name: "fat32", bytes: 64 << 20, options: &["-F", "32"], machine: &["--machine", "microvm"], disk: "" },
];

/// Bytes in the file that the guest writes: no whole number of clusters.
const GUEST_BYTES: usize = 1_500_007;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let kinds = KINDS.into_iter().map(|kind| {
        let name = format!("fat::host_and_guest_read_what_the_other_has_written_to_{}", kind.name);
        Case::new(name, move |tool| both_ways(tool, kind))
    });
    let others = [
        Case::new("fat::a_share_and_a_disk_are_used_together", share_and_disk),
        Case::new("fat::a_full_volume_says_so_and_is_of_use_when_something_is_removed", full),
    ];
    kinds.chain(others).collect()
}

/// A program of dosfstools or mtools, which may be where only root looks for programs.
pub(super) fn program(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/sbin"].map(|directory| Path::new(directory).join(name));
    places.into_iter().find(|place| place.exists()).unwrap_or_else(|| name.into())
}

/// Runs a program of the host's; gives its output.
pub(super) fn run(name: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let mut command = Command::new(program(name));
    // mtools would rather not touch what was made with another geometry.
    command.args(arguments).env("MTOOLS_SKIP_CHECK", "1");
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{name} {arguments:?}: {}\n{out}{err}", output.status))
}

/// What `file-bench` makes of a file's contents.
fn sum(bytes: &[u8]) -> String {
    let words = bytes.chunks(8).map(|bytes| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
    let sum =
        (0_u64..).zip(words).fold(0_u64, |sum, (number, word)| sum.wrapping_add(word.wrapping_mul(2 * number + 1)));
    format!("sum={sum:#018x}")
}

/// What `file-bench` writes.
fn written(bytes: usize) -> Vec<u8> {
    let word = |number: u64| {
        let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31).to_le_bytes()
    };
    let mut contents: Vec<u8> = (0..bytes.div_ceil(8) as u64).flat_map(word).collect();
    contents.truncate(bytes);
    contents
}

/// Contents that `file-bench` does not write.
fn host_contents() -> Vec<u8> {
    (0..700_001_u32).map(|number| (number ^ number >> 8 ^ number >> 13) as u8).collect()
}

/// An image with a file system of this kind, and in it the host's file in a directory.
fn image_with(kind: Kind, directory: &tempfile::TempDir) -> Result<PathBuf, String> {
    let image = new_image(directory, kind.bytes)?;
    let file = directory.path().join("host.dat");
    std::fs::write(&file, host_contents()).map_err(|error| error.to_string())?;
    let (path, file) = (image.to_string_lossy(), file.to_string_lossy());
    run("mkfs.fat", &[kind.options, &[path.as_ref()]].concat())?;
    run("mmd", &["-i", &path, "::/some.directory"])?;
    run("mcopy", &["-i", &path, &file, "::/some.directory/file-of-the-host.dat"])?;
    Ok(image)
}

fn file_bench(tool: &Tool, image: &Path, kind: Kind, words: &str, more: &[&str]) -> Result<Finished, String> {
    let disk = format!("{}{}", image.display(), kind.disk);
    let options = ["run", "file-bench", "--nics", "0", "--timeout", "300", "--disk", &disk, "--append", words];
    tool.run(options.iter().chain(kind.machine).chain(more).copied())
}

/// Checks the passes that a run has printed, and their sums.
fn expect_passes(finished: &Finished, passes: &[&str], sum: &str) -> Result<(), String> {
    finished.expect_status(0)?;
    for pass in passes {
        let start = format!("file-bench: pass={pass} ");
        let wanted = format!("{pass} and {sum}");
        finished.expect_line(&wanted, |line| line.starts_with(&start) && line.ends_with(sum))?;
    }
    Ok(())
}

fn both_ways(tool: &Tool, kind: Kind) -> Result<(), String> {
    let directory = new_directory()?;
    let image = image_with(kind, &directory)?;
    let finished = file_bench(tool, &image, kind, "path=/some.directory/file-of-the-host.dat block=12344", &[])?;
    expect_passes(&finished, &["read", "again", "random"], &sum(&host_contents()))?;
    let words = format!("path=/guest-has-made-this.dat size={GUEST_BYTES} block=5000");
    let finished = file_bench(tool, &image, kind, &words, &[])?;
    expect_passes(&finished, &["write", "sync", "read", "again", "random"], &sum(&written(GUEST_BYTES)))?;

    let path = image.to_string_lossy();
    run("fsck.fat", &["-n", &path])?;
    let found = run("mtype", &["-i", &path, "::/guest-has-made-this.dat"])?;
    if found != written(GUEST_BYTES) {
        return Err(format!("the host finds {} bytes with {}", found.len(), sum(&found)));
    }
    let found = run("mtype", &["-i", &path, "::/some.directory/file-of-the-host.dat"])?;
    if found == host_contents() { Ok(()) } else { Err("the host's own file has changed".to_owned()) }
}

/// More is written than there is room for; then there is room again.
fn full(tool: &Tool) -> Result<(), String> {
    let directory = new_directory()?;
    let kind = KINDS[0];
    let image = image_with(kind, &directory)?;
    let finished = file_bench(tool, &image, kind, "path=/large.dat size=16M", &[])?;
    finished.expect_status(1)?.expect_output("/large.dat: no storage space")?;
    let path = image.to_string_lossy();
    run("fsck.fat", &["-n", &path])?;
    // As much as there was, from the first byte on.
    let found = run("mtype", &["-i", &path, "::/large.dat"])?;
    let missing = (8 << 20) - host_contents().len() - found.len();
    if missing > 64 << 10 || found[..] != written(16 << 20)[..found.len()] {
        return Err(format!("{} bytes have been written, with {}", found.len(), sum(&found)));
    }
    run("mdel", &["-i", &path, "::/large.dat"])?;
    let finished = file_bench(tool, &image, kind, "path=/small.dat size=1M", &[])?;
    expect_passes(&finished, &["write", "read"], &sum(&written(1 << 20)))?;
    run("fsck.fat", &["-n", &path]).map(drop)
}

/// The share is at the root, the disk below; each has its file.
fn share_and_disk(tool: &Tool) -> Result<(), String> {
    let directory = new_directory()?;
    let kind = KINDS[2];
    let image = image_with(kind, &directory)?;
    let share = new_directory()?;
    let contents = written(123_457);
    std::fs::write(share.path().join("shared.dat"), &contents).map_err(|error| error.to_string())?;
    let share = ["--share", &share.path().to_string_lossy()];
    let mounts = "mount=share:/ mount=virtio-blk0:/disk";
    let finished = file_bench(tool, &image, kind, &format!("{mounts} path=/shared.dat"), &share)?;
    expect_passes(&finished, &["read", "random"], &sum(&contents))?;
    let finished = file_bench(tool, &image, kind, &format!("{mounts} path=/disk/new.dat size=64K"), &share)?;
    expect_passes(&finished, &["write", "read"], &sum(&written(64 << 10)))?;
    let path = image.to_string_lossy();
    run("fsck.fat", &["-n", &path])?;
    let found = run("mtype", &["-i", &path, "::/new.dat"])?;
    if found == written(64 << 10) {
        Ok(())
    } else {
        Err("the disk has another file than the guest has written".to_owned())
    }
}
