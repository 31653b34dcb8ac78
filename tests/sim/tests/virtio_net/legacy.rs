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
        assert_eq!(nic.net.counters(), Counters { malformed: 4, refused: 0, ..Counters::default() });
        assert_eq!(nic.net.link(), LinkState::Up);
    }
}

#[test]
fn net_30_vq_32_a_legacy_card_that_fixes_the_layout_has_headers_in_descriptors_of_their_own() {
    for bus in LEGACY_BUSES {
        let setup = Setup { fixed_layout: true, ..legacy(bus) };
        let mut nic = setup.nic();
        assert_eq!(nic.device.state().accepted & ANY_LAYOUT, 0);
        for round in 0..40 {
            // In.
            let chain = nic.receive.pop().expect("the driver keeps the receive queue filled");
            assert_eq!(chain.writable[0].1, LEGACY_HEADER_LEN as u32, "{bus:?}");
            assert_eq!((chain.readable.len(), chain.writable.len()), (0, 2));
            assert!(chain.writable[1].1 >= LONGEST as u32);
            let bytes = [vec![0; LEGACY_HEADER_LEN], numbered(round)].concat();
            let written = nic.receive.write(&chain, &bytes);
            nic.receive.push(u32::from(chain.head), written);
            assert_eq!(number(&nic.received().pop().expect("it arrived")), round);
            // Out.
            assert!(nic.fill(round, 3).is_empty());
            let wire = nic.on_the_wire();
            for (i, bytes) in wire.iter().enumerate() {
                assert_eq!(bytes[..], [vec![0; LEGACY_HEADER_LEN], numbered(round + i)].concat());
                let lens: Vec<_> = nic.sent[i].readable.iter().map(|(_, len)| *len).collect();
                assert_eq!(lens, [LEGACY_HEADER_LEN as u32, 60]);
            }
            nic.complete(3);
        }
        assert_eq!(nic.net.counters(), Counters::default());
    }
}

#[test]
fn net_30_a_ring_of_divided_frames_fills_up_and_empties_in_order() {
    for ring in [0, EVENT_IDX, EVENT_IDX | 1 << 28] {
        let setup = Setup { fixed_layout: true, features: ring | features::KNOWN.bits(), ..legacy(Bus::LegacyPci) };
        let mut nic = setup.nic();
        let slots = nic.net.limits().transmit_slots;
        // In tables of their own each frame takes one place in the ring.
        assert_eq!(slots, if ring & 1 << 28 != 0 { 16 } else { 8 });
        let mut burst = nic.fill(0, 40);
        assert_eq!(burst.len(), 40 - slots);
        let mut numbers = Vec::new();
        for _ in 0..20 {
            numbers.extend(nic.on_the_wire().iter().map(|bytes| number(&bytes[LEGACY_HEADER_LEN..])));
            let done = nic.sent.len().min(5);
            nic.complete(done);
            nic.net.transmit(&mut burst).expect("an obedient card");
        }
        assert_eq!(numbers, (0..40).collect::<Vec<_>>());
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
