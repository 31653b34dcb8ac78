//! The Linux guest to compare with: a kernel, an initial file system with nginx, and a contract between them and us.
//!
//! The work directory holds
//!
//! ```text
//!   img/vmlinux-cloud      ELF kernel with a PVH entry
//!   img/full-cloud.cpio    initial file system: drivers, nginx that serves the share under /fs/ on port 80
//!   img/vmlinux-generic    another kernel of the kind, for hardware that is not virtual (`net` only)
//!   img/full-generic.cpio  its initial file system, with the driver e1000
//!   img/tiny.cpio          initial file system: an init that prints LB-UP and restarts
//!   bin/tsckhz             prints the rate of the host's time stamp counter in kHz
//! ```
//!
//! Its init is driven by `lb_` words on the command line (mode, address, gateway, driver modules, whether to mount the
//! share with the tag `rootfs`) and prints `LB-UP` first, `LB-READY` when nginx serves, `LB-ERR` and a reason when
//! something is missing. `tests/bench/README.md` says the same to whoever builds one. A benchmark that brings an initial
//! file system of its own needs the kernel and `tsckhz` only.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cpio;
use crate::machine::{Card, Machine, Pace, System};
use crate::network::Link;

/// First line of user space.
pub const FIRST_LINE: &str = "LB-UP";

/// Where nginx serves the share.
pub const SHARE_PATH: &str = "/fs/";

/// Where it mounts the share.
pub const SHARE_MOUNT: &str = "/mnt/fs";

/// What every boot says to the kernel. Without a rate for the time stamp counter it would have to calibrate against a
/// timer that microvm lacks.
const COMMAND_LINE: &str = "console=ttyS0 quiet nokaslr mitigations=off reboot=t panic=-1 tsc=reliable no_timer_check";

/// A prepared work directory.
pub struct Linux {
    directory: PathBuf,
    tsc_khz: u64,
}

impl Linux {
    /// Checks a work directory, which must have its own initial file systems as well.
    ///
    /// # Errors
    ///
    /// Something is missing in it.
    pub fn open(directory: &Path) -> Result<Self> {
        Self::open_with(directory, &["img/full-cloud.cpio", "img/tiny.cpio"])
    }

    /// Checks a work directory of which only the kernel is used.
    ///
    /// # Errors
    ///
    /// Something is missing in it.
    pub fn open_kernel(directory: &Path) -> Result<Self> {
        Self::open_with(directory, &[])
    }

    /// Checks a work directory that must have what serves on each of `cards`, whatever else it has.
    ///
    /// # Errors
    ///
    /// Something is missing in it.
    pub fn open_for_cards(directory: &Path, cards: &[Card]) -> Result<Self> {
        let files: Vec<_> = cards.iter().flat_map(|card| [kernel(*card), initial(*card)]).collect();
        Self::open_with(directory, &files)
    }

    fn open_with(directory: &Path, initial: &[&str]) -> Result<Self> {
        for file in ["img/vmlinux-cloud", "bin/tsckhz"].iter().chain(initial) {
            let path = directory.join(file);
            ensure!(path.exists(), "{} is missing; see tests/bench/README.md", path.display());
        }
        let output = Command::new(directory.join("bin/tsckhz")).output().context("bin/tsckhz")?;
        let tsc_khz = String::from_utf8_lossy(&output.stdout).trim().parse().context("output of bin/tsckhz")?;
        Ok(Self { directory: directory.to_owned(), tsc_khz })
    }

    /// The web server.
    pub fn web_server(&self, machine: Machine, link: &Link) -> System {
        let bus = machine.linux_bus();
        let (address, gateway) = (link.guest(), link.gateway());
        let words = format!("lb_mode=http lb_ip={address} lb_gw={gateway} lb_mods={bus},virtio-net,virtiofs lb_fs=1");
        System { ready_line: Some("LB-READY"), ..self.system("full-cloud.cpio", &words) }
    }

    /// The web server on a card, with files from its initial file system. `overlay` is unpacked over that; `words` are added
    /// to the command line.
    ///
    /// # Errors
    ///
    /// The initial file system that results cannot be written to `directory`.
    pub fn web_server_in_memory(
        &self,
        card: Card,
        link: &Link,
        overlay: &[u8],
        directory: &Path,
        words: &str,
    ) -> Result<System> {
        let driver = match card {
            Card::Virtio => "virtio-pci,virtio-net",
            Card::E1000 => "e1000",
        };
        let path = directory.join(format!("linux-{}.cpio", card.name()));
        self.overlaid(initial(card), overlay, &path)?;
        let words = format!("lb_mode=http lb_ip={} lb_gw={} lb_mods={driver} {words}", link.guest(), link.gateway());
        let system = self.with_initial(path, Pace::Host, words.trim());
        Ok(System { kernel: self.directory.join(kernel(card)), ready_line: Some("LB-READY"), ..system })
    }

    /// A system that prints one line and ends: the floor of its boot time.
    pub fn smallest(&self) -> System {
        self.system("tiny.cpio", "lb_mode=boot")
    }

    /// A system that does what `words` say, prints LB-END and ends.
    pub fn program(&self, words: &str) -> System {
        self.system("full-cloud.cpio", words)
    }

    /// A system with the share at [`SHARE_MOUNT`] that does what `words` say with another `lbench`, prints LB-END and ends.
    ///
    /// # Errors
    ///
    /// The initial file system that results cannot be written to `directory`.
    pub fn program_with_share(
        &self,
        machine: Machine,
        program: &[u8],
        directory: &Path,
        words: &str,
    ) -> Result<System> {
        let path = directory.join("linux-program.cpio");
        self.overlaid(initial(Card::Virtio), &cpio::of_one_program("bin/lbench", program), &path)?;
        let words = format!("lb_mods={},virtiofs lb_fs=1 {words}", machine.linux_bus());
        Ok(self.with_initial(path, Pace::Host, &words))
    }

    /// Writes one of its initial file systems to `path`, and behind it `overlay`, which is unpacked over that: Linux unpacks
    /// archives behind each other one after the other.
    fn overlaid(&self, initial: &str, overlay: &[u8], path: &Path) -> Result<()> {
        let own = self.directory.join(initial);
        let mut archive = std::fs::read(&own).with_context(|| format!("cannot read {}", own.display()))?;
        archive.extend_from_slice(overlay);
        std::fs::write(path, archive).with_context(|| format!("cannot write {}", path.display()))
    }

    /// A system with an initial file system of ours.
    pub fn with_initial(&self, initrd: PathBuf, pace: Pace, words: &str) -> System {
        let tsc_khz = match pace {
            Pace::Host => self.tsc_khz,
            Pace::Instructions => Pace::INSTRUCTIONS_KHZ,
        };
        System {
            kernel: self.directory.join("img/vmlinux-cloud"),
            initrd: Some(initrd),
            append: format!("{COMMAND_LINE} tsc_early_khz={tsc_khz} {words}"),
            machine_properties: "",
            arguments: &[],
            share_tag: "rootfs",
            ready_line: None,
        }
    }

    fn system(&self, initrd: &str, words: &str) -> System {
        self.with_initial(self.directory.join("img").join(initrd), Pace::Host, words)
    }
}

/// The kernel that knows a card; that of clouds has no drivers for what is not virtual.
fn kernel(card: Card) -> &'static str {
    match card {
        Card::Virtio => "img/vmlinux-cloud",
        Card::E1000 => "img/vmlinux-generic",
    }
}

/// Its initial file system.
fn initial(card: Card) -> &'static str {
    match card {
        Card::Virtio => "img/full-cloud.cpio",
        Card::E1000 => "img/full-generic.cpio",
    }
}
