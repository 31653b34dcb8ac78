//! `cargo xtask run --vmm firecracker`: the guest in Firecracker instead of QEMU.
//!
//! ```text
//!   check options -> set up -> build -> write config.json -> PATH --no-api --config-file config.json -> events ... -> status
//! ```
//!
//! Firecracker has virtio disks and network cards and a serial console, and needs hardware virtualisation. Options of `run`
//! that it has nothing for are refused, each with a line of its own ([`refuse`]); the rest means what it means for QEMU.
//!
//! # The exit status
//!
//! There is no device that carries a number: Firecracker ends with status 0 whenever its guest resets the machine. So the
//! guest is told to print its status always (`exit=print`), and the console's last line is what counts. A guest that ends
//! without that line has vanished.
//!
//! # Standard output
//!
//! It is the guest's console. Firecracker's own messages go to a file, of which the user sees the measured boot time and,
//! where Firecracker failed, the end.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use tempfile::TempDir;

use crate::child;
use crate::cli::{Machine, Nic, ParentEnd, RunArgs, VirtioInterface, Vmm};
use crate::disk::{self, Disk, FirstDisk, Format, Place};
use crate::exit::{self, Failure};
use crate::guest::{Event, Guest, Monitor, Supervision};
use crate::image::{self, Application};
use crate::initrd::Initrd;
use crate::network::{self, Network, NetworkOption, Wish};
use crate::ports::HeldPorts;
use crate::qemu;
use crate::setup::{self, Needs, Program};
use crate::signals::StopSignals;

mod config;

use config::Vm;

/// The program's name, looked up in `PATH` where the user names none.
const PROGRAM: &str = "firecracker";
/// What it needs.
const KVM: &str = "/dev/kvm";
/// The most processors that it gives a guest.
const MOST_CPUS: u16 = 32;
/// What the guest is told before everything else.
const WORDS: &str = "exit=print";
/// The word that makes the guest say when it has booted.
const BOOT_TIMER_WORD: &str = "boot-timer";
/// How its message about that begins.
const BOOT_TIME: &str = "Guest-boot-time";
/// How many of its messages are shown where it failed.
const LAST_MESSAGES: usize = 5;

/// Options that Firecracker has nothing for, by their name in the arguments, and what to do instead.
const FOREIGN: [(&str, &str, &str); 12] = [
    ("image", "--image", "boots no disks: name an application"),
    ("firmware", "--firmware", "has none: leave it out"),
    ("share", "--share", "has no shared directories: use --initrd or --disk"),
    ("machine", "--machine", "is a machine of its own: leave it out"),
    ("virtio", "--virtio", "has modern virtio devices: leave it out"),
    ("port", "--port", "has no user-mode network: use --net tap,if=NAME, and the guest's own address"),
    ("nic", "--nic", "has virtio network cards: leave it out"),
    ("nics", "--nics", "is given one network card here: use --net tap,if=NAME"),
    ("pcap", "--pcap", "records no frames: use tcpdump on the tap interface"),
    ("gdb", "--gdb", "has no debugger in its releases: use --vmm qemu"),
    ("accel", "--accel", "needs KVM: leave it out"),
    ("qemu", "arguments behind --", "takes no arguments of QEMU: leave them out"),
];

/// Refuses what only the other monitor has. `given` are the names of the options that the user has written.
///
/// # Errors
///
/// An input failure of one line that says what to do instead.
pub fn refuse(given: &[String], vmm: Vmm) -> Result<(), Failure> {
    let is_given = |name: &str| given.iter().any(|given| given == name);
    if vmm == Vmm::Qemu {
        let own = [("firecracker", "--firecracker"), ("boot_timer", "--boot-timer")];
        return own.iter().find(|(name, _)| is_given(name)).map_or(Ok(()), |(_, option)| {
            Err(Failure::input(format!("{option} is for Firecracker: use --vmm firecracker with it")))
        });
    }
    FOREIGN.iter().find(|(name, ..)| is_given(name)).map_or(Ok(()), |(_, option, reason)| {
        Err(Failure::input(format!("{option} is for QEMU, and Firecracker {reason}")))
    })
}

/// Runs an application; gives its exit status.
///
/// # Errors
///
/// Every kind of [`Failure`], as for QEMU.
pub fn run(args: &RunArgs) -> Result<u8, Failure> {
    let program = find_program(args.firecracker.as_deref())?;
    check_cpus(args.cpus)?;
    let disks = check_disks(args)?;
    let network = match &args.network {
        NetworkOption::User if args.given.iter().any(|name| name == "network") => {
            return Err(Failure::input("--net user is QEMU's: use --net tap,if=NAME, or leave it out for no network"));
        }
        NetworkOption::User => &NetworkOption::None,
        network => network,
    };
    check_interface(network)?;
    let wish = Wish {
        network,
        nic: Nic::Virtio,
        cards: None,
        port: None,
        recording: None,
        // With its one interrupt line for each device and one queue pair, as a microvm's.
        machine: Machine::Microvm,
        cpus: args.cpus,
    };
    let initrd = args.initrd.as_deref().map(Initrd::check).transpose()?;
    check_kvm(Path::new(KVM))?;
    let build = args.build.as_ref().ok_or_else(|| Failure::input("name an application"))?;
    let application = Application::find(build)?;
    let mut plan = network::plan(&wish, application.http_port, &mut HeldPorts::default())?;

    if let Some(warning) = application.warning(args) {
        eprintln!("xtask: {warning}");
    }
    let programs = if plan.needs_iproute() { vec![Program::Iproute] } else { Vec::new() };
    setup::ensure(&Needs { target_for: Some(application.directory()), programs })?;
    let scratch = image::target_directory();
    plan.complete(&wish, application.http_port, &scratch)?;
    let taps = taps(&plan.cards)?;
    let (_, image_file) = application.build_and_open(build)?;
    // Firecracker opens what it inherits, whatever becomes of the files' names meanwhile.
    let cannot_share = |error| Failure::machine(format!("cannot open the image again: {error}"));
    let for_firecracker = OwnedFd::from(image_file.try_clone().map_err(cannot_share)?);
    let image = image::path_of(&for_firecracker);
    let initrd = initrd.map(|initrd| initrd.open(&scratch, args.memory)).transpose()?.map(OwnedFd::from);
    let initrd_path = initrd.as_ref().map(image::path_of);

    let command_line = command_line(args, &plan.words);
    let vm = Vm {
        image: &image,
        initrd: initrd_path.as_deref(),
        command_line: &command_line,
        memory_mib: args.memory,
        cpus: args.cpus,
        disks: &disks,
        taps: &taps,
    };
    let files = Files::write(&vm, &scratch)?;
    let (sender, events) = mpsc::channel();
    let _signals = StopSignals::forward(sender.clone(), Event::Signal)
        .map_err(|error| Failure::machine(format!("cannot catch signals: {error}")))?;
    let image = image::path_of(&image_file);
    let supervision = Supervision { monitor: MONITOR, image: Some(&image), web: &plan.web, timeout: args.timeout };
    let inherited = [for_firecracker].into_iter().chain(initrd).collect();
    let child = start(&program, &files, Timer::of(args), inherited)?;
    let guest = Guest::new(child, &supervision, &sender);
    let result = guest.supervise(&supervision, &sender, &events, None);
    files.report(&result);
    result
}

/// Whether Firecracker measures the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    On,
    Off,
}

impl Timer {
    fn of(args: &RunArgs) -> Self {
        if args.boot_timer { Self::On } else { Self::Off }
    }
}

/// How the exit status comes out.
const MONITOR: Monitor = Monitor { name: "Firecracker", status: exit::console_status };

/// Starts Firecracker, with its console in pipes and the descriptors `inherited` open.
fn start(program: &Path, files: &Files, timer: Timer, inherited: Vec<OwnedFd>) -> Result<Child, Failure> {
    let mut command = child::bound(program, ParentEnd::Kill);
    command.arg("--no-api").arg("--config-file").arg(files.config());
    command.arg("--log-path").arg(files.log()).args(["--level", "Info"]);
    if timer == Timer::On {
        command.arg("--boot-timer");
    }
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    child::spawn_inheriting(&mut command, inherited)
        .map_err(|error| Failure::machine(format!("cannot start {}: {error}", program.display())))
}

/// The program that the user names, or the one in `PATH`.
fn find_program(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        Some(path) => {
            let trouble = |reason: String| Failure::input(format!("cannot use {}: {reason}", path.display()));
            let file = path.canonicalize().map_err(|error| trouble(error.to_string()))?;
            if file.is_file() { Ok(file) } else { Err(trouble("it is not a file".to_owned())) }
        }
        None => qemu::in_path(PROGRAM).ok_or_else(|| {
            Failure::input(format!("there is no {PROGRAM} in PATH: install it, or name the file with --firecracker"))
        }),
    }
}

fn check_kvm(device: &Path) -> Result<(), Failure> {
    File::options().read(true).write(true).open(device).map(drop).map_err(|error| {
        Failure::input(format!(
            "Firecracker needs hardware virtualisation, and {} cannot be opened: {error}; use --vmm qemu",
            device.display()
        ))
    })
}

fn check_cpus(cpus: u16) -> Result<(), Failure> {
    if cpus <= MOST_CPUS {
        return Ok(());
    }
    Err(Failure::input(format!("Firecracker gives a guest {MOST_CPUS} processors at most, and --cpus says {cpus}")))
}

/// The disks: raw images behind virtio-blk with one queue.
fn check_disks(args: &RunArgs) -> Result<Vec<Disk>, Failure> {
    let place = Place {
        machine: Machine::Microvm,
        virtio: VirtioInterface::Modern,
        cpus: args.cpus,
        first: FirstDisk::ForTheGuest,
    };
    let disks = disk::check(&args.disks, place)?;
    for (disk, option) in disks.iter().zip(&args.disks) {
        let trouble = |reason| Err(Failure::input(format!("cannot use disk {}: {reason}", option.image.display())));
        if disk.format != Format::Raw {
            return trouble("Firecracker reads raw images only: convert it with `qemu-img convert -O raw`");
        }
        if disk.queues != 1 {
            return trouble("Firecracker's disks have one queue: leave out `queues`");
        }
    }
    Ok(disks)
}

/// Firecracker opens a tap interface, but brings none up.
fn check_interface(network: &NetworkOption) -> Result<(), Failure> {
    let NetworkOption::Tap(option) = network else { return Ok(()) };
    let name = option.interface.as_deref();
    if name.is_some_and(network::tap::exists) {
        return Ok(());
    }
    let name = name.unwrap_or("tap0");
    Err(Failure::input(format!(
        "Firecracker takes a tap interface that is there; type: sudo ip tuntap add dev {name} mode tap user $USER && \
         sudo ip addr add 10.9.0.1/24 dev {name} && sudo ip link set {name} up, and use --net tap,if={name}"
    )))
}

/// The names of the interfaces.
fn taps(cards: &[network::Card]) -> Result<Vec<String>, Failure> {
    let name = |card: &network::Card| match &card.network {
        Network::Tap { interface, queues: 1, .. } => Ok(interface.clone()),
        Network::Tap { interface, .. } => {
            Err(Failure::input(format!("{interface} has several queues: make it without `multi_queue`")))
        }
        Network::User { .. } => Err(Failure::input("Firecracker has no user-mode network")),
    };
    cards.iter().map(name).collect()
}

/// What the guest is told, the user's words last: of two for the same thing it takes the second.
fn command_line(args: &RunArgs, network: &str) -> String {
    let timer = if args.boot_timer { BOOT_TIMER_WORD } else { "" };
    let words = [WORDS, timer, network, args.append.as_deref().unwrap_or_default()];
    words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Firecracker's configuration and messages, in a directory that ends with this value.
struct Files {
    directory: TempDir,
}

impl Files {
    fn write(vm: &Vm<'_>, scratch: &Path) -> Result<Self, Failure> {
        let written = || -> std::io::Result<Self> {
            fs::create_dir_all(scratch)?;
            let directory = tempfile::Builder::new().prefix("firecracker").tempdir_in(scratch)?;
            let files = Self { directory };
            fs::write(files.config(), serde_json::to_vec_pretty(&config::config(vm))?)?;
            // It opens the file of its messages, but does not make it.
            File::create(files.log())?;
            Ok(files)
        };
        written().map_err(|error| Failure::machine(format!("cannot write Firecracker's configuration: {error}")))
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("config.json")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Shows of Firecracker's messages what the user wants to know.
    fn report(&self, result: &Result<u8, Failure>) {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let end = if result.is_ok() { End::Status } else { End::Failure };
        for line in messages(&log, end) {
            eprintln!("firecracker: {line}");
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the guest's status.
    Status,
    /// In another way.
    Failure,
}

/// The messages to show: the boot time; and after a failure the last ones.
fn messages(log: &str, end: End) -> Vec<&str> {
    let lines: Vec<_> = log.lines().collect();
    let first = if end == End::Failure { lines.len().saturating_sub(LAST_MESSAGES) } else { lines.len() };
    let is_shown = |(index, line): &(usize, &str)| *index >= first || line.contains(BOOT_TIME);
    lines.into_iter().enumerate().filter(is_shown).map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests;
