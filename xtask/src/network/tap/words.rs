//! What is said about a tap interface on the command line: `--net tap,if=NAME,host=ADDRESS/PREFIX,guest=ADDRESS,queues=N`.

use std::net::Ipv4Addr;
use std::str::FromStr;

/// The longest name of an interface that Linux allows.
const LONGEST_NAME: usize = 15;
/// The most queues that can be asked for.
pub const MOST_QUEUES: u16 = 255;

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

impl Subnet {
    fn mask(prefix: u8) -> u32 {
        u32::MAX << (32 - u32::from(prefix))
    }

    fn network(self) -> u32 {
        self.address.to_bits() & Self::mask(self.prefix)
    }

    /// Whether some address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        Self { prefix, ..self }.network() == Self { prefix, ..other }.network()
    }

    /// Whether `address` can be a host of the network: it is neither the first nor the last.
    pub fn has_host(self, address: Ipv4Addr) -> bool {
        let last = self.network() | !Self::mask(self.prefix);
        (self.network() + 1..last).contains(&address.to_bits())
    }

    /// A neighbour: the address that follows, or the one before if that is no host's.
    pub fn neighbour(self) -> Ipv4Addr {
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
    fn networks_overlap_if_one_is_in_the_other() {
        assert!(subnet("10.9.1.1/24").overlaps(subnet("10.1.1.1/8")));
        assert!(subnet("10.9.1.1/24").overlaps(subnet("10.9.1.254/25")));
        assert!(!subnet("10.9.1.1/24").overlaps(subnet("10.9.2.1/24")));
    }
}
