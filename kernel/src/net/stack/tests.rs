//! The stack against itself, over a cable that can misbehave.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use toro_core::Instant;
use toro_core::driver::{Armed, DeviceFault};

use super::{Accepted, Activity, ConnectionId, ListenerId, Stack, UdpId};
use crate::net::address::{Addressing, StaticAddress};
use crate::net::address6::{Addressing6, StaticAddress6};
use crate::net::config::{BufferSizes, Config};
use crate::net::error::NetError;
use crate::net::signal::Signal;
use crate::net::testing::{Cable, CableEnd, Gear};

mod discovery;
mod families;
mod ipv4;
mod ipv6;
mod leases;
mod loopback;

/// A family of addresses: most tests run with either.
pub(crate) trait Family {
    const SERVER: IpAddr;
    const CLIENT: IpAddr;
    /// All addresses of this host.
    const ANY: IpAddr;
    /// Somebody beyond the link.
    const FAR: IpAddr;
    /// A group of everybody on the link.
    const EVERYBODY: IpAddr;
    /// The longest datagram that fits into a frame of 1,514 bytes.
    const MOST: usize;
}

/// IPv4.
pub(crate) struct V4;

impl Family for V4 {
    const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));
    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const EVERYBODY: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);
    const MOST: usize = 1472;
}

/// IPv6.
struct V6;

impl Family for V6 {
    const SERVER: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 15));
    const CLIENT: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
    const ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    const FAR: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    const EVERYBODY: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    const MOST: usize = 1452;
}

pub(crate) const PORT: u16 = 80;

/// Counts its calls.
#[derive(Clone, Default, Debug)]
pub(crate) struct Count(Rc<Cell<(u32, u32)>>);

impl Signal for Count {
    fn readable(&self) {
        let (readable, writable) = self.0.get();
        self.0.set((readable + 1, writable));
    }

    fn writable(&self) {
        let (readable, writable) = self.0.get();
        self.0.set((readable, writable + 1));
    }
}

impl Count {
    pub(crate) fn readable_calls(&self) -> u32 {
        self.0.get().0
    }

    pub(crate) fn writable_calls(&self) -> u32 {
        self.0.get().1
    }
}

/// A stack with this address only (and a link-local one).
fn fixed(address: IpAddr) -> Config {
    let (mut addressing, mut addressing6) = (Addressing::None, Addressing6::None);
    let seed = match address {
        IpAddr::V4(address) => {
            addressing = Addressing::Static(StaticAddress { address, prefix: 24, gateway: None });
            u64::from(u32::from(address))
        }
        IpAddr::V6(address) => {
            addressing6 = Addressing6::Static(StaticAddress6 { address, prefix: 64, gateway: None });
            u128::from(address) as u64
        }
    };
    Config { addressing, addressing6, seed, ..Config::default() }
}

/// Two stacks, a cable and a clock.
pub(crate) struct World<F> {
    family: PhantomData<F>,
    pub(crate) server: Stack<Count>,
    pub(crate) client: Stack<Count>,
    /// The client is end 0, the server end 1.
    cable: Cable,
    now: Instant,
}

impl<F: Family> World<F> {
    pub(crate) fn new() -> Self {
        Self::with(fixed(F::SERVER), fixed(F::CLIENT))
    }

    pub(crate) fn with(server: Config, client: Config) -> Self {
        Self::between((server, Gear::PLAIN), (client, Gear::PLAIN))
    }

    pub(in crate::net) fn between(
        (server, server_gear): (Config, Gear),
        (client, client_gear): (Config, Gear),
    ) -> Self {
        let (cable, client_end, server_end) = Cable::between(client_gear, server_gear);
        let now = Instant::from_nanos(5_000_000_000);
        Self {
            family: PhantomData,
            server: Stack::new(Box::new(server_end), server, Count::default(), now),
            client: Stack::new(Box::new(client_end), client, Count::default(), now),
            cable,
            now,
        }
    }

    /// Lets both run until nothing moves any more at this time.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let server = self.server.poll(self.now);
            let client = self.client.poll(self.now);
            if (server, client) == (Activity::None, Activity::None) {
                return;
            }
        }
        panic!("they never come to rest");
    }

    /// Lets time pass, stopping at each deadline.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.saturating_add(duration);
        self.settle();
        for _ in 0..1_000_000 {
            let next = [self.server.next_deadline(), self.client.next_deadline()].into_iter().flatten().min();
            match next {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => {
                    self.now = end;
                    self.settle();
                    return;
                }
            }
            self.settle();
        }
        panic!("deadlines without end at {:?}", self.now);
    }

    fn listen(&mut self, backlog: usize) -> ListenerId {
        let any = SocketAddr::new(F::ANY, PORT);
        self.server.listen(any, backlog, Count::default()).expect("the port is free").0
    }

    fn connect(&mut self) -> ConnectionId {
        let server = SocketAddr::new(F::SERVER, PORT);
        self.client.connect(server, Count::default()).expect("there is room for a connection").0
    }

    /// A connection from both sides.
    fn pair(&mut self, listener: &ListenerId) -> (ConnectionId, Accepted<Count>) {
        let client = self.connect();
        self.pass(Duration::from_millis(20));
        assert_eq!(self.client.established(&client), Ok(()));
        let accepted = self.server.accept(listener).expect("the handshake is complete");
        (client, accepted)
    }
}

/// Bytes that tell where they belong.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Sends `bytes` from one side to the other while time passes, until all have arrived.
fn transfer<F: Family>(
    world: &mut World<F>,
    bytes: &[u8],
    from: impl Fn(&mut World<F>, &[u8]) -> Result<usize, NetError>,
    into: impl Fn(&mut World<F>, &mut [u8]) -> Result<usize, NetError>,
) -> Vec<u8> {
    let mut sent = 0;
    let mut received = Vec::new();
    let mut buffer = [0; 5000];
    for _ in 0..200_000 {
        if sent < bytes.len() {
            match from(world, &bytes[sent..]) {
                Ok(len) => sent += len,
                Err(NetError::WouldBlock) => {}
                Err(error) => panic!("after {sent} bytes: {error}"),
            }
        }
        match into(world, &mut buffer) {
            Ok(len) => received.extend_from_slice(&buffer[..len]),
            Err(NetError::WouldBlock) => world.pass(Duration::from_millis(5)),
            Err(error) => panic!("after {} of {sent} bytes: {error}", received.len()),
        }
        if received.len() == bytes.len() {
            return received;
        }
    }
    panic!("{} of {} bytes arrived, {sent} were taken", received.len(), bytes.len());
}
