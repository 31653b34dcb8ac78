//! A tap interface: an Ethernet interface of the host whose cable ends in QEMU.
//!
//! ```text
//!   guest --- virtio-net or e1000 --- QEMU --- /dev/net/tun === toro0, 10.9.0.1/24 --- the host's own stack
//!   ip=10.9.0.2/24,gw=10.9.0.1
//! ```
//!
//! # Whose interface
//!
//! One that is there is used as it is: `if=NAME`, made before by somebody who may (`ip tuntap add dev NAME mode tap user
//! USER`), and nothing about it is changed. Where there is none of that name, or no name was given, QEMU makes one, which
//! takes the capability CAP_NET_ADMIN, and a script of ours gives it its address and brings it up before the guest starts.
//! QEMU's own interface ends with QEMU, however QEMU ends, so there is nothing to tidy up.
//!
//! Two runs at a time must not choose the same name and network. Who holds the abstract socket `toro-tap-N` has number N: the
//! interface `toroN` and the network 10.9.N.0/24. The socket belongs to the network namespace, as the interface does, and
//! ends with this process.
//!
//! # Queues and offloads
//!
//! Frames pass with a virtio header (`vnet_hdr`, which QEMU asks for by itself), so the card offers all that the host's stack
//! can do: checksums, segmentation, merged receive. An interface of several queues must have been made so, and takes a card
//! with several; our own is made for as many as are wanted.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Wish;
use crate::cli::{Machine, Nic};
use crate::exit::Failure;

mod existing;
mod words;

pub use existing::exists;
use existing::{Existing, Owner, Queues, State, addresses, ip};
use words::MOST_QUEUES;
pub use words::{GuestAddress, Subnet, TapOption};

/// The device through which interfaces are made and used.
const TUN: &str = "/dev/net/tun";
/// How many interfaces we number.
const NUMBERS: u8 = 100;
/// The bit of the capability to make interfaces.
const CAP_NET_ADMIN: u32 = 12;

/// The address that the guest is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its own.
    pub address: Ipv4Addr,
    /// How many bits name the network.
    pub prefix: u8,
    /// The host's.
    pub gateway: Option<Ipv4Addr>,
}

/// What was decided.
#[derive(Debug)]
pub struct Link {
    /// The interface.
    pub interface: String,
    /// What QEMU runs when it has made it.
    pub script: Option<PathBuf>,
    /// Number of queue pairs.
    pub queues: u16,
    /// The guest's address, unless a DHCP server knows it.
    pub guest: Option<Guest>,
}

/// A tap interface that is to be used.
#[derive(Debug)]
pub struct Tap {
    option: TapOption,
    existing: bool,
    /// Holds the number of our own interface.
    _number: Option<UnixListener>,
    /// Where the script is.
    _scratch: Option<TempDir>,
}

impl Tap {
    /// Checks whether the interface can be used, or made, by this process.
    ///
    /// # Errors
    ///
    /// An input failure that says what to do.
    pub fn check(option: &TapOption) -> Result<Self, Failure> {
        File::options().read(true).write(true).open(TUN).map_err(|error| {
            Failure::input(format!("cannot use {TUN}, which tap interfaces need: {error}; see `modprobe tun` and its permissions, or use --net user"))
        })?;
        let existing = option.interface.as_deref().is_some_and(exists);
        if !existing && !may_make_interfaces() {
            let name = option.interface.as_deref().unwrap_or("toro0");
            let host = option.host.unwrap_or(numbered(0));
            return Err(Failure::input(format!(
                "making an interface takes root (CAP_NET_ADMIN); type: sudo ip tuntap add dev {name} mode tap user $USER && \
                 sudo ip addr add {}/{} dev {name} && sudo ip link set {name} up, and use --net tap,if={name}",
                host.address, host.prefix
            )));
        }
        Ok(Self { option: option.clone(), existing, _number: None, _scratch: None })
    }

    /// Decides how the interface is called and who has which address.
    pub(super) fn choose(&mut self, wish: &Wish<'_>, scratch: &Path) -> Result<Link, Failure> {
        let several = match (wish.nic, wish.machine, wish.recording) {
            // A card over MMIO has one interrupt for all queues, and QEMU records cards of one queue only.
            (Nic::E1000, ..) | (_, Machine::Microvm, _) | (.., Some(_)) => 1,
            _ => wish.cpus.min(MOST_QUEUES),
        };
        match self.option.interface.clone() {
            Some(name) if self.existing => self.use_existing(name, wish, several),
            name => self.make(name, several, scratch),
        }
    }

    fn use_existing(&self, name: String, wish: &Wish<'_>, several: u16) -> Result<Link, Failure> {
        let description = ip(&["-json", "-details", "address", "show", "dev", &name])?;
        let found = Existing::read(&description)
            .ok_or_else(|| Failure::input(format!("{name} is not a tap interface: leave out if= to have one made")))?;
        if found.state == State::Down {
            return Err(Failure::input(format!("{name} is down; type: sudo ip link set {name} up")));
        }
        if found.owner == Owner::Nobody && !may_make_interfaces() {
            return Err(Failure::input(format!(
                "{name} belongs to root; type: sudo ip tuntap del dev {name} mode tap && sudo ip tuntap add dev {name} mode tap user $USER"
            )));
        }
        let queues = match (found.queues, self.option.queues) {
            (Queues::One, None | Some(1)) => 1,
            (Queues::One, Some(_)) => {
                return Err(Failure::input(format!(
                    "{name} has one queue: leave out queues=, or make it with `mode tap multi_queue`"
                )));
            }
            (Queues::Several, asked) if asked != Some(1) && wish.nic.is_virtio() && wish.recording.is_none() => {
                asked.unwrap_or(several.max(2))
            }
            (Queues::Several, _) => {
                return Err(Failure::input(format!(
                    "{name} has several queues, which fits a virtio card with queues=2 or more and without --pcap: \
                     make it without `multi_queue`"
                )));
            }
        };
        let guest = guest(self.option.host.or(found.address), self.option.guest);
        Ok(Link { interface: name, script: None, queues, guest })
    }

    fn make(&mut self, name: Option<String>, several: u16, scratch: &Path) -> Result<Link, Failure> {
        let taken = addresses(&ip(&["-json", "-4", "address", "show"])?);
        let is_free = |number: &u8| {
            let network = self.option.host.unwrap_or(numbered(*number));
            let is_in_use = self.option.host.is_none() && taken.iter().any(|&other| network.overlaps(other));
            !is_in_use && (name.is_some() || !exists(&format!("toro{number}")))
        };
        let found = (0..NUMBERS).filter(is_free).find_map(|number| Some((number, hold(number)?)));
        let (number, socket) = found.ok_or_else(|| Failure::input("too many tap interfaces are in use"))?;
        self._number = Some(socket);
        let host = self.option.host.unwrap_or(numbered(number));
        let interface = name.unwrap_or_else(|| format!("toro{number}"));
        let trouble = |error: std::io::Error| Failure::machine(format!("cannot write a script for QEMU: {error}"));
        let (directory, script) = write_script(host, scratch).map_err(trouble)?;
        self._scratch = Some(directory);
        let queues = self.option.queues.unwrap_or(several);
        Ok(Link { interface, script: Some(script), queues, guest: guest(Some(host), self.option.guest) })
    }
}

/// The network with this number, and the host's address in it.
fn numbered(number: u8) -> Subnet {
    Subnet { address: Ipv4Addr::new(10, 9, number, 1), prefix: 24 }
}

/// What the guest is told.
fn guest(host: Option<Subnet>, wanted: GuestAddress) -> Option<Guest> {
    match (wanted, host) {
        (GuestAddress::Dhcp, _) | (GuestAddress::Next, None) => None,
        (GuestAddress::Next, Some(host)) => {
            Some(Guest { address: host.neighbour(), prefix: host.prefix, gateway: Some(host.address) })
        }
        (GuestAddress::Given(address, prefix), host) => {
            let prefix = prefix.or(host.map(|host| host.prefix))?;
            let network = Subnet { address, prefix };
            let gateway = host.map(|host| host.address).filter(|&host| network.has_host(host));
            Some(Guest { address, prefix, gateway })
        }
    }
}

/// Makes a number this process's own. It is free again when the socket is closed.
fn hold(number: u8) -> Option<UnixListener> {
    let address = UnixAddress::from_abstract_name(format!("toro-tap-{number}")).ok()?;
    UnixListener::bind_addr(&address).ok()
}

/// The script with which QEMU brings the interface up, in a directory of its own that ends with the first value.
fn write_script(host: Subnet, scratch: &Path) -> std::io::Result<(TempDir, PathBuf)> {
    fs::create_dir_all(scratch)?;
    let directory = tempfile::Builder::new().prefix("tap").tempdir_in(scratch)?;
    let path = directory.path().join("up");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path)?;
    let Subnet { address, prefix } = host;
    write!(file, "#!/bin/sh\nset -e\nip address add {address}/{prefix} dev \"$1\"\nip link set dev \"$1\" up\n")?;
    Ok((directory, path))
}

/// Whether this process has the capability.
fn may_make_interfaces() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    effective.is_some_and(|bits| bits >> CAP_NET_ADMIN & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn the_guest_is_the_neighbour_of_the_host() {
        let next = |text: &str| guest(Some(subnet(text)), GuestAddress::Next).unwrap().address.to_string();
        assert_eq!(next("10.9.0.1/24"), "10.9.0.2");
        assert_eq!(next("10.9.0.254/24"), "10.9.0.253");
        assert_eq!(next("10.9.0.2/30"), "10.9.0.1");
    }

    #[test]
    fn the_host_is_the_gateway_where_it_can_be_reached() {
        let (far, near) = (Some(subnet("10.9.1.1/24")), Some(subnet("10.9.0.1/24")));
        let given = GuestAddress::Given(Ipv4Addr::new(10, 9, 0, 7), Some(24));
        assert_eq!(guest(near, given).unwrap().gateway, Some(Ipv4Addr::new(10, 9, 0, 1)));
        assert_eq!(guest(far, given).unwrap().gateway, None);
        assert_eq!(guest(None, given).unwrap().gateway, None);
        assert_eq!(guest(None, GuestAddress::Next), None);
        assert_eq!(guest(near, GuestAddress::Dhcp), None);
    }

    #[test]
    fn a_number_is_held_once() {
        // Numbers that no run uses.
        let first = hold(NUMBERS + 1);
        assert!(first.is_some() && hold(NUMBERS + 1).is_none());
        drop(first);
        assert!(hold(NUMBERS + 1).is_some());
    }
}
