//! The write cache: what may be lost, and what makes it stable.

use crate::rig::*;

const ONES: [u8; 512] = [1; 512];

fn has_cache(rig: &Rig) -> bool {
    rig.disk.disk(0).expect("there is one").has_cache
}

/// Writes sector `sector` and waits for it.
fn write(rig: &mut Rig, sector: u64) {
    let request = rig.write(sector, &ONES);
    assert_eq!(rig.run(request).result, Ok(()));
}

/// The bytes at a sector after a loss of power.
fn survives(rig: &mut Rig, sector: usize) -> bool {
    rig.model.lose_power();
    rig.model.image[sector * 512..][..512] == ONES
}

#[test]
fn blk_2_blk_1_without_flushes_writes_are_stable_and_nobody_can_flush() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::with_features(EVERYTHING & !FLUSH) }.rig();
        // CONFIG_WCE says nothing without FLUSH.
        assert_eq!(rig.model.device().state().accepted & (CONFIG_WCE | FLUSH), 0);
        assert!(!has_cache(&rig));
        let request = rig.request(BlockOperation::Flush, &[]);
        assert_eq!(rig.refusal(request), Refusal::Invalid);
        write(&mut rig, 5);
        assert!(survives(&mut rig, 5));
    }
}

#[test]
fn blk_2_15_25_with_flushes_alone_writes_are_lost_until_one() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::with_features(FLUSH) }.rig();
        assert_ne!(rig.model.device().state().accepted & FLUSH, 0, "BLK-25: accepted where it is offered");
        assert!(has_cache(&rig));
        write(&mut rig, 5);
        assert!(!survives(&mut rig, 5), "{bus:?}");
        write(&mut rig, 5);
        assert_eq!(rig.flush(), Ok(()));
        assert!(survives(&mut rig, 5));
    }
}

#[test]
fn blk_15_a_flush_covers_what_had_completed_when_it_was_submitted() {
    let mut rig = Setup::with_features(FLUSH).rig();
    write(&mut rig, 1);
    let flush = rig.request(BlockOperation::Flush, &[]);
    let later = rig.write(2, &ONES);
    rig.disk.submit(flush).expect("there is room");
    rig.disk.submit(later).expect("there is room");
    rig.disk.publish();
    // Served in the order in which they came: the later write is in the cache when power is lost.
    rig.model.serve();
    assert!((0..2).all(|_| rig.completion().result.is_ok()));
    rig.model.lose_power();
    assert_eq!((rig.model.image[512], rig.model.image[1024]), (1, 0));
}

#[test]
fn blk_3_23_the_mode_is_read_after_the_features_are_settled() {
    for bus in ALL_BUSES {
        let rig = Setup { bus, ..Setup::default() }.rig();
        let state = rig.model.device().state();
        let settled = if bus.is_legacy() { 2 } else { 8 };
        let reads: Vec<_> = state.config_reads.iter().filter(|(offset, _)| *offset == WRITEBACK).collect();
        assert!(!reads.is_empty() && reads.iter().all(|(_, status)| status & settled != 0), "{bus:?}: {reads:?}");
    }
}

#[test]
fn blk_13_after_the_switch_earlier_writes_are_unstable_until_a_flush() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::default() }.rig();
        write(&mut rig, 1);
        rig.disk.set_write_cache(WriteCache::WriteThrough).expect("there is a switch");
        assert_eq!(rig.model.device().state().config[WRITEBACK], 0);
        assert!(has_cache(&rig), "what was written before may be lost");
        write(&mut rig, 2);
        assert!(has_cache(&rig));
        assert_eq!(rig.flush(), Ok(()));
        assert!(!has_cache(&rig), "{bus:?}");
        write(&mut rig, 3);
        assert!(survives(&mut rig, 1) && survives(&mut rig, 2) && survives(&mut rig, 3));
        rig.disk.set_write_cache(WriteCache::WriteBack).expect("there is a switch");
        assert!(has_cache(&rig));
    }
}

#[test]
fn blk_13_only_a_flush_that_came_after_the_switch_and_was_done_counts() {
    let mut rig = Setup::default().rig();
    let early = rig.request(BlockOperation::Flush, &[]);
    rig.disk.submit(early).expect("there is room");
    rig.disk.publish();
    rig.disk.set_write_cache(WriteCache::WriteThrough).expect("there is a switch");
    rig.model.serve();
    assert_eq!(rig.completion().result, Ok(()));
    assert!(has_cache(&rig), "that one came before");
    rig.model.lie = Some(Lie::Status(2));
    assert_eq!(rig.flush(), Err(BlockError::Unsupported));
    assert!(has_cache(&rig), "HD-BLK-5: that one was not done");
    // One of an earlier switch does not count for a later one.
    rig.model.lie = None;
    let between = rig.request(BlockOperation::Flush, &[]);
    rig.disk.submit(between).expect("there is room");
    rig.disk.publish();
    for mode in [WriteCache::WriteBack, WriteCache::WriteThrough] {
        rig.disk.set_write_cache(mode).expect("there is a switch");
    }
    rig.model.serve();
    assert_eq!(rig.completion().request.operation, BlockOperation::Flush);
    assert!(has_cache(&rig));
    assert_eq!(rig.flush(), Ok(()));
    assert!(!has_cache(&rig));
}

#[test]
fn a_switch_that_is_not_there_or_stuck_is_an_error() {
    let mut rig = Setup::with_features(FLUSH).rig();
    assert_eq!(rig.disk.set_write_cache(WriteCache::WriteThrough), Err(BlockError::Unsupported));
    let mut rig = Setup::default().rig();
    rig.model.device().lie(|lies| lies.unstable_generation = true);
    assert_eq!(rig.disk.set_write_cache(WriteCache::WriteThrough), Err(BlockError::Failed));
    assert!(has_cache(&rig));
    let mut rig = Setup::default().rig();
    rig.model.device().lie(|lies| lies.stuck_config = true);
    assert_eq!(rig.disk.set_write_cache(WriteCache::WriteThrough), Err(BlockError::Failed));
    assert!(has_cache(&rig));
    assert_eq!(rig.disk.set_write_cache(WriteCache::WriteBack), Ok(()), "as it is");
}
