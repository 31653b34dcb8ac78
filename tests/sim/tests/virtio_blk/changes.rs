//! A disk that changes while it is in use.

use crate::rig::*;

fn sectors(rig: &Rig) -> u64 {
    rig.disk.disk(0).expect("there is one").sectors
}

#[test]
fn blk_5_hd_cfg_4_refresh_reads_the_capacity_again_and_says_so_once() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::default() }.rig();
        assert!(!rig.disk.refresh());
        for capacity in [128, 32, 0, 64] {
            rig.model.resize(capacity);
            assert_ne!(sectors(&rig), capacity, "not before it is asked");
            assert!(rig.disk.refresh(), "{bus:?}");
            assert!(!rig.disk.refresh());
            assert_eq!(sectors(&rig), capacity);
            let request = rig.read(capacity.saturating_sub(1), &[512]);
            match capacity {
                0 => assert_eq!(rig.refusal(request), Refusal::Invalid),
                _ => assert_eq!(rig.run(request).result, Ok(())),
            }
            let request = rig.read(capacity, &[512]);
            assert_eq!(rig.refusal(request), Refusal::Invalid, "BLK-6");
        }
    }
}

#[test]
fn blk_5_a_line_that_tells_why_it_was_raised_needs_no_asking() {
    for bus in [Bus::Mmio, Bus::LegacyMmio] {
        let mut rig = Setup { bus, ..Setup::default() }.rig();
        rig.model.resize(20);
        assert_eq!(rig.disk.arm(), Ok(Armed::Idle));
        assert_eq!(sectors(&rig), 20, "{bus:?}");
        assert!(rig.disk.refresh(), "it has changed since it was last asked");
        assert!(!rig.disk.refresh());
    }
    // A message for each event says nothing: nothing is read then.
    let mut rig = Setup { bus: Bus::Pci, ..Setup::default() }.rig();
    rig.model.resize(20);
    let before = rig.model.device().state().config_reads.len();
    assert_eq!(rig.disk.arm(), Ok(Armed::Idle));
    assert_eq!((sectors(&rig), rig.model.device().state().config_reads.len()), (64, before));
}

#[test]
fn hd_blk_7_what_was_in_flight_when_the_disk_shrank_may_fail_and_nothing_else_happens() {
    let mut rig = Setup::default().rig();
    let request = rig.read(60, &[512]);
    rig.disk.submit(request).expect("the disk has it");
    rig.disk.publish();
    rig.model.resize(32);
    // Not known yet.
    let late = rig.read(61, &[512]);
    rig.disk.submit(late).expect("as far as is known");
    rig.disk.publish();
    assert!(rig.disk.refresh());
    rig.model.serve();
    for _ in 0..2 {
        let done = rig.completion();
        assert_eq!((done.result, bytes(&done.request)), (Err(BlockError::Failed), vec![0xee; 512]));
    }
    let request = rig.read(60, &[512]);
    assert_eq!(rig.refusal(request), Refusal::Invalid);
}

#[test]
fn hd_cfg_1_a_configuration_that_never_holds_still_is_believed_as_it_was() {
    let mut rig = Setup::default().rig();
    rig.model.device().lie(|lies| lies.unstable_generation = true);
    rig.model.resize(10);
    assert!(!rig.disk.refresh());
    assert_eq!(sectors(&rig), 64);
    rig.model.device().lie(|lies| lies.unstable_generation = false);
    assert!(rig.disk.refresh());
}

#[test]
fn a_mode_of_the_cache_that_the_device_changes_is_noticed() {
    let mut rig = Setup::default().rig();
    rig.model.reconfigure(|config| config[WRITEBACK] = 0);
    assert!(rig.disk.refresh());
    assert!(rig.disk.disk(0).expect("there is one").has_cache, "BLK-13: what was written before may be lost");
    assert_eq!(rig.flush(), Ok(()));
    assert!(!rig.disk.disk(0).expect("there is one").has_cache);
}

#[test]
fn block_size_and_limits_are_those_of_the_beginning() {
    let mut rig = Setup::default().rig();
    let before = (rig.disk.disk(0), rig.disk.limits());
    rig.model.reconfigure(|config| {
        let capacity: Vec<u8> = config[..8].to_vec();
        config.fill(0xff);
        config[..8].copy_from_slice(&capacity);
    });
    assert!(!rig.disk.refresh());
    assert_eq!((rig.disk.disk(0), rig.disk.limits()), before);
}

#[test]
fn a_device_that_asks_for_a_reset_is_a_fault() {
    let mut rig = Setup::default().rig();
    {
        let mut state = rig.model.device().state();
        state.status |= 64;
        state.interrupt |= 2;
    }
    assert_eq!(rig.disk.arm(), Err(DeviceFault::NeedsReset));
    rig.disk.reset(&mut |_| {}).expect("it resets");
    assert_eq!(rig.disk.arm(), Ok(Armed::Idle));
}
