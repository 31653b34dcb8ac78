//! [`FlowTable`]: from a connection's two ends to what we keep of it.
//!
//! Each received segment is looked up here before smoltcp sees it, so the lookup must not depend on how many
//! connections there are: an open hash table with linear probing, at most half full, whose removals close the gap
//! behind them instead of leaving markers.
//!
//! Remote peers choose the keys. The hash therefore takes a secret from the stack's seed; without it nobody can
//! find flows that collide.
//!
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// The two ends of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl Flow {
    /// The same connection as its other end sees it.
    pub(super) fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }
}

/// Values by flow.
pub(super) struct FlowTable<V> {
    /// A power of two of places, at most half of them used.
    places: Vec<Option<(Flow, V)>>,
    len: usize,
    secret: [u64; 2],
}

impl<V> FlowTable<V> {
    pub(super) fn new(seed: u64) -> Self {
        // Two unrelated secrets of one seed; `| 1` keeps the multiplications below from losing everything.
        let secret = [mix(seed ^ 0x9e37_79b9_7f4a_7c15), mix(seed ^ 0xd1b5_4a32_d192_ed03) | 1];
        Self { places: empty(16), len: 0, secret }
    }

    /// How many flows it holds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn home(&self, flow: &Flow) -> usize {
        let ports = u64::from(flow.local.port()) << 16 | u64::from(flow.remote.port());
        let (remote, local) = (self.word(flow.remote.ip()), self.word(flow.local.ip()));
        let product =
            u128::from(remote ^ ports ^ self.secret[0]) * u128::from((local ^ self.secret[1]).rotate_left(17) | 1);
        let hash = mix(product as u64 ^ (product >> 64) as u64);
        hash as usize & (self.places.len() - 1)
    }

    /// An address in a word. In that of IPv4 the ports have room; that of IPv6 hides the address from those who might
    /// choose one that makes up for another port.
    fn word(&self, address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(address) => u64::from(u32::from(address)) << 32,
            IpAddr::V6(address) => {
                let bits = u128::from(address);
                mix(mix((bits >> 64) as u64 ^ self.secret[1]) ^ bits as u64)
            }
        }
    }

    fn find(&self, flow: &Flow) -> Option<usize> {
        self.look_up(flow).ok()
    }

    /// Where a flow is, or else where it would be put.
    fn look_up(&self, flow: &Flow) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut index = self.home(flow);
        // Ends: at least half of the places are empty.
        while let Some((key, _)) = &self.places[index] {
            if key == flow {
                return Ok(index);
            }
            index = (index + 1) & mask;
        }
        Err(index)
    }

    pub(super) fn get(&self, flow: &Flow) -> Option<&V> {
        let index = self.find(flow)?;
        self.places[index].as_ref().map(|(_, value)| value)
    }

    /// Stores a value and returns the one that it replaced.
    pub(super) fn insert(&mut self, flow: Flow, value: V) -> Option<V> {
        match self.look_up(&flow) {
            Ok(index) => return self.places[index].replace((flow, value)).map(|(_, old)| old),
            Err(index) if 2 * (self.len + 1) <= self.places.len() => self.places[index] = Some((flow, value)),
            Err(_) => {
                self.grow();
                self.place(flow, value);
            }
        }
        self.len += 1;
        None
    }

    pub(super) fn remove(&mut self, flow: &Flow) -> Option<V> {
        let mut gap = self.find(flow)?;
        let (_, value) = self.places[gap].take()?;
        self.len -= 1;
        // Whatever follows without a break and may live in the gap moves there.
        let mask = self.places.len() - 1;
        let mut index = (gap + 1) & mask;
        while let Some((key, _)) = &self.places[index] {
            let distance_from_home = index.wrapping_sub(self.home(key)) & mask;
            let distance_from_gap = index.wrapping_sub(gap) & mask;
            if distance_from_home >= distance_from_gap {
                self.places.swap(gap, index);
                gap = index;
            }
            index = (index + 1) & mask;
        }
        Some(value)
    }

    fn place(&mut self, flow: Flow, value: V) {
        let mask = self.places.len() - 1;
        let mut index = self.home(&flow);
        while self.places[index].is_some() {
            index = (index + 1) & mask;
        }
        self.places[index] = Some((flow, value));
    }

    fn grow(&mut self) {
        let larger = empty(self.places.len() * 2);
        for (flow, value) in core::mem::replace(&mut self.places, larger).into_iter().flatten() {
            self.place(flow, value);
        }
    }
}

fn empty<V>(places: usize) -> Vec<Option<(Flow, V)>> {
    core::iter::repeat_with(|| None).take(places).collect()
}

/// Spreads each bit of `x` over all bits (the finaliser of SplitMix64).
pub(super) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn flow(n: u32) -> Flow {
        // Half of them in each family.
        if n.is_multiple_of(2) {
            let remote = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16 / 8), (n % 8) as u16 + 1000);
            let local = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 15), 80);
            return Flow { local: local.into(), remote: remote.into() };
        }
        Flow {
            local: SocketAddr::from((Ipv4Addr::new(10, 0, 2, 15), 80)),
            remote: SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + n / 8), (n % 8) as u16 + 1000)),
        }
    }

    #[test]
    fn it_agrees_with_an_ordered_map_over_many_random_changes() {
        let mut table = FlowTable::new(7);
        let mut model = BTreeMap::new();
        let mut random = 1_u64;
        for step in 0..20_000_u32 {
            random = mix(random.wrapping_add(u64::from(step)));
            let n = (random >> 8) as u32 % 600;
            if random & 3 == 0 {
                assert_eq!(table.remove(&flow(n)), model.remove(&n));
            } else {
                assert_eq!(table.insert(flow(n), step), model.insert(n, step));
            }
            assert_eq!(table.len(), model.len());
        }
        for n in 0..600 {
            assert_eq!(table.get(&flow(n)), model.get(&n), "flow {n}");
        }
    }

    #[test]
    fn the_places_of_flows_depend_on_the_seed() {
        let (a, b) = (FlowTable::<()>::new(1), FlowTable::<()>::new(2));
        let differing = (0..100).filter(|&n| a.home(&flow(n)) != b.home(&flow(n))).count();
        assert!(differing > 50, "{differing}");
    }
}
