//! Where the interface's IPv4 address comes from: the word `ip=` of the guest's command line.
//!
//! | word | meaning |
//! |---|---|
//! | none, or `ip=dhcp` | ask a DHCP server, and go on asking until one answers |
//! | `ip=10.0.2.15/24` | this address, and no way beyond its network |
//! | `ip=10.0.2.15/24,gw=10.0.2.2` | this address, and a gateway to everywhere else |
//! | `ip=10.0.2.15/32,gw=10.0.2.2` | this address, alone in its network, and a gateway on the link to everywhere |
//! | `ip=none` | no IPv4 address |
//!
//! Under QEMU's user network the DHCP server is 10.0.2.2 and gives the first guest 10.0.2.15; the second and third
//! lines then work as well and save the exchange.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

use smoltcp::wire::Ipv4Cidr;

/// Where the interface's IPv4 address comes from.
///
/// ```text
/// "dhcp"  |  "none"  |  ADDRESS "/" PREFIX  [ ",gw=" ADDRESS ]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Addressing {
    /// A DHCP server.
    #[default]
    Dhcp,
    /// Whoever wrote the command line.
    Static(StaticAddress),
    /// Nobody: there is none.
    None,
    /// Another stack, with which this one shares all that it is configured with, IPv6 included: it is told by
    /// [`Stack::set_configuration`](super::stack::Stack::set_configuration), and has nothing until then. No word stands
    /// for it.
    Shared,
}

/// An interface's IPv4 address, and what belongs to it. From the command line it is fixed for the interface's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticAddress {
    /// The address itself.
    pub address: Ipv4Addr,
    /// How many of its leading bits name the network: 1 to 32.
    pub prefix: u8,
    /// The gateway to other networks.
    pub gateway: Option<Ipv4Addr>,
}

impl FromStr for Addressing {
    type Err = AddressingError;

    fn from_str(text: &str) -> Result<Self, AddressingError> {
        match text {
            "dhcp" => return Ok(Self::Dhcp),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let mut words = text.split(',');
        let (address, prefix) = words.next().and_then(|word| word.split_once('/')).ok_or(AddressingError::Address)?;
        let address: Ipv4Addr = address.parse().map_err(|_| AddressingError::Address)?;
        let prefix: u8 = prefix.parse().map_err(|_| AddressingError::Prefix)?;
        if !is_host(address) {
            return Err(AddressingError::Address);
        }
        if !(1..=32).contains(&prefix) {
            return Err(AddressingError::Prefix);
        }
        let mut gateway = None;
        for word in words {
            let word = word.strip_prefix("gw=").ok_or(AddressingError::Unknown)?;
            let router: Ipv4Addr = word.parse().map_err(|_| AddressingError::Gateway)?;
            // A host that is alone in its network has its gateway outside.
            let reachable = prefix == 32 || Ipv4Cidr::new(address, prefix).contains_addr(&router);
            if gateway.is_some() || !is_host(router) || router == address || !reachable {
                return Err(AddressingError::Gateway);
            }
            gateway = Some(router);
        }
        Ok(Self::Static(StaticAddress { address, prefix, gateway }))
    }
}

/// Whether an address can be that of one host.
pub(super) fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast() || address.is_loopback())
}

/// What is wrong with an `ip=` word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressingError {
    /// It is none of the known words, and does not begin with the address of a host and `/`.
    Address,
    /// The prefix length is not a number from 1 to 32.
    Prefix,
    /// The gateway is not another host in the same network, or there are two.
    Gateway,
    /// It has a part that means nothing here.
    Unknown,
}

impl fmt::Display for AddressingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "expected `dhcp`, `none` or ADDRESS/PREFIX",
            Self::Prefix => "the prefix length must be a number from 1 to 32",
            Self::Gateway => "the gateway must be one other host in the same network",
            Self::Unknown => "unknown part, expected `,gw=ADDRESS`",
        })
    }
}

impl core::error::Error for AddressingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_are_understood() {
        let address = Ipv4Addr::new(10, 0, 2, 15);
        let fixed = |gateway| Ok(Addressing::Static(StaticAddress { address, prefix: 24, gateway }));
        assert_eq!("dhcp".parse(), Ok(Addressing::Dhcp));
        assert_eq!("none".parse(), Ok(Addressing::None));
        assert_eq!("10.0.2.15/24".parse(), fixed(None));
        assert_eq!("10.0.2.15/24,gw=10.0.2.2".parse(), fixed(Some(Ipv4Addr::new(10, 0, 2, 2))));
        let gateway = Some(Ipv4Addr::new(172, 31, 1, 1));
        let alone = Addressing::Static(StaticAddress { address, prefix: 32, gateway });
        assert_eq!("10.0.2.15/32,gw=172.31.1.1".parse(), Ok(alone));
    }

    #[test]
    fn each_mistake_has_its_own_answer() {
        for (word, error) in [
            ("", AddressingError::Address),
            ("10.0.2.15", AddressingError::Address),
            ("10.0.2.300/24", AddressingError::Address),
            ("0.0.0.0/24", AddressingError::Address),
            ("224.0.0.1/24", AddressingError::Address),
            ("10.0.2.15/33", AddressingError::Prefix),
            ("10.0.2.15/0", AddressingError::Prefix),
            ("10.0.2.15/", AddressingError::Prefix),
            ("10.0.2.15/24,gw=10.0.3.2", AddressingError::Gateway),
            ("10.0.2.15/24,gw=10.0.2.15", AddressingError::Gateway),
            ("10.0.2.15/24,gw=", AddressingError::Gateway),
            ("10.0.2.15/24,gw=10.0.2.2,gw=10.0.2.3", AddressingError::Gateway),
            ("10.0.2.15/24,dns=10.0.2.3", AddressingError::Unknown),
            ("10.0.2.15/24,", AddressingError::Unknown),
        ] {
            assert_eq!(word.parse::<Addressing>(), Err(error), "{word}");
        }
    }
}
