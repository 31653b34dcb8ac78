//! The virtual machine of one run: everything QEMU is told, apart from which system it boots.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::counters::Counters;
use crate::network::Link;
use crate::share::Virtiofsd;

/// Program that runs the guests.
pub const QEMU: &str = "qemu-system-x86_64";

/// Machine types of QEMU that the guests know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// virtio-mmio, no PCI
    Microvm,
    /// PCI Express
    Q35,
    /// PCI
    Pc,
}

impl Machine {
    /// The name QEMU knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Microvm => "microvm",
            Self::Q35 => "q35",
            Self::Pc => "pc",
        }
    }

    /// Linux' driver of the bus that its virtio devices are on.
    pub fn linux_bus(self) -> &'static str {
        match self {
            Self::Microvm => "virtio-mmio",
            Self::Q35 | Self::Pc => "virtio-pci",
        }
    }

    /// A network card on its bus: without a boot ROM that the firmware would run, and modern, if it is virtio's.
    fn network_card(self, card: Card) -> &'static str {
        match (card, self) {
            (Card::Virtio, Self::Microvm) => "virtio-net-device",
            (Card::Virtio, Self::Q35 | Self::Pc) => "virtio-net-pci,disable-legacy=on,romfile=",
            (Card::E1000, _) => "e1000,romfile=",
        }
    }

    /// A virtio disk on its bus: modern.
    pub fn virtio_disk(self) -> &'static str {
        match self {
            Self::Microvm => "virtio-blk-device",
            Self::Q35 | Self::Pc => "virtio-blk-pci,disable-legacy=on",
        }
    }

    /// The shared directory on its bus.
    fn share(self) -> &'static str {
        match self {
            Self::Microvm => "vhost-user-fs-device",
            Self::Q35 | Self::Pc => "vhost-user-fs-pci",
        }
    }
}

/// Network cards that the guests have drivers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Card {
    /// virtio-net
    Virtio,
    /// Intel 82540EM; needs PCI
    E1000,
}

impl Card {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net",
            Self::E1000 => "e1000",
        }
    }

    /// What the names that QEMU gives to its registers contain, on PCI.
    pub fn registers(self) -> &'static str {
        match self {
            // "virtio-pci-notify-virtio-net" and others of this kind.
            Self::Virtio => "virtio-net",
            Self::E1000 => "e1000",
        }
    }
}

/// How QEMU executes the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// Emulation; works everywhere
    Tcg,
    /// Hardware virtualisation
    Kvm,
}

/// What the guest's clock follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The host's clock; each vCPU is a thread of the host.
    Host,
    /// Executed instructions, a nanosecond each, with idle time skipped; the vCPUs take turns in one thread. The same
    /// guest then does the same every time. Needs [`Accel::Tcg`].
    Instructions,
}

impl Pace {
    /// Rate of the time stamp counter at [`Pace::Instructions`] in kHz.
    pub const INSTRUCTIONS_KHZ: u64 = 1_000_000;
}

/// A system to boot: an image and how it wants to be told about its machine.
#[derive(Clone, Debug)]
pub struct System {
    /// What QEMU loads.
    pub kernel: PathBuf,
    /// Initial file system, for a system that has one.
    pub initrd: Option<PathBuf>,
    /// Command line.
    pub append: String,
    /// Properties of the machine that this system needs, in QEMU's syntax with a leading comma.
    pub machine_properties: &'static str,
    /// Further arguments.
    pub arguments: &'static [&'static str],
    /// Tag by which it mounts the shared directory.
    pub share_tag: &'static str,
    /// Text that its console shows when it is about to answer requests, if it says so.
    pub ready_line: Option<&'static str>,
}

/// The processor with everything that the accelerator has.
pub const ANY_CPU: &str = "max";

/// A disk, in QEMU's syntax.
#[derive(Clone, Debug)]
pub struct Disk {
    /// What is behind the device: a block node, without its name.
    pub node: String,
    /// The device, without the name of its node.
    pub device: &'static str,
}

/// What surrounds the system.
pub struct Setup<'a> {
    /// Machine type.
    pub machine: Machine,
    /// Accelerator.
    pub accel: Accel,
    /// Processor model, and its features, in QEMU's syntax.
    pub cpu: &'a str,
    /// Virtual processors.
    pub vcpus: u32,
    /// What time is.
    pub pace: Pace,
    /// Memory in MiB.
    pub memory: u32,
    /// Network cards and their other ends.
    pub links: &'a [&'a Link],
    /// What kind of cards they are.
    pub card: Card,
    /// Shared directory.
    pub share: Option<&'a Virtiofsd>,
    /// A disk.
    pub disk: Option<&'a Disk>,
    /// Counters of executed instructions; needs [`Accel::Tcg`].
    pub counters: Option<&'a Counters>,
}

impl Setup<'_> {
    /// The arguments for QEMU.
    pub fn arguments(&self, system: &System) -> Vec<OsString> {
        let mut line = Line(Vec::new());
        let mut machine = format!("{}{}", self.machine.name(), system.machine_properties);
        line.add("-accel", if self.accel == Accel::Kvm { "kvm" } else { "tcg" });
        if self.share.is_some() {
            // vhost-user devices read guest memory themselves, so it must be shareable.
            line.add("-object", format!("memory-backend-memfd,id=ram,size={}M,share=on", self.memory));
            machine.push_str(",memory-backend=ram");
        }
        line.add("-machine", machine);
        line.add("-cpu", self.cpu);
        line.add("-m", self.memory.to_string());
        line.add("-smp", self.processors());
        if self.pace == Pace::Instructions {
            line.add("-icount", "shift=0,sleep=off");
        }
        for word in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            line.0.push(word.into());
        }
        line.add("-display", "none");
        line.add("-serial", "stdio");
        if self.machine == Machine::Microvm {
            // The default is the legacy register layout, which vhost-user devices refuse.
            line.add("-global", "virtio-mmio.force-legacy=false");
        }
        for (number, link) in self.links.iter().enumerate() {
            line.add("-netdev", link.netdev(number));
            line.add("-device", format!("{},netdev=net{number}", self.machine.network_card(self.card)));
        }
        if let Some(share) = self.share {
            let mut socket = OsString::from("socket,id=fs0,path=");
            socket.push(share.socket());
            line.add("-chardev", socket);
            line.add(
                "-device",
                format!("{},chardev=fs0,tag={},queue-size=1024", self.machine.share(), system.share_tag),
            );
        }
        if let Some(disk) = self.disk {
            line.add("-blockdev", format!("{},node-name=disk0", disk.node));
            line.add("-device", format!("{},drive=disk0", disk.device));
        }
        if let Some(counters) = self.counters {
            line.add("-plugin", counters.qemu_argument());
        }
        line.path("-kernel", &system.kernel);
        if let Some(initrd) = &system.initrd {
            line.path("-initrd", initrd);
        }
        if !system.append.is_empty() {
            line.add("-append", &system.append);
        }
        line.0.extend(system.arguments.iter().map(OsString::from));
        line.0
    }
}

impl Setup<'_> {
    /// How many processors there are. With a disk, an emulated machine could have one more than it needs: for one that never
    /// can, QEMU leaves barriers out that its own threads, which play the disk, do not do without, and a notification may be
    /// lost.
    fn processors(&self) -> String {
        match self.disk {
            Some(_) if self.accel == Accel::Tcg && self.vcpus == 1 => "1,maxcpus=2".to_owned(),
            _ => self.vcpus.to_string(),
        }
    }
}

/// A command line in the making.
struct Line(Vec<OsString>);

impl Line {
    fn add(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.push(option.into());
        self.0.push(value.into());
    }

    fn path(&mut self, option: &str, value: &Path) {
        self.add(option, value.as_os_str());
    }
}
