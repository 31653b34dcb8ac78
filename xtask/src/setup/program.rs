//! The programs that the tool starts: whether each is here, and in which packages it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{User, quietly};
use crate::disk_image::grub;
use crate::firmware;
use crate::qemu;
use crate::virtiofsd::{Flavour, Virtiofsd};

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
    /// GRUB for BIOS and UEFI, and grub-mkimage, which makes programs of it
    Grub,
    /// qemu-img, which converts disk images
    QemuImg,
    /// OVMF, firmware for machines with UEFI
    Ovmf,
    /// cpio, which makes archives
    Cpio,
    /// debootstrap, which makes root file systems
    Debootstrap,
}

impl Program {
    /// Whether it is here and usable.
    pub(super) fn is_present(self) -> bool {
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
            Self::Grub => grub::is_present(),
            Self::QemuImg => is_installed("qemu-img"),
            Self::Ovmf => firmware::is_present(),
            Self::Cpio => is_installed("cpio"),
            Self::Debootstrap => is_installed("debootstrap"),
        }
    }

    /// The name that people use.
    pub(super) fn name(self) -> &'static str {
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
            Self::Grub => "GRUB for BIOS and UEFI",
            Self::QemuImg => "qemu-img",
            Self::Ovmf => "OVMF",
            Self::Cpio => "cpio",
            Self::Debootstrap => "debootstrap",
        }
    }

    /// Debian's packages for it. `has_package` tells whether the distribution has a package of some name.
    pub(super) fn packages(self, has_package: impl Fn(&str) -> bool) -> Vec<&'static str> {
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
            Self::Grub => vec!["grub-common", "grub-pc-bin", "grub-efi-amd64-bin"],
            Self::QemuImg => vec!["qemu-utils"],
            Self::Ovmf => vec!["ovmf"],
            Self::Cpio => vec!["cpio"],
            Self::Debootstrap => vec!["debootstrap"],
        }
    }

    /// Its packages on other systems: those of dnf, pacman, zypper and apk.
    pub(super) fn packages_elsewhere(self) -> [&'static str; 4] {
        match self {
            Self::Qemu => ["qemu-system-x86-core", "qemu-system-x86", "qemu-x86", "qemu-system-x86_64"],
            Self::Iproute => ["iproute", "iproute2", "iproute2", "iproute2"],
            Self::Tshark => ["wireshark-cli", "wireshark-cli", "wireshark", "tshark"],
            Self::StorageDaemon => ["qemu-img", "qemu-img", "qemu-tools", "qemu-storage-daemon"],
            Self::CppCompiler => ["gcc-c++", "gcc", "gcc-c++", "g++"],
            Self::Gdisk => ["gdisk", "gptfdisk", "gptfdisk", "sgdisk"],
            Self::Testpmd => ["dpdk"; 4],
            Self::Fdisk => ["util-linux", "util-linux", "util-linux", "sfdisk fdisk"],
            Self::VirtiofsdLibraries => [
                "libseccomp-devel libcap-ng-devel pkgconf",
                "libseccomp libcap-ng pkgconf",
                "libseccomp-devel libcap-ng-devel pkgconf",
                "libseccomp-dev libcap-ng-dev pkgconf",
            ],
            Self::Grub => [
                "grub2-tools-minimal grub2-pc-modules grub2-efi-x64-modules",
                "grub",
                "grub2 grub2-i386-pc grub2-x86_64-efi",
                "grub grub-bios grub-efi",
            ],
            Self::QemuImg => ["qemu-img", "qemu-img", "qemu-tools", "qemu-img"],
            Self::Ovmf => ["edk2-ovmf", "edk2-ovmf", "qemu-ovmf-x86_64", "ovmf"],
            // These have the same name everywhere.
            Self::Virtiofsd
            | Self::Curl
            | Self::Iperf3
            | Self::Gdb
            | Self::Dosfstools
            | Self::Mtools
            | Self::Attr
            | Self::Cpio
            | Self::Debootstrap => [self.name(); 4],
        }
    }
}

/// Whether a program is here that may be one for the administrator, in a directory that is not in everybody's path.
fn is_installed(program: &str) -> bool {
    find_program(program).is_some()
}

/// The file of a program, also of one for the administrator, in a directory that is not in everybody's path.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let for_administrators = || ["/usr/sbin", "/sbin"].iter().map(|directory| Path::new(directory).join(program));
    qemu::in_path(program).or_else(|| for_administrators().find(|file| file.is_file()))
}

/// Whether an ordinary user can start `found` only with the help of newuidmap.
fn wants_uidmap(found: &Virtiofsd) -> bool {
    found.flavour == Flavour::C && User::current() == User::Ordinary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtiofsd_is_a_package_of_its_own_where_the_distribution_has_one() {
        assert_eq!(Program::Virtiofsd.packages(|name| name == "virtiofsd"), ["virtiofsd"]);
        assert_eq!(Program::Virtiofsd.packages(|_| false)[0], "qemu-system-common");
    }
}
