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
use std::process::{Command, Stdio};
use std::str::FromStr;

use serde_json::Value;
use tempfile::TempDir;

use super::Wish;
use crate::cli::{Machine, Nic};
use crate::exit::Failure;

/// The device through which interfaces are made and used.
const TUN: &str = "/dev/net/tun";
/// How many interfaces we number.
const NUMBERS: u8 = 100;
/// The longest name of an interface that Linux allows.
const LONGEST_NAME: usize = 15;
/// The most queues that can be asked for.
const MOST_QUEUES: u16 = 255;
/// The bit of the capability to make interfaces.
const CAP_NET_ADMIN: u32 = 12;

/// The words after `--net tap`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapOption {
    /// Name of the interface.
    pub interface: Option<String>,
    /// The host's address in the network, and that network.
    pub host: Option<Subnet>,
    /// Who the guest is.
    pub guest: GuestAddress,
    /// Number of queue pairs, if not the usual one.
    pub queues: Option<u16>,
}

/// An address of IPv4, and how many of its bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The address.
    pub address: Ipv4Addr,
    /// 1 to 30.
    pub prefix: u8,
}

/// Where the guest's address comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuestAddress {
    /// It is the one after the host's.
    #[default]
    Next,
    /// Given, in the network of the host's address or in one that was said.
    Given(Ipv4Addr, Option<u8>),
    /// A DHCP server in that network.
    Dhcp,
}

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

impl Subnet {
    fn mask(prefix: u8) -> u32 {
        u32::MAX << (32 - u32::from(prefix))
    }

    fn network(self) -> u32 {
        self.address.to_bits() & Self::mask(self.prefix)
    }

    /// Whether some address is in both.
    fn overlaps(self, other: Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        Self { prefix, ..self }.network() == Self { prefix, ..other }.network()
    }

    /// Whether `address` can be a host of the network: it is neither the first nor the last.
    fn has_host(self, address: Ipv4Addr) -> bool {
        let last = self.network() | !Self::mask(self.prefix);
        (self.network() + 1..last).contains(&address.to_bits())
    }

    /// A neighbour: the address that follows, or the one before if that is no host's.
    fn neighbour(self) -> Ipv4Addr {
        let next = Ipv4Addr::from_bits(self.address.to_bits() + 1);
        if self.has_host(next) { next } else { Ipv4Addr::from_bits(self.address.to_bits() - 1) }
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected ADDRESS/PREFIX, as in 10.9.0.1/24");
        let (address, prefix) = text.split_once('/').ok_or_else(expected)?;
        let address = address.parse().map_err(|_| expected())?;
        let prefix = prefix.parse().ok().filter(|prefix| (1..=30).contains(prefix)).ok_or_else(expected)?;
        let subnet = Self { address, prefix };
        if subnet.has_host(address) { Ok(subnet) } else { Err(format!("`{text}` is not the address of a host")) }
    }
}

impl FromStr for GuestAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "dhcp" {
            return Ok(Self::Dhcp);
        }
        if text.contains('/') {
            let Subnet { address, prefix } = text.parse()?;
            return Ok(Self::Given(address, Some(prefix)));
        }
        let address = text.parse().map_err(|_| format!("`{text}`: expected an address of IPv4 or dhcp"))?;
        Ok(Self::Given(address, None))
    }
}

impl FromStr for TapOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut option = Self::default();
        for word in text.split(',') {
            match word.split_once('=') {
                Some(("if", name)) if is_interface_name(name) => option.interface = Some(name.to_owned()),
                Some(("if", name)) => return Err(format!("`{name}` is no name of an interface")),
                Some(("host", subnet)) => option.host = Some(subnet.parse()?),
                Some(("guest", address)) => option.guest = address.parse()?,
                Some(("queues", number)) => {
                    let number = number.parse().ok().filter(|number| (1..=MOST_QUEUES).contains(number));
                    let expected = || format!("`{word}`: expected a number from 1 to {MOST_QUEUES}");
                    option.queues = Some(number.ok_or_else(expected)?);
                }
                _ => return Err(format!("unknown word `{word}`: expected if=, host=, guest= or queues=")),
            }
        }
        if let (Some(host), GuestAddress::Given(address, None)) = (option.host, option.guest)
            && (address == host.address || !host.has_host(address))
        {
            return Err(format!("{address} is no other host in the network of {}/{}", host.address, host.prefix));
        }
        Ok(option)
    }
}

/// What can be in a name for Linux, and needs no care in the words of QEMU and of shells.
fn is_interface_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with(['.', '-'])
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
            (Queues::Several, asked) if asked != Some(1) && wish.nic != Nic::E1000 && wish.recording.is_none() => {
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

/// Whether this network namespace has an interface of this name.
fn exists(name: &str) -> bool {
    let table = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    table.lines().any(|line| line.split_once(':').is_some_and(|(known, _)| known.trim() == name))
}

/// Whether this process has the capability.
fn may_make_interfaces() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    effective.is_some_and(|bits| bits >> CAP_NET_ADMIN & 1 == 1)
}

/// What `ip` says, which is JSON.
fn ip(arguments: &[&str]) -> Result<Value, Failure> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::preparation(format!("cannot run ip: {error}")))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::input(format!("ip {}: {}", arguments.join(" "), reason.trim())));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::preparation(format!("cannot read what ip says: {error}")))
}

/// The addresses of IPv4 in a description of interfaces.
fn addresses(description: &Value) -> Vec<Subnet> {
    let interfaces = description.as_array().into_iter().flatten();
    let infos = interfaces.filter_map(|interface| interface["addr_info"].as_array()).flatten();
    infos
        .filter(|info| info["family"] == "inet")
        .filter_map(|info| {
            let address = info["local"].as_str()?.parse().ok()?;
            let prefix = u8::try_from(info["prefixlen"].as_u64()?).ok().filter(|prefix| (1..=32).contains(prefix))?;
            Some(Subnet { address, prefix })
        })
        .collect()
}

/// A tap interface that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Existing {
    state: State,
    queues: Queues,
    owner: Owner,
    address: Option<Subnet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queues {
    One,
    Several,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Somebody,
    Nobody,
}

impl Existing {
    /// From the description of one interface; none if it is no tap.
    fn read(description: &Value) -> Option<Self> {
        let interface = description.as_array()?.iter().find(|interface| interface["ifname"].is_string())?;
        let data = &interface["linkinfo"]["info_data"];
        if interface["linkinfo"]["info_kind"] != "tun" || data["type"] != "tap" {
            return None;
        }
        let is_up = interface["flags"].as_array()?.iter().any(|flag| flag == "UP");
        let is_owned = !data["user"].is_null() || !data["group"].is_null();
        Some(Self {
            state: if is_up { State::Up } else { State::Down },
            queues: if data["multi_queue"] == true { Queues::Several } else { Queues::One },
            owner: if is_owned { Owner::Somebody } else { Owner::Nobody },
            address: addresses(description).into_iter().find(|subnet| subnet.prefix <= 30),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn the_documented_words_are_understood() {
        let option: TapOption = "if=tap0,host=10.1.0.1/16,guest=10.1.2.3,queues=4".parse().unwrap();
        assert_eq!(option.interface.as_deref(), Some("tap0"));
        assert_eq!(option.host, Some(subnet("10.1.0.1/16")));
        assert_eq!(option.guest, GuestAddress::Given(Ipv4Addr::new(10, 1, 2, 3), None));
        assert_eq!(option.queues, Some(4));
        assert_eq!("guest=dhcp".parse::<TapOption>().unwrap().guest, GuestAddress::Dhcp);
        let prefix = GuestAddress::Given(Ipv4Addr::new(10, 1, 2, 3), Some(8));
        assert_eq!("guest=10.1.2.3/8".parse::<TapOption>().unwrap().guest, prefix);
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, part) in [
            ("", "``"),
            ("br=br0", "`br=br0`"),
            ("if=", "name of an interface"),
            ("if=a-name-that-is-too-long", "name of an interface"),
            ("if=a/b", "name of an interface"),
            ("host=10.0.0.1", "ADDRESS/PREFIX"),
            ("host=10.0.0.1/31", "ADDRESS/PREFIX"),
            ("host=10.0.0.0/24", "not the address of a host"),
            ("host=10.0.0.255/24", "not the address of a host"),
            ("guest=fe80::1", "IPv4 or dhcp"),
            ("host=10.0.0.1/24,guest=10.0.1.2", "no other host"),
            ("host=10.0.0.1/24,guest=10.0.0.1", "no other host"),
            ("queues=0", "from 1 to 255"),
        ] {
            let error = text.parse::<TapOption>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
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
    fn networks_overlap_if_one_is_in_the_other() {
        assert!(subnet("10.9.1.1/24").overlaps(subnet("10.1.1.1/8")));
        assert!(subnet("10.9.1.1/24").overlaps(subnet("10.9.1.254/25")));
        assert!(!subnet("10.9.1.1/24").overlaps(subnet("10.9.2.1/24")));
    }

    #[test]
    fn a_number_is_held_once() {
        // Numbers that no run uses.
        let first = hold(NUMBERS + 1);
        assert!(first.is_some() && hold(NUMBERS + 1).is_none());
        drop(first);
        assert!(hold(NUMBERS + 1).is_some());
    }

    #[test]
    fn interfaces_are_described_by_ip() {
        let text = r#"[{}, {"ifname": "tap0", "flags": ["NO-CARRIER", "UP"], "linkinfo": {"info_kind": "tun",
            "info_data": {"type": "tap", "multi_queue": true, "user": "alice"}},
            "addr_info": [{"family": "inet6", "local": "fe80::1", "prefixlen": 64},
                          {"family": "inet", "local": "192.168.7.1", "prefixlen": 24}]}]"#;
        let description = serde_json::from_str(text).unwrap();
        let address = Some(subnet("192.168.7.1/24"));
        let wanted = Existing { state: State::Up, queues: Queues::Several, owner: Owner::Somebody, address };
        assert_eq!(Existing::read(&description), Some(wanted));
        let other = r#"[{"ifname": "lo", "flags": ["UP"], "addr_info": []}]"#;
        assert_eq!(Existing::read(&serde_json::from_str(other).unwrap()), None);
        assert!(exists("lo") && !exists("no-such-one"));
    }
}
