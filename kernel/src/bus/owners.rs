//! Which cores own a device.
//!
//! A device belongs to one core, or, if it can be divided, each of its parts does: a core polls what is its own, is
//! interrupted by it, and needs no lock. Devices are named by their driver and a running number, `virtio-net0`,
//! `virtio-net1`, `virtio-fs0`, `e1000-0`, in the order in which the buses find them. Who decides, the first that says something:
//!
//! 1. the command line: `owner=DEVICE:CORES`, where `CORES` is a list such as `1`, `0,2` or `0-3`, or `all`;
//! 2. the application: the function that [`entry!`](crate::entry) names as `owners`;
//! 3. all cores in order, so that a device that can be divided gives each core a part, and any other belongs to the boot
//!    core.
//!
//! Of a device that cannot be divided the first core in the list is the owner.

use alloc::vec::Vec;

/// Numbers of the cores in `list`, in its order, of which there are `count`; `None` if it makes no sense, names a core
/// that is not there, or one twice.
fn parse(list: &str, count: usize) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    if list == "all" {
        return Some((0..count).collect());
    }
    let number = |text: &str| text.parse::<usize>().ok().filter(|&core| core < count && !text.starts_with('+'));
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = number(first)?..=number(last)?;
        if range.is_empty() || range.clone().any(|core| cores.contains(&core)) {
            return None;
        }
        cores.extend(range);
    }
    Some(cores)
}

/// The list that the command line's words `owner=` have for `device`; the last one counts.
fn list_of<'a>(words: impl Iterator<Item = &'a str>, device: &str) -> Option<&'a str> {
    words.filter_map(|word| word.split_once(':')).filter(|&(name, _)| name == device).last().map(|(_, list)| list)
}

#[cfg(target_os = "none")]
pub(crate) use self::decision::Owners;

#[cfg(target_os = "none")]
mod decision {
    use alloc::vec::Vec;

    use super::{list_of, parse};
    use crate::core::{self as cores, CoreId};
    use crate::env;

    /// The cores that shall own a device, at least one.
    #[derive(Clone, Debug)]
    pub(crate) struct Owners(Vec<CoreId>);

    impl Owners {
        /// Decides for the device called `name`. `application` is what the application says.
        pub(crate) fn of(name: &str, application: impl FnOnce(&str) -> Option<Vec<CoreId>>) -> Self {
            if let Some(list) = list_of(env::options("owner"), name) {
                match parse(list, cores::count()) {
                    Some(numbers) => return Self(numbers.into_iter().map(CoreId::of).collect()),
                    None => log::error!("owner={name}:{list}: no list of cores from 0 to {}", cores::count() - 1),
                }
            }
            match application(name) {
                Some(list) if !list.is_empty() => Self(list),
                _ => Self(cores::all().collect()),
            }
        }

        /// In their order; never empty.
        pub(crate) fn cores(&self) -> &[CoreId] {
            &self.0
        }

        /// The owner of a device that cannot be divided.
        pub(crate) fn first(&self) -> CoreId {
            self.0.first().copied().unwrap_or(CoreId::BOOT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_cores_in_their_order() {
        assert_eq!(parse("2", 4), Some(vec![2]));
        assert_eq!(parse("3,0-1", 4), Some(vec![3, 0, 1]));
        assert_eq!(parse("all", 3), Some(vec![0, 1, 2]));
    }

    #[test]
    fn nonsense_and_cores_that_are_not_there_are_refused() {
        for list in ["", "4", "0,4", "1-0", "0,0", "0-2,1", "-", "0-", "+1", "a", "0 1", "99999999999999999999"] {
            assert_eq!(parse(list, 4), None, "{list}");
        }
    }

    #[test]
    fn the_last_word_for_a_device_counts() {
        let words = ["virtio-net0:1", "virtio-net1:2", "nonsense", "virtio-net0:3"];
        assert_eq!(list_of(words.into_iter(), "virtio-net0"), Some("3"));
        assert_eq!(list_of(words.into_iter(), "virtio-net1"), Some("2"));
        assert_eq!(list_of(words.into_iter(), "virtio-net"), None);
    }
}
