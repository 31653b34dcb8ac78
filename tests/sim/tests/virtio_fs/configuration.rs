//! What the configuration says.

use virtio_queue_rt::{Interrupts, PciTransport};
use virtio_sim::PciModel;

use crate::common::transports::message;
use crate::share::*;

#[test]
fn fs_12_hd_cfg_13_the_tag_is_what_comes_before_the_padding() {
    let unterminated = [b'x'; 36];
    let odd = b"a/b\x01\xff";
    for bus in BUSES {
        for tag in [&b"share"[..], b"s", &unterminated, odd] {
            let share = Setup { bus, config: config(tag, 1), ..Setup::default() }.share();
            assert_eq!(share.fs.tag(), tag);
            assert!(format!("{:?}", share.fs).is_ascii(), "escaped where it is printed");
        }
    }
}

#[test]
fn fs_12_hd_cfg_13_an_empty_tag_ends_the_attachment() {
    for bus in BUSES {
        let memory = SimMemory::leak();
        let (device, share) = Setup { bus, config: config(b"", 1), ..Setup::default() }.attach_with(memory);
        assert!(matches!(share.map(|_| ()), Err(AttachError::Configuration(_))));
        assert_eq!(device.state().status_writes, [0, 1, 3, 11, FAILED | 11, 0], "INI-10, and reset");
        assert_eq!(memory.blocks(), 0);
    }
}

#[test]
fn hd_cfg_14_no_request_queue_ends_the_attachment() {
    for bus in BUSES {
        let memory = SimMemory::leak();
        let (device, share) = Setup { bus, config: config(b"share", 0), ..Setup::default() }.attach_with(memory);
        assert!(matches!(share.map(|_| ()), Err(AttachError::Configuration(_))));
        assert_eq!(device.state().status_writes, [0, 1, 3, 11, FAILED | 11, 0], "INI-10, and reset");
        assert_eq!(memory.blocks(), 0);
    }
}

#[test]
fn hd_cfg_14_a_huge_number_of_request_queues_allocates_nothing() {
    let usual = Setup::default().share().memory.blocks();
    for queues in [2, 1024, 0x8000_0000, u32::MAX] {
        let share = Setup { config: config(b"share", queues), ..Setup::default() }.share();
        assert_eq!(share.memory.blocks(), usual);
    }
}

#[test]
fn hd_cfg_3_fields_beyond_the_end_are_not_there() {
    for (len, is_file_system, has_notifications) in
        [(44, true, true), (43, true, false), (40, true, false), (39, false, false)]
    {
        let memory = SimMemory::leak();
        let device = Device::new(26, VERSION_1 | NOTIFICATION, &[64; 3], &config(b"share", 1));
        let (space, bars) = PciModel::new(device);
        // The capability of the device configuration is the only one of its kind.
        let bytes = space.bytes();
        let at = (0x40..0xf0).step_by(4).find(|&at| bytes[at] == 9 && bytes[at + 3] == 4).expect("it is there");
        space.set(at + 12, &u32::to_le_bytes(len));
        let messages = [message()];
        let transport = PciTransport::new(&space, &bars, Interrupts::Messages(&messages)).expect("a sound device");
        let fs = VirtioFs::new(transport, memory, &CLOCK, &Options::default());
        match is_file_system {
            true => assert_eq!(fs.expect("all that it takes").has_notifications(), has_notifications, "{len}"),
            false => assert!(matches!(fs.map(drop), Err(AttachError::Configuration(_))), "{len}"),
        }
    }
}

#[test]
fn hd_g_5_hd_pci_16_a_device_without_its_request_queue_is_refused() {
    for bus in BUSES {
        let memory = SimMemory::leak();
        let (device, result) = Setup { bus, sizes: vec![128], ..Setup::default() }.attach_with(memory);
        assert_eq!(result.map(|_| ()).expect_err("one queue is missing"), AttachError::Queue { index: 1 });
        assert_eq!((memory.blocks(), device.state().status), (0, 0), "HD-G-5: nothing stays allocated");
    }
}

#[test]
fn memory_that_runs_out_anywhere_is_an_error() {
    for limit in 0..2 {
        let memory = SimMemory::leak();
        memory.limit(limit);
        let (_, share) = Setup::default().attach_with(memory);
        assert_eq!(share.map(|_| ()).expect_err("too little memory"), AttachError::OutOfDmaMemory);
        assert_eq!(memory.blocks(), 0, "HD-G-5");
    }
}

#[test]
fn fs_13_a_legacy_device_is_refused() {
    for bus in LEGACY_BUSES {
        let memory = SimMemory::leak();
        let (device, share) = Setup { bus, ..Setup::default() }.attach_with(memory);
        assert_eq!(share.map(|_| ()).expect_err("it is modern only"), AttachError::Features);
        assert_eq!((device.state().status & FAILED, memory.blocks()), (FAILED, 0));
    }
}

#[test]
fn the_driver_matches_file_systems_and_nothing_else() {
    let pci = |device| DeviceId::Pci { vendor: 0x1af4, device, class: 0x01_80_00 };
    assert!(DRIVER.matches(&pci(0x105a)) && DRIVER.matches(&DeviceId::VirtioMmio { device_type: 26 }));
    for other in [pci(0x1041), pci(0x1009), DeviceId::VirtioMmio { device_type: 9 }] {
        assert!(!DRIVER.matches(&other), "{other:?}");
    }
}
