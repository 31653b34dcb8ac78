//! `cargo xtask run`: from the command line to the application's exit status.
//!
//! ```text
//!   check input -> set up -> build -> start virtiofsd, QEMU -> events ... -> stop, in order -> status
//!                                                                ^
//!                       guest output, web address, signal, end --+
//! ```
//!
//! Everything that can be wrong with the input is looked at before anything is installed, built or started. From the
//! moment the first child runs, a [`Guest`] owns the machine; however that ends, QEMU is stopped first and virtiofsd, which
//! then ends by itself, second.
//!
//! Another monitor than QEMU is started by [`crate::firecracker`] and followed in the same way.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;

use crate::accel;
use crate::child;
use crate::cli::{BuildArgs, FirmwareKind, Machine, ParentEnd, RunArgs, VirtioInterface, Vmm};
use crate::disk::{self, FirstDisk, Place};
use crate::exit::{self, Failure};
use crate::firecracker;
use crate::firmware::Firmware;
use crate::guest::{Event, Guest, Monitor, Supervision};
use crate::image::{self, Application};
use crate::initrd::Initrd;
use crate::network::{self, Wish};
use crate::ports::HeldPorts;
use crate::qemu::{self, Start, Vm};
use crate::setup::{self, Needs, Program};
use crate::signals::StopSignals;
use crate::virtiofsd::Virtiofsd;

/// Runs an application; gives its exit status.
///
/// # Errors
///
/// Every kind of [`Failure`]: see [`crate::exit`] for what each means.
pub fn run(args: &RunArgs) -> Result<u8, Failure> {
    firecracker::refuse(&args.given, args.vmm)?;
    match args.vmm {
        Vmm::Qemu => run_in_qemu(args),
        Vmm::Firecracker => firecracker::run(args),
    }
}

/// How QEMU tells the exit status.
const QEMU: Monitor = Monitor { name: "QEMU", status: exit::guest_status };

fn run_in_qemu(args: &RunArgs) -> Result<u8, Failure> {
    let wish = Wish {
        network: &args.network,
        nic: args.nic,
        cards: args.nics,
        port: args.port,
        recording: args.pcap.as_deref(),
        machine: args.machine,
        cpus: args.cpus,
    };
    let virtio = network::interface_of_devices(args.machine, args.nic, args.virtio);
    check_interface(args.machine, virtio, args.share.is_some())?;
    let cards = network::number_of_cards(&wish);
    let wanted_disks: Vec<_> = args.image.iter().chain(&args.disks).cloned().collect();
    check_room(args.machine, cards, args.share.is_some(), disk::virtio_devices(&wanted_disks))?;
    check_firmware(args)?;
    let first = args.image.as_ref().map_or(FirstDisk::ForTheGuest, |_| FirstDisk::ForTheFirmware);
    let place = Place { machine: args.machine, virtio, cpus: args.cpus, first };
    let disks = disk::check(&wanted_disks, place)?;
    let share = args.share.as_deref().map(check_share).transpose()?;
    let initrd = args.initrd.as_deref().map(Initrd::check).transpose()?;
    let source = Source::find(args)?;
    let http_port = source.http_port();
    let mut ports = HeldPorts::default();
    let mut plan = network::plan(&wish, http_port, &mut ports)?;
    let gdb = args.gdb.map(|port| ports.take(port)).transpose()?;

    let mut programs = vec![Program::Qemu];
    if share.is_some() {
        programs.push(Program::Virtiofsd);
    }
    if gdb.is_some() {
        programs.push(Program::Gdb);
    }
    if plan.needs_iproute() {
        programs.push(Program::Iproute);
    }
    if args.firmware == FirmwareKind::Uefi {
        programs.push(Program::Ovmf);
    }
    setup::ensure(&Needs { target_for: source.directory(), programs })?;
    plan.complete(&wish, http_port, &image::target_directory())?;
    if args.image.is_some() && !plan.words.is_empty() {
        return Err(Failure::input(format!(
            "the command line is in the image, and cannot be told `{}`: make the image with it, or use guest=dhcp",
            plan.words
        )));
    }
    let version = qemu::check_version()?;
    let executor = accel::decide(args.accel, &version, &image::target_directory())?;
    if let Some(warning) = source.warning(args) {
        eprintln!("xtask: {warning}");
    }
    let built = source.build()?;
    let firmware = Firmware::find(args.firmware)?;

    let (sender, events) = mpsc::channel();
    let _signals = StopSignals::forward(sender.clone(), Event::Signal)
        .map_err(|error| Failure::machine(format!("cannot catch signals: {error}")))?;
    let mut virtiofsd = None;
    let mut inherited = Vec::new();
    if let Some(share) = &share {
        let program = Virtiofsd::find().ok_or_else(|| Failure::preparation("virtiofsd is missing"))?;
        let (server, descriptor) = program.serve(share)?;
        virtiofsd = Some(server);
        inherited.push(descriptor);
    }
    let scratch = image::target_directory();
    let initrd = initrd.map(|initrd| initrd.open(&scratch, args.memory)).transpose()?.map(OwnedFd::from);
    let initrd_path = initrd.as_ref().map(image::path_of);
    let cannot_share = |error| Failure::machine(format!("cannot open the image again: {error}"));
    let for_qemu = built.as_ref().map(|(_, file)| file.try_clone().map(OwnedFd::from)).transpose();
    let for_qemu = for_qemu.map_err(cannot_share)?;
    let opened = for_qemu.as_ref().map(image::path_of);
    // Of two words for the same thing the guest takes the second.
    let words = [plan.words.as_str(), args.append.as_deref().unwrap_or_default()];
    let command_line = words.iter().filter(|words| !words.is_empty()).copied().collect::<Vec<_>>().join(" ");
    let arguments = qemu::arguments(&Vm {
        start: match &opened {
            Some(image) => Start::Kernel { image, command_line: &command_line },
            None => Start::Firmware(&firmware),
        },
        machine: args.machine,
        virtio,
        memory_mib: args.memory,
        cpus: args.cpus,
        executor,
        nic: args.nic,
        cards: &plan.cards,
        share: inherited.first().map(AsRawFd::as_raw_fd),
        initrd: initrd_path.as_deref(),
        disks: &disks,
        gdb,
        extra: &args.qemu,
    });
    inherited.extend(for_qemu);
    inherited.extend(initrd);
    drop(ports);
    let child = child::spawn_inheriting(
        child::bound(qemu::PROGRAM, ParentEnd::Kill)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
        inherited,
    )
    .map_err(|error| Failure::machine(format!("cannot start QEMU: {error}")))?;

    let program = built.as_ref().map(|(path, _)| path.as_path());
    let opened_image = built.as_ref().map(|(_, file)| image::path_of(file));
    let supervision =
        Supervision { monitor: QEMU, image: opened_image.as_deref(), web: &plan.web, timeout: args.timeout };
    // QEMU may not listen yet, but gdb tries again for a while.
    let debugger = gdb.map(|port| debugger_command(program, port));
    let result =
        Guest::new(child, &supervision, &sender).supervise(&supervision, &sender, &events, debugger.as_deref());
    // Without QEMU its back end ends; `Server` makes sure of it.
    drop(virtiofsd);
    let tidied = network::tidy_recordings(&plan.cards);
    result.and_then(|status| tidied.map(|()| status))
}

/// What a guest is made of.
enum Source<'a> {
    /// An application, built now.
    Application(Application, &'a BuildArgs),
    /// A disk that has one.
    Disk,
}

impl<'a> Source<'a> {
    fn find(args: &'a RunArgs) -> Result<Self, Failure> {
        match &args.build {
            Some(build) if args.image.is_none() => Ok(Self::Application(Application::find(build)?, build)),
            _ => Ok(Self::Disk),
        }
    }

    /// The port on which it says that it serves HTTP.
    fn http_port(&self) -> Option<u16> {
        match self {
            Self::Application(application, _) => application.http_port,
            Self::Disk => None,
        }
    }

    /// What it lacks for the devices that it is to have.
    fn warning(&self, args: &RunArgs) -> Option<String> {
        match self {
            Self::Application(application, _) => application.warning(args),
            Self::Disk => None,
        }
    }

    /// Where it is built.
    fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Application(application, _) => Some(application.directory()),
            Self::Disk => None,
        }
    }

    fn build(&self) -> Result<Option<(PathBuf, File)>, Failure> {
        match self {
            Self::Application(application, build) => application.build_and_open(build).map(Some),
            Self::Disk => Ok(None),
        }
    }
}

/// Checks that the machine has firmware, if it is to boot from a disk.
fn check_firmware(args: &RunArgs) -> Result<(), Failure> {
    match args.machine {
        Machine::Microvm if args.image.is_some() => {
            Err(Failure::input("microvm has no firmware that boots from a disk: use --machine pc or q35"))
        }
        _ if args.image.is_none() && args.firmware == FirmwareKind::Uefi => Err(Failure::input(
            "--firmware is for a machine that boots from a disk: make one with `image`, and use --image",
        )),
        _ => Ok(()),
    }
}

/// Installs what it takes to build an application and to run it.
///
/// # Errors
///
/// A preparation failure that says what is missing.
pub fn set_up() -> Result<(), Failure> {
    let programs = vec![Program::Qemu, Program::Virtiofsd];
    setup::ensure(&Needs { target_for: Some(image::workspace()), programs })
}

/// Checks that the machine has virtio devices of this interface.
fn check_interface(machine: Machine, interface: VirtioInterface, has_share: bool) -> Result<(), Failure> {
    match (machine, interface) {
        (Machine::Microvm, VirtioInterface::Transitional) => {
            Err(Failure::input("microvm has no transitional virtio devices: use --virtio modern or legacy, or PCI"))
        }
        (Machine::Microvm, VirtioInterface::Legacy) if has_share => {
            Err(Failure::input("virtio-fs has no legacy interface, and on microvm all devices have the same"))
        }
        _ => Ok(()),
    }
}

/// Checks that the machine has room for as many virtio devices.
fn check_room(machine: Machine, nics: u8, has_share: bool, disks: usize) -> Result<(), Failure> {
    let room = machine.virtio_devices();
    if usize::from(nics) + usize::from(has_share) + disks <= room {
        return Ok(());
    }
    let next = match machine {
        Machine::Microvm => ", or use --machine q35",
        Machine::Pc | Machine::Q35 => "",
    };
    Err(Failure::input(format!(
        "{} has {room} virtio devices at most: leave out --share, a --disk or one of --nics{next}",
        machine.qemu_name()
    )))
}

/// The share as an absolute path.
fn check_share(share: &Path) -> Result<PathBuf, Failure> {
    let trouble = |reason: String| Failure::input(format!("cannot share {}: {reason}", share.display()));
    let directory = share.canonicalize().map_err(|error| trouble(error.to_string()))?;
    if !directory.is_dir() {
        return Err(trouble("it is not a directory".to_owned()));
    }
    directory.read_dir().map_err(|error| trouble(error.to_string()))?;
    Ok(directory)
}

/// What to type to attach gdb to the guest. The image says what processor it is for, so gdb needs not be told, though the
/// guest's starts in 32-bit mode.
fn debugger_command(image: Option<&Path>, port: u16) -> String {
    let Some(image) = image else {
        return format!("gdb -ex 'target remote 127.0.0.1:{port}'");
    };
    let image = image.display().to_string();
    let is_plain = image.chars().all(|char| char.is_ascii_alphanumeric() || "/._-+".contains(char));
    let image = if is_plain { image } else { format!("'{}'", image.replace('\'', r"'\''")) };
    format!("gdb {image} -ex 'target remote 127.0.0.1:{port}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::FailureKind;

    #[test]
    fn missing_share_and_file_as_share_are_refused() {
        let message = check_share(Path::new("/no/such/directory")).unwrap_err().to_string();
        assert!(message.starts_with("cannot share /no/such/directory: "), "{message}");
        let message = check_share(Path::new("/proc/self/exe")).unwrap_err().to_string();
        assert!(message.ends_with("it is not a directory"), "{message}");
        assert_eq!(check_share(Path::new("/proc/../proc")), Ok(PathBuf::from("/proc")));
    }

    #[test]
    fn interfaces_that_a_machine_lacks_are_refused() {
        use VirtioInterface::{Legacy, Modern, Transitional};
        let check =
            |machine, interface, has_share| check_interface(machine, interface, has_share).map_err(|f| f.kind());
        for machine in [Machine::Pc, Machine::Q35] {
            for interface in [Modern, Transitional, Legacy] {
                assert_eq!(check(machine, interface, true), Ok(()));
            }
        }
        assert_eq!(check(Machine::Microvm, Modern, true), Ok(()));
        assert_eq!(check(Machine::Microvm, Legacy, false), Ok(()));
        assert_eq!(check(Machine::Microvm, Legacy, true), Err(FailureKind::Input));
        assert_eq!(check(Machine::Microvm, Transitional, false), Err(FailureKind::Input));
    }

    #[test]
    fn more_devices_than_a_machine_has_are_refused() {
        for (machine, nics, has_share, disks) in [
            (Machine::Microvm, 8, true, 0),
            (Machine::Microvm, 8, false, 1),
            (Machine::Microvm, 1, true, 7),
            (Machine::Microvm, 0, false, 9),
            (Machine::Pc, 1, false, 30),
        ] {
            let refusal = check_room(machine, nics, has_share, disks).map_err(|failure| failure.kind());
            assert_eq!(refusal, Err(FailureKind::Input));
        }
        for (machine, nics, has_share, disks) in [
            (Machine::Microvm, 7, true, 0),
            (Machine::Microvm, 8, false, 0),
            (Machine::Microvm, 1, true, 6),
            (Machine::Pc, 8, true, 21),
            (Machine::Q35, 8, true, 0),
        ] {
            assert_eq!(check_room(machine, nics, has_share, disks), Ok(()));
        }
    }

    #[test]
    fn the_command_for_the_debugger_can_be_pasted() {
        let command = |image| debugger_command(Some(Path::new(image)), 1234);
        assert_eq!(command("/a/b-c_1.0"), "gdb /a/b-c_1.0 -ex 'target remote 127.0.0.1:1234'");
        assert_eq!(command("/my app's/$x"), r"gdb '/my app'\''s/$x' -ex 'target remote 127.0.0.1:1234'");
    }
}
