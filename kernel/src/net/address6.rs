//! Where the interface's IPv6 addresses come from: the word `ip6=` of the guest's command line.
//!
//! | word | meaning |
//! |---|---|
//! | none, or `ip6=auto` | ask routers which networks there are, and take an address in each (RFC 4862) |
//! | `ip6=fec0::15/64` | this address, and no way beyond its network; what routers say is not listened to |
//! | `ip6=fec0::15/64,gw=fec0::2` | the same, and a gateway to everywhere else, in the same network or on the link (`fe80::`) |
//! | `ip6=none` | no IPv6 at all |
//!
//! With all but the last the interface also has a link-local address, made of its hardware address.

use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

/// Where the interface's IPv6 addresses come from.
///
/// ```text
/// "auto"  |  "none"  |  ADDRESS "/" PREFIX  [ ",gw=" ADDRESS ]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Addressing6 {
    /// Routers.
    #[default]
    Auto,
    /// Whoever wrote the command line.
    Static(StaticAddress6),
    /// The interface does not take part in IPv6.
    None,
}

/// An IPv6 address that was given, and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticAddress6 {
    /// The address itself.
    pub address: Ipv6Addr,
    /// How many of its leading bits name the network: 1 to 128.
    pub prefix: u8,
    /// The gateway to other networks.
    pub gateway: Option<Ipv6Addr>,
}

impl FromStr for Addressing6 {
    type Err = Addressing6Error;

    fn from_str(text: &str) -> Result<Self, Addressing6Error> {
        match text {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let mut words = text.split(',');
        let (address, prefix) = words.next().and_then(|word| word.split_once('/')).ok_or(Addressing6Error::Address)?;
        let address: Ipv6Addr = address.parse().map_err(|_| Addressing6Error::Address)?;
        let prefix: u8 = prefix.parse().map_err(|_| Addressing6Error::Prefix)?;
        if !is_host6(address) {
            return Err(Addressing6Error::Address);
        }
        if !(1..=128).contains(&prefix) {
            return Err(Addressing6Error::Prefix);
        }
        let mut gateway = None;
        for word in words {
            let word = word.strip_prefix("gw=").ok_or(Addressing6Error::Unknown)?;
            let router: Ipv6Addr = word.parse().map_err(|_| Addressing6Error::Gateway)?;
            let reachable = is_link_local(router) || is_in_network(router, address, prefix);
            if gateway.is_some() || !is_host6(router) || router == address || !reachable {
                return Err(Addressing6Error::Gateway);
            }
            gateway = Some(router);
        }
        Ok(Self::Static(StaticAddress6 { address, prefix, gateway }))
    }
}

/// Whether an address can be that of one host: neither that of none or of many, nor one that stays inside a host, nor one
/// that stands for an IPv4 address.
pub(super) fn is_host6(address: Ipv6Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || address.to_ipv4_mapped().is_some())
}

/// Whether an address is in the network of which another is, with a prefix of 1 to 128 bits.
fn is_in_network(address: Ipv6Addr, other: Ipv6Addr, prefix: u8) -> bool {
    (address.to_bits() ^ other.to_bits()) >> (128 - u32::from(prefix)) == 0
}

/// Whether an address is valid on the link only (RFC 4291 §2.5.6).
pub(super) fn is_link_local(address: Ipv6Addr) -> bool {
    address.octets()[..8] == [0xfe, 0x80, 0, 0, 0, 0, 0, 0]
}

/// The group that neighbour solicitations for an address go to (RFC 4291 §2.7.1).
pub(super) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// What is wrong with an `ip6=` word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addressing6Error {
    /// It is none of the known words, and does not begin with the address of a host and `/`.
    Address,
    /// The prefix length is not a number from 1 to 128.
    Prefix,
    /// The gateway is not another host in the same network or on the link, or there are two.
    Gateway,
    /// It has a part that means nothing here.
    Unknown,
}

impl fmt::Display for Addressing6Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "expected `auto`, `none` or ADDRESS/PREFIX",
            Self::Prefix => "the prefix length must be a number from 1 to 128",
            Self::Gateway => "the gateway must be one other host in the same network or on the link",
            Self::Unknown => "unknown part, expected `,gw=ADDRESS`",
        })
    }
}

impl core::error::Error for Addressing6Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_are_understood() {
        let address = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0x15);
        let fixed = |gateway| Ok(Addressing6::Static(StaticAddress6 { address, prefix: 64, gateway }));
        assert_eq!("auto".parse(), Ok(Addressing6::Auto));
        assert_eq!("none".parse(), Ok(Addressing6::None));
        assert_eq!("fec0::15/64".parse(), fixed(None));
        assert_eq!("fec0::15/64,gw=fec0::2".parse(), fixed(Some(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 2))));
        assert_eq!("fec0::15/64,gw=fe80::2".parse(), fixed(Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2))));
    }

    #[test]
    fn each_mistake_has_its_own_answer() {
        for (word, error) in [
            ("", Addressing6Error::Address),
            ("dhcp", Addressing6Error::Address),
            ("fec0::15", Addressing6Error::Address),
            ("10.0.2.15/24", Addressing6Error::Address),
            ("::/64", Addressing6Error::Address),
            ("::1/64", Addressing6Error::Address),
            ("ff02::1/64", Addressing6Error::Address),
            ("::ffff:10.0.2.15/64", Addressing6Error::Address),
            ("fec0::15/129", Addressing6Error::Prefix),
            ("fec0::15/0", Addressing6Error::Prefix),
            ("fec0::15/", Addressing6Error::Prefix),
            ("fec0::15/64,gw=fec1::2", Addressing6Error::Gateway),
            ("fec0::15/64,gw=fec0::15", Addressing6Error::Gateway),
            ("fec0::15/64,gw=", Addressing6Error::Gateway),
            ("fec0::15/64,gw=fec0::2,gw=fec0::3", Addressing6Error::Gateway),
            ("fec0::15/64,dns=fec0::3", Addressing6Error::Unknown),
            ("fec0::15/64,", Addressing6Error::Unknown),
        ] {
            assert_eq!(word.parse::<Addressing6>(), Err(error), "{word}");
        }
    }

    #[test]
    fn an_address_has_its_group() {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x1234, 0x5678);
        assert_eq!(solicited_node(address), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff34, 0x5678));
    }
}
