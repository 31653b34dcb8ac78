//! A cached volume is a plain vector of bytes, and what was flushed survives a cut.

use std::vec::Vec;

use proptest::prelude::*;
use toro_core::driver::block::BlockError;

use super::*;
use crate::fs::block::cache::{CachedDisk, Policy};

/// Sectors of the disk, and where the volume lies on it: not on a block of the cache, and with a short last block.
const DISK: u64 = 1700;
const FIRST: u64 = 63;
const SECTORS: u64 = 1605;

const POLICY: Policy = Policy::WriteBack { bytes: 0 };

fn cached(machine: &Machine) -> CachedDisk {
    CachedDisk::new(machine.volume(FIRST, SECTORS), POLICY, None)
}

fn initial() -> Vec<u8> {
    (FIRST..FIRST + SECTORS).flat_map(|sector| [sector as u8; 512]).collect()
}

fn volume_of(contents: &[[u8; 512]]) -> Vec<u8> {
    contents[FIRST as usize..(FIRST + SECTORS) as usize].concat()
}

#[derive(Clone, Debug)]
enum Step {
    Read { sector: u64, sectors: u64 },
    Write { sector: u64, sectors: u64, byte: u8 },
    Flush,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![1u64..20, Just(8), 100u64..300, Just(128), 1000u64..1600];
    let place = (prop_oneof![0u64..200, 0..SECTORS], length);
    prop_oneof![
        3 => place.clone().prop_map(|(sector, sectors)| Step::Read { sector, sectors: sectors.min(SECTORS - sector) }),
        4 => (place, any::<u8>()).prop_map(|((sector, sectors), byte)| {
            Step::Write { sector, sectors: sectors.min(SECTORS - sector), byte }
        }),
        1 => Just(Step::Flush),
        1 => (0u64..4000).prop_map(Step::Pass),
    ]
}

/// What is written: every sector differs.
fn pattern(sector: u64, sectors: u64, byte: u8) -> Vec<u8> {
    (sector..sector + sectors).flat_map(|sector| [byte ^ (sector as u8).rotate_left(3); 512]).collect()
}

fn range(sector: u64, sectors: u64) -> core::ops::Range<usize> {
    sector as usize * 512..(sector + sectors) as usize * 512
}

/// What a sector may hold after a cut: what it held at the last flush, or anything that was written later.
struct Allowed(Vec<Vec<u8>>);

impl Allowed {
    fn flush(&mut self) {
        self.0.iter_mut().for_each(|bytes| drop(bytes.drain(..bytes.len() - 1)));
    }
}

fn run(steps: &[Step], order: u64, survivors: u64) {
    let machine = Machine::with_sectors(DISK);
    machine.model.lock().behaviour.order = order;
    let disk = cached(&machine);
    let mut plain = initial();
    let mut allowed = Allowed(plain.chunks(512).map(|row| vec![row[0]]).collect());
    for step in steps {
        match *step {
            Step::Read { sector, sectors } => {
                let mut bytes = vec![0xA5; sectors as usize * 512];
                assert_eq!(disk.read(sector, &mut bytes), Ok(()));
                assert!(bytes == plain[range(sector, sectors)], "{step:?}");
            }
            Step::Write { sector, sectors, byte } => {
                let bytes = pattern(sector, sectors, byte);
                assert_eq!(disk.write(sector, &bytes), Ok(()));
                plain[range(sector, sectors)].copy_from_slice(&bytes);
                for (sector, row) in (sector as usize..).zip(bytes.chunks(512)) {
                    allowed.0[sector].push(row[0]);
                }
            }
            Step::Flush => {
                assert_eq!(disk.flush(), Ok(()));
                allowed.flush();
                let inner = machine.model.lock();
                assert!(volume_of(&inner.after_cut(|_| false)) == plain, "all is stable");
            }
            Step::Pass(milliseconds) => {
                machine.pump.advance(Duration::from_millis(milliseconds));
                if !disk.is_clean() {
                    disk.tend();
                }
            }
        }
        // A cut here, with any part of what was not flushed.
        let mut state = survivors;
        let medium = machine.model.lock().after_cut(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 63 == 1
        });
        for (sector, row) in volume_of(&medium).chunks(512).enumerate() {
            assert!(row[0] == row[511] && allowed.0[sector].contains(&row[0]), "sector {sector} after {step:?}");
        }
    }
    assert_eq!(disk.flush(), Ok(()));
    let contents = machine.model.lock().after_cut(|_| false);
    assert!(volume_of(&contents) == plain);
    // Nothing outside of the volume has changed.
    assert!(
        contents
            .iter()
            .zip(0u64..)
            .all(|(row, sector)| { (FIRST..FIRST + SECTORS).contains(&sector) || *row == [sector as u8; 512] })
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cached_disk_is_a_plain_vector_and_what_was_flushed_survives_a_cut(
        steps in prop::collection::vec(step(), 1..30),
        order in any::<u64>(),
        survivors in any::<u64>(),
    ) {
        run(&steps, order, survivors);
    }
}

#[test]
fn small_writes_wait_and_go_out_in_ascending_runs() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    for block in [9u64, 3, 8, 2, 20] {
        assert_eq!(disk.write(block * 8, &[7; 4096]), Ok(()));
    }
    assert_eq!(machine.model.lock().asked, []);
    disk.tend();
    assert_eq!(machine.model.lock().asked, [], "not yet");
    machine.pump.advance(3 * SECOND);
    disk.tend();
    let asked: Vec<_> = machine.model.lock().asked.iter().map(|asked| (asked.operation, asked.bytes)).collect();
    let write = |block: u64, blocks: usize| (BlockOperation::Write { sector: FIRST + block * 8 }, blocks * 4096);
    assert_eq!(asked, [write(2, 2), write(8, 2), write(20, 1)]);
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(machine.model.lock().asked.len(), 4, "one flush of the disk, and none for nothing");
}

#[test]
fn the_dirty_part_is_bounded() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    for sector in 0..SECTORS / 8 {
        assert_eq!(disk.write(sector * 8, &[7; 4096]), Ok(()));
        let inner = machine.model.lock();
        let written: u64 = inner.asked.iter().map(|asked| asked.bytes as u64 / 512).sum();
        assert!((sector + 1) * 8 - written <= 32 * 8, "a quarter of 128 blocks");
    }
}

#[test]
fn what_is_read_again_is_not_asked_for_again_and_a_sequential_reader_is_ahead() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    let mut bytes = [0; 512];
    for sector in 0..128 {
        assert_eq!(disk.read(sector, &mut bytes), Ok(()));
        assert_eq!(bytes, [(FIRST + sector) as u8; 512]);
    }
    assert_eq!(machine.model.lock().asked.len(), 1, "64 KiB");
    for sector in [1000, 1001, 1000, 1500] {
        assert_eq!(disk.read(sector, &mut bytes), Ok(()));
    }
    assert_eq!(machine.model.lock().asked.iter().skip(1).map(|asked| asked.bytes).collect::<Vec<_>>(), [4096, 4096]);
}

#[test]
fn large_transfers_pass_the_cache_and_agree_with_it() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    assert_eq!(disk.write(16, &[1; 4096]), Ok(()));
    let mut bytes = vec![0; 128 << 10];
    assert_eq!(disk.read(0, &mut bytes), Ok(()));
    assert_eq!(bytes[16 * 512..24 * 512], [1; 4096]);
    assert_eq!(disk.write(0, &vec![2; 128 << 10]), Ok(()));
    let mut bytes = [0; 4096];
    assert_eq!(disk.read(16, &mut bytes), Ok(()));
    assert_eq!(bytes, [2; 4096]);
    let before = machine.model.lock().asked.len();
    machine.pump.advance(5 * SECOND);
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(machine.model.lock().asked.len(), before + 1, "what was dirty was written over; only the flush is left");
}

#[test]
fn a_write_through_cache_keeps_nothing_back() {
    let machine = Machine::with_sectors(DISK);
    let disk = CachedDisk::new(machine.volume(FIRST, SECTORS), Policy::WriteThrough, None);
    assert_eq!(disk.write(3, &[9; 512]), Ok(()));
    assert_eq!(machine.model.lock().contents()[FIRST as usize + 3], [9; 512]);
}

#[test]
fn a_flush_reports_what_could_not_be_written_until_it_is() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    machine.model.lock().behaviour.bad.insert(FIRST + 85);
    // A run of 20 blocks, one of which is bad.
    for block in 0..20 {
        assert_eq!(disk.write(block * 8, &[7; 4096]), Ok(()));
    }
    machine.pump.advance(3 * SECOND);
    disk.tend();
    for _ in 0..2 {
        assert_eq!(disk.flush(), Err(BlockError::Medium { sector: Some(FIRST + 85) }.into()));
    }
    let stable = volume_of(&machine.model.lock().after_cut(|_| false));
    let (bad, good): (Vec<_>, Vec<_>) =
        stable[..20 * 4096].chunks(4096).enumerate().partition(|(block, _)| *block == 10);
    assert!(good.iter().all(|(_, bytes)| bytes.iter().all(|&byte| byte == 7)), "all others are stable");
    assert!(bad.iter().all(|(_, bytes)| bytes[0] != 7));
    machine.model.lock().behaviour.bad.clear();
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(volume_of(&machine.model.lock().after_cut(|_| false))[..20 * 4096], [7; 20 * 4096]);
}

#[test]
fn a_cache_that_cannot_get_rid_of_what_it_has_takes_no_more() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    machine.model.lock().behaviour.bad.extend(0..DISK);
    let results: Vec<_> = (0..64).map(|block| disk.write(block * 8, &[7; 4096])).collect();
    assert!(results[..32].iter().all(Result::is_ok));
    assert!(results[32..].iter().all(Result::is_err));
    let mut bytes = [0; 4096];
    assert_eq!(disk.read(0, &mut bytes), Ok(()), "it is still here");
    machine.model.lock().behaviour.bad.clear();
    assert_eq!(disk.write(63 * 8, &[7; 4096]), Ok(()));
    assert_eq!(disk.flush(), Ok(()));
}

#[test]
fn a_flush_that_the_disk_refuses_is_an_error() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    assert_eq!(disk.write(0, &[7; 512]), Ok(()));
    machine.model.lock().behaviour.flush_fails = true;
    assert_eq!(disk.flush(), Err(BlockError::Failed.into()));
    machine.model.lock().behaviour.flush_fails = false;
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(volume_of(&machine.model.lock().after_cut(|_| false))[..512], [7; 512]);
}

#[test]
fn a_write_during_a_flush_does_not_hold_it_up_and_is_not_lost() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    machine.model.lock().behaviour.delay = 3;
    assert_eq!(disk.write(8, &[1; 4096]), Ok(()));
    // While the copy of the block is on its way, and then on and on.
    for round in 2..8 {
        let disk = disk.clone();
        machine.pump.meanwhile(move || assert_eq!(disk.write(8, &[round; 4096]), Ok(())));
    }
    assert_eq!(disk.flush(), Ok(()));
    let mut bytes = [0; 4096];
    assert_eq!(disk.read(8, &mut bytes), Ok(()));
    assert!(bytes[0] > 1, "somebody wrote meanwhile");
    let stable = volume_of(&machine.model.lock().after_cut(|_| false));
    assert!(stable[4096] >= 1 && stable[4096] < 64);
    let newest = bytes[0];
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(volume_of(&machine.model.lock().after_cut(|_| false))[4096], newest);
}

#[test]
fn a_write_during_a_flush_that_fails_does_not_hide_that() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    machine.model.lock().behaviour.delay = 3;
    machine.model.lock().behaviour.bad.insert(FIRST + 8);
    assert_eq!(disk.write(8, &[1; 4096]), Ok(()));
    // While its block is on its way.
    let other = disk.clone();
    machine.pump.meanwhile(move || assert_eq!(other.write(8, &[2; 4096]), Ok(())));
    assert_eq!(disk.flush(), Err(BlockError::Medium { sector: Some(FIRST + 8) }.into()));
    machine.model.lock().behaviour.bad.clear();
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(volume_of(&machine.model.lock().after_cut(|_| false))[8 * 512], 2);
}

#[test]
fn a_flush_among_small_and_large_writes_leaves_everything_stable() {
    for order in 1..40 {
        let machine = Machine::with_sectors(DISK);
        let disk = cached(&machine);
        machine.model.lock().behaviour.order = order;
        machine.model.lock().behaviour.delay = (order % 4) as usize;
        for block in 0..20 {
            assert_eq!(disk.write(block * 16, &[1; 4096]), Ok(()));
        }
        let (first, second) = (disk.clone(), disk.clone());
        machine.pump.meanwhile(move || assert_eq!(first.write(0, &[2; 512]), Ok(())));
        machine.pump.meanwhile(move || assert_eq!(second.write(160, &vec![3; 64 << 10]), Ok(())));
        assert_eq!(disk.flush(), Ok(()));
        let stable = volume_of(&machine.model.lock().after_cut(|_| false));
        assert_eq!(stable[16 * 512], 1);
        assert_eq!(disk.flush(), Ok(()));
        let stable = volume_of(&machine.model.lock().after_cut(|_| false));
        assert_eq!((stable[0], stable[512], stable[160 * 512], stable[287 * 512]), (2, 1, 3, 3));
    }
}

#[test]
fn what_is_out_of_place_or_read_only_is_refused() {
    let machine = Machine::with_sectors(DISK);
    let disk = cached(&machine);
    let mut bytes = [0; 1024];
    assert_eq!(disk.read(SECTORS, &mut bytes[..512]), Err(DiskError::Misplaced));
    assert_eq!(disk.read(SECTORS - 1, &mut bytes), Err(DiskError::Misplaced));
    assert_eq!(disk.write(u64::MAX, &bytes), Err(DiskError::Misplaced));
    assert_eq!(disk.write(0, &bytes[..100]), Err(DiskError::Misplaced));
    assert_eq!(disk.read(SECTORS, &mut []), Ok(()));
    machine.model.lock().disk.is_read_only = true;
    let disk = cached(&machine);
    assert!(disk.is_read_only());
    assert_eq!(disk.write(0, &bytes), Err(DiskError::ReadOnly));
    assert_eq!(disk.flush(), Ok(()));
}

#[test]
fn a_disk_with_large_blocks_is_written_in_whole_ones() {
    let model = Model::new(4096);
    model.lock().disk.block_size = 8192;
    let machine = Machine::new(model);
    let disk = CachedDisk::new(machine.volume(0, 4090), POLICY, None);
    assert_eq!(disk.sectors(), 4080, "whole blocks");
    assert_eq!(disk.write(5, &[1; 1536]), Ok(()));
    assert_eq!(disk.write(4079, &[2; 512]), Ok(()));
    assert_eq!(disk.flush(), Ok(()));
    let contents = machine.model.lock().after_cut(|_| false);
    assert_eq!((contents[4][0], contents[5][0], contents[7][0], contents[8][0], contents[4079][0]), (4, 1, 1, 8, 2));
}
