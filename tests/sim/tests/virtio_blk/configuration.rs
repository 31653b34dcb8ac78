//! What is accepted of what the disk offers, and what is believed of its configuration.

use crate::rig::*;

#[test]
fn blk_4_7_22_what_is_known_is_accepted_and_nothing_else() {
    for bus in ALL_BUSES {
        // Barriers, geometry, SCSI, zones: everything that a device of this type could offer.
        let all = 0x00ff_ffff;
        let setup = Setup { bus, ..Setup::with_features(all) };
        let rig = setup.rig();
        let accepted = rig.model.device().state().accepted & all;
        assert_eq!(accepted, EVERYTHING | RO, "{bus:?}: MQ is for those who want several queues");
        let rig = Setup { bus, ..Setup::with_features(0) }.rig();
        assert_eq!(rig.model.device().state().accepted & all, 0);
    }
}

#[test]
fn blk_4_a_zoned_disk_that_insists_is_given_up() {
    for bus in BUSES {
        let setup = Setup { bus, ..Setup::with_features(1 << 17) };
        let model = setup.model(SimMemory::leak());
        model.device().lie(|lies| lies.rejects_features = true);
        let disk = VirtioBlk::new(transport(model.device(), bus), SimMemory::leak(), &CLOCK, &setup.options);
        assert_eq!(disk.map(|_| ()).expect_err("the device does not want it"), AttachError::Features);
        assert_eq!(model.device().state().status & 128, 128, "marked FAILED");
    }
}

#[test]
fn blk_7_a_read_only_disk_is_read_and_nothing_else() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::with_features(EVERYTHING | RO) }.rig();
        assert!(rig.disk.disk(0).expect("there is one").is_read_only);
        for (operation, len) in [
            (BlockOperation::Write { sector: 0 }, 512),
            (BlockOperation::Discard { sector: 0, sectors: 8 }, 64),
            (BlockOperation::WriteZeroes { sector: 0, sectors: 8, may_discard: false }, 64),
            (BlockOperation::SecureErase { sector: 0, sectors: 8 }, 64),
        ] {
            let request = rig.request(operation, &[len]);
            assert_eq!(rig.refusal(request), Refusal::Invalid, "{operation:?}");
        }
        assert_eq!(rig.result_of(BlockOperation::Read { sector: 0 }, &[512]), Ok(()));
        assert_eq!(rig.flush(), Ok(()));
    }
}

#[test]
fn the_disk_is_described_as_it_is() {
    for bus in ALL_BUSES {
        let config = BlockConfig { blk_size: 1024, physical_exponent: 2, ..BlockConfig::default() };
        let rig = Setup { bus, config, ..Setup::default() }.rig();
        let disk =
            Disk { sectors: 64, block_size: 1024, physical_block_size: 4096, is_read_only: false, has_cache: true };
        assert_eq!((rig.disk.disk(0), rig.disk.disk(1), rig.disk.units()), (Some(disk), None, 1), "{bus:?}");
        let limits = BlockLimits {
            in_flight: 64,
            segments: 30,
            segment_bytes: 1 << 20,
            sectors: 1 << 22,
            discard_sectors: 32,
            write_zeroes_sectors: 32,
            secure_erase_sectors: 16,
        };
        assert_eq!(rig.disk.limits(), limits);
        assert_eq!(rig.disk.deadline(), None);
        assert!(format!("{:?}", rig.disk).contains("64 sectors"));
    }
}

#[test]
fn hd_cfg_4_hd_cfg_2_any_capacity_is_a_number_to_stay_below() {
    for capacity in [0, 1, 1 << 55, u64::MAX >> 9, u64::MAX - 1, u64::MAX] {
        for bus in [Bus::Mmio, Bus::LegacyPci] {
            let config = BlockConfig { capacity, ..BlockConfig::default() };
            let mut rig = Setup { bus, config, ..Setup::default() }.rig();
            let sectors = rig.disk.disk(0).expect("there is one").sectors;
            assert!(sectors <= capacity && sectors.checked_mul(512).is_some());
            for sector in [sectors, capacity, u64::MAX, u64::MAX - 1, u64::MAX / 512] {
                if sector >= sectors {
                    let request = rig.read(sector, &[512]);
                    assert_eq!(rig.refusal(request), Refusal::Invalid, "BLK-6: {sector} of {capacity}");
                }
            }
        }
    }
}

#[test]
fn hd_cfg_5_6_7_8_blk_19_nonsense_everywhere_is_survived() {
    for fill in [0, 1, 0x7f, 0x80, 0xff] {
        for bus in ALL_BUSES {
            let setup = Setup { bus, ..Setup::with_features(EVERYTHING | MQ) };
            let model = setup.model(SimMemory::leak());
            model.device().state().config[8..].fill(fill);
            let disk = VirtioBlk::new(transport(model.device(), bus), SimMemory::leak(), &CLOCK, &setup.options);
            let disk = disk.expect("nothing of that is a reason to give up");
            let Disk { sectors, block_size, physical_block_size, .. } = disk.disk(0).expect("there is one");
            assert_eq!((sectors, block_size), (64, 512), "{fill}");
            assert!(physical_block_size.is_power_of_two() && physical_block_size >= 512);
            let limits = disk.limits();
            assert!(limits.segments >= 1 && limits.segment_bytes >= 512 && limits.segment_bytes.is_multiple_of(512));
        }
    }
}

#[test]
fn hd_cfg_3_a_device_without_a_configuration_is_given_up_and_leaves_nothing() {
    use toro_core::Registers;
    use virtio_queue_rt::MmioTransport;
    use virtio_sim::MmioModel;

    /// Registers that end where the configuration would be, or four bytes later.
    #[derive(Clone)]
    struct Short(MmioModel, usize);

    impl Registers for Short {
        fn len(&self) -> usize {
            self.1
        }
        fn read8(&self, offset: usize) -> u8 {
            self.0.read8(offset)
        }
        fn read16(&self, offset: usize) -> u16 {
            self.0.read16(offset)
        }
        fn read32(&self, offset: usize) -> u32 {
            self.0.read32(offset)
        }
        fn write8(&self, offset: usize, value: u8) {
            self.0.write8(offset, value);
        }
        fn write16(&self, offset: usize, value: u16) {
            self.0.write16(offset, value);
        }
        fn write32(&self, offset: usize, value: u32) {
            self.0.write32(offset, value);
        }
    }

    for len in [0x100, 0x104] {
        let memory = SimMemory::leak();
        let model = Setup::default().model(memory);
        let registers = Short(MmioModel::new(model.device().clone()), len);
        let transport = MmioTransport::new(registers).expect("the control registers are all there");
        let disk = VirtioBlk::new(transport, memory, &CLOCK, &Options::default());
        let expected = AttachError::Configuration("it is too short to hold a capacity");
        assert_eq!(disk.map(|_| ()).expect_err("no capacity"), expected);
        assert_eq!(memory.blocks(), 0);
    }
}

#[test]
fn hd_cfg_1_a_configuration_that_always_changes_ends_the_attachment() {
    for bus in BUSES {
        let setup = Setup { bus, ..Setup::default() };
        let model = setup.model(SimMemory::leak());
        model.device().lie(|lies| lies.unstable_generation = true);
        let disk = VirtioBlk::new(transport(model.device(), bus), SimMemory::leak(), &CLOCK, &setup.options);
        assert!(matches!(disk.map(|_| ()).expect_err("it never holds still"), AttachError::Configuration(_)));
    }
}

#[test]
fn hd_g_5_hd_qs_1_a_failed_attach_leaves_nothing_allocated_and_the_next_one_works() {
    for bus in ALL_BUSES {
        let setup = Setup { bus, ..Setup::default() };
        let memory = SimMemory::leak();
        let model = setup.model(memory);
        memory.limit(0);
        let disk = VirtioBlk::new(transport(model.device(), bus), memory, &CLOCK, &setup.options);
        assert_eq!(disk.map(|_| ()).expect_err("too little memory"), AttachError::OutOfDmaMemory);
        assert_eq!((memory.blocks(), model.device().state().status), (0, 0), "{bus:?}");
        let disk = VirtioBlk::new(transport(model.device(), bus), SimMemory::leak(), &CLOCK, &setup.options);
        assert!(disk.is_ok());

        // No queue at all, or none that a request fits.
        for size in [0, 2] {
            let model = Setup { size, ..setup }.model(memory);
            let disk = VirtioBlk::new(transport(model.device(), bus), SimMemory::leak(), &CLOCK, &setup.options);
            assert_eq!(disk.map(|_| ()).expect_err("no queue"), AttachError::Queue { index: 0 }, "{bus:?} {size}");
        }
    }
}
