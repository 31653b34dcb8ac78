//! [`Advertisement`]: what a router says about itself and the networks on the link (RFC 4861 §4.2, RFC 8106 §5.1).
//!
//! ```text
//!   ICMPv6 type 134 | code | checksum | hop limit | flags | router lifetime | reachable time | retransmission timer
//!   options: type, length in units of 8 bytes, ...
//!     3 prefix information:  prefix length, flags, valid and preferred lifetime, prefix
//!    25 DNS servers:         lifetime, addresses
//! ```
//!
//! Parsing accepts or refuses a message as a whole; what it accepts can be read without looking at lengths again. Of the
//! options it keeps those that a host of this kind acts on, and skips all others. What the values mean, and that they may
//! be lies, is the affair of [`discovery`](super::discovery).

use core::net::Ipv6Addr;

/// Length of the message without options.
const FIXED: usize = 16;

/// A lifetime in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::net) struct Lifetime(pub(in crate::net) u32);

impl Lifetime {
    /// For ever.
    pub(in crate::net) const INFINITE: Self = Self(u32::MAX);
}

/// A router's message.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct Advertisement<'a> {
    /// How long the router is one for all other networks; 0: it is none.
    pub(in crate::net) router_lifetime: Lifetime,
    /// Options, each of which fits.
    options: &'a [u8],
}

/// What an option says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum RouterOption<'a> {
    /// There is a network on the link.
    Prefix(PrefixInformation),
    /// There are DNS servers.
    DnsServers { lifetime: Lifetime, addresses: Addresses<'a> },
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) struct PrefixInformation {
    pub(in crate::net) prefix: Ipv6Addr,
    /// Any number at all.
    pub(in crate::net) len: u8,
    pub(in crate::net) scope: PrefixScope,
    pub(in crate::net) use_: PrefixUse,
    pub(in crate::net) valid: Lifetime,
    pub(in crate::net) preferred: Lifetime,
}

/// Where the hosts of a network are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum PrefixScope {
    /// On the link.
    OnLink,
    /// Perhaps elsewhere: they are reached through a router.
    Anywhere,
}

/// What a network may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum PrefixUse {
    /// Hosts may take addresses in it.
    Autonomous,
    /// They may not.
    Informative,
}

/// Addresses that lie one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) struct Addresses<'a>(&'a [u8]);

impl Addresses<'_> {
    pub(in crate::net) fn iter(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.0.chunks_exact(16).map(address)
    }
}

impl<'a> Advertisement<'a> {
    /// Reads an ICMPv6 message of type 134.
    pub(in crate::net) fn parse(message: &'a [u8]) -> Option<Self> {
        let (fixed, options) = message.split_at_checked(FIXED)?;
        if fixed[..2] != [134, 0] {
            return None;
        }
        let mut rest = options;
        while !rest.is_empty() {
            rest = split_option(rest)?.1;
        }
        let router_lifetime = Lifetime(u32::from(u16::from_be_bytes([fixed[6], fixed[7]])));
        Some(Self { router_lifetime, options })
    }

    /// The options that matter.
    pub(in crate::net) fn options(&self) -> impl Iterator<Item = RouterOption<'a>> {
        let mut rest = self.options;
        core::iter::from_fn(move || {
            let (option, behind) = split_option(rest)?;
            rest = behind;
            Some(option)
        })
        .filter_map(understand)
    }
}

/// The first option and what is behind it.
fn split_option(options: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = 8 * usize::from(*options.get(1)?);
    if len == 0 { None } else { options.split_at_checked(len) }
}

fn understand(option: &[u8]) -> Option<RouterOption<'_>> {
    match (option[0], option.len()) {
        (3, 32) => Some(RouterOption::Prefix(PrefixInformation {
            prefix: address(&option[16..]),
            len: option[2],
            scope: if option[3] & 0x80 != 0 { PrefixScope::OnLink } else { PrefixScope::Anywhere },
            use_: if option[3] & 0x40 != 0 { PrefixUse::Autonomous } else { PrefixUse::Informative },
            valid: lifetime(&option[4..]),
            preferred: lifetime(&option[8..]),
        })),
        (25, 24..) => {
            Some(RouterOption::DnsServers { lifetime: lifetime(&option[4..]), addresses: Addresses(&option[8..]) })
        }
        _ => None,
    }
}

/// The address at the beginning of sixteen bytes or more.
fn address(bytes: &[u8]) -> Ipv6Addr {
    bytes.first_chunk().map_or(Ipv6Addr::UNSPECIFIED, |octets: &[u8; 16]| Ipv6Addr::from(*octets))
}

/// The lifetime at the beginning of four bytes or more.
fn lifetime(bytes: &[u8]) -> Lifetime {
    bytes.first_chunk().map_or(Lifetime(0), |bytes| Lifetime(u32::from_be_bytes(*bytes)))
}

#[cfg(test)]
pub(in crate::net) mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    pub(in crate::net) const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 0);

    /// A message with these options.
    pub(in crate::net) fn message(router_lifetime: u16, options: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = alloc::vec![0; FIXED];
        bytes[0] = 134;
        bytes[4] = 64;
        bytes[6..8].copy_from_slice(&router_lifetime.to_be_bytes());
        options.iter().for_each(|option| bytes.extend_from_slice(option));
        bytes
    }

    /// A prefix option whose flags are as in the message.
    pub(in crate::net) fn prefix(prefix: Ipv6Addr, len: u8, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
        let mut bytes = alloc::vec![3, 4, len, flags];
        bytes.extend_from_slice(&valid.to_be_bytes());
        bytes.extend_from_slice(&preferred.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&prefix.octets());
        bytes
    }

    /// An option with DNS servers.
    pub(in crate::net) fn dns(lifetime: u32, servers: &[Ipv6Addr]) -> Vec<u8> {
        let mut bytes = alloc::vec![25, 1 + 2 * servers.len() as u8, 0, 0];
        bytes.extend_from_slice(&lifetime.to_be_bytes());
        servers.iter().for_each(|server| bytes.extend_from_slice(&server.octets()));
        bytes
    }

    #[test]
    fn what_matters_is_read_and_the_rest_is_skipped() {
        let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 53);
        let options = [
            alloc::vec![1, 1, 2, 0, 0, 0, 0, 9],
            prefix(PREFIX, 64, 0xc0, 700, 300),
            alloc::vec![5, 1, 0, 0, 0, 0, 5, 220],
            dns(60, &[server, PREFIX]),
            alloc::vec![200, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        let bytes = message(1800, &options);
        let found = Advertisement::parse(&bytes).expect("it is whole");
        assert_eq!(found.router_lifetime, Lifetime(1800));
        let mut options = found.options();
        let expected = PrefixInformation {
            prefix: PREFIX,
            len: 64,
            scope: PrefixScope::OnLink,
            use_: PrefixUse::Autonomous,
            valid: Lifetime(700),
            preferred: Lifetime(300),
        };
        assert_eq!(options.next(), Some(RouterOption::Prefix(expected)));
        match options.next() {
            Some(RouterOption::DnsServers { lifetime: Lifetime(60), addresses }) => {
                assert!(addresses.iter().eq([server, PREFIX]));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(options.next(), None);
    }

    #[test]
    fn a_message_whose_options_do_not_fit_is_refused_as_a_whole() {
        let good = message(1800, &[prefix(PREFIX, 64, 0xc0, 700, 300), dns(60, &[PREFIX])]);
        let whole = [FIXED, FIXED + 32, good.len()];
        for len in 0..=good.len() {
            assert_eq!(Advertisement::parse(&good[..len]).is_some(), whole.contains(&len), "{len} bytes");
        }
        let mut endless = good.clone();
        endless[FIXED + 1] = 0;
        assert!(Advertisement::parse(&endless).is_none(), "an option of no length");
        for (at, value) in [(0, 133), (1, 1)] {
            let mut other = good.clone();
            other[at] = value;
            assert!(Advertisement::parse(&other).is_none());
        }
    }

    #[test]
    fn an_option_of_the_wrong_length_says_nothing() {
        let short = alloc::vec![3, 1, 64, 0xc0, 0, 0, 1, 0];
        let long = [&prefix(PREFIX, 64, 0xc0, 700, 300)[..], &[0; 8]].concat();
        let odd = alloc::vec![25, 1, 0, 0, 0, 0, 1, 0];
        let mut options = [short, long, odd];
        options[1][1] = 5;
        let bytes = message(1800, &options);
        assert_eq!(Advertisement::parse(&bytes).expect("it is whole").options().count(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_end(mut bytes: Vec<u8>) {
            if let [first, second, ..] = &mut bytes[..] {
                (*first, *second) = (134, 0);
            }
            if let Some(found) = Advertisement::parse(&bytes) {
                prop_assert!(found.options().count() <= bytes.len() / 8);
            }
        }
    }
}
