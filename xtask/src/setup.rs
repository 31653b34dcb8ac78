//! Installing what is missing, or saying exactly what to type.
//!
//! ```text
//!   Needs --look--> what is missing --apt or rustup--> look again --> ready, or a failure with the commands
//! ```
//!
//! Looking comes first and is quick, so every command does it every time. What is installed comes from the toolchain's
//! and the distribution's own channels: the bare-metal target through `rustup`, programs through `apt-get` as root, through
//! `sudo` without a password, or through `sudo` with one where somebody sits at a terminal. Anywhere else, the tool
//! prints the commands and stops.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exit::Failure;
use crate::image::TARGET;
use crate::qemu;
pub use crate::virtiofsd::User;
use crate::virtiofsd::{Flavour, Virtiofsd};

/// What a command needs besides cargo.
#[derive(Clone, Debug)]
pub struct Needs {
    /// The bare-metal target, for the toolchain that is active in this directory.
    pub target_for: Option<PathBuf>,
    /// Programs.
    pub programs: Vec<Program>,
}

/// A program that distributions package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// qemu-system-x86_64
    Qemu,
    /// virtiofsd, and what an ordinary user needs to start the one in C
    Virtiofsd,
    /// curl, a client for the web server's tests
    Curl,
    /// iperf3, which measures a guest's network
    Iperf3,
    /// gdb, to look into a guest
    Gdb,
    /// ip, which makes network devices
    Iproute,
    /// tshark, which looks into recorded frames
    Tshark,
    /// qemu-storage-daemon, a disk for drivers in an ordinary process
    StorageDaemon,
    /// mkfs.fat and fsck.fat, which make and check FAT file systems
    Dosfstools,
    /// mcopy and its like, which read and write them
    Mtools,
    /// c++, which compiles libFuzzer
    CppCompiler,
    /// sgdisk, which makes GUID partition tables
    Gdisk,
    /// dpdk-testpmd, a network device for drivers in an ordinary process
    Testpmd,
    /// fdisk and sfdisk, which make partition tables of both kinds
    Fdisk,
    /// What the virtiofsd in Rust is built with
    VirtiofsdLibraries,
    /// getfattr, which shows extended attributes
    Attr,
    /// cpio, which makes archives
    Cpio,
    /// debootstrap, which makes root file systems
    Debootstrap,
}

impl Program {
    /// Whether it is here and usable.
    fn is_present(self) -> bool {
        match self {
            Self::Qemu => qemu::in_path(qemu::PROGRAM).is_some(),
            Self::Virtiofsd => match Virtiofsd::find() {
                Some(found) => !wants_uidmap(&found) || qemu::in_path("newuidmap").is_some(),
                None => false,
            },
            Self::Curl => qemu::in_path("curl").is_some(),
            Self::Iperf3 => qemu::in_path("iperf3").is_some(),
            Self::Gdb => qemu::in_path("gdb").is_some(),
            Self::Iproute => qemu::in_path("ip").is_some(),
            Self::Tshark => qemu::in_path("tshark").is_some(),
            Self::StorageDaemon => qemu::in_path("qemu-storage-daemon").is_some(),
            Self::CppCompiler => qemu::in_path("c++").is_some(),
            Self::Dosfstools => is_installed("mkfs.fat") && is_installed("fsck.fat"),
            Self::Mtools => is_installed("mcopy"),
            Self::Gdisk => is_installed("sgdisk"),
            Self::Testpmd => is_installed("dpdk-testpmd"),
            Self::Fdisk => is_installed("fdisk") && is_installed("sfdisk"),
            Self::VirtiofsdLibraries => {
                quietly(Command::new("pkg-config").args(["--exists", "libseccomp", "libcap-ng"]))
            }
            Self::Attr => is_installed("getfattr"),
            Self::Cpio => is_installed("cpio"),
            Self::Debootstrap => is_installed("debootstrap"),
        }
    }

    /// The name that people use.
    fn name(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::Virtiofsd => "virtiofsd",
            Self::Curl => "curl",
            Self::Iperf3 => "iperf3",
            Self::Gdb => "gdb",
            Self::Iproute => "iproute2",
            Self::Tshark => "tshark",
            Self::StorageDaemon => "qemu-storage-daemon",
            Self::Dosfstools => "dosfstools",
            Self::Mtools => "mtools",
            Self::CppCompiler => "a C++ compiler",
            Self::Gdisk => "gdisk",
            Self::Testpmd => "dpdk-testpmd",
            Self::Fdisk => "fdisk",
            Self::VirtiofsdLibraries => "libseccomp and libcap-ng",
            Self::Attr => "attr",
            Self::Cpio => "cpio",
            Self::Debootstrap => "debootstrap",
        }
    }

    /// Debian's packages for it. `has_package` tells whether the distribution has a package of some name.
    fn packages(self, has_package: impl Fn(&str) -> bool) -> Vec<&'static str> {
        match self {
            Self::Qemu => vec!["qemu-system-x86"],
            // A package of its own since Debian 13; part of qemu-system-common before. That one runs for ordinary
            // users in a user namespace, which uidmap sets up.
            Self::Virtiofsd if has_package("virtiofsd") => vec!["virtiofsd"],
            Self::Virtiofsd => match User::current() {
                User::Root => vec!["qemu-system-common"],
                User::Ordinary => vec!["qemu-system-common", "uidmap"],
            },
            Self::Curl => vec!["curl"],
            Self::Iperf3 => vec!["iperf3"],
            Self::Gdb => vec!["gdb"],
            Self::Iproute => vec!["iproute2"],
            Self::Tshark => vec!["tshark"],
            Self::StorageDaemon => vec!["qemu-system-common"],
            Self::Dosfstools => vec!["dosfstools"],
            Self::Mtools => vec!["mtools"],
            Self::CppCompiler => vec!["g++"],
            Self::Gdisk => vec!["gdisk"],
            // The program, and the two drivers and the memory pool that it is asked for, which it loads by itself.
            Self::Testpmd => vec!["dpdk-dev", "librte-net-vhost23", "librte-net-virtio23", "librte-mempool-ring23"],
            Self::Fdisk => vec!["fdisk"],
            Self::VirtiofsdLibraries => vec!["libseccomp-dev", "libcap-ng-dev", "pkg-config"],
            Self::Attr => vec!["attr"],
            Self::Cpio => vec!["cpio"],
            Self::Debootstrap => vec!["debootstrap"],
        }
    }
}

/// Whether a program is here that may be one for the administrator, in a directory that is not in everybody's path.
fn is_installed(program: &str) -> bool {
    qemu::in_path(program).is_some()
        || ["/usr/sbin", "/sbin"].iter().any(|directory| Path::new(directory).join(program).is_file())
}

/// Whether an ordinary user can start `found` only with the help of newuidmap.
fn wants_uidmap(found: &Virtiofsd) -> bool {
    found.flavour == Flavour::C && User::current() == User::Ordinary
}

/// Makes sure that everything in `needs` is here, installing what is missing.
///
/// # Errors
///
/// A preparation failure after printing the commands to type, where something is missing and cannot be installed. An
/// input failure where QEMU is there and too old.
pub fn ensure(needs: &Needs) -> Result<(), Failure> {
    if let Some(directory) = &needs.target_for {
        ensure_target(directory)?;
    }
    let missing: Vec<_> = needs.programs.iter().copied().filter(|program| !program.is_present()).collect();
    if !missing.is_empty() {
        install(&missing)?;
        if let Some(program) = missing.into_iter().find(|program| !program.is_present()) {
            return Err(Failure::preparation(format!("{} is still missing after its installation", program.name())));
        }
    }
    if needs.programs.contains(&Program::Qemu) {
        qemu::check_version()?;
    }
    Ok(())
}

/// Makes sure that the toolchain that is active in `directory` has the bare-metal target.
fn ensure_target(directory: &Path) -> Result<(), Failure> {
    if has_target(directory)? {
        return Ok(());
    }
    let arguments = ["target", "add", TARGET];
    eprintln!("xtask: the Rust target {TARGET} is missing: rustup {}", arguments.join(" "));
    let done = toolchain_command("rustup", directory).args(arguments).stdin(Stdio::null()).status();
    if !done.is_ok_and(|status| status.success()) || !has_target(directory)? {
        return Err(Failure::preparation(format!(
            "the Rust target {TARGET} is missing, type: rustup target add {TARGET}"
        )));
    }
    Ok(())
}

/// Makes sure that a nightly toolchain is here, with `components` if it has to be installed. `purpose` is what needs it.
///
/// # Errors
///
/// A preparation failure with the command to type, where it cannot be installed.
pub fn ensure_nightly(purpose: &str, components: &str) -> Result<(), Failure> {
    let rustup = |arguments: &[&str]| {
        let mut command = Command::new("rustup");
        command.args(arguments).env_remove("RUSTUP_TOOLCHAIN").current_dir(crate::image::workspace());
        command
    };
    if quietly(&mut rustup(&["run", "nightly", "rustc", "--version"])) {
        return Ok(());
    }
    let mut arguments = vec!["toolchain", "install", "nightly", "--profile", "minimal"];
    if !components.is_empty() {
        arguments.extend(["--component", components]);
    }
    let shown = format!("rustup {}", arguments.join(" "));
    eprintln!("xtask: no nightly toolchain for {purpose}: {shown}");
    let done = rustup(&arguments).stdin(Stdio::null()).stdout(std::io::stderr()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::preparation(format!("there is no nightly toolchain for {purpose}, type: {shown}"))),
    }
}

/// Whether `command` succeeds; its output is nobody's business.
pub fn quietly(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Looks for the target's libraries, which works with any way of installing Rust.
fn has_target(directory: &Path) -> Result<bool, Failure> {
    let output = toolchain_command("rustc", directory)
        .args(["--print", "sysroot"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::preparation(format!("cannot run rustc: {error}")))?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

/// A command whose toolchain is the one that `directory` chooses, unless it is this workspace, where the one that runs
/// this tool stays in charge.
fn toolchain_command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory);
    if directory != crate::image::workspace() {
        command.env_remove("RUSTUP_TOOLCHAIN");
    }
    command
}

/// How this process can use the package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Privilege {
    Root,
    Sudo,
    None,
}

impl Privilege {
    fn find() -> Self {
        if User::current() == User::Root {
            return Self::Root;
        }
        if qemu::in_path("sudo").is_none() {
            return Self::None;
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let without_password = sudo.status().is_ok_and(|status| status.success());
        if without_password || std::io::stdin().is_terminal() { Self::Sudo } else { Self::None }
    }

    fn prefix(self) -> &'static [&'static str] {
        match self {
            Self::Root => &[],
            Self::Sudo | Self::None => &["sudo"],
        }
    }
}

/// Installs `missing` with apt, or prints how to.
fn install(missing: &[Program]) -> Result<(), Failure> {
    let names = missing.iter().map(|program| program.name()).collect::<Vec<_>>().join(", ");
    if qemu::in_path("apt-get").is_none() {
        eprintln!("xtask: {names} missing, and there is no apt-get here; type the one for this system:");
        for command in other_systems(missing) {
            eprintln!("    {command}");
        }
        return Err(Failure::preparation(format!("{names} missing")));
    }
    let privilege = Privilege::find();
    let mut packages = packages(missing);
    let mut refreshed = false;
    if privilege != Privilege::None && !packages.iter().all(|package| has_candidate(package)) {
        // A fresh system has no package lists, and cannot tell yet which packages exist.
        apt(privilege, &["update"])?;
        refreshed = true;
        packages = self::packages(missing);
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&packages);
    if privilege == Privilege::None {
        let prefix = privilege.prefix().join(" ");
        eprintln!("xtask: {names} missing, and apt-get needs root; type:");
        eprintln!("    {prefix} apt-get update");
        eprintln!("    {prefix} apt-get {}", arguments.join(" "));
        return Err(Failure::preparation(format!("{names} missing")));
    }
    eprintln!("xtask: {names} missing, installing {}", packages.join(", "));
    match apt(privilege, &arguments) {
        Err(_) if !refreshed => {
            // Old lists name files that the mirrors no longer have.
            apt(privilege, &["update"])?;
            apt(privilege, &arguments)
        }
        done => done,
    }
}

/// Debian's packages for `programs`, each once.
fn packages(programs: &[Program]) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs.iter().flat_map(|program| program.packages(has_candidate)).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Whether apt knows a version of `package` to install.
fn has_candidate(package: &str) -> bool {
    let output = Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").stdin(Stdio::null()).output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().any(|line| line.trim().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)"))
    })
}

/// Runs `apt-get`, saying so.
fn apt(privilege: Privilege, arguments: &[&str]) -> Result<(), Failure> {
    let mut words = privilege.prefix().to_vec();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]);
    words.extend(arguments);
    let shown = words.join(" ");
    eprintln!("xtask: {shown}");
    let (program, rest) = words.split_first().expect("the words of the command were just put in");
    let status = Command::new(program).args(rest).stdin(Stdio::null()).stdout(std::io::stderr()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::preparation(format!("this failed: {shown}"))),
    }
}

/// What to type on systems without apt.
fn other_systems(missing: &[Program]) -> Vec<String> {
    // The others have the same name everywhere.
    let list = |names: [&str; 9]| {
        let [qemu, virtiofsd, ip, tshark, storage, cpp, gdisk, fdisk, libraries] = names;
        let words: Vec<_> = missing
            .iter()
            .map(|program| match program {
                Program::Qemu => qemu,
                Program::Virtiofsd => virtiofsd,
                Program::Curl => "curl",
                Program::Iperf3 => "iperf3",
                Program::Gdb => "gdb",
                Program::Dosfstools => "dosfstools",
                Program::Mtools => "mtools",
                Program::Iproute => ip,
                Program::Tshark => tshark,
                Program::StorageDaemon => storage,
                Program::CppCompiler => cpp,
                Program::Gdisk => gdisk,
                Program::Testpmd => "dpdk",
                Program::Fdisk => fdisk,
                Program::VirtiofsdLibraries => libraries,
                Program::Attr => "attr",
                Program::Cpio => "cpio",
                Program::Debootstrap => "debootstrap",
            })
            .collect();
        words.join(" ")
    };
    vec![
        format!(
            "sudo dnf install {}",
            list([
                "qemu-system-x86-core",
                "virtiofsd",
                "iproute",
                "wireshark-cli",
                "qemu-img",
                "gcc-c++",
                "gdisk",
                "util-linux",
                "libseccomp-devel libcap-ng-devel pkgconf"
            ])
        ),
        format!(
            "sudo pacman -S {}",
            list([
                "qemu-system-x86",
                "virtiofsd",
                "iproute2",
                "wireshark-cli",
                "qemu-img",
                "gcc",
                "gptfdisk",
                "util-linux",
                "libseccomp libcap-ng pkgconf"
            ])
        ),
        format!(
            "sudo zypper install {}",
            list([
                "qemu-x86",
                "virtiofsd",
                "iproute2",
                "wireshark",
                "qemu-tools",
                "gcc-c++",
                "gptfdisk",
                "util-linux",
                "libseccomp-devel libcap-ng-devel pkgconf"
            ])
        ),
        format!(
            "sudo apk add {}",
            list([
                "qemu-system-x86_64",
                "virtiofsd",
                "iproute2",
                "tshark",
                "qemu-storage-daemon",
                "g++",
                "sgdisk",
                "sfdisk fdisk",
                "libseccomp-dev libcap-ng-dev pkgconf"
            ])
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtiofsd_is_a_package_of_its_own_where_the_distribution_has_one() {
        assert_eq!(Program::Virtiofsd.packages(|name| name == "virtiofsd"), ["virtiofsd"]);
        assert_eq!(Program::Virtiofsd.packages(|_| false)[0], "qemu-system-common");
    }

    #[test]
    fn other_systems_are_told_only_what_is_missing() {
        let commands = other_systems(&[Program::Virtiofsd]);
        assert!(commands.contains(&"sudo pacman -S virtiofsd".to_owned()));
        assert!(commands.iter().all(|command| !command.contains("qemu") && !command.contains("curl")));
    }

    #[test]
    fn host_target_of_this_test_has_its_libraries() {
        // The build of this test proves that rustc is here; whether the bare-metal target is, is another question.
        assert!(has_target(&crate::image::workspace()).is_ok());
    }
}
