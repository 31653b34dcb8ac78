//! Several stacks with one address that comes from a DHCP server.

use super::company::{Company, seat};
use super::*;
use crate::net::configuration::Configuration;
use crate::net::stack::tests::leases::dhcp_answer;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

fn leasing(index: u16) -> Config {
    let addressing = if index == 0 { Addressing::Dhcp } else { Addressing::Shared };
    Config { addressing, addressing6: Addressing6::None, seat: seat(index), ..Config::default() }
}

#[test]
fn a_lease_that_arrives_anywhere_is_the_first_stacks_and_the_others_are_told() {
    let mut company = Company::with(|_| 0, leasing);
    for _ in 0..8 {
        company.stacks.iter_mut().for_each(|stack| while stack.poll(company.now) == Activity::Some {});
        company.carry();
        while let Some(frame) = company.pairs[0].take_from(1) {
            if let Some((_, answer)) = dhcp_answer(&frame, SERVER, 100) {
                company.pairs[1].inject(0, &answer);
            }
        }
        assert!(company.pairs[1].take_from(1).is_none() && company.pairs[2].take_from(1).is_none(), "one client");
    }
    let lease = StaticAddress { address: SERVER, prefix: 24, gateway: Some(CLIENT) };
    let told = company.stacks[0].configuration().clone();
    assert_eq!(told.ipv4, Some(lease));
    assert_eq!((company.stacks[1].address(), company.stacks[2].address()), (None, None));
    for index in [1, 2] {
        company.stacks[index].set_configuration(&told);
        assert_eq!(company.stacks[index].configuration(), &told);
    }
    let far = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 80));
    let (connection, _) = company.stacks[2].connect(far, Count::default()).expect("through the gateway");
    // Who leases by himself is not told.
    company.stacks[0].set_configuration(&Configuration::default());
    assert_eq!(company.stacks[0].address(), Some(SERVER));
    company.stacks[2].set_configuration(&Configuration::default());
    assert_eq!(company.stacks[2].address(), None);
    while company.stacks[2].poll(company.now) == Activity::Some {}
    assert_eq!(company.stacks[2].established(&connection), Err(NetError::NetworkDown));
}

#[test]
fn an_address_is_announced_to_who_waits_for_it_and_only_when_it_changes() {
    let (_, _, end) = Cable::new();
    let told = Count::default();
    let mut stack = Stack::new(Box::new(end), leasing(1), told.clone(), Instant::from_nanos(1));
    let mut calls = Vec::new();
    let first = StaticAddress { address: SERVER, prefix: 24, gateway: None };
    for address in [Some(first), Some(first), None, Some(first)] {
        stack.set_configuration(&Configuration { ipv4: address, ..Configuration::default() });
        calls.push((told.readable_calls(), stack.address()));
    }
    assert_eq!(calls, [(1, Some(SERVER)), (1, Some(SERVER)), (2, None), (3, Some(SERVER))]);
    // What makes no sense is not followed.
    let nonsense = StaticAddress { address: Ipv4Addr::BROADCAST, prefix: 255, gateway: Some(Ipv4Addr::UNSPECIFIED) };
    stack.set_configuration(&Configuration { ipv4: Some(nonsense), ..Configuration::default() });
    let there = SocketAddr::from((CLIENT, PORT));
    assert_eq!(stack.connect(there, Count::default()).err(), Some(NetError::NetworkUnreachable));
    let alone = StaticAddress { prefix: 255, ..first };
    stack.set_configuration(&Configuration { ipv4: Some(alone), ..Configuration::default() });
    assert_eq!(stack.connect(there, Count::default()).err(), Some(NetError::NetworkUnreachable), "32 bits at most");
}
