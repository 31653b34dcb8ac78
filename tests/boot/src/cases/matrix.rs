//! Virtqueues against QEMU's devices, in every way that a device can be offered.
//!
//! ```text
//!   machine          interface                       EVENT_IDX   INDIRECT_DESC   descriptors
//!   pc, q35      x   modern, transitional, legacy  x on, off   x on, off       x 16, 256, 1024
//!   microvm      x   modern, legacy                x on, off   x on, off       x 16, 256, 1024
//! ```
//!
//! Each cell is one boot of the kernel's test `ring`, which reads a disk that is written here, compares every word, and
//! says no if the device was not offered, or not taken, as the cell says. virtio-net would do as well, but QEMU gives it
//! no queue of less than 256 descriptors. A case is the cells of one machine and interface, two at a time; what it
//! reports names the cells that failed.
//!
//! # QEMU's complaints
//!
//! A device that is shown something wrong says so in a message of QEMU, or in its log of what guests do wrong; and then
//! stops, or does not. Any such line fails a cell. That they are seen at all is tested by a guest that makes a mistake.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;

use crate::case::Case;
use crate::tool::{Finished, Tool};

/// With what the disk is written.
const SEED: u64 = 0x746f_726f_2072_696e;
/// Sectors of the disk, and 64-bit words in each.
const SECTORS: u64 = 4096;
const WORDS: u64 = 64;

/// Drivers of the image. There is none for the network, so that nothing but the disk wakes the core.
const DRIVERS: [&str; 2] = ["--drivers", "virtio-fs,virtio-legacy"];
/// How many cells run at a time.
const WORKERS: usize = 2;

/// Machines, and what interfaces they have.
const INTERFACES: [(&str, &[&str]); 3] =
    [("pc", &PCI_INTERFACES), ("q35", &PCI_INTERFACES), ("microvm", &["modern", "legacy"])];
const PCI_INTERFACES: [&str; 3] = ["modern", "transitional", "legacy"];
const QUEUE_SIZES: [u16; 3] = [16, 256, 1024];

/// Requests in the first of a cell's two rounds: at least four times around the ring.
const REQUESTS: u32 = 4096;
/// More than the indices of a ring can count.
const MANY_REQUESTS: u32 = 66_000;

/// One boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// How to build the image: options of `run` and `build`.
    profile: &'static [&'static str],
    machine: &'static str,
    interface: &'static str,
    event_idx: bool,
    indirect_desc: bool,
    queue_size: u16,
    requests: u32,
}

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("matrix::complaints_of_qemu_are_seen", complaints_are_seen),
        Case::new("matrix::unoptimised_rings_work", |tool| run_cells(tool, &unoptimised_cells())),
    ];
    for (machine, interfaces) in INTERFACES {
        for interface in interfaces {
            let name = format!("matrix::{interface}_rings_of_every_kind_work_on_{machine}");
            cases.push(Case::new(name, move |tool| run_cells(tool, &cells(machine, interface))));
        }
    }
    cases
}

/// The cells of a machine and an interface. One of them goes on until the indices of the ring have wrapped; but a
/// transitional device is driven as a modern one, the devices of q35 are those of pc, and once is enough.
fn cells(machine: &'static str, interface: &'static str) -> Vec<Cell> {
    let mut cells = Vec::new();
    for queue_size in QUEUE_SIZES {
        for event_idx in [true, false] {
            for indirect_desc in [true, false] {
                let wraps = interface != "transitional" && machine != "q35";
                let is_long = wraps && queue_size == 256 && event_idx && indirect_desc;
                let requests = if is_long { MANY_REQUESTS } else { REQUESTS };
                cells.push(Cell { profile: &[], machine, interface, event_idx, indirect_desc, queue_size, requests });
            }
        }
    }
    cells
}

/// Two cells for an image that checks its arithmetic, one of them until the indices have wrapped.
fn unoptimised_cells() -> [Cell; 2] {
    let common = Cell {
        profile: &["--dev"],
        machine: "pc",
        interface: "modern",
        event_idx: true,
        indirect_desc: false,
        queue_size: 256,
        requests: MANY_REQUESTS,
    };
    [common, Cell { machine: "microvm", interface: "legacy", indirect_desc: true, requests: REQUESTS, ..common }]
}

/// Runs cells, [`WORKERS`] at a time.
fn run_cells(tool: &Tool, cells: &[Cell]) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = directory.path().join("disk");
    fs::write(&disk, disk_image()).map_err(|error| format!("{}: {error}", disk.display()))?;
    // Once, so that no worker waits for the other's build.
    let profile = cells.first().map_or([].as_slice(), |cell| cell.profile);
    tool.run(["build", "kernel-tests"].iter().chain(&DRIVERS).chain(profile).copied())?.expect_status(0)?;

    let waiting = Mutex::new(cells.iter());
    let failures = Mutex::new(String::new());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (waiting, failures, disk) = (&waiting, &failures, &disk);
            let log = directory.path().join(format!("log{worker}"));
            scope.spawn(move || {
                while let Some(cell) = waiting.lock().ok().and_then(|mut waiting| waiting.next()) {
                    if let (Err(reason), Ok(mut failures)) = (passes(tool, cell, disk, &log), failures.lock()) {
                        let _ = writeln!(failures, "{cell:?}\n{reason}");
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().map_err(|_| "a worker has panicked")?;
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn passes(tool: &Tool, cell: &Cell, disk: &Path, log: &Path) -> Result<(), String> {
    let (finished, complaints) = boot(tool, "ring", cell, disk, log)?;
    finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed")?;
    if complaints.is_empty() { Ok(()) } else { Err(format!("QEMU complains: {complaints:#?}")) }
}

/// A request that no disk can understand is complained of: on standard error, by what the virtio core of QEMU itself
/// prints. So the silence of the other cases means something.
fn complaints_are_seen(tool: &Tool) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = directory.path().join("disk");
    fs::write(&disk, disk_image()).map_err(|error| error.to_string())?;
    for machine in ["pc", "q35", "microvm"] {
        let [cell, ..] = cells(machine, "modern")[..] else { return Err("no cells".to_owned()) };
        let (finished, complaints) = boot(tool, "ring-mistake", &cell, &disk, &directory.path().join("log"))?;
        finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed")?;
        if complaints.is_empty() {
            return Err(format!("QEMU on {machine} does not complain:\n{}", finished.stderr));
        }
    }
    Ok(())
}

/// Boots a test with the disk of `cell`; gives how it ended, and QEMU's complaints.
fn boot(tool: &Tool, test: &str, cell: &Cell, disk: &Path, log: &Path) -> Result<(Finished, Vec<String>), String> {
    let options = ["--timeout", "120", "--machine", cell.machine, "--virtio", cell.interface];
    let _ = fs::remove_file(log);
    let finished = tool.run(
        ["run", "kernel-tests"]
            .into_iter()
            .chain(DRIVERS)
            .chain(cell.profile.iter().copied())
            .chain(options)
            .chain(["--append", &cell.command_line(test), "--"])
            .chain(["-blockdev", &format!("driver=file,node-name=disk,read-only=on,filename={}", disk.display())])
            .chain(["-device", &cell.device()])
            .chain(["-d", "guest_errors,unimp", "-D", &log.to_string_lossy()])
            .map(str::to_owned),
    )?;
    let complaints = complaints(&finished.stderr, &start_of(log));
    Ok((finished, complaints))
}

/// The start of QEMU's log: a guest that keeps doing the same wrong makes it very long. Empty where QEMU wrote none.
fn start_of(log: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(log) {
        let _ = file.take(4096).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Cell {
    /// QEMU's words for the disk.
    fn device(&self) -> String {
        let interface = match (self.machine, self.interface) {
            ("microvm", _) => "virtio-blk-device",
            (_, "legacy") => "virtio-blk-pci,disable-legacy=off,disable-modern=on",
            (_, "transitional") => "virtio-blk-pci,disable-legacy=off,disable-modern=off",
            _ => "virtio-blk-pci,disable-legacy=on,disable-modern=off",
        };
        let Self { event_idx, indirect_desc, queue_size, .. } = *self;
        let (event_idx, indirect_desc) = (on_or_off(event_idx), on_or_off(indirect_desc));
        format!("{interface},drive=disk,queue-size={queue_size},event_idx={event_idx},indirect_desc={indirect_desc}")
    }

    /// What the guest is told to expect.
    fn command_line(&self, test: &str) -> String {
        let Self { event_idx, indirect_desc, queue_size, requests, .. } = *self;
        let (event_idx, indirect_desc) = (on_or_off(event_idx), on_or_off(indirect_desc));
        // A transitional device is driven as a modern one.
        let interface = if self.interface == "legacy" { "legacy" } else { "modern" };
        // There are versions of QEMU that offer RING_RESET over MMIO and do nothing about it.
        let renew_queue = on_or_off(self.machine != "microvm");
        format!(
            "test={test} interface={interface} event_idx={event_idx} indirect_desc={indirect_desc} \
             queue_size={queue_size} requests={requests} renew_queue={renew_queue} sectors={SECTORS} seed={SEED}"
        )
    }
}

fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// The disk: word `i` of sector `s` is `SEED ^ (s << 8 | i)`, as the guest knows.
fn disk_image() -> Vec<u8> {
    (0..SECTORS).flat_map(|sector| (0..WORDS).flat_map(move |i| (SEED ^ (sector << 8 | i)).to_le_bytes())).collect()
}

/// What QEMU holds against the guest: its own messages but for warnings, which are about the host; and what its log of
/// guests' errors says about virtio. The firmware may be in that log too.
fn complaints(stderr: &str, log: &str) -> Vec<String> {
    let messages =
        stderr.lines().filter(|line| line.starts_with("qemu-system-x86_64: ") && !line.contains(": warning: "));
    let errors = log.lines().filter(|line| line.to_lowercase().contains("virt"));
    messages.chain(errors).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_96_different_cells() {
        let mut all = Vec::new();
        for (machine, interfaces) in INTERFACES {
            all.extend(interfaces.iter().flat_map(|interface| cells(machine, interface)));
        }
        assert_eq!(all.len(), 96);
        assert!(all.iter().enumerate().all(|(number, cell)| !all[..number].contains(cell)));
        assert_eq!(all.iter().filter(|cell| cell.requests > 65_536).count(), 4);
    }

    #[test]
    fn complaints_are_told_from_other_lines() {
        let stderr = "   Compiling toro v0.1.0\n\
                      qemu-system-x86_64: warning: host doesn't support requested feature\n\
                      qemu-system-x86_64: Virtqueue size exceeded\n";
        let log = "Invalid read at addr 0x20, size 1, region 'virtio-pci-isr', reason: rejected\n\
                   Invalid access at addr 0xFED40000\n";
        let found = complaints(stderr, log);
        assert!(matches!(&found[..], [size, read] if size.ends_with("exceeded") && read.starts_with("Invalid read")));
        assert!(complaints("", "").is_empty());
    }
}
