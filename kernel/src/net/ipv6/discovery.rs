//! [`Discovery`]: which IPv6 addresses an interface has, and why (RFC 4861, RFC 4862).
//!
//! ```text
//!   hardware address -------> fe80::/64 ----+                 +--> addresses, the preferred ones first
//!   ip6= word --------------> as given -----+--> each is -----+
//!   router: "2001:db8::/64" -> in that network   probed once  +--> gateway: the first router that is still one
//!   router: "I am one, for 1800 s"                            +--> DNS servers (RFC 8106)
//!   router: "ask 2001:db8::53"
//! ```
//!
//! This is a state machine without any frame in it: it is told what was heard and what time it is, and says what to send
//! next ([`due`](Discovery::due)) and what holds now ([`fill`](Discovery::fill)). smoltcp has one, too, which is not
//! used; why is in docs/adr/0017.
//!
//! # Time
//!
//! Routers are asked at once, after 4 seconds, and then after twice the time each, up to an hour, until one answers
//! (RFC 7559). What they said is forgotten when its lifetime is over.
//!
//! An address is used at once and probed at the same time, as RFC 4429 has it: a second of waiting would be most of the
//! time that this kernel takes from power-on to its first answer. If another host has the address, it says so within the
//! second and the address is given up for good, with the connections that it has. After that second others' claims are
//! answered, not obeyed.
//!
//! # Hostile routers
//!
//! Anybody on the link can be a router. What they can do is bounded: at most [`MOST_NETWORKS`] networks, [`MOST_ROUTERS`]
//! routers and [`MOST_SERVERS`] DNS servers are remembered, and a new one finds no place until an old one is over. Networks
//! that no host can be in, and prefixes of another length than 64 bits, are not taken. A lifetime may end an address no
//! sooner than two hours from now (RFC 4862 §5.5.3), unless it was shorter before.

use alloc::vec::Vec;
use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;

use toro_core::Instant;
use toro_core::driver::net::MacAddress;

use super::advertisement::{Advertisement, Lifetime, PrefixInformation, PrefixScope, PrefixUse, RouterOption};
use super::neighbor::Notice;
use crate::net::address6::{Addressing6, is_host6, is_link_local};
use crate::net::configuration::{Configuration, DNS_PORT, NetworkAddress6};

/// Networks in which routers made us take an address.
const MOST_NETWORKS: usize = 4;
/// Routers that are remembered.
const MOST_ROUTERS: usize = 4;
/// DNS servers that are remembered.
const MOST_SERVERS: usize = 4;
/// How long others may object to an address.
const OBJECTION: Duration = Duration::from_secs(1);
/// When routers are asked for the second time, and how long one waits at most (RFC 7559 §2).
const SOLICITATION: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(3600));
/// What an address is left at least, whatever a router says (RFC 4862 §5.5.3 e).
const TWO_HOURS: Duration = Duration::from_secs(2 * 3600);
/// A time that never comes.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// An address of ours.
#[derive(Clone, Copy, Debug)]
struct Own {
    address: Ipv6Addr,
    /// How many bits name the hosts on the link.
    prefix: u8,
    state: State,
    preferred_until: Instant,
    valid_until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is used, and shall be probed.
    New,
    /// It is used, and others may object until then.
    Probed(Instant),
    /// It is ours.
    Unique,
    /// Another host has it.
    Duplicate,
}

#[derive(Clone, Copy, Debug)]
struct Expiring {
    address: Ipv6Addr,
    until: Instant,
}

/// When routers are asked, as long as there is none.
#[derive(Clone, Copy, Debug)]
struct Solicitation {
    at: Instant,
    then: Duration,
}

/// What another host's claim to an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Claim {
    /// Nothing: it is not ours.
    Foreign,
    /// It is wrong: the address is ours.
    Wrong,
    /// We have lost the address.
    Lost,
}

/// An interface's knowledge of addresses and routers.
pub(in crate::net) struct Discovery {
    /// The lower half of the addresses that we make.
    identifier: [u8; 8],
    /// The gateway that was given.
    fixed_gateway: Option<Ipv6Addr>,
    /// The link-local address first.
    own: Vec<Own>,
    routers: Vec<Expiring>,
    servers: Vec<Expiring>,
    /// `None` if routers are not listened to.
    solicitation: Option<Solicitation>,
}

impl Discovery {
    /// What an interface knows by itself; `None` if it does not take part in IPv6.
    pub(in crate::net) fn new(mac: MacAddress, addressing: Addressing6, now: Instant) -> Option<Self> {
        let mut discovery = Self {
            identifier: identifier(mac),
            fixed_gateway: None,
            own: Vec::new(),
            routers: Vec::new(),
            servers: Vec::new(),
            solicitation: None,
        };
        let link_local = discovery.address_in([0xfe, 0x80, 0, 0, 0, 0, 0, 0]);
        discovery.add(link_local, 64, NEVER, NEVER);
        match addressing {
            Addressing6::None => return None,
            Addressing6::Static(fixed) => {
                if fixed.address != link_local {
                    discovery.add(fixed.address, fixed.prefix.min(128), NEVER, NEVER);
                }
                discovery.fixed_gateway = fixed.gateway;
            }
            Addressing6::Auto => discovery.solicitation = Some(Solicitation { at: now, then: SOLICITATION.0 }),
        }
        Some(discovery)
    }

    fn add(&mut self, address: Ipv6Addr, prefix: u8, preferred_until: Instant, valid_until: Instant) {
        self.own.push(Own { address, prefix, state: State::New, preferred_until, valid_until });
    }

    fn address_in(&self, network: [u8; 8]) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&network);
        octets[8..].copy_from_slice(&self.identifier);
        octets.into()
    }

    /// Says what holds now.
    pub(in crate::net) fn fill(&self, now: Instant, configuration: &mut Configuration) {
        // Without a link-local address there is no IPv6 (RFC 4862 §5.4.5).
        let usable = self.own.first().is_some_and(|link_local| link_local.state != State::Duplicate);
        let own = self.own.iter().filter(|own| usable && own.state != State::Duplicate);
        let is_last_choice = |own: &&Own| !is_link_local(own.address) && own.preferred_until <= now;
        let good = own.clone().filter(|own| !is_last_choice(own));
        let address_of = |&Own { address, prefix, .. }: &Own| NetworkAddress6 { address, prefix };
        configuration.ipv6 = good.chain(own.filter(is_last_choice)).map(address_of).collect();
        let router = self.routers.first().map(|router| router.address);
        configuration.gateway6 = self.fixed_gateway.or(router).filter(|_| usable);
        for server in &self.servers {
            configuration.add_dns_server(SocketAddr::new(server.address.into(), DNS_PORT));
        }
    }

    /// Takes in what a router says. `source` is where its message, which was intact, came from.
    pub(in crate::net) fn advertised(&mut self, now: Instant, source: Ipv6Addr, message: &Advertisement<'_>) {
        if self.solicitation.is_none() || !is_link_local(source) {
            return;
        }
        let until = end(now, message.router_lifetime);
        update(&mut self.routers, MOST_ROUTERS, source, until, now);
        for option in message.options() {
            match option {
                RouterOption::Prefix(information) => self.take_prefix(now, &information),
                RouterOption::DnsServers { lifetime, addresses } => {
                    for server in addresses.iter().filter(|&server| is_host6(server)) {
                        update(&mut self.servers, MOST_SERVERS, server, end(now, lifetime), now);
                    }
                }
            }
        }
        if let Some(solicitation) = &mut self.solicitation
            && !self.routers.is_empty()
        {
            // Asked again as soon as there is none.
            *solicitation = Solicitation { at: now, then: SOLICITATION.0 };
        }
    }

    /// Takes, keeps or gives up the address in a network, as a router says (RFC 4862 §5.5.3).
    fn take_prefix(&mut self, now: Instant, information: &PrefixInformation) {
        let PrefixInformation { prefix, len, scope, use_, valid, preferred } = *information;
        let [network, _] = halves(prefix);
        let address = self.address_in(network);
        if use_ == PrefixUse::Informative || len != 64 || is_link_local(prefix) || !is_host6(address) {
            return;
        }
        if preferred > valid {
            return;
        }
        let (preferred_until, valid_until) = (end(now, preferred), end(now, valid));
        if let Some(own) = self.own.iter_mut().skip(1).find(|own| own.address == address) {
            own.preferred_until = preferred_until;
            let least = own.valid_until.min(now.saturating_add(TWO_HOURS));
            own.valid_until = valid_until.max(least);
        } else if valid > Lifetime(0) && self.own.len() <= MOST_NETWORKS {
            let hosts = if scope == PrefixScope::OnLink { 64 } else { 128 };
            self.add(address, hosts, preferred_until, valid_until);
        }
    }

    /// Takes in that another host claims an address.
    pub(in crate::net) fn claimed(&mut self, now: Instant, address: Ipv6Addr) -> Claim {
        let Some(own) = self.own.iter_mut().find(|own| own.address == address) else { return Claim::Foreign };
        match own.state {
            State::Duplicate => Claim::Foreign,
            State::Probed(until) if now < until => {
                own.state = State::Duplicate;
                Claim::Lost
            }
            State::New | State::Probed(_) | State::Unique => Claim::Wrong,
        }
    }

    /// Forgets what is over.
    pub(in crate::net) fn expire(&mut self, now: Instant) {
        self.own.retain(|own| now < own.valid_until);
        self.routers.retain(|router| now < router.until);
        self.servers.retain(|server| now < server.until);
        for own in &mut self.own {
            if let State::Probed(until) = own.state
                && until <= now
            {
                own.state = State::Unique;
            }
        }
    }

    /// The next thing to tell the neighbours, if it is time.
    pub(in crate::net) fn due(&mut self, now: Instant) -> Option<Notice> {
        if let Some(own) = self.own.iter_mut().find(|own| own.state == State::New) {
            own.state = State::Probed(now.saturating_add(OBJECTION));
            return Some(Notice::Probe(own.address));
        }
        let link_local = self.own.first().filter(|own| own.state != State::Duplicate)?.address;
        let solicitation = self.solicitation.as_mut().filter(|_| self.routers.is_empty())?;
        if now < solicitation.at {
            return None;
        }
        solicitation.at = now.saturating_add(solicitation.then);
        solicitation.then = (2 * solicitation.then).min(SOLICITATION.1);
        Some(Notice::SolicitRouters(link_local))
    }

    /// When there is something to do again.
    pub(in crate::net) fn next(&self, now: Instant) -> Option<Instant> {
        let lives = self.own.iter().flat_map(|own| {
            let state = match own.state {
                State::New => now,
                State::Probed(until) => until,
                State::Unique | State::Duplicate => NEVER,
            };
            // When it is no longer preferred the order changes.
            let preferred = if own.preferred_until > now { own.preferred_until } else { NEVER };
            [state, preferred, own.valid_until]
        });
        let others = self.routers.iter().chain(&self.servers).map(|expiring| expiring.until);
        let asks = self.own.first().is_some_and(|own| own.state != State::Duplicate) && self.routers.is_empty();
        let solicitation = self.solicitation.filter(|_| asks).map(|solicitation| solicitation.at);
        lives.chain(others).chain(solicitation).min().filter(|&at| at < NEVER)
    }

    /// The link was interrupted, and may lead elsewhere now: addresses are probed and routers asked again.
    pub(in crate::net) fn restart(&mut self, now: Instant) {
        for own in self.own.iter_mut().filter(|own| own.state != State::Duplicate) {
            own.state = State::New;
        }
        if let Some(solicitation) = &mut self.solicitation {
            *solicitation = Solicitation { at: now, then: SOLICITATION.0 };
        }
    }
}

/// Remembers until when something is good, or forgets it if that is now. There is no place for more than `most`.
fn update(list: &mut Vec<Expiring>, most: usize, address: Ipv6Addr, until: Instant, now: Instant) {
    let place = list.iter().position(|known| known.address == address);
    match place {
        Some(place) if until <= now => {
            list.remove(place);
        }
        Some(place) => list[place].until = until,
        None if until > now && list.len() < most => list.push(Expiring { address, until }),
        None => {}
    }
}

/// When a lifetime is over.
fn end(now: Instant, lifetime: Lifetime) -> Instant {
    if lifetime == Lifetime::INFINITE { NEVER } else { now.saturating_add(Duration::from_secs(lifetime.0.into())) }
}

/// The network and the host in it, of an address with 64 bits for each.
fn halves(address: Ipv6Addr) -> [[u8; 8]; 2] {
    let bits = u128::from(address);
    [((bits >> 64) as u64).to_be_bytes(), (bits as u64).to_be_bytes()]
}

/// The lower half of addresses that are made of a hardware address (RFC 4291 appendix A).
fn identifier(mac: MacAddress) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac.0;
    [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address6::StaticAddress6;
    use crate::net::ipv6::advertisement::tests::{PREFIX, dns, message, prefix};

    const MAC: MacAddress = MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe12, 0x3456);
    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0x5054, 0xff, 0xfe12, 0x3456);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn auto() -> Discovery {
        Discovery::new(MAC, Addressing6::Auto, at(10)).expect("it takes part")
    }

    fn hear(discovery: &mut Discovery, now: Instant, bytes: &[u8]) {
        discovery.expire(now);
        discovery.advertised(now, ROUTER, &Advertisement::parse(bytes).expect("it is whole"));
    }

    fn holds(discovery: &Discovery, now: Instant) -> Configuration {
        let mut configuration = Configuration::default();
        discovery.fill(now, &mut configuration);
        configuration
    }

    fn addresses(discovery: &Discovery, now: Instant) -> Vec<Ipv6Addr> {
        holds(discovery, now).ipv6.iter().map(|own| own.address).collect()
    }

    fn said(discovery: &mut Discovery, now: Instant) -> Vec<Notice> {
        discovery.expire(now);
        core::iter::from_fn(|| discovery.due(now)).collect()
    }

    #[test]
    fn an_interface_makes_a_link_local_address_probes_it_and_asks_for_routers_ever_less_often() {
        let mut discovery = auto();
        assert_eq!(addresses(&discovery, at(10)), [LINK_LOCAL]);
        let solicitation = Notice::SolicitRouters(LINK_LOCAL);
        assert_eq!(said(&mut discovery, at(10)), [Notice::Probe(LINK_LOCAL), solicitation]);
        assert_eq!(discovery.next(at(10)), Some(at(11)), "the end of the probe");
        let (mut now, mut times) = (at(10), Vec::new());
        for _ in 0..20 {
            now = discovery.next(now).expect("it goes on asking");
            for notice in said(&mut discovery, now) {
                assert_eq!(notice, solicitation);
                times.push(now.as_nanos() / 1_000_000_000 - 10);
            }
        }
        assert_eq!(times[..5], [4, 12, 28, 60, 124]);
        assert_eq!(times[times.len() - 1] - times[times.len() - 2], 3600);
    }

    #[test]
    fn a_router_gives_a_network_a_gateway_and_dns_servers_for_as_long_as_it_says() {
        let mut discovery = auto();
        said(&mut discovery, at(10));
        let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 53);
        hear(&mut discovery, at(11), &message(60, &[prefix(PREFIX, 64, 0xc0, 100, 50), dns(70, &[server])]));
        let expected = Configuration {
            ipv4: None,
            ipv6: alloc::vec![
                NetworkAddress6 { address: LINK_LOCAL, prefix: 64 },
                NetworkAddress6 { address: OURS, prefix: 64 },
            ],
            gateway6: Some(ROUTER),
            dns_servers: alloc::vec![SocketAddr::new(server.into(), DNS_PORT)],
        };
        assert_eq!(holds(&discovery, at(11)), expected);
        assert_eq!(said(&mut discovery, at(11)), [Notice::Probe(OURS)], "and routers are not asked");
        for (now, gateway, servers, len) in [(70, true, 1, 2), (71, false, 1, 2), (81, false, 0, 2), (111, false, 0, 1)]
        {
            let next = discovery.next(at(now - 1)).expect("something is to come");
            assert!(next <= at(now), "{next:?}");
            said(&mut discovery, at(now));
            let found = holds(&discovery, at(now));
            assert_eq!((found.gateway6.is_some(), found.dns_servers.len()), (gateway, servers), "{now}");
            assert_eq!(found.ipv6.len(), len, "{now}");
        }
        // What is said for ever stays; a router that gives up is none.
        hear(&mut discovery, at(200), &message(60, &[prefix(PREFIX, 64, 0x40, u32::MAX, u32::MAX)]));
        hear(&mut discovery, at(201), &message(0, &[]));
        assert_eq!(holds(&discovery, at(1 << 32)).ipv6[1], NetworkAddress6 { address: OURS, prefix: 128 });
        assert_eq!(holds(&discovery, at(201)).gateway6, None);
        assert!(said(&mut discovery, at(201)).contains(&Notice::SolicitRouters(LINK_LOCAL)), "is there another?");
    }

    #[test]
    fn an_address_that_is_no_longer_preferred_is_the_last_choice() {
        let mut discovery = auto();
        let other = Ipv6Addr::new(0x2001, 0xdb8, 9, 9, 0, 0, 0, 0);
        hear(
            &mut discovery,
            at(11),
            &message(60, &[prefix(PREFIX, 64, 0xc0, 100, 10), prefix(other, 64, 0xc0, 100, 50)]),
        );
        assert_eq!(addresses(&discovery, at(11))[1], OURS);
        assert_eq!(addresses(&discovery, at(21))[2], OURS);
        said(&mut discovery, at(12));
        said(&mut discovery, at(13));
        assert_eq!(discovery.next(at(13)), Some(at(21)), "the order is looked at again");
    }

    #[test]
    fn networks_that_no_host_can_be_in_are_not_taken() {
        for (network, len, flags, valid, preferred) in [
            (PREFIX, 129, 0xc0, 100, 50),
            (PREFIX, 255, 0xc0, 100, 50),
            (PREFIX, 0, 0xc0, 100, 50),
            (PREFIX, 63, 0xc0, 100, 50),
            (PREFIX, 64, 0x80, 100, 50),
            (PREFIX, 64, 0xc0, 100, 101),
            (PREFIX, 64, 0xc0, 0, 0),
            (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0), 64, 0xc0, 100, 50),
            (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64, 0xc0, 100, 50),
        ] {
            let mut discovery = auto();
            hear(&mut discovery, at(11), &message(60, &[prefix(network, len, flags, valid, preferred)]));
            assert_eq!(addresses(&discovery, at(11)), [LINK_LOCAL], "{network}/{len} {flags:x} {valid} {preferred}");
        }
        let mut discovery = auto();
        let bytes = message(60, &[prefix(PREFIX, 64, 0xc0, 100, 50)]);
        discovery.advertised(at(11), OURS, &Advertisement::parse(&bytes).expect("it is whole"));
        assert_eq!(holds(&discovery, at(11)).gateway6, None, "from an address that no router speaks from");
    }

    #[test]
    fn no_flood_of_advertisements_makes_more_than_a_few_addresses() {
        let mut discovery = auto();
        for i in 0..2000_u16 {
            let network = Ipv6Addr::new(0x2001, 0xdb8, i, 0, 0, 0, 0, 0);
            let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, i);
            let bytes = message(9000, &[prefix(network, 64, 0xc0, 7200, 7200), dns(7200, &[network, router])]);
            discovery.advertised(at(11), router, &Advertisement::parse(&bytes).expect("it is whole"));
        }
        let found = holds(&discovery, at(11));
        assert_eq!((found.ipv6.len(), found.dns_servers.len()), (1 + MOST_NETWORKS, MOST_SERVERS));
        assert_eq!((discovery.routers.len(), said(&mut discovery, at(11)).len()), (MOST_ROUTERS, 1 + MOST_NETWORKS));
        assert!(found.ipv6.len() <= crate::net::configuration::MOST_ADDRESSES6);
    }

    #[test]
    fn a_lie_about_lifetimes_leaves_an_address_two_hours() {
        let mut discovery = auto();
        let lives = |discovery: &Discovery, now| addresses(discovery, now).len() == 2;
        hear(&mut discovery, at(20), &message(60, &[prefix(PREFIX, 64, 0xc0, u32::MAX, 1000)]));
        hear(&mut discovery, at(30), &message(60, &[prefix(PREFIX, 64, 0xc0, 0, 0)]));
        said(&mut discovery, at(30 + 7199));
        assert!(lives(&discovery, at(30 + 7199)));
        // Again does not help; more time does.
        hear(&mut discovery, at(30 + 7199), &message(60, &[prefix(PREFIX, 64, 0xc0, 1, 0)]));
        said(&mut discovery, at(30 + 7200));
        assert!(!lives(&discovery, at(30 + 7200)));
        hear(&mut discovery, at(9000), &message(60, &[prefix(PREFIX, 64, 0xc0, 50, 50)]));
        hear(&mut discovery, at(9001), &message(60, &[prefix(PREFIX, 64, 0xc0, 100, 50)]));
        said(&mut discovery, at(9100));
        assert!(lives(&discovery, at(9100)));
        said(&mut discovery, at(9101));
        assert!(!lives(&discovery, at(9101)));
    }

    #[test]
    fn an_address_that_another_host_has_is_given_up_and_later_claims_are_wrong() {
        let mut discovery = auto();
        assert_eq!(discovery.claimed(at(10), OURS), Claim::Foreign);
        hear(&mut discovery, at(10), &message(60, &[prefix(PREFIX, 64, 0xc0, 100, 50)]));
        said(&mut discovery, at(10));
        assert_eq!(discovery.claimed(at(10), OURS), Claim::Lost);
        assert_eq!(addresses(&discovery, at(10)), [LINK_LOCAL]);
        hear(&mut discovery, at(11), &message(60, &[prefix(PREFIX, 64, 0xc0, 100, 50)]));
        assert_eq!(addresses(&discovery, at(11)), [LINK_LOCAL], "for good");
        said(&mut discovery, at(11));
        assert_eq!(discovery.claimed(at(11), LINK_LOCAL), Claim::Wrong, "a second later it is ours");
        discovery.restart(at(12));
        assert_eq!(said(&mut discovery, at(12))[0], Notice::Probe(LINK_LOCAL));
        assert_eq!(discovery.claimed(at(12), LINK_LOCAL), Claim::Lost);
        assert_eq!(holds(&discovery, at(12)), Configuration::default(), "without it there is no IPv6");
        assert_eq!(said(&mut discovery, at(5000)), []);
    }

    #[test]
    fn given_addresses_need_no_router_and_listen_to_none() {
        let gateway = Some(ROUTER);
        let fixed = Addressing6::Static(StaticAddress6 { address: OURS, prefix: 64, gateway });
        let mut discovery = Discovery::new(MAC, fixed, at(10)).expect("it takes part");
        assert_eq!(said(&mut discovery, at(10)), [Notice::Probe(LINK_LOCAL), Notice::Probe(OURS)]);
        hear(&mut discovery, at(11), &message(60, &[prefix(PREFIX, 64, 0xc0, 100, 50), dns(70, &[PREFIX])]));
        let found = holds(&discovery, at(11));
        assert_eq!((found.ipv6.len(), found.gateway6, found.dns_servers.len()), (2, gateway, 0));
        assert_eq!((said(&mut discovery, at(11)), discovery.next(at(11))), (Vec::new(), None));
        assert!(Discovery::new(MAC, Addressing6::None, at(10)).is_none());
    }
}
