//! The command line: its options, their defaults, and the one-line form of every complaint about them.
//!
//! The names and values of `run`'s options are a promise to users and scripts; they only ever grow. What can be judged
//! from the text alone (a number out of range, an unknown machine) is judged here; what depends on the world (a busy
//! port, a missing directory) is judged in [`crate::run`] before anything starts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ArgPredicate;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::disk::DiskOption;
use crate::exit::Failure;
use crate::network::NetworkOption;

#[cfg(test)]
mod tests;
mod values;

pub use values::{Accel, FirmwareKind, ImageFormat, Machine, Nic, PortForward, VirtioInterface, Vmm};

/// Builds, runs and tests Toro.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", subcommand_required = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, and it lives as long as the tool")]
pub enum Command {
    /// Build an application and run it in a virtual machine
    ///
    /// Installs what is missing first (see `setup`). Streams the guest's console, adds function names and lines to its
    /// backtraces, and exits with the application's own status: 0 when its `main` returns, 101 after a panic, 102
    /// after a fault. The tool's own statuses are 2 (wrong input), 124 (time limit), 125 (QEMU or virtiofsd failed,
    /// or the guest vanished), 126 (set-up or build failed), 130 (Ctrl-C).
    Run(Box<RunArgs>),
    /// Build an application and print its image's path and size
    Build(BuildCommand),
    /// Build an application and make a disk image that boots it on machines with a BIOS or UEFI
    ///
    /// The image has a GUID partition table, GRUB for both kinds of firmware, the kernel, and, with `--data`, a FAT partition with
    /// files that the guest mounts at /. It is made without root, and the same input makes the same image. Prints its path
    /// and its size. docs/images.md explains it.
    Image(ImageArgs),
    /// Run every test: on the host, under Miri, and in QEMU
    ///
    /// Ends with one summary line, `N passed, N failed, N skipped`.
    Test(TestArgs),
    /// Run what continuous integration runs: fmt, clippy, doc, deny, then every test
    Ci,
    /// Measure: web, boot, opt, sched, scale, block, block-host, fs, fs-host, net, net-host, ring, stack or litmus, with the
    /// options of each (`cargo xtask bench web --help`)
    ///
    /// Benchmarks are no tests: they have no verdict, and want a machine that does nothing else.
    Bench(BenchArgs),
    /// Write the tables of requirements and their tests, crates/*/CONFORMANCE.md
    Conformance(ConformanceArgs),
    /// Feed a fuzz target with inputs until one fails or the time is over; without TARGET, list the targets
    ///
    /// Installs what is missing first: nightly Rust, cargo-fuzz and a C++ compiler. Starts from the committed inputs in
    /// tests/fuzz/corpus, which `test` replays without any of these. Exit status 1, the failing input and the command
    /// that replays it where an input fails.
    Fuzz(FuzzArgs),
    /// Install what `run` and `test` need, and nothing else
    ///
    /// That is the Rust target x86_64-unknown-none, QEMU and its storage daemon, virtiofsd, curl, gdb, iproute2, tshark,
    /// dosfstools, mtools, gdisk and fdisk, GRUB, OVMF and qemu-img. Uses apt as root or through sudo; prints the commands to
    /// type where it cannot.
    Setup(SetupArgs),
    /// Carry out the Dockerfile in a root file system of its own, without a container engine; see docs/container.md
    #[command(hide = true)]
    Container(ContainerArgs),
    /// Run PROGRAM so that it receives SIGNAL when the process PARENT ends
    #[command(hide = true)]
    Bound(BoundArgs),
}

/// Options of `bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// What to measure, and its options
    #[arg(value_name = "BENCH", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// Options of `setup`.
#[derive(Args, Debug)]
pub struct SetupArgs {
    /// Install only what this needs
    #[arg(long = "for", value_enum, value_name = "WHAT")]
    pub purpose: Option<Purpose>,
    /// Install this as well
    #[arg(long, value_enum, value_name = "WHAT")]
    pub with: Vec<Extra>,
}

/// What somebody can want to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// `build` and `run`, with a share and without a network of this host
    Run,
    /// `test`, too
    Test,
}

/// Options of the hidden command that carries out the Dockerfile.
#[derive(Args, Debug)]
pub struct ContainerArgs {
    /// The value of an ARG
    #[arg(long = "build-arg", value_name = "NAME=VALUE")]
    pub build_args: Vec<String>,
}

/// What only some tests and benchmarks want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Extra {
    /// The virtiofsd that is written in Rust, built from its source: a second server for the file system
    RustVirtiofsd,
}

/// Options of `conformance`.
#[derive(Args, Debug)]
pub struct ConformanceArgs {
    /// Write nothing: fail where a requirement has no test or a table is stale
    #[arg(long)]
    pub check: bool,
}

/// Options of `fuzz`.
#[derive(Args, Debug)]
pub struct FuzzArgs {
    /// Which target
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// How long
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Instead: reduce the committed inputs and those found on this machine to few that reach as much, and put them
    /// into tests/fuzz/corpus
    #[arg(long, requires = "target", conflicts_with_all = ["seconds", "replay"])]
    pub minimise: bool,
    /// Instead: run this one input
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "seconds")]
    pub replay: Option<PathBuf>,
}

/// Options of `build`.
#[derive(Args, Debug)]
#[command(mut_arg("app", |app| app.required(false).default_value("").hide_default_value(true)))]
pub struct BuildCommand {
    /// What to build.
    #[command(flatten)]
    pub build: BuildArgs,
    /// Build every application in kernel/examples
    #[arg(long, conflicts_with_all = ["app", "without"])]
    pub all: bool,
    /// Print what takes the space: sections, crates and modules, the largest functions
    ///
    /// The tables add up to the stripped size. An instance of a generic function counts for the crate that it is made for.
    #[arg(long)]
    pub bloat: bool,
}

/// What to build, for `build` and `run`.
#[derive(Args, Clone, Debug)]
pub struct BuildArgs {
    /// Name of an application in kernel/examples, or the directory of one with its own Cargo.toml
    #[arg(value_name = "APP")]
    pub app: String,
    /// Build without optimisation, with debug assertions
    #[arg(long)]
    pub dev: bool,
    /// Build for size: an image of less than half the size, whose code is slower
    #[arg(long, conflicts_with = "dev")]
    pub small: bool,
    /// Compile these drivers in and no others: cargo features of the package `toro`, separated by commas
    ///
    /// Without it an application in kernel/examples has the drivers that kernel/Cargo.toml names for it.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub drivers: Option<Vec<String>>,
    /// Leave these out of what kernel/Cargo.toml names for the application: cargo features, separated by commas
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub without: Vec<String>,
}

impl BuildArgs {
    /// The profile of cargo that builds it.
    pub fn profile(&self) -> &'static str {
        match (self.small, self.dev) {
            (true, _) => "small",
            (false, true) => "dev",
            (false, false) => "release",
        }
    }
}

/// Options of `image`.
#[derive(Args, Debug)]
pub struct ImageArgs {
    /// What to build.
    #[command(flatten)]
    pub build: BuildArgs,
    /// What kind of file to make
    #[arg(long, value_enum, default_value_t = ImageFormat::Raw)]
    pub format: ImageFormat,
    /// Where to put it, if not below cargo's target directory; what is there is replaced when the image is complete
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Size of the disk in MiB, if not the smallest that holds everything; gce makes whole GiB of it
    ///
    /// What is left over belongs to the data partition. Empty sectors take no room in files.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=2_097_152))]
    pub size: Option<u32>,
    /// Add a FAT partition with the files of this directory, which the guest mounts at / if it has a driver for the disk
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Add an archive that GRUB puts into the guest's memory, read-only: a tar or cpio file, or a directory that is packed
    ///
    /// It needs no driver, for machines whose disks the guest cannot read. See the same option of `run`.
    #[arg(long, value_name = "FILE|DIR")]
    pub initrd: Option<PathBuf>,
    /// Command line for the guest, `key=value` words; it is in /toro/grub.cfg on the image's second partition
    #[arg(long, value_name = "GUEST COMMAND LINE", allow_hyphen_values = true)]
    pub append: Option<String>,
}

/// Options of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// What to build; nothing where an image has it.
    #[command(flatten)]
    pub build: Option<BuildArgs>,
    /// Boot this disk through the machine's firmware, instead of building an application: an image made by `image`
    ///
    /// After the file the same words as for `--disk`. With `if=ata` it is on the IDE controller of pc or the AHCI controller of
    /// q35; the guest has a driver for the former. The guest's command line is in the image. Unless `--machine` says
    /// otherwise, the machine is q35. An application that serves HTTP wants `--port 8080`.
    #[arg(long, value_name = "IMG[,if=..][,ro][,queues=N]", conflicts_with_all = ["BuildArgs", "append", "initrd"])]
    pub image: Option<DiskOption>,
    /// Firmware that boots the image
    #[arg(long, value_enum, default_value_t = FirmwareKind::Bios)]
    pub firmware: FirmwareKind,
    /// Directory of the host that the guest sees as the virtio-fs share with the tag `share`
    #[arg(long, value_name = "DIR")]
    pub share: Option<PathBuf>,
    /// Image of a disk, for `toro::fs::block` and what is mounted from it; may be given several times
    ///
    /// IMG is a file: `truncate -s 64M disk.img` makes one. After it, separated by commas: `if=virtio` (the default; its
    /// interface is that of `--virtio`), `if=virtio-legacy`, or `if=ata` (--machine pc only); `ro` for a disk that cannot
    /// be written; `queues=N` (virtio; one for each processor on PCI and one on microvm, if not said); `format=raw`,
    /// `qcow2`, `vmdk` or `vpc` where the name of the file does not tell. A comma in the file's name is written twice.
    ///
    /// What the guest has written and flushed is on the host's disk. What it has only written survives every end of
    /// QEMU, but not one of the host.
    ///
    /// Example: --machine pc --disk data.img --disk old.qcow2,ro --disk boot.img,if=ata
    #[arg(long = "disk", value_name = "IMG[,if=..][,ro][,queues=N]")]
    pub disks: Vec<DiskOption>,
    /// Archive that the guest gets in its memory and mounts, read-only: a tar or cpio file, or a directory that is packed
    ///
    /// It is called `initrd`, and mounted at `/`, or at `/initrd` if there is a share or a disk as well; the word
    /// `mount=initrd:/PATH` of --append says another place. A compressed file is refused by the guest.
    #[arg(long, value_name = "FILE|DIR")]
    pub initrd: Option<PathBuf>,
    /// What runs the guest: QEMU, or Firecracker, which needs KVM
    ///
    /// Firecracker has --disk (raw images), --initrd, --net tap,if=NAME, --memory, --cpus, --timeout and --append; the other options
    /// are QEMU's. docs/firecracker.md tells more, and how to do without this tool.
    #[arg(long, value_enum, default_value_t = Vmm::Qemu)]
    pub vmm: Vmm,
    /// The program Firecracker, if it is not in PATH
    #[arg(long, value_name = "PATH")]
    pub firecracker: Option<PathBuf>,
    /// Let Firecracker measure how long the guest takes to come to its `main`, and print it
    #[arg(long)]
    pub boot_timer: bool,
    /// Machine that QEMU emulates
    #[arg(long, value_enum, default_value_t = Machine::Microvm, default_value_if("image", ArgPredicate::IsPresent, "q35"))]
    pub machine: Machine,
    /// Interface of the guest's virtio devices; on microvm, transitional devices do not exist
    #[arg(long, value_enum, default_value_t = VirtioInterface::Modern)]
    pub virtio: VirtioInterface,
    /// Memory of the guest in MiB
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub memory: u32,
    /// Number of virtual processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=255))]
    pub cpus: u16,
    /// Forward a TCP port of 127.0.0.1 to the guest; host port 0 takes a free one
    ///
    /// The default is 8080:80 for an application that says it serves HTTP (`http-port` in its Cargo.toml's
    /// `package.metadata.toro`), and no forwarding for others. The guest's address is printed when it answers.
    #[arg(long, value_name = "HOST[:GUEST]")]
    pub port: Option<PortForward>,
    /// What the guest's network card is plugged into: user, tap or none
    ///
    /// `user` is a network that QEMU plays: addresses by DHCP, a way out to the world, and a way in through `--port`.
    ///
    /// `tap` is an Ethernet interface of this host, with every protocol and every offload. The guest is told its address,
    /// and the host reaches it there. After it, separated by commas: `if=NAME`, an interface that is there and up, or the
    /// name of a new one; `host=ADDRESS/PREFIX`, this host's address (of a new interface: 10.9.N.1/24 for `toroN`);
    /// `guest=ADDRESS`, `ADDRESS/PREFIX` or `dhcp`, if it is not to be the address after the host's; `queues=N` (virtio; one
    /// for each processor on PCI and one on microvm, if not said). Making an interface takes root; it ends with QEMU.
    /// Without root, have one made: sudo ip tuntap add dev tap0 mode tap user $USER && sudo ip addr add 10.9.0.1/24 dev tap0
    /// && sudo ip link set tap0 up
    ///
    /// `none` leaves the card out.
    ///
    /// Example: --net tap,host=192.168.77.1/24,guest=192.168.77.10
    #[arg(long = "net", value_name = "user|tap[,if=..][,host=..][,guest=..][,queues=N]|none", default_value = "user")]
    pub network: NetworkOption,
    /// Kind of network card; e1000 is for pc and q35, and on microvm virtio-legacy makes all virtio devices legacy
    #[arg(long, value_enum, default_value_t = Nic::Virtio)]
    pub nic: Nic,
    /// Number of network cards, each on a network of its own; 1 if not said, 0 for none
    ///
    /// They have addresses in 10.0.2.0/24, 10.0.3.0/24 and so on, and are 52:54:00:12:34:56, :57 and so on. Each has a
    /// forwarding to the same port of the guest, from `HOST`, `HOST`+1 and so on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=i64::from(Machine::MICROVM_DEVICES)))]
    pub nics: Option<u8>,
    /// Record what passes through the card in this file, for tcpdump, tshark and Wireshark; FILE.1 and so on for further cards
    ///
    /// Frames are recorded as the card hands them over: what it leaves to the host is not done yet, so over a tap interface
    /// there are frames of up to 64 KiB, and checksums that are not filled in.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Let the guest wait for a debugger at this TCP port of 127.0.0.1, and print how to attach gdb; 0 takes a free one
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "1234")]
    pub gdb: Option<u16>,
    /// How QEMU executes the guest: auto takes KVM where a probe shows that it works
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub accel: Accel,
    /// Stop the guest after this many seconds, with exit status 124
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Command line for the guest, `key=value` words
    #[arg(long, value_name = "GUEST COMMAND LINE", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// More arguments for QEMU
    #[arg(last = true, value_name = "QEMU-ARGS")]
    pub qemu: Vec<OsString>,
    /// Names of the options that were written, as opposed to taken from their defaults.
    #[arg(skip)]
    pub given: Vec<String>,
}

/// Options of `test`.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// Run only tests whose name contains this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Leave out what takes minutes: Miri and the slower boots
    #[arg(long)]
    pub quick: bool,
    /// Run the tests that take many minutes each, and nothing else: large disks, many power cuts, long random runs
    #[arg(long, conflicts_with_all = ["quick", "seeds"])]
    pub long: bool,
    /// Under how many schedules Miri tries tests with a device on a thread of its own; a minute or two each
    #[arg(long, value_name = "N", default_value_t = crate::test::SEEDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub seeds: u32,
}

/// Arguments of the hidden command that ties a process to its parent; see [`crate::child`].
#[derive(Args, Debug)]
pub struct BoundArgs {
    /// Process whose end ends the program
    pub parent: u32,
    /// Signal that the program then gets
    #[arg(value_enum)]
    pub signal: ParentEnd,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}

/// What a process gets when its parent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ParentEnd {
    /// SIGTERM: it has something to clean up.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Reads the process's arguments. `--help` prints and gives `None`.
///
/// # Errors
///
/// An input failure of one line where the arguments make no sense.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>, Failure> {
    let parsed = Cli::command().try_get_matches_from(arguments).and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        if let (Command::Run(args), Some((_, matches))) = (&mut cli.command, matches.subcommand()) {
            args.given = given(matches);
        }
        Ok(cli)
    });
    match parsed {
        Ok(cli) => Ok(Some(cli)),
        Err(error) if error.use_stderr() => Err(Failure::input(one_line(&error.render().to_string()))),
        Err(help) => {
            print!("{}", help.render());
            Ok(None)
        }
    }
}

/// Names of the options that stand on the command line.
fn given(matches: &ArgMatches) -> Vec<String> {
    let is_written = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    matches.ids().filter(is_written).map(|id| id.as_str().to_owned()).collect()
}

/// Folds clap's report into one line: without its `error:`, usage and hint paragraphs.
fn one_line(report: &str) -> String {
    let report = report.strip_prefix("error: ").unwrap_or(report);
    let mut words = String::new();
    for line in report.lines().map(str::trim) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        if !line.is_empty() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(line);
        }
    }
    if words.is_empty() || report.starts_with("Builds, runs") {
        return "no command given, try `cargo xtask --help`".to_owned();
    }
    words
}
