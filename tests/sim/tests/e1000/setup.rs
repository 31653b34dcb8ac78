//! How the device is taken into service, and out of it.

use std::num::NonZeroU16;

use e1000::{E1000, Model, Options, Segmenting};
use toro_core::Registers;
use toro_core::driver::net::{Burst, LinkState, MacAddress, NetDevice};
use toro_core::driver::{AttachError, DeviceFault};
use toro_core::io::Window;
use virtio_sim::e1000::{EepromKind, Nature, Nic};

use crate::rig::{MAC, Rig, attach, device, options, ordinary};

const CTRL: usize = 0;
const RCTL: usize = 0x100;
const IMS: usize = 0xd0;
const ITR: usize = 0xc4;
const MDIC: usize = 0x20;

#[test]
fn e1_1_memory_decoding_and_bus_mastering_are_switched_on() {
    let rig = Rig::with(|nic| assert!(!nic.config().is_master()));
    assert!(rig.nic.config().is_master());
    // The model refuses accesses to registers without the other.
    rig.deliver(1);
}

#[test]
fn e1_2_device_is_silenced_then_reset_then_left_alone() {
    // The model watches the order, and that nobody touches it for a millisecond.
    for nature in [Nature::Emulated, Nature::Hardware] {
        let rig = Rig::with(|nic| {
            let mut chip = nic.chip();
            chip.nature = nature;
            chip.set(IMS, 0x9d);
            chip.set(RCTL, 2);
        });
        assert_eq!(rig.nic.chip().resets, 1);
    }
}

#[test]
fn e1_2_reset_that_does_not_end_is_waited_for_so_long_and_no_longer() {
    let (nic, memory, clock) = device();
    nic.chip().lies.never_resets = true;
    assert!(matches!(attach(&nic, memory, clock), Err(AttachError::TimedOut)));
    assert_eq!(memory.blocks(), 0);
    assert!(!nic.config().is_master());
}

#[test]
fn e1_3_nothing_is_left_of_what_was_in_the_registers() {
    // The model has junk there, keeps it through a reset, and wants each register written before the device runs.
    let rig = Rig::new();
    let chip = rig.nic.chip();
    assert!((0..128).all(|word| chip.peek(0x5200 + 4 * word) == 0), "groups");
    assert_eq!([0x2820, 0x282c, ITR].map(|at| chip.peek(at)), [0; 3], "timers");
    assert_eq!([0x2810, 0x3810].map(|at| chip.peek(at)), [0; 2], "heads");
}

#[test]
fn e1_4_address_is_that_of_the_eeprom() {
    for (kind, model) in [(EepromKind::Old, Model::I82540Em), (EepromKind::New, Model::I82574L)] {
        let (nic, memory, clock) = device();
        nic.chip().eeprom_kind = kind;
        nic.chip().set_eeprom([2, 4, 6, 8, 10, 12]);
        let net = E1000::new(model, nic.clone(), nic.config(), memory, clock, &options()).expect("it can be used");
        assert_eq!(net.mac(), MacAddress([2, 4, 6, 8, 10, 12]));
        assert_eq!(nic.chip().peek(0x5404), 1 << 31 | 0x0c0a, "and it is compared with");
    }
}

#[test]
fn e1_5_addresses_left_from_before_are_not_compared_with() {
    // That the valid bit is written last, the model watches.
    let rig = Rig::with(|nic| {
        let mut chip = nic.chip();
        chip.set(0x5408, 0x0605_0402);
        chip.set(0x540c, 1 << 31 | 0x0807);
    });
    assert!((1..16).all(|index| rig.nic.chip().peek(0x5404 + 8 * index) >> 31 == 0));
}

#[test]
fn e1_6_link_comes_up_as_the_phy_negotiates_and_a_content_phy_is_left_alone() {
    let mut rig = Rig::new();
    assert_eq!(rig.nic.chip().peek(CTRL) & 0x60, 0x60, "set link up, automatic speed");
    assert_eq!(rig.nic.chip().phy_control, 0x1140);
    assert_eq!(rig.net.link(), LinkState::Up);
    rig.nic.set_link(LinkState::Down);
    assert_eq!(rig.net.link(), LinkState::Down);
}

#[test]
fn e1_6_phy_that_sleeps_or_does_not_negotiate_is_told_to() {
    for before in [0x1940, 0x0140, 0x0940] {
        let rig = Rig::with(|nic| nic.chip().phy_control = before);
        assert_eq!(rig.nic.chip().phy_control, 0x1340, "{before:#x}");
    }
}

#[test]
fn e1_8_rings_are_in_place_before_anything_is_switched_on() {
    // The model watches it; and there are buffers from the first moment on.
    let rig = Rig::new();
    let chip = rig.nic.chip();
    assert_eq!(chip.peek(0x2818) - chip.peek(0x2810), 15);
}

#[test]
fn e1_9_receive_control_is_written_once_to_start() {
    let (nic, memory, clock) = device();
    let net = attach(&nic, memory, clock).expect("it can be used");
    // Off, for the reset, and on.
    assert_eq!(nic.take_accesses(RCTL), (0, 2));
    drop(net);
}

#[test]
fn e1_21_rings_are_powers_of_two_between_the_limits() {
    for (slots, receive, transmit) in [(0, 8, 16), (9, 16, 16), (100, 128, 128), (u16::MAX, 4096, 4096)] {
        let (nic, memory, clock) = device();
        let options = Options {
            receive_slots: slots,
            transmit_slots: slots,
            receive_spare: 0,
            segmentation: Segmenting::Off,
            ..Options::default()
        };
        let mut net =
            E1000::new(Model::I82540Em, nic.clone(), nic.config(), memory, clock, &options).expect("it works");
        assert_eq!([0x2808, 0x3808].map(|at| nic.chip().peek(at)), [receive * 16, transmit * 16]);
        nic.sit_out_pause();
        nic.deliver(&ordinary(1, 60));
        let mut burst = Burst::new();
        net.receive(&mut burst).expect("no fault");
        assert_eq!(burst.len(), 1);
        net.transmit(&mut burst).expect("no fault");
        assert_eq!(nic.take_sent(), [ordinary(1, 60)]);
        assert!(net.frame(1515).is_none(), "nothing is cut");
    }
}

#[test]
fn e1_26_at_the_end_the_device_is_cut_off_before_its_memory_goes() {
    // The model looks whether the rings are still there when the way to memory is closed.
    let rig = Rig::new();
    let (nic, memory) = (rig.nic.clone(), rig.memory);
    rig.deliver(3);
    assert!(memory.blocks() > 0);
    drop(rig);
    assert!(!nic.config().is_master());
    assert_eq!([RCTL, 0x400, IMS].map(|at| nic.chip().peek(at)), [0; 3]);
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn e1_26_memory_that_the_device_can_still_reach_is_not_freed() {
    let mut rig = Rig::new();
    let (nic, memory) = (rig.nic.clone(), rig.memory);
    nic.chip().pace = virtio_sim::e1000::Pace::Slow;
    let frame = rig.frame(&ordinary(1, 100));
    rig.transmit([frame]);
    nic.chip().lies.keeps_mastering = true;
    drop(rig);
    let [receive, transmit] = [0x2800, 0x3800].map(|at| {
        let chip = nic.chip();
        u64::from(chip.peek(at)) | u64::from(chip.peek(at + 4)) << 32
    });
    assert!([receive, transmit].iter().all(|&ring| memory.extent(ring) > 0));
}

#[test]
fn e1_27_device_that_is_gone_is_no_device() {
    let (nic, memory, clock) = device();
    nic.chip().lies.is_gone = true;
    assert!(matches!(attach(&nic, memory, clock), Err(AttachError::Fault(DeviceFault::Gone))));
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn registers_that_are_too_few_are_refused() {
    let (nic, memory, clock) = device();
    let part = Window::new(nic.clone(), 0, 0x4000).expect("a part");
    let outcome = E1000::new(Model::I82540Em, part, nic.config(), memory, clock, &options());
    assert!(matches!(outcome, Err(AttachError::Resources(_))));
}

#[test]
fn a_device_for_which_there_is_no_memory_is_left_cut_off() {
    for blocks in 0..4 {
        let (nic, memory, clock) = device();
        memory.limit(blocks);
        assert!(matches!(attach(&nic, memory, clock), Err(AttachError::OutOfDmaMemory)), "{blocks}");
        assert!(!nic.config().is_master());
        assert_eq!(memory.blocks(), 0);
    }
}

#[test]
fn ids_of_other_devices_are_nobodys() {
    let models = [0x1004, 0x100c, 0x100e, 0x100f, 0x10d3].map(|id| Model::of(0x8086, id));
    let known = [Model::I82544Gc, Model::I82540Em, Model::I82545Em, Model::I82574L];
    assert_eq!(models, [None, Some(known[0]), Some(known[1]), Some(known[2]), Some(known[3])]);
    assert_eq!(Model::of(0x1af4, 0x100e), None);
}

#[test]
fn limits_say_what_the_options_allow() {
    let rig = Rig::new();
    let limits = rig.net.limits();
    assert_eq!((limits.max_frame, limits.transmit_slots), (1514, 11));
    assert!(limits.offloads.checksum);
    assert_eq!((limits.offloads.max_tcp4, limits.offloads.max_tcp6), (65_535, 65_535));
    let (nic, memory, clock) = device();
    let segmentation = Segmenting::Ipv4(NonZeroU16::MIN);
    let options = Options { segmentation, ..options() };
    let net = E1000::new(Model::I82540Em, nic.clone(), nic.config(), memory, clock, &options).expect("it works");
    assert_eq!((net.limits().offloads.max_tcp4, net.limits().offloads.max_tcp6), (65_535, 0));
}

#[test]
fn hd_e1k_4_without_a_sound_eeprom_the_loaded_address_counts_and_then_the_platforms() {
    let loaded = [2, 2, 2, 2, 2, 2];
    let spoil = |nic: &Nic, lie: usize| {
        let mut chip = nic.chip();
        chip.load_address(loaded);
        match lie {
            0 => chip.lies.has_no_eeprom = true,
            1 => chip.eeprom[7] ^= 1,
            2 => chip.set_eeprom([0x53, 0x54, 0, 1, 2, 3]),
            3 => chip.set_eeprom([0; 6]),
            _ => chip.eeprom = [0xffff; 64],
        }
    };
    for lie in 0..5 {
        let rig = Rig::with(|nic| spoil(nic, lie));
        assert_eq!(rig.net.mac(), MacAddress(loaded), "lie {lie}");
        for address in [[0xff; 6], [0; 6], [1, 2, 3, 4, 5, 6]] {
            let rig = Rig::with(|nic| {
                spoil(nic, lie);
                nic.chip().load_address(address);
            });
            assert_eq!(rig.net.mac(), options().fallback_mac, "lie {lie}, {address:?}");
        }
        let rig = Rig::with(|nic| {
            spoil(nic, lie);
            nic.chip().set(0x5404, 0x0202);
        });
        assert_eq!(rig.net.mac(), options().fallback_mac, "lie {lie}: it does not count");
    }
    assert_ne!(options().fallback_mac, MacAddress(MAC));
}

#[test]
fn hd_e1k_6_phy_that_does_not_answer_is_done_without() {
    for lie in 0..3 {
        let mut rig = Rig::with(|nic| {
            let mut chip = nic.chip();
            chip.lies.has_no_phy = lie == 0;
            chip.lies.phy_fails = lie == 1;
            chip.phy_control = if lie == 2 { 0x1140 } else { 0 };
        });
        assert_eq!(rig.net.link(), LinkState::Up);
        rig.deliver(1);
        assert_eq!(rig.receive().len(), 1);
        assert_eq!(rig.nic.read32(MDIC) & 1 << 28 == 0, lie == 0);
    }
}
