//! Which frames the device lets through.

use toro_core::driver::net::{MacAddress, NetDevice, ReceiveFilter};
use virtio_sim::e1000::Delivery;

use crate::rig::{MAC, PEER, Rig};

const RCTL: usize = 0x100;
const GROUP: [u8; 6] = [0x33, 0x33, 0xff, 0x12, 0x34, 0x56];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn to(rig: &Rig, destination: [u8; 6]) -> Delivery {
    let mut frame = [&destination[..], &PEER, &[0x88, 0xb5]].concat();
    frame.resize(60, 0);
    rig.nic.deliver(&frame)
}

#[test]
fn by_default_only_frames_to_it_and_to_everyone_come() {
    let rig = Rig::new();
    let found = [MAC, [0xff; 6], GROUP, OTHER].map(|destination| to(&rig, destination));
    assert_eq!(found, [Delivery::Taken, Delivery::Taken, Delivery::Filtered, Delivery::Filtered]);
}

#[test]
fn e1_24_groups_come_whose_hash_is_in_the_table_and_no_write_pauses_reception() {
    let mut rig = Rig::new();
    for number in 0..200_u8 {
        let group = [0x33, 0x33, 0, number, number.wrapping_mul(37), number.wrapping_mul(91)];
        let filter = ReceiveFilter { multicast: &[MacAddress(GROUP), MacAddress(group)], ..ReceiveFilter::default() };
        rig.net.set_filter(&filter).expect("no fault");
        assert_eq!([GROUP, group].map(|destination| to(&rig, destination)), [Delivery::Taken; 2]);
        assert!(rig.nic.take_all_accesses() <= 4, "only what differs is written");
        assert_eq!(rig.receive().len(), 2);
    }
    rig.net.set_filter(&ReceiveFilter::default()).expect("no fault");
    assert_eq!(to(&rig, GROUP), Delivery::Filtered);
    assert_eq!(rig.nic.take_accesses(RCTL), (0, 0));
}

#[test]
fn e1_5_other_addresses_come_and_go() {
    let mut rig = Rig::new();
    let others: Vec<_> = (0..15).map(|number| MacAddress([2, 0, 0, 0, 1, number])).collect();
    for unicast in [&others[..1], &others[..], &others[3..5], &[]] {
        rig.net.set_filter(&ReceiveFilter { unicast, ..ReceiveFilter::default() }).expect("no fault");
        for address in &others {
            let expected = if unicast.contains(address) { Delivery::Taken } else { Delivery::Filtered };
            assert_eq!(to(&rig, address.0), expected, "{address}");
            rig.receive();
        }
    }
    assert_eq!(rig.nic.take_accesses(RCTL), (0, 0));
}

#[test]
fn e1_9_a_change_writes_receive_control_once_if_at_all() {
    let mut rig = Rig::new();
    let many: Vec<_> = (0..16).map(|number| MacAddress([2, 0, 0, 0, 1, number])).collect();
    let groups = [MacAddress(GROUP)];
    let all = ReceiveFilter { promiscuous: true, all_multicast: true, unicast: &many, multicast: &groups };
    let filters = [
        all,
        ReceiveFilter { promiscuous: false, ..all },
        ReceiveFilter { promiscuous: true, ..ReceiveFilter::default() },
        ReceiveFilter { all_multicast: true, ..ReceiveFilter::default() },
    ];
    for (number, filter) in filters.iter().enumerate() {
        rig.net.set_filter(filter).expect("no fault");
        let (_, writes) = rig.nic.take_accesses(RCTL);
        assert!(writes <= 1, "filter {number}: {writes}");
        rig.net.set_filter(filter).expect("no fault");
        rig.nic.take_accesses(0x5404);
        assert_eq!(rig.nic.take_accesses(RCTL), (0, 0), "the same again");
        rig.nic.sit_out_pause();
        assert_eq!(
            to(&rig, GROUP),
            if number == 2 || filter.all_multicast { Delivery::Taken } else { Delivery::Filtered }
        );
        let expected =
            if filter.promiscuous || filter.unicast.len() > 15 { Delivery::Taken } else { Delivery::Filtered };
        assert_eq!(to(&rig, OTHER), expected, "filter {number}");
        rig.receive();
    }
}

#[test]
fn e1_25_tags_stay_in_their_frames() {
    // The model refuses a driver that switches the handling of VLAN tags on; a tagged frame comes as it is.
    let mut rig = Rig::new();
    let mut frame = [&MAC[..], &PEER, &[0x81, 0, 0, 5, 0x88, 0xb5]].concat();
    frame.resize(100, 3);
    rig.nic.deliver(&frame);
    assert_eq!(crate::rig::bytes(&rig.receive()), std::slice::from_ref(&frame));
    let tagged = rig.frame(&frame);
    rig.transmit([tagged]);
    assert_eq!(rig.nic.take_sent(), [frame]);
}
