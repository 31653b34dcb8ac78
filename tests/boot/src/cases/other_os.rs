//! `tests/other-os`, an operating system of its own with our drivers: built by cargo and started in QEMU as its README
//! says, without the command line tool, which knows our own kernel only.

use std::fs;
use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::tool::{Finished, Tool};

/// What the program's source says of sectors and statuses.
const BY_THE_HOST: &[u8] = b"written by the host";
const BY_THE_GUEST: &[u8] = b"written by the guest";
/// QEMU's status for what the program ends with: done, and not done.
const DONE: i32 = 0x10 << 1 | 1;
const NOT_DONE: i32 = 0x20 << 1 | 1;

const SECTOR: usize = 512;
const SECTORS: usize = 2048;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    vec![Case::new("other_os::a_small_kernel_with_our_driver_reads_and_writes_a_disk", reads_and_writes)]
}

fn reads_and_writes(tool: &Tool) -> Result<(), String> {
    has_nothing_of_our_kernel(tool)?;
    let image = build_program(tool, "other-os")?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = directory.path().join("disk.img");
    for (machine, device) in [
        ("pc", "virtio-blk-pci"),
        ("pc", "virtio-blk-pci,disable-modern=on,disable-legacy=off"),
        ("microvm", "virtio-blk-device"),
        ("microvm,acpi=off", "virtio-blk-device,event_idx=off"),
    ] {
        write_disk(&disk, BY_THE_HOST)?;
        let finished = boot(tool, &image, machine, &["-device", &format!("{device},drive=disk")], &disk)?;
        finished.expect_status(DONE)?.expect_output("other-os: sector 1 is written, and reads as it was written")?;
        let bytes = fs::read(&disk).map_err(|error| error.to_string())?;
        if !bytes.get(SECTOR..).is_some_and(|sector| sector.starts_with(BY_THE_GUEST)) {
            return Err(format!("{machine}: the host does not see what the guest wrote:\n{}", finished.stdout));
        }
    }
    // It looks at what it reads, and for a disk.
    write_disk(&disk, b"written by somebody")?;
    let finished = boot(tool, &image, "microvm", &["-device", "virtio-blk-device,drive=disk"], &disk)?;
    finished.expect_status(NOT_DONE)?.expect_output("other-os: sector 0 holds something else")?;
    let finished = boot(tool, &image, "pc", &[], &disk)?;
    finished.expect_status(NOT_DONE)?.expect_output("other-os: there is no disk")?;
    Ok(())
}

/// The crates that it is made of are its own, drivers, what those are made of, and no kernel.
fn has_nothing_of_our_kernel(tool: &Tool) -> Result<(), String> {
    let lock = tool.workspace().join("tests/other-os/Cargo.lock");
    let lock = fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    // Those from a registry say so.
    let ours: Vec<_> = lock.split("[[package]]").filter(|package| !package.contains("source = ")).collect();
    for (name, is_wanted) in [("virtio-blk", true), ("toro-core", true), ("toro", false), ("ata", false)] {
        let name = format!("\"{name}\"");
        if names.clone().any(|found| found == name) != is_wanted {
            return Err(format!("{name} is in its Cargo.lock, or is not"));
        }
    }
    // The preamble, the program and three crates.
    if ours.len() == 5 { Ok(()) } else { Err(format!("it is made of {} crates of ours", ours.len() - 2)) }
}

/// Builds the program `tests/NAME` with its own manifest and none of the workspace's flags, which are for images of our kernel.
pub fn build_program(tool: &Tool, name: &str) -> Result<PathBuf, String> {
    let workspace = tool.workspace();
    let (manifest, target) =
        (workspace.join("tests").join(name).join("Cargo.toml"), workspace.join("target").join(name));
    let arguments = [
        Path::new("build"),
        Path::new("--release"),
        Path::new("--target=x86_64-unknown-none"),
        Path::new("--manifest-path"),
        &manifest,
        Path::new("--target-dir"),
        &target,
    ];
    tool.run_program("cargo", arguments, &[("RUSTFLAGS", Path::new(""))])?.expect_status(0)?;
    Ok(target.join("x86_64-unknown-none/release").join(name))
}

fn write_disk(disk: &Path, text: &[u8]) -> Result<(), String> {
    let mut bytes = text.to_vec();
    bytes.resize(SECTORS * SECTOR, 0);
    fs::write(disk, bytes).map_err(|error| format!("{}: {error}", disk.display()))
}

fn boot(tool: &Tool, image: &Path, machine: &str, device: &[&str], disk: &Path) -> Result<Finished, String> {
    let node = format!("driver=file,node-name=disk,filename={}", disk.display());
    let image = image.to_string_lossy();
    let arguments = ["-machine", machine, "-accel", "tcg", "-smp", "1,maxcpus=2", "-m", "64", "-nodefaults"]
        .into_iter()
        .chain(["-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
        .chain(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-blockdev", &node])
        .chain(device.iter().copied())
        .chain(["-kernel", &image]);
    tool.run_program("qemu-system-x86_64", arguments, &[])
}
