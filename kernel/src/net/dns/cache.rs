//! [`Cache`]: addresses that were found, for as long as they are good.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use toro_core::Instant;

use super::message::Name;

/// How many names are remembered.
const CAPACITY: usize = 64;
/// How long addresses are remembered at most, whatever is said of them.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Addresses by name.
pub(super) struct Cache {
    entries: BTreeMap<Name, Entry>,
}

struct Entry {
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl Cache {
    pub(super) const fn new() -> Self {
        Self { entries: BTreeMap::new() }
    }

    /// The addresses of a name, if they are still good.
    pub(super) fn get(&self, now: Instant, name: &Name) -> Option<&[IpAddr]> {
        self.entries.get(name).filter(|entry| now < entry.until).map(|entry| &entry.addresses[..])
    }

    /// Remembers addresses for so many seconds. Where there is no room, those that are good for the shortest time make it.
    pub(super) fn put(&mut self, now: Instant, name: Name, addresses: Vec<IpAddr>, seconds: u32) {
        let until = now.saturating_add(Duration::from_secs(seconds.into()).min(LONGEST));
        if until <= now {
            return;
        }
        self.entries.retain(|_, entry| now < entry.until);
        if self.entries.len() >= CAPACITY && !self.entries.contains_key(&name) {
            let soonest = self.entries.iter().min_by_key(|(_, entry)| entry.until);
            if let Some(soonest) = soonest.map(|(name, _)| name.clone()) {
                self.entries.remove(&soonest);
            }
        }
        self.entries.insert(name, Entry { addresses, until });
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::super::message::tests::name;
    use super::*;

    fn address(n: u32) -> Vec<IpAddr> {
        alloc::vec![Ipv4Addr::from(n).into()]
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn addresses_are_remembered_for_their_time_and_at_most_a_day() {
        let mut cache = Cache::new();
        cache.put(at(100), name("a"), address(1), 10);
        cache.put(at(100), name("b"), address(2), u32::MAX);
        cache.put(at(100), name("c"), address(3), 0);
        assert_eq!(cache.get(at(109), &name("A")), Some(&address(1)[..]));
        assert_eq!(cache.get(at(110), &name("a")), None);
        assert!(cache.get(at(100 + 86_399), &name("b")).is_some());
        assert_eq!(cache.get(at(100 + 86_400), &name("b")), None);
        assert_eq!(cache.get(at(100), &name("c")), None);
    }

    #[test]
    fn it_never_has_more_than_there_is_room_for_and_loses_what_is_good_for_the_shortest_time() {
        let mut cache = Cache::new();
        for n in 0..200_u32 {
            cache.put(at(1), name(&alloc::format!("n{n}")), address(n), 1000 + n);
        }
        assert_eq!(cache.entries.len(), CAPACITY);
        assert!(cache.get(at(2), &name("n199")).is_some() && cache.get(at(2), &name("n100")).is_none());
        cache.put(at(2), name("n199"), address(7), 1);
        assert_eq!(cache.entries.len(), CAPACITY);
        assert_eq!(cache.get(at(2), &name("n199")), Some(&address(7)[..]));
    }
}
