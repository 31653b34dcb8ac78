//! Commands: what the card is told, in which form, and what it may answer.

use virtio_net::{MOST_ADDRESSES, NotNegotiated};

use crate::card::*;

const UNICAST: [MacAddress; 2] = [MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2])];
const GROUP: [MacAddress; 1] = [MacAddress([0x33, 0x33, 0, 0, 0, 1])];

const PROMISC: [[u8; 3]; 2] = [[0, 0, 0], [0, 0, 1]];
const ALLMULTI: [[u8; 3]; 2] = [[0, 1, 0], [0, 1, 1]];

fn addresses() -> ReceiveFilter<'static> {
    ReceiveFilter { unicast: &UNICAST, multicast: &GROUP, ..ReceiveFilter::default() }
}

fn table(unicast: &[MacAddress], multicast: &[MacAddress]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    for list in [unicast, multicast] {
        bytes.extend((list.len() as u32).to_le_bytes());
        bytes.extend(list.iter().flat_map(|address| address.0));
    }
    bytes
}

fn filter(nic: &mut Nic, filter: &ReceiveFilter<'_>) {
    nic.net.set_filter(filter).expect("a sound card");
}

#[test]
fn net_23_24_30_vq_32_a_filter_is_told_in_the_form_that_every_card_understands() {
    for bus in ALL_BUSES {
        for fixed_layout in [false, true] {
            let mut nic = Setup { bus, fixed_layout, ..Setup::commanded() }.nic();
            nic.kicks();
            filter(&mut nic, &addresses());
            assert_eq!(nic.kicks(), [2], "one for all, and nothing is waited for");
            let commands = nic.commands();
            let lens: Vec<_> = commands.iter().map(|command| command.lens.clone()).collect();
            // The table comes before what lets fewer frames in.
            assert_eq!(lens, [vec![2, 16, 10], vec![2, 1], vec![2, 1]], "{bus:?}");
            let bytes: Vec<_> = commands.iter().map(|command| command.bytes.clone()).collect();
            assert_eq!(bytes, [table(&UNICAST, &GROUP), ALLMULTI[0].to_vec(), PROMISC[0].to_vec()]);
            commands.iter().for_each(|command| nic.answer(command, 0));
            assert_eq!(nic.net.changes(), Ok(Changes::default()));
            assert!(nic.commands().is_empty());
            // The same again is nothing new.
            filter(&mut nic, &addresses());
            assert!(nic.commands().is_empty());
            assert_eq!(nic.net.counters(), Counters::default());
        }
    }
}

#[test]
fn net_24_both_counts_are_there_also_without_addresses() {
    let mut nic = Setup::commanded().nic();
    filter(&mut nic, &ReceiveFilter::default());
    assert_eq!(nic.obey()[0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn what_lets_more_in_comes_first_and_what_lets_fewer_in_last() {
    let mut nic = Setup::commanded().nic();
    filter(&mut nic, &ReceiveFilter { promiscuous: true, all_multicast: true, ..ReceiveFilter::default() });
    assert_eq!(nic.obey(), [PROMISC[1].to_vec(), ALLMULTI[1].to_vec(), table(&[], &[])]);
    filter(&mut nic, &addresses());
    assert_eq!(nic.obey(), [table(&UNICAST, &GROUP), ALLMULTI[0].to_vec(), PROMISC[0].to_vec()]);
    filter(&mut nic, &ReceiveFilter { all_multicast: true, ..addresses() });
    assert_eq!(nic.obey(), [ALLMULTI[1]], "only what is new");
}

#[test]
fn more_addresses_than_a_table_holds_are_all_addresses() {
    let many: Vec<_> = (0..=MOST_ADDRESSES as u8).map(|i| MacAddress([2, 0, 0, 0, 1, i])).collect();
    let groups: Vec<_> = (0..=MOST_ADDRESSES as u8).map(|i| MacAddress([1, 0, 0x5e, 0, 1, i])).collect();
    let mut nic = Setup::commanded().nic();
    let most = &many[..MOST_ADDRESSES];
    filter(&mut nic, &ReceiveFilter { unicast: most, multicast: &groups, ..ReceiveFilter::default() });
    assert_eq!(nic.obey(), [ALLMULTI[1].to_vec(), table(most, &[]), PROMISC[0].to_vec()]);
    filter(&mut nic, &ReceiveFilter { unicast: &many, multicast: &groups[1..], ..ReceiveFilter::default() });
    assert_eq!(nic.obey(), [PROMISC[1].to_vec(), table(&[], &groups[1..]), ALLMULTI[0].to_vec()]);
}

#[test]
fn net_2_hd_cfg_9_an_address_that_the_card_does_not_know_is_in_its_table() {
    for (mac, features) in [([0xff; 6], features::MAC.bits()), (MAC, 0)] {
        let features = COMMANDS | features;
        let mut nic = Setup { config: config(mac, 1, 1500), features, ..Setup::default() }.nic();
        let own = nic.net.mac();
        filter(&mut nic, &addresses());
        assert_eq!(nic.obey()[0], table(&[UNICAST[0], UNICAST[1], own], &GROUP));
    }
}

#[test]
fn net_23_without_the_features_nothing_is_commanded() {
    let mut nic = Setup::commanded().without(features::CTRL_RX).nic();
    filter(&mut nic, &addresses());
    assert_eq!(nic.net.set_vlan(5, Switch::On), Ok(Err(NotNegotiated)));
    assert!(nic.commands().is_empty());
    let mut nic = Setup::commanded().without(features::CTRL_GUEST_OFFLOADS).nic();
    assert_eq!(nic.net.set_large_receive(Switch::Off), Ok(Err(NotNegotiated)));
    assert!(nic.commands().is_empty());
}

#[test]
fn net_23_vlans_are_told_one_by_one_and_only_the_last_wish_counts() {
    let options = Options { vlan_filter: Switch::On, ..Options::default() };
    let mut nic = Setup { options, ..Setup::commanded() }.nic();
    let vlan = |nic: &mut Nic, id, switch| assert_eq!(nic.net.set_vlan(id, switch), Ok(Ok(())));
    vlan(&mut nic, 5, Switch::On);
    // While the card thinks about the first: on, off and on again.
    for (id, switch) in [(4095, Switch::On), (70, Switch::On), (70, Switch::Off), (0, Switch::On), (4096, Switch::On)] {
        vlan(&mut nic, id, switch);
    }
    assert_eq!(nic.obey(), [[2, 0, 5, 0], [2, 0, 0, 0], [2, 0, 0xff, 0x0f]]);
    vlan(&mut nic, 5, Switch::Off);
    assert_eq!(nic.obey(), [[2, 1, 5, 0]]);
}

#[test]
fn net_28_no_offload_is_switched_on_that_was_not_negotiated() {
    let features = EVENT_IDX | features::KNOWN.bits() | OFFLOADS | COMMANDS;
    let offloads = |setup: Setup| {
        let mut nic = setup.nic();
        let command = |nic: &mut Nic, switch| {
            assert_eq!(nic.net.set_large_receive(switch), Ok(Ok(())));
            let commands = nic.obey();
            assert_eq!(commands[0][..2], [5, 0]);
            u64::from_le_bytes(commands[0][2..].try_into().expect("64 bits"))
        };
        [Switch::Off, Switch::On].map(|switch| command(&mut nic, switch))
    };
    let all = Setup { features, ..Setup::default() };
    let on = features::GUEST_CSUM | features::MERGING | features::GUEST_ECN;
    assert_eq!(offloads(all), [features::GUEST_CSUM.bits(), on.bits()]);
    let some = Setup { features, ..Setup::default() }.without(features::GUEST_TSO6 | features::GUEST_ECN);
    let on = features::GUEST_CSUM | features::GUEST_TSO4;
    assert_eq!(offloads(some), [features::GUEST_CSUM.bits(), on.bits()]);
}

#[test]
fn many_wishes_while_the_card_is_slow_are_few_commands() {
    let mut nic = Setup::commanded().nic();
    for i in 0..1000_u16 {
        let [high, low] = i.to_be_bytes();
        let group = [MacAddress([1, 0, 0x5e, 0, high, low])];
        filter(&mut nic, &ReceiveFilter { multicast: &group, ..ReceiveFilter::default() });
    }
    let commands = nic.obey();
    assert_eq!(commands.len(), 4, "the first table and the last: {commands:?}");
    assert_eq!(commands[3], table(&[], &[MacAddress([1, 0, 0x5e, 0, 3, 0xe7])]));
}

#[test]
fn a_control_queue_for_one_command_serves_all_of_them() {
    // Without tables a command takes six places of eight.
    let mut nic = Setup { sizes: [16, 16, 8], ..Setup::commanded() }.nic();
    filter(&mut nic, &addresses());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let commands = nic.commands();
        assert_eq!(commands.len(), 1);
        nic.answer(&commands[0], 0);
        seen.push(commands[0].bytes.clone());
        assert_eq!(nic.net.changes(), Ok(Changes::default()));
    }
    assert_eq!(seen, [table(&UNICAST, &GROUP), ALLMULTI[0].to_vec(), PROMISC[0].to_vec()]);
}

#[test]
fn hd_net_15_a_refused_filter_lets_more_in_and_is_not_repeated() {
    let mut nic = Setup::commanded().nic();
    filter(&mut nic, &addresses());
    let commands = nic.commands();
    for (command, answer) in commands.iter().zip([1, 0, 0]) {
        nic.answer(command, answer);
    }
    assert_eq!(nic.net.changes(), Ok(Changes::default()));
    assert_eq!(nic.obey(), [PROMISC[1], ALLMULTI[1]]);
    assert_eq!(nic.net.counters().failed_commands, 1);
    // A card that refuses everything is told little.
    let mut nic = Setup::commanded().nic();
    filter(&mut nic, &addresses());
    let mut count = 0;
    loop {
        let commands = nic.commands();
        if commands.is_empty() {
            break;
        }
        count += commands.len() as u64;
        commands.iter().for_each(|command| nic.answer(command, 1));
        assert_eq!(nic.net.changes(), Ok(Changes::default()));
    }
    assert!(count <= 6, "{count} commands");
    assert_eq!(nic.net.counters().failed_commands, count);
}

#[test]
fn hd_net_15_an_answer_that_is_none_is_no_success() {
    for answer in [None, Some(2), Some(0x80), Some(0xff)] {
        let mut nic = Setup::commanded().nic();
        filter(&mut nic, &ReceiveFilter { promiscuous: true, ..ReceiveFilter::default() });
        let commands = nic.commands();
        match answer {
            Some(answer) => nic.answer(&commands[0], answer),
            // Completed, and claimed to be answered.
            None => nic.control.as_mut().expect("it is there").push(u32::from(commands[0].chain.head), 1),
        }
        assert_eq!(nic.net.changes(), Ok(Changes::default()));
        assert_eq!(nic.net.counters().failed_commands, 1, "{answer:?}");
    }
}

#[test]
fn hd_net_15_a_silent_control_queue_is_given_up_after_a_while_and_frames_go_on() {
    let clock = StoppedClock::leak();
    let mut nic = Setup { clock, ..Setup::commanded() }.nic();
    let blocks = nic.memory.blocks();
    filter(&mut nic, &addresses());
    let late = nic.commands();
    assert_eq!(late.len(), 3);
    clock.advance(4999);
    assert_eq!(nic.net.changes(), Ok(Changes::default()));
    assert_eq!(nic.net.counters().failed_commands, 0, "it may take that long");
    clock.advance(1);
    assert_eq!(nic.net.changes(), Ok(Changes::default()));
    assert_eq!(nic.net.counters().failed_commands, 3);
    filter(&mut nic, &ReceiveFilter::default());
    assert!(nic.commands().is_empty(), "nothing more is asked of it");
    nic.deliver(&numbered(1));
    assert_eq!(nic.received().len(), 1);
    assert!(nic.fill(0, 1).is_empty());
    // Answers that come too late find their memory where it was.
    late.iter().for_each(|command| nic.answer(command, 0));
    assert_eq!((nic.net.changes(), nic.memory.blocks()), (Ok(Changes::default()), blocks));
}

#[test]
fn hd_net_15_a_card_that_answers_now_and_then_is_waited_for() {
    let clock = StoppedClock::leak();
    let mut nic = Setup { clock, ..Setup::commanded() }.nic();
    filter(&mut nic, &addresses());
    for command in nic.commands() {
        clock.advance(4000);
        nic.answer(&command, 0);
        assert_eq!(nic.net.changes(), Ok(Changes::default()));
    }
    assert_eq!(nic.net.counters().failed_commands, 0);
}

#[test]
fn hd_vq_1_3_lies_in_the_control_queue_are_faults_of_whoever_looks() {
    let mut nic = Setup::commanded().nic();
    filter(&mut nic, &addresses());
    nic.control.as_mut().expect("it is there").push(99, 1);
    let fault = DeviceFault::UsedIdOutOfRange { id: 99 };
    assert_eq!(nic.net.changes(), Err(fault));
    assert_eq!(nic.net.set_filter(&ReceiveFilter::default()), Err(fault));
}

#[test]
fn commands_take_no_memory() {
    let mut nic = Setup::commanded().nic();
    let blocks = nic.memory.blocks();
    for round in 0..500_u16 {
        let [high, low] = round.to_be_bytes();
        let group = [MacAddress([1, 0, 0x5e, 0, high, low])];
        filter(&mut nic, &ReceiveFilter { multicast: &group, promiscuous: round % 2 == 0, ..ReceiveFilter::default() });
        assert!(!nic.obey().is_empty());
    }
    assert_eq!(nic.memory.blocks(), blocks);
}
