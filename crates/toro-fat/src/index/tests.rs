//! What is known beside lists that are gone through, and how much memory it takes.

use alloc::vec::Vec;
use alloc::{format, vec};

use super::*;
use crate::entry::{SLOT, Slot, set_short_name};
use crate::name::Short;

/// The short slot of an entry whose name is this number.
fn slot_of(number: u32) -> Slot {
    let mut slot = [0; SLOT];
    let mut short = Short { bytes: [b' '; 11], case: 0 };
    short.bytes[..8].copy_from_slice(format!("F{number:07}").as_bytes());
    set_short_name(&mut slot, short);
    slot
}

fn units_of(number: u32) -> Vec<u16> {
    format!("F{number:07}").encode_utf16().collect()
}

/// Does something with the entry of this number in slot `at`.
fn with_entry<T>(number: u32, at: u32, work: impl FnOnce(Listed<'_>) -> T) -> T {
    let (slot, units) = (slot_of(number), units_of(number));
    work(Listed { start: at, short: at, place: (0, 0), slot: &slot, units: &units })
}

/// Has `indexes` see a directory of so many entries; how many it noted.
fn see_all(indexes: &mut Indexes, directory: u32, entries: u32) -> u32 {
    for at in 0..entries {
        if !with_entry(at, at, |entry| indexes.see(directory, at, &Seen::Entry(entry))) {
            return at;
        }
    }
    indexes.finish(directory, entries);
    entries
}

fn check_bytes(indexes: &Indexes) {
    assert_eq!(indexes.bytes, indexes.list.iter().map(Index::bytes).sum());
    assert!(indexes.bytes <= indexes.limit && indexes.list.len() <= MAX_DIRECTORIES);
}

fn candidate(indexes: &mut Indexes, directory: u32, number: u32) -> Option<u32> {
    indexes.candidate(directory, name::hash(&units_of(number)), 0)
}

#[test]
fn directories_that_were_not_used_for_longest_go() {
    let room = 3 * (DIRECTORY_BYTES + 100 * KEY_BYTES + 7 * SECTOR_BYTES);
    let mut indexes = Indexes::new(room);
    for directory in 2..5 {
        assert_eq!(see_all(&mut indexes, directory, 100), 100);
    }
    assert_eq!(candidate(&mut indexes, 2, 7), Some(7));
    assert_eq!(see_all(&mut indexes, 5, 50), 50);
    check_bytes(&indexes);
    let known = [2, 3, 4, 5].map(|directory| candidate(&mut indexes, directory, 7).is_some());
    assert_eq!(known, [true, false, true, true]);
    // Many small ones.
    for directory in 10..1_000 {
        see_all(&mut indexes, directory, 1);
        check_bytes(&indexes);
    }
    let mut indexes = Indexes::new(1 << 20);
    for directory in 10..1_000 {
        see_all(&mut indexes, directory, 1);
        check_bytes(&indexes);
    }
    assert_eq!(indexes.list.len(), MAX_DIRECTORIES);
}

#[test]
fn of_a_directory_that_is_too_large_the_beginning_is_known() {
    let mut indexes = Indexes::new(2_000);
    let noted = see_all(&mut indexes, 2, 1_000);
    assert!(noted > 30 && noted < 60, "{noted}");
    check_bytes(&indexes);
    assert_eq!(indexes.unknown(2), Some(noted));
    assert!(!indexes.is_whole(2) && indexes.room(2, 1).is_none());
    assert_eq!((candidate(&mut indexes, 2, noted - 1), candidate(&mut indexes, 2, noted)), (Some(noted - 1), None));
    // An entry behind is none of it, one within is, and one at its end goes on.
    with_entry(2_000, noted + 5, |entry| indexes.add(2, &entry));
    with_entry(5, 5, |entry| indexes.remove(2, &entry));
    with_entry(2_001, 5, |entry| indexes.add(2, &entry));
    assert_eq!(indexes.unknown(2), Some(noted));
    assert_eq!([2_000, 5, 2_001].map(|number| candidate(&mut indexes, 2, number)), [None, None, Some(5)]);
    with_entry(6, 6, |entry| indexes.remove(2, &entry));
    with_entry(2_002, noted, |entry| indexes.add(2, &entry));
    assert_eq!(indexes.unknown(2), Some(noted + 1));
    check_bytes(&indexes);
    // More than may be known, by changes: then nothing is.
    for number in 0..40 {
        with_entry(3_000 + number, number, |entry| indexes.add(2, &entry));
        check_bytes(&indexes);
    }
    assert_eq!(indexes.unknown(2), Some(0));
}

#[test]
fn nothing_is_known_without_memory() {
    for limit in [0, DIRECTORY_BYTES] {
        let mut indexes = Indexes::new(limit);
        assert_eq!(see_all(&mut indexes, 2, 10), 0);
        assert_eq!((indexes.unknown(2), indexes.list.len()), (Some(0), 0));
    }
}

#[test]
fn room_is_what_a_search_from_the_beginning_would_find() {
    const SLOTS: u32 = 320;
    let mut indexes = Indexes::new(1 << 20);
    let mut used = vec![false; SLOTS as usize];
    let mut random = 1_u32;
    let mut below = |end: u32| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random % end
    };
    indexes.see(2, 0, &Seen::Free);
    indexes.finish(2, 0);
    for _ in 0..if cfg!(miri) { 100 } else { 20_000 } {
        let count = below(16) + 1;
        let fits = |&start: &u32| {
            let last = start + count - 1;
            start / PER_SECTOR == last / PER_SECTOR && (start..=last).all(|slot| used.get(slot as usize) != Some(&true))
        };
        let expected = (0..).find(fits).unwrap();
        let (start, _) = indexes.room(2, count).unwrap();
        assert_eq!(start, expected, "{count} slots");
        let index = indexes.get(2).unwrap();
        if below(2) == 0 && start + count <= SLOTS {
            index.occupy(start, start + count - 1);
            used[start as usize..(start + count) as usize].fill(true);
        } else {
            let first = below(SLOTS);
            let last = (first + below(20)).min(SLOTS - 1);
            index.vacate(first, last);
            used[first as usize..=last as usize].fill(false);
        }
    }
}
