//! What the configuration says.

use crate::card::*;

#[test]
fn net_2_35_the_address_is_the_cards_where_it_names_one() {
    for bus in BUSES {
        let nic = Setup { bus, ..Setup::default() }.nic();
        assert_eq!(nic.net.mac(), MacAddress(MAC));
        let expected = VERSION_1 | EVENT_IDX | features::KNOWN.bits();
        assert_eq!(nic.device.state().accepted, expected, "NET-2, NET-4: accepted where offered");
    }
}

#[test]
fn net_2_without_the_feature_the_address_is_the_platforms() {
    let fallback = MacAddress([0x02, 1, 2, 3, 4, 5]);
    for bus in BUSES {
        let options = Options { fallback_mac: fallback, ..Options::default() };
        let nic = Setup { bus, features: EVENT_IDX, options, ..Setup::default() }.nic();
        assert_eq!(nic.net.mac(), fallback);
    }
    let own = Options::default().fallback_mac;
    assert!(own.is_unicast() && own.0[0] & 2 != 0, "locally administered");
}

#[test]
fn hd_cfg_9_an_address_that_no_interface_can_have_is_replaced() {
    for mac in [[0; 6], [0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
        let nic = Setup { config: config(mac, 1, 1500), ..Setup::default() }.nic();
        assert_eq!(nic.net.mac(), Options::default().fallback_mac);
    }
}

#[test]
fn net_3_without_the_status_feature_the_link_is_up() {
    let mut nic = Setup { features: features::MAC.bits(), config: config(MAC, 0, 0), ..Setup::default() }.nic();
    assert_eq!(nic.net.link(), LinkState::Up);
}

#[test]
fn net_3_the_link_follows_bit_0_of_the_status() {
    for bus in BUSES {
        let mut nic = Setup { bus, ..Setup::default() }.nic();
        for (status, expected) in [(0, LinkState::Down), (1, LinkState::Up), (2, LinkState::Down), (3, LinkState::Up)] {
            nic.device.state().config[6] = status;
            assert_eq!(nic.net.link(), expected, "status {status}");
        }
    }
}

#[test]
fn net_4_nothing_longer_than_the_unit_is_sent_or_received() {
    for (mtu, longest) in [(68, 82), (1400, 1414), (1500, LONGEST), (9000, 9014), (9217, LONGEST), (u16::MAX, LONGEST)]
    {
        let mut nic = Setup { config: config(MAC, 1, mtu), ..Setup::default() }.nic();
        assert_eq!(nic.net.limits().max_frame, longest);
        nic.deliver(&vec![1; longest]);
        assert_eq!(drained(&mut nic.received())[0].len(), longest);
        let mut burst = Burst::new();
        let frame = nic.frame(&vec![2; longest]);
        burst.push(frame).expect("there is room");
        nic.net.transmit(&mut burst).expect("an obedient card");
        assert_eq!(nic.on_the_wire()[0].len(), HEADER_LEN + longest);
        assert_eq!(nic.net.counters(), Counters::default());

        if longest < LONGEST {
            let frame = nic.frame(&vec![3; longest + 1]);
            burst.push(frame).expect("there is room");
            nic.net.transmit(&mut burst).expect("an obedient card");
            assert!(nic.on_the_wire().is_empty() && burst.is_empty());
            nic.deliver(&vec![4; longest + 1]);
            assert!(nic.received().is_empty(), "HD-NET-13");
            assert_eq!(nic.net.counters(), Counters { malformed: 1, refused: 1, ..Counters::default() });
        }
    }
}

#[test]
fn net_4_hd_cfg_10_a_unit_that_no_buffer_holds_or_no_link_has_is_not_accepted() {
    const MTU: u64 = 1 << 3;
    for bus in BUSES {
        for (mtu, is_accepted) in
            [(0, false), (67, false), (68, true), (1500, true), (9216, true), (9217, false), (u16::MAX, false)]
        {
            let nic = Setup { bus, config: config(MAC, 1, mtu), ..Setup::default() }.nic();
            assert_eq!(nic.device.state().accepted & MTU != 0, is_accepted, "unit {mtu}");
            let longest = if is_accepted { usize::from(mtu) + 14 } else { LONGEST };
            assert_eq!(nic.net.limits().max_frame, longest, "unit {mtu}");
        }
    }
}

#[test]
fn hd_cfg_10_a_unit_that_changes_later_changes_nothing() {
    let mut nic = Setup::default().nic();
    nic.device.state().config = config(MAC, 1, 100);
    assert_eq!(nic.net.limits().max_frame, LONGEST);
    nic.deliver(&[7; LONGEST]);
    assert_eq!(nic.received().len(), 1);
}

#[test]
fn a_card_without_a_transmit_queue_is_refused() {
    for bus in BUSES {
        let device = Device::new(1, VERSION_1, &[64], &config(MAC, 1, 1500));
        let result = VirtioNet::new(transport(&device, bus), SimMemory::leak(), &CLOCK, &Options::default());
        assert_eq!(result.map(|_| ()).expect_err("one queue is missing"), AttachError::Queue { index: 1 });
    }
}

#[test]
fn memory_that_runs_out_anywhere_is_an_error() {
    let needed = {
        let nic = Setup::small(64).nic();
        nic.memory.blocks()
    };
    for limit in 0..needed {
        let memory = SimMemory::leak();
        memory.limit(limit);
        let (_, nic) = Setup::small(64).attach_with(memory);
        assert_eq!(nic.map(|_| ()).expect_err("too little memory"), AttachError::OutOfDmaMemory, "{limit} blocks");
    }
}

#[test]
fn the_driver_matches_network_devices_and_nothing_else() {
    let pci = |vendor, device| DeviceId::Pci { vendor, device, class: 0x02_00_00 };
    assert!(DRIVER.matches(&pci(0x1af4, 0x1041)) && DRIVER.matches(&DeviceId::VirtioMmio { device_type: 1 }));
    for other in [pci(0x1af4, 0x105a), pci(0x8086, 0x1041), DeviceId::VirtioMmio { device_type: 26 }] {
        assert!(!DRIVER.matches(&other), "{other:?}");
    }
}
