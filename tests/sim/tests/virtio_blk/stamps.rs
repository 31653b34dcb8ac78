//! Every sector has a stamp that says where it belongs and which write it is of: requests at random, answered in any
//! order, must leave each stamp where it belongs.

use std::collections::HashMap;

use crate::rig::*;

/// Numbers at random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn stamp(sector: u64, version: u64) -> [u8; 512] {
    let mut bytes = [0; 512];
    for word in bytes.chunks_exact_mut(16) {
        word[..8].copy_from_slice(&sector.to_le_bytes());
        word[8..].copy_from_slice(&version.to_le_bytes());
    }
    bytes
}

/// What was asked for, by id.
struct Asked {
    /// The stamp of each sector: of a write the new one, of a read the one that is there.
    versions: Vec<u64>,
}

struct Walk {
    rig: Rig,
    random: Random,
    /// The version of each sector.
    disk: Vec<u64>,
    /// Sectors that a request in flight covers: no other touches them, as nothing orders the two.
    busy: Vec<bool>,
    asked: HashMap<RequestId, Asked>,
    version: u64,
}

impl Walk {
    /// Submits a read or write of some sectors in some buffers, if they are free.
    fn submit(&mut self) {
        let capacity = self.disk.len() as u64;
        let most = self.rig.disk.limits().segments as u64;
        let parts = 1 + self.random.below(most.min(5));
        let lengths: Vec<usize> = (0..parts).map(|_| 512 * (1 + self.random.below(3) as usize)).collect();
        let sectors = (lengths.iter().sum::<usize>() / 512) as u64;
        let sector = self.random.below(capacity - sectors + 1);
        let range = sector as usize..(sector + sectors) as usize;
        if self.busy[range.clone()].contains(&true) {
            return;
        }
        let is_write = self.random.below(2) == 0;
        if is_write {
            for place in &mut self.disk[range.clone()] {
                self.version += 1;
                *place = self.version;
            }
        }
        let operation = if is_write { BlockOperation::Write { sector } } else { BlockOperation::Read { sector } };
        let mut request = self.rig.request(operation, &lengths);
        if is_write {
            let stamps =
                (sector..).zip(&self.disk[range.clone()]).flat_map(|(sector, &version)| stamp(sector, version));
            let all = request.data.as_mut_slice().iter_mut().flat_map(|buffer| buffer.iter_mut());
            all.zip(stamps).for_each(|(byte, stamp)| *byte = stamp);
        }
        let versions = self.disk[range.clone()].to_vec();
        let id = self.rig.disk.submit(request).expect("there is room");
        assert!(self.asked.insert(id, Asked { versions }).is_none(), "unique among those in flight");
        self.busy[range].fill(true);
    }

    fn complete(&mut self) {
        while let Some(done) = self.rig.disk.complete().expect("sound rings") {
            let Asked { versions } = self.asked.remove(&done.id).expect("it was asked for, once");
            assert_eq!(done.result, Ok(()));
            let (BlockOperation::Read { sector } | BlockOperation::Write { sector }) = done.request.operation else {
                panic!("nothing else was sent")
            };
            let found = bytes(&done.request);
            for (number, version) in versions.into_iter().enumerate() {
                let place = sector + number as u64;
                assert_eq!(found[number * 512..][..512], stamp(place, version), "sector {place}");
                self.busy[place as usize] = false;
            }
        }
    }
}

#[test]
fn every_sector_comes_back_with_its_own_stamp() {
    let (seeds, steps) = if cfg!(miri) { (1, 30) } else { (8, 1500) };
    for seed in 0..seeds {
        let features = [0, INDIRECT_DESC, INDIRECT_DESC | EVENT_IDX, EVENT_IDX][seed as usize % 4];
        let bus = ALL_BUSES[seed as usize / 2 % 4];
        let options = Options { segments_without_tables: 5, ..Options::default() };
        let mut rig = Setup { bus, options, ..Setup::with_features(features | SEG_MAX) }.rig();
        let mut walk = {
            let disk = vec![0; 64];
            for (sector, place) in rig.model.image.chunks_exact_mut(512).enumerate() {
                place.copy_from_slice(&stamp(sector as u64, 0));
            }
            rig.model.manner = Manner::Reordering;
            let busy = vec![false; 64];
            Walk { rig, random: Random(seed), disk, busy, asked: HashMap::new(), version: 0 }
        };
        for _ in 0..steps {
            match walk.random.below(4) {
                0 | 1 if walk.asked.len() < walk.rig.disk.limits().in_flight => walk.submit(),
                2 => walk.rig.disk.publish(),
                _ => {
                    walk.rig.model.serve();
                    walk.complete();
                }
            }
        }
        walk.rig.disk.publish();
        walk.rig.model.manner = Manner::Obedient;
        walk.rig.model.serve();
        walk.complete();
        assert!(walk.asked.is_empty());
        for (sector, (place, version)) in walk.rig.model.image.chunks_exact(512).zip(&walk.disk).enumerate() {
            assert_eq!(place, stamp(sector as u64, *version), "sector {sector}");
        }
    }
}
