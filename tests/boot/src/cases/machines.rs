//! Every machine, by every boot protocol, with every number of cores, with little memory and much: one image.
//!
//! ```text
//!   PVH          QEMU -kernel IMAGE
//!   Linux        QEMU -kernel tests/linux-loader -initrd IMAGE, which enters it as Firecracker does
//!   Multiboot2   cargo xtask image, and QEMU's BIOS or OVMF boots GRUB, which boots the image
//! ```
//!
//! The guest says by which protocol it was booted, how many cores it has and how much memory, all of which it has taken into its
//! hands; the verdict is by that. What has been booted is written to `target/machines.md`, with what failed struck out; `docs/machines.md` has
//! the table of all that should.
//!
//! Not everything is booted with everything else. Of machine, protocol, number of cores and size of memory, the ordinary
//! test has each pair; the long one has the rest. GRUB takes a second under a BIOS and ten under UEFI, so its pairs are fewer.
//!
//! Where memory reaches beyond 4 GiB, devices have to be told the truth about buffers there, and those that see 32 bits of an
//! address must not be given any: that has cases of its own, in which the host looks at what arrived.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::disks::new_directory;
use super::other_os::build_program;
use crate::case::Case;
use crate::tool::{Finished, Tool};

mod table;

/// How many machines run at a time.
const WORKERS: usize = 2;
/// What `process::exit(0)` becomes as a status of QEMU.
const DONE: i32 = 16 << 1 | 1;
/// Numbers of cores.
const CORES: [u32; 4] = [1, 2, 4, 8];
/// The least that the smallest application is started with.
const LEAST: u32 = 8;
/// Sizes of memory in MiB: little; up to where the hole for devices begins; beyond it and above 4 GiB.
const MEMORY: [u32; 3] = [128, 3072, 5120];
/// What firmware may keep of the memory, in MiB.
const KEPT_BY_FIRMWARE: u64 = 24;

/// Machines as QEMU names them, with what to call them.
const MACHINES: [(&str, &str); 6] = [
    ("microvm,acpi=off,pcie=off", "microvm"),
    ("microvm,acpi=on,pcie=off", "microvm, ACPI"),
    ("microvm,acpi=off,pcie=on", "microvm, PCI Express"),
    ("microvm,acpi=on,pcie=on", "microvm, ACPI, PCI Express"),
    ("pc", "pc"),
    ("q35", "q35"),
];

/// A way of getting an image into a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Pvh,
    Linux,
    /// GRUB, by the kind of firmware that `run --firmware` knows.
    Grub(&'static str),
}

impl Way {
    /// How the guest names the protocol.
    fn protocol(self) -> &'static str {
        match self {
            Self::Pvh => "PVH",
            Self::Linux => "Linux, 64 bits",
            Self::Grub(_) => "Multiboot2",
        }
    }
}

/// When a cell is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    Long,
}

/// One boot.
#[derive(Clone, Copy, Debug)]
struct Cell {
    machine: usize,
    way: Way,
    cores: u32,
    /// MiB.
    memory: u32,
    when: When,
}

/// All boots that there are.
fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (machine, (_, name)) in MACHINES.into_iter().enumerate() {
        for (index, cores) in CORES.into_iter().enumerate() {
            // With the least memory, another number of cores on each machine.
            let when = if machine % CORES.len() == index { When::Always } else { When::Long };
            cells.push(Cell { machine, way: Way::Pvh, cores, memory: LEAST, when });
            for (shift, way) in [Way::Pvh, Way::Linux].into_iter().enumerate() {
                for (place, memory) in MEMORY.into_iter().enumerate() {
                    let when =
                        if (machine + index + shift) % MEMORY.len() == place { When::Always } else { When::Long };
                    cells.push(Cell { machine, way, cores, memory, when });
                }
            }
            let has_firmware = name == "pc" || name == "q35";
            for (firmware, always) in
                [("bios", [("pc", 8, 128), ("q35", 1, 5120)]), ("uefi", [("pc", 1, 5120), ("q35", 4, 128)])]
            {
                for memory in MEMORY.into_iter().filter(|_| has_firmware) {
                    let is_chosen = always.contains(&(name, cores, memory));
                    let when = if is_chosen { When::Always } else { When::Long };
                    cells.push(Cell { machine, way: Way::Grub(firmware), cores, memory, when });
                }
            }
        }
    }
    cells
}

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("machines::every_machine_boots_by_every_protocol", |tool| boot_all(tool, When::Always)),
        Case::new("machines::all_cores_and_memory_are_found_on_every_machine_by_every_protocol", |tool| {
            boot_all(tool, When::Long)
        })
        .long(),
    ];
    for (machine, disks) in [
        ("microvm", ["", ""].as_slice()),
        ("pc", ["", ",if=virtio-legacy", ",if=ata"].as_slice()),
        ("q35", ["", ",if=virtio-legacy"].as_slice()),
    ] {
        let name = format!("machines::disks_of_{machine}_reach_buffers_above_4_gib");
        cases.push(Case::new(name, move |tool| reach_high_buffers(tool, machine, "modern", disks)));
    }
    let legacy = |tool: &Tool| reach_high_buffers(tool, "microvm", "legacy", &["", ""]);
    cases.push(Case::new("machines::legacy_disks_of_microvm_reach_buffers_above_4_gib", legacy));
    cases
}

/// What boots are made of.
struct Images {
    directory: tempfile::TempDir,
    loader: PathBuf,
    /// The kernel's tests and the smallest application.
    tests: PathBuf,
    hello: PathBuf,
}

impl Images {
    fn build(tool: &Tool) -> Result<Self, String> {
        let directory = new_directory()?;
        let disk = directory.path().join("disk.img");
        let disk = disk.to_string_lossy();
        let words = "test=machine log=debug";
        tool.run(["image", "kernel-tests", "--output", &*disk, "--append", words])?.expect_status(0)?;
        let build = |name: &str| {
            let finished = tool.run(["build", name])?;
            finished.expect_status(0)?;
            Ok::<_, String>(PathBuf::from(finished.stdout.lines().next().unwrap_or_default()))
        };
        let (tests, hello) = (build("kernel-tests")?, build("hello")?);
        let loader = build_program(tool, "linux-loader")?;
        Ok(Self { directory, loader, tests, hello })
    }

    fn boot(&self, tool: &Tool, cell: &Cell) -> Result<Finished, String> {
        let machine = MACHINES[cell.machine].0;
        let (cores, memory) = (cell.cores.to_string(), cell.memory.to_string());
        if let Way::Grub(firmware) = cell.way {
            let disk = format!("{},ro", self.directory.path().join("disk.img").display());
            let options = ["run", "--image", &disk, "--machine", machine, "--firmware", firmware, "--cpus", &cores];
            return tool.run(options.into_iter().chain(["--memory", &memory, "--nics", "0", "--timeout", "600"]));
        }
        // QEMU's translator wants room for a second processor; `xtask/src/qemu.rs` says why.
        let cores = if cell.cores == 1 { "1,maxcpus=2".to_owned() } else { cores };
        let image = if cell.memory == LEAST { &self.hello } else { &self.tests };
        let mut arguments: Vec<&Path> =
            ["-machine", machine, "-accel", "tcg", "-cpu", "max", "-smp", &cores, "-m", &memory]
                .into_iter()
                .chain(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
                .chain(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-append", "test=machine log=debug"])
                .map(Path::new)
                .collect();
        let kernel = Path::new("-kernel");
        match cell.way {
            Way::Linux => arguments.extend([kernel, &self.loader, Path::new("-initrd"), image]),
            _ => arguments.extend([kernel, image]),
        }
        tool.run_program("qemu-system-x86_64", arguments, &[])
    }
}

/// Boots the cells of the ordinary test or of the long one, and writes down what was found.
fn boot_all(tool: &Tool, when: When) -> Result<(), String> {
    let images = Images::build(tool)?;
    let cells: Vec<Cell> = cells().into_iter().filter(|cell| cell.when == when).collect();
    let waiting: Mutex<VecDeque<Cell>> = Mutex::new(cells.iter().copied().collect());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(cell) = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front()) {
                    let result = images.boot(tool, &cell).and_then(|finished| judge(&cell, &finished));
                    if let (Err(reason), Ok(mut failed)) = (result, failed.lock()) {
                        failed.push((cell, reason));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().map_err(|_| "a worker has panicked")?;
    let found = table::render(&cells, |cell| {
        !failed.iter().any(|(other, _)| {
            (other.machine, other.way, other.cores, other.memory) == (cell.machine, cell.way, cell.cores, cell.memory)
        })
    });
    let file = tool.workspace().join("target/machines.md");
    fs::write(&file, found).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut report = String::new();
    for (cell, reason) in &failed {
        let _ = writeln!(report, "{}: {cell:?}\n{reason}", MACHINES[cell.machine].1);
    }
    if failed.is_empty() { Ok(()) } else { Err(report) }
}

/// Holds what a guest says against what its machine was made with.
fn judge(cell: &Cell, finished: &Finished) -> Result<(), String> {
    let status = if matches!(cell.way, Way::Grub(_)) { 0 } else { DONE };
    finished.expect_status(status)?;
    let protocol = format!("boot: {}, ", cell.way.protocol());
    finished.expect_output(&protocol)?;
    let all = u64::from(cell.memory);
    let is_right = |mib: u64| mib <= all && mib + KEPT_BY_FIRMWARE >= all;
    if cell.memory == LEAST {
        finished.expect_output("hello")?;
        finished.expect_line("all cores", |line| line.ends_with(&format!("cores: {}", cell.cores)))?;
        // Little must not mean next to nothing.
        let kib = |line: &str| line.split_once(&protocol)?.1.split(' ').next()?.parse::<u64>().ok();
        finished.expect_line("nearly all memory", |line| kib(line).is_some_and(|kib| kib > (all - 1) * 1024))?;
        return Ok(());
    }
    // machine: 127 MiB, up to 112 MiB, 4 cores
    let numbers = |line: &str| {
        let mut words = line.strip_prefix("machine: ")?.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
        Some((words.next()?, words.next()?, words.next()?))
    };
    let border = 4096;
    finished.expect_line("all cores and all memory", |line| {
        numbers(line).is_some_and(|(memory, highest, cores)| {
            let is_high = highest > border + 512;
            is_right(memory) && cores == u64::from(cell.cores) && is_high == (all > border)
        })
    })?;
    Ok(())
}

/// Lets the guest write to disks, and read, with buffers above 4 GiB, and looks at what has arrived.
fn reach_high_buffers(tool: &Tool, machine: &str, virtio: &str, kinds: &[&str]) -> Result<(), String> {
    const SIZE: usize = 1 << 20;
    const WRITTEN: usize = 256 << 10;
    let directory = new_directory()?;
    let disks: Vec<_> = (0..kinds.len()).map(|number| directory.path().join(format!("{number}.img"))).collect();
    for disk in &disks {
        fs::write(disk, vec![0xee; SIZE]).map_err(|error| format!("{}: {error}", disk.display()))?;
    }
    let options: Vec<_> = disks.iter().zip(kinds).map(|(disk, kind)| format!("{}{kind}", disk.display())).collect();
    let words = format!("test=machine high=5000 disks={}", disks.len());
    let common = ["run", "kernel-tests", "--machine", machine, "--virtio", virtio, "--memory", "5120", "--nics", "0"];
    let common = common.into_iter().chain(["--timeout", "600", "--append", &words]);
    let finished = tool.run(common.chain(options.iter().flat_map(|disk| ["--disk", disk])))?;
    finished.expect_status(0)?;
    for disk in disks {
        let bytes = fs::read(&disk).map_err(|error| format!("{}: {error}", disk.display()))?;
        let (written, rest) = bytes.split_at(WRITTEN.min(bytes.len()));
        let is_word = |(number, word): (u64, &[u8])| word == number.to_le_bytes();
        if !(0..).zip(written.chunks(8)).all(is_word)
            || rest.len() != SIZE - WRITTEN
            || rest.iter().any(|&byte| byte != 0xee)
        {
            return Err(format!("{}: not what the guest has written\n{}", disk.display(), finished.stdout));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_ordinary_test_has_every_pair() {
        let always: Vec<_> = cells().into_iter().filter(|cell| cell.when == When::Always).collect();
        let pairs = |of: &dyn Fn(&Cell) -> (usize, u32)| {
            let direct = always.iter().filter(|cell| cell.memory != LEAST && !matches!(cell.way, Way::Grub(_)));
            direct.map(of).collect::<HashSet<_>>().len()
        };
        let way = |cell: &Cell| usize::from(cell.way == Way::Linux);
        assert_eq!(pairs(&|cell| (cell.machine, cell.cores)), MACHINES.len() * CORES.len());
        assert_eq!(pairs(&|cell| (cell.machine, cell.memory)), MACHINES.len() * MEMORY.len());
        assert_eq!(pairs(&|cell| (way(cell), cell.cores)), 2 * CORES.len());
        assert_eq!(pairs(&|cell| (way(cell), cell.memory)), 2 * MEMORY.len());
        assert_eq!(pairs(&|cell| (cell.cores as usize, cell.memory)), CORES.len() * MEMORY.len());
        assert_eq!(always.iter().filter(|cell| matches!(cell.way, Way::Grub(_))).count(), 4);
    }

    #[test]
    fn the_page_about_machines_is_what_the_tests_boot() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/machines.md");
        let page = fs::read_to_string(page).unwrap_or_default();
        let table = table::render(&cells(), |_| true);
        assert!(page.contains(&table), "docs/machines.md should have this table:\n{table}");
    }
}
