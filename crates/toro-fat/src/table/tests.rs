//! The table beside a list of numbers that is changed entry by entry.

use alloc::vec::Vec;
use alloc::{format, vec};
use core::cell::RefCell;

use super::*;
use crate::chain::{Chain, Pending, Place};
use crate::storage::StorageError;

/// A disk in memory.
struct Memory(RefCell<Vec<u8>>);

impl Storage for Memory {
    fn sectors(&self) -> u64 {
        (self.0.borrow().len() / SECTOR) as u64
    }
    fn is_read_only(&self) -> bool {
        false
    }
    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let start = sector as usize * SECTOR;
        buffer.copy_from_slice(&self.0.borrow()[start..start + buffer.len()]);
        Ok(())
    }
    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        let start = sector as usize * SECTOR;
        self.0.borrow_mut()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
    fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Random numbers (Marsaglia's xorshift32).
struct Random(u32);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % end
    }
}

fn layout(kind: FatKind, clusters: u32) -> Layout {
    Layout {
        kind,
        sectors_per_cluster: 1,
        clusters,
        table: 1,
        table_sectors: 20,
        copies: (1, 1),
        root: (0, 0),
        root_cluster: 0,
        data: 21,
        fs_info: None,
        state: 0,
    }
}

/// What the entries should be, the first two included.
struct Model(Vec<u32>);

impl Model {
    /// The clusters that `Table::allocate` should take, one by one.
    fn allocate(&mut self, count: u32, start: u32) -> Vec<u32> {
        let clusters = self.0.len() as u32 - 2;
        let numbers = (0..clusters).map(|step| (start - 2 + step) % clusters + 2);
        let taken: Vec<_> = numbers.filter(|&number| self.0[number as usize] == 0).take(count as usize).collect();
        for (&number, next) in taken.iter().zip(taken.iter().skip(1).copied().chain([u32::MAX])) {
            self.0[number as usize] = next;
        }
        taken
    }

    fn free(&mut self, table: &Table, head: u32) -> Vec<u32> {
        let mut freed = Vec::new();
        let mut cluster = head;
        while table.layout.is_cluster(cluster) {
            let value = self.0[cluster as usize];
            if matches!(table.link(value), Link::Free | Link::Invalid) {
                break;
            }
            self.0[cluster as usize] = 0;
            freed.push(cluster);
            cluster = value;
        }
        freed
    }

    fn follow(&self, table: &Table, cluster: u32, most: u32) -> (u32, Option<Link>) {
        for steps in 0..most {
            let value = self.0[(cluster + steps) as usize];
            if value != cluster + steps + 1 || !table.layout.is_cluster(value) {
                return (steps, Some(table.link(value)));
            }
        }
        (most, None)
    }
}

#[test]
fn many_entries_at_once_are_what_they_are_one_by_one() {
    // Tables that end in the middle of a sector, and at a whole number of them.
    for (kind, clusters) in [
        (FatKind::Fat12, 1_000),
        (FatKind::Fat12, 1_022),
        (FatKind::Fat16, 1_000),
        (FatKind::Fat16, 1_022),
        (FatKind::Fat32, 1_000),
        (FatKind::Fat32, 1_022),
    ] {
        let layout = layout(kind, clusters);
        let mut disk = Disk::new(Memory(RefCell::new(vec![0; 21 * SECTOR])), 8);
        let mut table = Table::new(&layout);
        let mut model = Model(vec![0; clusters as usize + 2]);
        let mut random = Random(1);
        if kind == FatKind::Fat32 {
            // Bits that are not ours.
            for number in 2..clusters + 2 {
                let (sector, offset) = table.place(u64::from(number) * 4 + 3);
                disk.edit(sector).unwrap()[offset] = 0xa0;
            }
        }
        for step in 0..if cfg!(miri) { 40 } else { 600 } {
            let what = format!("{kind:?}, {clusters} clusters, step {step}");
            // The last ones more often: they have no neighbours.
            let among = if random.below(3) == 0 { 8 } else { clusters };
            let cluster = clusters + 1 - random.below(among);
            match random.below(8) {
                0..=2 => {
                    let (count, after) = (random.below(120) + 1, random.below(3) > 0);
                    let start = if after { cluster + 1 } else { table.hint };
                    let start = if layout.is_cluster(start) { start } else { 2 };
                    let taken = model.allocate(count, start);
                    let run = table.allocate(&mut disk, count, after.then_some(cluster));
                    let expected = taken.first().map(|&head| Run { head, count: taken.len() as u32 });
                    assert_eq!(run, expected.ok_or(Error::NoSpace), "{what}");
                    if let Some(last) = taken.last() {
                        assert_eq!(table.hint, last + 1, "{what}");
                        model.0[*last as usize] = table.end();
                    }
                }
                3..=4 => {
                    let mut freed = Vec::new();
                    table.free(&mut disk, cluster, |_, first, count| freed.extend(first..first + count)).unwrap();
                    assert_eq!(freed, model.free(&table, cluster), "{what}");
                }
                5 => {
                    // Damage: to any cluster, to a neighbour that there is not, to a free one, a bad one.
                    let values = [random.below(clusters) + 2, cluster + 1, clusters + 2, 0, 1, table.end() & !8];
                    let value = values[random.below(6) as usize];
                    table.set_entry(&mut disk, cluster, value).unwrap();
                    model.0[cluster as usize] = value;
                    table.free = None;
                }
                _ => {
                    let most = random.below(clusters + 2 - cluster) + random.below(2);
                    let expected = model.follow(&table, cluster, most);
                    assert_eq!(table.follow(&mut disk, cluster, most), Ok(expected), "{what}, {cluster}");
                    table.free = None;
                }
            }
            let free = model.0.iter().skip(2).filter(|&&value| value == 0).count() as u32;
            assert_eq!(table.count_free(&mut disk), Ok(free), "{what}");
            if step % 50 == 0 {
                let values: Vec<_> = (2..clusters + 2).map(|number| table.entry(&mut disk, number).unwrap()).collect();
                assert!(values == model.0[2..], "{what}");
            }
        }
        // A neighbour that there is not.
        let last = clusters + 1;
        table.set_entry(&mut disk, last - 1, last).unwrap();
        table.set_entry(&mut disk, last, last + 1).unwrap();
        for (cluster, steps) in [(last - 1, 1), (last, 0)] {
            assert_eq!(table.follow(&mut disk, cluster, 9), Ok((steps, Some(Link::Invalid))), "{kind:?}");
        }
        if kind == FatKind::Fat32 {
            for number in 2..clusters + 2 {
                let (sector, offset) = table.place(u64::from(number) * 4 + 3);
                assert_eq!(disk.sector(sector).unwrap()[offset] & 0xf0, 0xa0, "{number}");
            }
        }
    }
}

#[test]
fn places_in_a_chain_are_where_a_walk_from_its_beginning_comes_to() {
    let clusters = 1_500;
    let layout = Layout { table_sectors: 40, data: 41, ..layout(FatKind::Fat32, clusters) };
    let mut disk = Disk::new(Memory(RefCell::new(vec![0; 41 * SECTOR])), 8);
    let table = Table::new(&layout);
    let mut random = Random(7);
    // Runs of one to a hundred neighbours, the runs in any order.
    let mut runs = Vec::new();
    let mut first = 2;
    while first < clusters + 2 {
        let end = (first + 1 + random.below(100) * random.below(2)).min(clusters + 2);
        runs.push(first..end);
        first = end;
    }
    for last in (1..runs.len()).rev() {
        runs.swap(last, random.below(last as u32 + 1) as usize);
    }
    let chain: Vec<u32> = runs.into_iter().flatten().collect();
    for pair in chain.windows(2) {
        table.set(&mut disk, pair[0], Link::Next(pair[1])).unwrap();
    }
    // What follows the tail is not in the table yet.
    let length = chain.len() as u32;
    let tail = random.below(length - 1);
    table.set(&mut disk, chain[tail as usize], Link::End).unwrap();
    table.set(&mut disk, chain[length as usize - 1], Link::End).unwrap();
    let mut place = Chain::new(chain[0]);
    place.pending = Pending::Link { tail: chain[tail as usize], head: chain[tail as usize + 1] };
    for step in 0..if cfg!(miri) { 60 } else { 3_000 } {
        if step % 1_000 == 999 {
            place.truncate(random.below(length) + 1);
        }
        let index = random.below(length + 1);
        let found = place.seek(&mut disk, &table, &layout, index).unwrap();
        let Some(&cluster) = chain.get(index as usize) else {
            assert_eq!(found, Place::End { length, tail: chain[length as usize - 1] });
            continue;
        };
        assert_eq!(found, Place::At(cluster), "number {index}");
        let most = random.below(200) + 1;
        let together = (index..length).take_while(|&at| chain[at as usize] == cluster + (at - index)).count() as u32;
        let count = place.run(&mut disk, &table, (index, cluster), most);
        assert_eq!(count, Ok(together.min(most)), "from number {index}");
    }
}
