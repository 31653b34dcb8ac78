//! QEMU's command line, as a pure function of the virtual machine wanted, and where QEMU is.
//!
//! ```text
//!   Vm { image, machine, memory, ... }  --arguments()-->  -machine microvm,... -kernel IMAGE -device ...
//! ```
//!
//! Every machine has nothing but what a Toro guest uses (`-nodefaults`): a serial console on standard output, a debug
//! exit device that carries the exit status, network cards ([`card`]), and, with a share, a virtio-fs device whose back end
//! is virtiofsd. Virtio devices are modern (VIRTIO 1.x), unless other interfaces are asked for.
//!
//! The guest's memory is a shared memfd, because virtiofsd writes file data straight into it.
//!
//! A disk is a file of the host ([`disk`]).
//!
//! On microvm, ACPI is off: QEMU then lists the virtio-mmio windows on the guest's command line, as Firecracker does,
//! and the guest needs no AML interpreter to find them. The other machines have PCI.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::{Machine, Nic, VirtioInterface};
use crate::disk::Disk;
use crate::exit::Failure;
use crate::network::Card;

mod card;
mod disk;

/// The program's name, looked up in `PATH`.
pub const PROGRAM: &str = "qemu-system-x86_64";
/// The oldest version that is supported, as major and minor number.
pub const OLDEST: (u32, u32) = (7, 0);

/// What executes the guest's instructions, once decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// The processor, through KVM.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Executor {
    /// QEMU's `-accel` name and the processor model that offers the guest most there.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Kvm => ("kvm", "host"),
            Self::Tcg => ("tcg", "max"),
        }
    }
}

/// A virtual machine to start.
#[derive(Clone, Debug)]
pub struct Vm<'a> {
    /// The ELF image with a PVH note.
    pub image: &'a Path,
    /// Machine model.
    pub machine: Machine,
    /// Interface of virtio devices; a machine without PCI takes a transitional one for legacy.
    pub virtio: VirtioInterface,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual processors.
    pub cpus: u16,
    /// What executes the guest.
    pub executor: Executor,
    /// The guest's command line.
    pub command_line: &'a str,
    /// Kind of the network cards.
    pub nic: Nic,
    /// The network cards.
    pub cards: &'a [Card],
    /// Number of the inherited descriptor that is connected to virtiofsd, when there is a share.
    pub share: Option<i32>,
    /// The archive that the guest gets in its memory.
    pub initrd: Option<&'a Path>,
    /// The disks.
    pub disks: &'a [Disk],
    /// A port of 127.0.0.1 where a debugger can attach. The guest waits for one.
    pub gdb: Option<u16>,
    /// The user's own arguments for QEMU, appended last.
    pub extra: &'a [OsString],
}

/// How virtio devices appear to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// Over PCI.
    Pci,
    /// Over MMIO.
    Mmio,
}

impl Transport {
    /// What a machine has.
    fn of(machine: Machine) -> Self {
        match machine {
            Machine::Microvm => Self::Mmio,
            Machine::Q35 | Machine::Pc => Self::Pci,
        }
    }
}

/// How many processors there are. An emulated machine could have one more than it needs.
///
/// For a machine that can never have a second one, QEMU's translator leaves the barriers out of atomic operations, as if
/// its own threads, which play the devices, did not look. The host's processor may then let a look at what a device wants
/// overtake the index that was shown to it before, and a notification that is due is never sent.
fn processors(executor: Executor, count: u16) -> String {
    match executor {
        Executor::Tcg if count == 1 => "1,maxcpus=2".to_owned(),
        _ => count.to_string(),
    }
}

/// QEMU's arguments for `vm`.
pub fn arguments(vm: &Vm<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut option = |name: &str, value: String| {
        arguments.push(name.into());
        arguments.push(value.into());
    };
    let (accel, cpu) = vm.executor.names();

    let transport = Transport::of(vm.machine);
    let machine_options = match transport {
        Transport::Mmio => ",acpi=off",
        Transport::Pci => "",
    };
    option("-machine", format!("{}{machine_options},memory-backend=mem", vm.machine.qemu_name()));
    option("-accel", accel.to_owned());
    option("-cpu", cpu.to_owned());
    option("-smp", processors(vm.executor, vm.cpus));
    option("-m", format!("{}M", vm.memory_mib));
    option("-object", format!("memory-backend-memfd,id=mem,size={}M,share=on", vm.memory_mib));
    if transport == Transport::Mmio {
        let is_legacy = vm.virtio != VirtioInterface::Modern;
        option("-global", format!("virtio-mmio.force-legacy={is_legacy}"));
    }
    option("-display", "none".to_owned());
    option("-serial", "stdio".to_owned());
    option("-device", "isa-debug-exit,iobase=0xf4,iosize=4".to_owned());

    for (number, card) in vm.cards.iter().enumerate() {
        option("-netdev", card::network(number, card));
        option("-device", card::device(number, card, vm.nic, transport, vm.virtio));
        if let Some(file) = &card.recording {
            option("-object", card::recording(number, file));
        }
    }
    if let Some(descriptor) = vm.share {
        option("-chardev", format!("socket,id=fs0,fd={descriptor}"));
        let properties = "chardev=fs0,tag=share,queue-size=1024";
        option("-device", virtio_device("vhost-user-fs", transport, vm.virtio, properties, ""));
    }
    for (number, disk) in vm.disks.iter().enumerate() {
        option("-blockdev", disk::node(number, disk));
        option("-device", disk::device(number, vm.disks, disk, transport, vm.virtio));
    }
    if let Some(port) = vm.gdb {
        option("-gdb", format!("tcp:127.0.0.1:{port}"));
    }
    if !vm.command_line.is_empty() {
        option("-append", vm.command_line.to_owned());
    }
    arguments.push("-kernel".into());
    arguments.push(vm.image.into());
    if let Some(initrd) = vm.initrd {
        arguments.push("-initrd".into());
        arguments.push(initrd.into());
    }
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(OsString::from));
    if vm.gdb.is_some() {
        arguments.push("-S".into());
    }
    arguments.extend(vm.extra.iter().cloned());
    arguments
}

/// One `-device` value: `model` on the transport, with its properties; `pci_only` ones on PCI alone.
fn virtio_device(
    model: &str,
    transport: Transport,
    interface: VirtioInterface,
    properties: &str,
    pci_only: &str,
) -> String {
    let interface = match interface {
        VirtioInterface::Modern => "disable-legacy=on",
        // Said aloud, as on PCI Express QEMU leaves the legacy interface out by itself.
        VirtioInterface::Transitional => "disable-legacy=off",
        VirtioInterface::Legacy => "disable-legacy=off,disable-modern=on",
    };
    match transport {
        // vhost-user-fs has no legacy interface that could be switched off.
        Transport::Pci if model == "vhost-user-fs" => format!("{model}-pci,{properties}{pci_only}"),
        Transport::Pci => format!("{model}-pci,{interface},{properties}{pci_only}"),
        Transport::Mmio => format!("{model}-device,{properties}"),
    }
}

/// The file of `program` in the directories of `PATH`.
pub fn in_path(program: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;

    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| {
        file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

/// Checks that the QEMU in `PATH` is new enough; gives its version line.
///
/// # Errors
///
/// An input failure where it does not run, says something unexpected, or is older than [`OLDEST`].
pub fn check_version() -> Result<String, Failure> {
    let output = Command::new(PROGRAM)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::input(format!("cannot run {PROGRAM}: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().to_owned();
    let Some(version) = parse_version(&line) else {
        return Err(Failure::input(format!("cannot read the version of {PROGRAM} from {line:?}")));
    };
    if version < OLDEST {
        return Err(Failure::input(format!(
            "QEMU {}.{} is too old, at least {}.{} is needed",
            version.0, version.1, OLDEST.0, OLDEST.1
        )));
    }
    Ok(line)
}

/// Major and minor number in `QEMU emulator version 7.2.22 (...)`.
fn parse_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split_once("version ")?.1.split(['.', ' ', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(change: impl FnOnce(&mut Vm<'_>)) -> String {
        let mut vm = Vm {
            image: Path::new("/image"),
            machine: Machine::Microvm,
            virtio: VirtioInterface::Modern,
            memory_mib: 128,
            cpus: 1,
            executor: Executor::Tcg,
            command_line: "",
            nic: Nic::Virtio,
            cards: &[Card::user(None)],
            share: None,
            initrd: None,
            disks: &[],
            gdb: None,
            extra: &[],
        };
        change(&mut vm);
        let words: Vec<_> = arguments(&vm).into_iter().map(|word| word.into_string().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn microvm_uses_modern_virtio_mmio() {
        let line = line(|vm| vm.share = Some(7));
        assert!(line.contains("-machine microvm,acpi=off,memory-backend=mem"));
        assert!(line.contains("-global virtio-mmio.force-legacy=false"));
        assert!(line.contains("-device virtio-net-device,netdev=net0,mac=52:54:00:12:34:56 "));
        assert!(line.contains("-chardev socket,id=fs0,fd=7 -device vhost-user-fs-device,chardev=fs0,tag=share"));
    }

    #[test]
    fn pci_machines_use_modern_virtio_pci() {
        for machine in [Machine::Pc, Machine::Q35] {
            let line = line(|vm| {
                vm.machine = machine;
                vm.share = Some(7);
            });
            assert!(
                line.contains("-device virtio-net-pci,disable-legacy=on,netdev=net0,mac=52:54:00:12:34:56,romfile=")
            );
            assert!(line.contains("-device vhost-user-fs-pci,chardev=fs0,tag=share"));
            assert!(!line.contains("virtio-mmio"));
        }
    }

    #[test]
    fn other_interfaces_are_switched_on_where_they_exist() {
        let line_of = |machine, virtio| {
            line(|vm| {
                vm.machine = machine;
                vm.virtio = virtio;
                vm.share = Some(7);
            })
        };
        for machine in [Machine::Pc, Machine::Q35] {
            let transitional = line_of(machine, VirtioInterface::Transitional);
            assert!(transitional.contains("-device virtio-net-pci,disable-legacy=off,netdev=net0,"));
            let legacy = line_of(machine, VirtioInterface::Legacy);
            assert!(legacy.contains("-device virtio-net-pci,disable-legacy=off,disable-modern=on,netdev=net0,"));
            assert!(legacy.contains("-device vhost-user-fs-pci,chardev=fs0,"));
        }
        let legacy = line_of(Machine::Microvm, VirtioInterface::Legacy);
        assert!(legacy.contains("-global virtio-mmio.force-legacy=true "));
    }

    #[test]
    fn an_archive_comes_with_the_kernel() {
        assert!(!line(|_| ()).contains("-initrd"));
        assert!(line(|vm| vm.initrd = Some(Path::new("/archive"))).contains(" -kernel /image -initrd /archive "));
    }

    #[test]
    fn memory_is_shared_and_as_large_as_asked() {
        let line = line(|vm| vm.memory_mib = 64);
        assert!(line.contains("-m 64M -object memory-backend-memfd,id=mem,size=64M,share=on"));
    }

    #[test]
    fn the_guest_waits_for_its_debugger_on_the_loopback_address() {
        assert!(!line(|_| ()).contains("-gdb") && !line(|_| ()).contains("-S"));
        let line = line(|vm| vm.gdb = Some(1234));
        assert!(line.contains("-gdb tcp:127.0.0.1:1234 ") && line.ends_with(" -S"), "{line}");
    }

    #[test]
    fn kvm_passes_the_processor_through() {
        assert!(line(|vm| vm.executor = Executor::Kvm).contains("-accel kvm -cpu host"));
        assert!(line(|vm| vm.executor = Executor::Tcg).contains("-accel tcg -cpu max"));
    }

    #[test]
    fn arguments_of_the_user_come_last() {
        let extra = [OsString::from("-S")];
        let mut vm_line = String::new();
        for command_line in ["", "a=b c"] {
            let vm = Vm {
                image: Path::new("/image"),
                machine: Machine::Q35,
                virtio: VirtioInterface::Modern,
                memory_mib: 1,
                cpus: 1,
                executor: Executor::Tcg,
                command_line,
                nic: Nic::Virtio,
                cards: &[],
                share: None,
                initrd: None,
                disks: &[],
                gdb: None,
                extra: &extra,
            };
            let words = arguments(&vm);
            assert_eq!(words.last().unwrap(), "-S");
            vm_line = words.join(" ".as_ref()).into_string().unwrap();
        }
        assert!(vm_line.contains("-append a=b c -kernel"));
    }

    #[test]
    fn an_emulated_machine_always_could_have_a_second_processor() {
        assert_eq!(processors(Executor::Tcg, 1), "1,maxcpus=2");
        assert_eq!(processors(Executor::Tcg, 4), "4");
        assert_eq!(processors(Executor::Kvm, 1), "1");
    }

    #[test]
    fn version_is_read_from_distribution_builds() {
        assert_eq!(parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)"), Some((7, 2)));
        assert_eq!(parse_version("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert_eq!(parse_version("QEMU emulator version 9.1-rc2"), Some((9, 1)));
        assert_eq!(parse_version("something else"), None);
    }
}
