//! Legacy cards: a shorter header, and no word on how requests are laid out unless the card leaves that open.

use crate::card::*;

fn legacy(bus: Bus) -> Setup {
    Setup { bus, ..Setup::small(16) }
}

#[test]
fn net_29_a_legacy_header_has_ten_bytes() {
    for bus in LEGACY_BUSES {
        let mut nic = legacy(bus).nic();
        assert_eq!(nic.net.mac(), MacAddress(MAC), "{bus:?}");
        let accepted = ANY_LAYOUT | EVENT_IDX | features::KNOWN.bits();
        assert_eq!(nic.device.state().accepted, accepted, "FTR-12");
        assert_eq!(nic.device.state().status_writes, [0, 1, 3, 7], "INI-17");

        // Out, with dirt where the header goes; the buffer comes back and leaves again.
        for round in 0..40 {
            let mut frame = nic.net.frame(60).expect("frames are free");
            frame.set_len(LONGEST).expect("frames are long enough");
            frame.fill(round);
            let mut burst = Burst::new();
            burst.push(frame).expect("there is room");
            nic.net.transmit(&mut burst).expect("an obedient card");
            let wire = nic.on_the_wire();
            let (header, sent) = wire[0].split_at(LEGACY_HEADER_LEN);
            assert!(header == [0; LEGACY_HEADER_LEN] && sent == [round; LONGEST]);
            nic.complete(1);
        }

        // In, of every length.
        for len in [ETHERNET_HEADER_LEN, 60, LONGEST] {
            let mut bytes = vec![0xff; LEGACY_HEADER_LEN];
            bytes.extend(vec![7; len]);
            nic.deliver_raw(&bytes, None);
            assert_eq!(drained(&mut nic.received())[0][..], vec![7; len]);
        }
        for claimed in [0, LEGACY_HEADER_LEN, LEGACY_HEADER_LEN + 13, LEGACY_HEADER_LEN + LONGEST + 1] {
            nic.deliver_raw(&[7; 100], Some(claimed as u32));
            assert!(nic.received().is_empty(), "HD-NET-1, 2, 3: {claimed} bytes");
        }
        assert_eq!(nic.net.counters(), Counters { malformed: 4, refused: 0 });
        assert_eq!(nic.net.link(), LinkState::Up);
    }
}

#[test]
fn net_30_a_legacy_card_that_fixes_the_layout_is_refused() {
    for bus in LEGACY_BUSES {
        let device = Device::new(1, features::KNOWN.bits(), &[16, 16], &config(MAC, 1, 1500));
        let result = VirtioNet::new(transport(&device, bus), SimMemory::leak(), &CLOCK, &Options::default());
        let expected = AttachError::Resources("a legacy device without ANY_LAYOUT");
        assert_eq!(result.map(|_| ()).expect_err("it cannot be driven"), expected);
        assert_eq!(device.state().status, 128 | 3, "marked FAILED");
    }
}

#[test]
fn hd_g_5_a_failed_attach_leaves_nothing_allocated_and_the_next_one_works() {
    for bus in ALL_BUSES {
        let needed = legacy(bus).nic().memory.blocks();
        for limit in 0..needed {
            let memory = SimMemory::leak();
            memory.limit(limit);
            let (device, nic) = legacy(bus).attach_with(memory);
            assert_eq!(nic.map(|_| ()).expect_err("too little memory"), AttachError::OutOfDmaMemory);
            assert_eq!(memory.blocks(), 0, "{bus:?}, {limit} blocks");
            assert_eq!(device.state().status, 0, "it was reset");
            let again = VirtioNet::new(transport(&device, bus), SimMemory::leak(), &CLOCK, &Options::default());
            assert!(again.is_ok());
        }
        let memory = SimMemory::leak();
        let version = if bus.is_legacy() { ANY_LAYOUT } else { VERSION_1 };
        let device = Device::new(1, version, &[64], &config(MAC, 1, 1500));
        let result = VirtioNet::new(transport(&device, bus), memory, &CLOCK, &Options::default());
        assert_eq!(result.map(|_| ()).expect_err("one queue is missing"), AttachError::Queue { index: 1 });
        assert_eq!(memory.blocks(), 0);
    }
}

#[test]
fn hd_st_1_what_a_device_that_does_not_reset_knows_of_stays_allocated() {
    for bus in ALL_BUSES {
        let memory = SimMemory::leak();
        memory.limit(1);
        let setup = legacy(bus);
        let device = setup.device();
        // It resets once, and never again.
        let transport = transport(&device, bus);
        device.lie(|lies| lies.resets_left = Some(1));
        let result = VirtioNet::new(transport, memory, &HASTE, &setup.options);
        assert_eq!(result.map(|_| ()).expect_err("too little memory"), AttachError::OutOfDmaMemory);
        assert_eq!(memory.blocks(), 1, "{bus:?}");
    }
}
