//! How many pairs there are.

use virtio_queue_rt::LegacyPciTransport;

use super::*;

#[test]
fn there_are_as_many_pairs_as_owners_messages_and_the_card_allow() {
    for (owners, messages, pairs, expected) in
        [(1, 4, 4, 1), (2, 4, 4, 2), (4, 4, 2, 2), (4, 3, 4, 3), (3, 1, 4, 1), (4, 4, 1, 1), (3, 0, 4, 3)]
    {
        let card = Card { messages, ..Card::new(pairs) };
        let (made, command) = card.pairs(owners);
        assert_eq!(made.len(), expected, "{owners} owners, {messages} messages, {pairs} pairs");
        // Nothing about several is asked of a card that is used with one.
        assert_eq!(command.map(|command| command.bytes[2]), (expected > 1).then_some(expected as u8));
        let several = if expected > 1 { CTRL_VQ | MQ } else { 0 };
        assert_eq!(card.device.state().accepted & (CTRL_VQ | MQ), several);
    }
}

#[test]
fn where_all_queues_share_a_line_there_is_one_pair() {
    let card = Card::new(4);
    let transport: BoxedTransport =
        Box::new(virtio_queue_rt::MmioTransport::new(MmioModel::new(card.device.clone())).expect("a sound device"));
    let owners = NonZeroU16::new(4).expect("not zero");
    let pairs = VirtioNet::divide(transport, card.memory, &CLOCK, &Options::default(), owners);
    assert_eq!(pairs.expect("a sound card").len(), 1);
}

#[test]
fn a_card_with_several_pairs_can_be_used_with_one_as_ever() {
    let card = Card::new(4);
    let net = VirtioNet::new(card.transport(), card.memory, &CLOCK, &Options::default());
    assert!(net.is_ok());
    assert_eq!(card.device.state().accepted & (CTRL_VQ | MQ), 0);
    assert!(!card.device.queue(2).is_ready);
}

#[test]
fn hd_cfg_11_a_number_of_pairs_that_cannot_be_is_as_none() {
    // The last whose control queue would have a number of 17 bits is 0x8000.
    for max in [0, 0x8000, 0x8001, 0xffff] {
        Card::with_sizes(max, &[16; 9]).is_used_with_one_pair();
    }
}

#[test]
fn hd_cfg_11_more_pairs_than_there_are_queues_are_no_pairs_without_a_control_queue() {
    for max in [5, 100, 0x7fff] {
        Card::with_sizes(max, &[16; 9]).is_used_with_one_pair();
    }
}

#[test]
fn pairs_that_the_card_does_not_have_are_done_without() {
    // The third pair lacks its transmit queue; the control queue is there.
    let card = Card::with_sizes(4, &[16, 16, 16, 16, 16, 0, 16, 16, 16]);
    let (pairs, command) = card.pairs(4);
    assert_eq!(pairs.len(), 2);
    assert_eq!(command.expect("there was one").bytes, [4, 0, 2, 0]);
    let exact = Card::new(4);
    let (others, _) = exact.pairs(2);
    assert_eq!(others.len(), 2);
    assert_eq!(card.memory.blocks(), exact.memory.blocks(), "nothing is left of the first attempt");
}

#[test]
fn hd_cfg_11_queues_that_the_card_does_not_have_at_all_are_an_error() {
    let card = Card::with_sizes(2, &[16, 0, 16, 16, 16]);
    let (pairs, _) = card.divide(2);
    assert_eq!(pairs.map(drop).expect_err("no transmit queue"), AttachError::Queue { index: 1 });
    assert_eq!((card.device.state().status, card.memory.blocks()), (0, 0));
}

#[test]
fn net_7_several_pairs_without_a_control_queue_are_not_negotiated_and_the_other_way_round() {
    for missing in [MQ, CTRL_VQ, MQ | CTRL_VQ] {
        let card = Card::new(4);
        card.device.state().offered &= !missing;
        card.is_used_with_one_pair();
    }
}

#[test]
fn net_29_a_legacy_card_is_used_with_one_pair() {
    let offered = ANY_LAYOUT | EVENT_IDX | features::KNOWN.bits() | CTRL_VQ | MQ;
    let mut config = config(MAC, 1, 1500);
    config[8] = 2;
    let device = Device::new(1, offered, &[16; 5], &config);
    let (space, bars) = PciModel::legacy(device.clone(), Vectors::Some(4));
    let messages = [message(); 4];
    let interrupts = Interrupts::Assigned { messages: &messages, of_queue: |queue| queue.0 / 2 };
    let transport: BoxedTransport =
        Box::new(LegacyPciTransport::new(&space, &bars, interrupts).expect("a sound device"));
    let owners = NonZeroU16::new(2).expect("not zero");
    let made = VirtioNet::divide(transport, SimMemory::leak(), &HASTE, &Options::default(), owners);
    assert_eq!(made.expect("a sound card").len(), 1);
    assert_eq!(device.state().accepted & (CTRL_VQ | MQ), 0);
}

#[test]
fn pci_19_hd_pci_15_without_a_vector_of_its_own_there_is_no_second_pair() {
    let card = Card::new(4);
    card.device.lie(|lies| lies.one_vector = true);
    card.is_used_with_one_pair();
}

#[test]
fn hd_g_5_memory_that_runs_out_costs_pairs_or_the_card_and_nothing_else() {
    let whole = Card::new(3);
    let (pairs, _) = whole.pairs(3);
    let needed = whole.memory.blocks() + 1;
    drop(pairs);
    let mut last = 0;
    for limit in 0..=needed {
        let card = Card::new(3);
        card.memory.limit(limit);
        match card.divide(3) {
            (Ok(pairs), _) => {
                assert!(pairs.len() >= last, "{limit} blocks");
                last = pairs.len();
            }
            (Err(error), _) => {
                assert_eq!(error, AttachError::OutOfDmaMemory, "{limit} blocks");
                assert_eq!((last, card.memory.blocks(), card.device.state().status), (0, 0, 0));
            }
        }
    }
    assert_eq!(last, 3);
}
