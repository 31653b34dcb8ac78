//! Beginning anew.

use crate::rig::*;

#[test]
fn ini_12_20_a_reset_hands_back_what_is_unfinished_and_works_again() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::default() }.rig();
        rig.model.manner = Manner::Silent;
        let mut expected = Vec::new();
        for sector in 0..5 {
            let request = rig.read(sector, &[512, 512]);
            expected.push((rig.disk.submit(request).expect("there is room"), BlockOperation::Read { sector }));
        }
        let flush = rig.request(BlockOperation::Flush, &[]);
        expected.push((rig.disk.submit(flush).expect("there is room"), BlockOperation::Flush));
        rig.disk.publish();
        rig.model.serve();
        let not_shown = rig.write(9, &[1; 512]);
        expected.push((rig.disk.submit(not_shown).expect("there is room"), BlockOperation::Write { sector: 9 }));
        let lifetime = rig.buffer(64);
        rig.disk.submit_lifetime(lifetime).expect("there is room");

        let mut unfinished = Vec::new();
        rig.disk.reset(&mut |done| unfinished.push(done)).expect("it resets");
        let found: Vec<_> = unfinished.iter().map(|done| (done.id, done.request.operation)).collect();
        assert_eq!(found, expected, "{bus:?}");
        assert!(unfinished.iter().all(|done| done.result == Err(BlockError::Interrupted)));
        drop(unfinished);
        assert_eq!(rig.pool.available(), rig.pool.count(), "every buffer came home");

        rig.model.manner = Manner::Obedient;
        let request = rig.read(0, &[512, 512]);
        assert_eq!(rig.run(request).result, Ok(()));
        assert_eq!(rig.memory.blocks(), Setup { bus, ..Setup::default() }.rig().memory.blocks(), "nothing is leaked");
    }
}

#[test]
fn a_reset_finds_the_disk_as_it_is_now() {
    let mut rig = Setup::default().rig();
    rig.model.resize(16);
    {
        let mut state = rig.model.device().state();
        state.offered = VERSION_1 | RO;
        state.config[20..24].copy_from_slice(&1024_u32.to_le_bytes());
    }
    rig.disk.reset(&mut |_| panic!("nothing was in flight")).expect("it resets");
    let disk = rig.disk.disk(0).expect("there is one");
    assert_eq!((disk.sectors, disk.is_read_only, disk.has_cache, disk.block_size), (16, true, false, 512));
    assert_eq!(rig.disk.limits().in_flight, 21, "there are no tables any more");
    assert!(rig.disk.refresh(), "it has changed");
    assert_eq!(rig.result_of(BlockOperation::Read { sector: 0 }, &[512]), Ok(()));
}

#[test]
fn blk_13_15_a_reset_makes_nothing_stable_that_was_not() {
    // Switched off before the reset by the driver, and during it by the device.
    for is_early in [true, false] {
        let mut rig = Setup::default().rig();
        let request = rig.write(5, &[1; 512]);
        assert_eq!(rig.run(request).result, Ok(()));
        match is_early {
            true => rig.disk.set_write_cache(WriteCache::WriteThrough).expect("there is a switch"),
            false => rig.model.reconfigure(|config| config[WRITEBACK] = 0),
        }
        rig.disk.reset(&mut |_| panic!("nothing was in flight")).expect("it resets");
        assert!(rig.disk.disk(0).expect("there is one").has_cache, "what was written before may be lost");
        assert_eq!(rig.flush(), Ok(()));
        assert!(!rig.disk.disk(0).expect("there is one").has_cache);
        rig.model.lose_power();
        assert_eq!(rig.model.image[5 * 512], 1);
    }
}

#[test]
fn hd_st_1_a_device_that_does_not_reset_is_gone_and_keeps_what_it_knows() {
    for bus in ALL_BUSES {
        let memory = SimMemory::leak();
        let setup = Setup { bus, ..Setup::default() };
        let mut model = setup.model(memory);
        let disk = VirtioBlk::new(transport(model.device(), bus), memory, &HASTE, &setup.options);
        let mut disk = disk.expect("a sound disk");
        let mut pool = DmaPool::new(memory, 2, 512).expect("memory");
        let mut request = || {
            let mut buffer = pool.take().expect("there are two");
            buffer.set_len(512).expect("as long as it is");
            BlockRequest { unit: 0, operation: BlockOperation::Read { sector: 0 }, data: buffer.into() }
        };
        disk.submit(request()).expect("there is room");
        disk.publish();
        model.take();
        model.device().lie(|lies| lies.never_resets = true);
        let blocks = memory.blocks();
        let error = disk.reset(&mut |_| panic!("it is still the device's")).expect_err("it does not confirm");
        assert_eq!(error, AttachError::TimedOut, "{bus:?}");
        assert_eq!(model.device().state().status & 128, 128, "marked FAILED");
        assert_eq!(memory.blocks(), blocks, "nothing is freed");
        // It is gone for good, and says so.
        assert_eq!(disk.submit(request()).expect_err("gone").reason, Refusal::Faulted(DeviceFault::Gone));
        disk.publish();
        assert_eq!(disk.complete().map(|_| ()), Err(DeviceFault::Gone));
        assert_eq!(disk.arm(), Err(DeviceFault::Gone));
        assert_eq!(disk.set_write_cache(WriteCache::WriteBack), Err(BlockError::Interrupted));
        assert!(!disk.refresh() && format!("{disk:?}").contains("gone"));
        assert_eq!(disk.reset(&mut |_| {}), Err(AttachError::Fault(DeviceFault::Gone)));
    }
}

#[test]
fn a_disk_that_is_stopped_gives_everything_back_and_can_be_begun_with_again() {
    for bus in ALL_BUSES {
        let Rig { memory, model, mut disk, mut pool } = Setup { bus, ..Setup::default() }.rig();
        let mut buffer = pool.take().expect("there is one");
        buffer.set_len(512).expect("not more than 4096");
        let operation = BlockOperation::Read { sector: 1 };
        disk.submit(BlockRequest { unit: 0, operation, data: buffer.into() }).expect("there is room");
        disk.publish();
        let mut unfinished = Vec::new();
        let stopped = disk.stop(&mut |done| unfinished.push((done.request.operation, done.result)));
        let (transport, slots) = stopped.expect("it resets");
        assert_eq!(unfinished, [(operation, Err(BlockError::Interrupted))], "{bus:?}");
        assert_eq!((model.device().state().status, slots.len()), (0, 64));
        assert_eq!(pool.available(), pool.count());
        drop(pool);
        assert_eq!(memory.blocks(), 0, "nothing is left");
        VirtioBlk::new(transport, memory, &CLOCK, &Options::default()).expect("as before");
    }
}
