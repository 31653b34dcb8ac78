//! Changes while the interface runs, and how often registers are read for them.

use std::num::NonZeroU16;

use virtio_queue_rt::{Interrupts, PciTransport};
use virtio_sim::PciModel;
use virtio_sim::pci::Vectors;

use crate::card::*;
use crate::common::transports::message;

const NOTHING: Changes = Changes { link: None, announce: false };
const DOWN: Changes = Changes { link: Some(LinkState::Down), announce: false };
const UP: Changes = Changes { link: Some(LinkState::Up), announce: false };
const ANNOUNCE: Changes = Changes { link: None, announce: true };

fn stopped(bus: Bus) -> (Nic, &'static StoppedClock) {
    let clock = StoppedClock::leak();
    let mut nic = Setup { bus, clock, ..Setup::commanded() }.nic();
    assert_eq!(nic.net.changes(), Ok(NOTHING));
    (nic, clock)
}

/// The card changes its status and says so.
fn change(nic: &mut Nic, status: u8) {
    let mut state = nic.device.state();
    state.config[6] = status;
    state.generation += 1;
    state.interrupt |= 2;
}

/// How often the configuration has been read since this was last asked.
fn reads(nic: &Nic) -> usize {
    take(&mut nic.device.state().config_reads).len()
}

#[test]
fn net_3_a_change_of_the_link_is_told_once_to_whoever_was_woken_by_it() {
    for bus in ALL_BUSES {
        let (mut nic, clock) = stopped(bus);
        for round in 0..10 {
            // A link has its day.
            clock.advance(1000);
            for (status, expected) in [(0, DOWN), (1, UP)] {
                assert_eq!(nic.net.arm(), Ok(Armed::Idle), "{bus:?}");
                change(&mut nic, status);
                // By a line the cause is known before anybody can sleep; a message is not asked.
                let _ = nic.net.arm();
                assert_eq!(nic.net.changes(), Ok(expected), "{bus:?}, round {round}");
                assert_eq!(nic.net.changes(), Ok(NOTHING));
            }
        }
    }
}

#[test]
fn a_line_that_tells_of_a_change_is_work() {
    for bus in [Bus::Mmio, Bus::LegacyMmio] {
        let (mut nic, _) = stopped(bus);
        assert_eq!(nic.net.arm(), Ok(Armed::Idle));
        change(&mut nic, 0);
        assert_eq!(nic.net.arm(), Ok(Armed::WorkPending));
        assert_eq!(nic.net.changes(), Ok(DOWN));
        assert_eq!(nic.net.arm(), Ok(Armed::Idle));
    }
}

#[test]
fn nothing_is_read_while_there_is_no_reason_to() {
    for bus in ALL_BUSES {
        let (mut nic, _) = stopped(bus);
        reads(&nic);
        for i in 0..10_000 {
            if i % 100 == 0 {
                nic.deliver(&numbered(i));
                nic.received();
            }
            assert_eq!(nic.net.changes(), Ok(NOTHING));
        }
        assert_eq!(reads(&nic), 0, "{bus:?}: awake all the time");
    }
    for bus in [Bus::Mmio, Bus::LegacyMmio] {
        let (mut nic, _) = stopped(bus);
        reads(&nic);
        for i in 0..1000 {
            assert_eq!(nic.net.arm(), Ok(Armed::Idle));
            nic.deliver(&numbered(i));
            nic.received();
            assert_eq!(nic.net.changes(), Ok(NOTHING));
        }
        assert_eq!(reads(&nic), 0, "{bus:?}: the line said that nothing has changed");
    }
}

#[test]
fn hd_net_16_waking_for_frames_all_the_time_is_few_reads() {
    for bus in [Bus::Pci, Bus::LegacyPci] {
        let (mut nic, clock) = stopped(bus);
        clock.advance(1000);
        reads(&nic);
        for i in 0..1000 {
            assert_eq!(nic.net.arm(), Ok(Armed::Idle));
            nic.deliver(&numbered(i));
            nic.received();
            assert_eq!(nic.net.changes(), Ok(NOTHING));
        }
        let first = reads(&nic);
        assert!((1..=12).contains(&first), "{bus:?}: {first} reads in no time");
        // What is due is looked at in the next window, also by who does not sleep.
        change(&mut nic, 0);
        assert_eq!(nic.net.changes(), Ok(NOTHING));
        clock.advance(100);
        assert_eq!(nic.net.changes(), Ok(DOWN));
    }
}

#[test]
fn who_polls_hears_of_changes_after_a_while() {
    for bus in ALL_BUSES {
        let (mut nic, clock) = stopped(bus);
        change(&mut nic, 0);
        clock.advance(100);
        let changes: Vec<_> = (0..2000).map(|_| nic.net.changes().expect("a sound card")).collect();
        assert_eq!(changes.iter().filter(|changes| **changes != NOTHING).collect::<Vec<_>>(), [&DOWN], "{bus:?}");
    }
}

#[test]
fn hd_net_16_a_link_that_flaps_with_every_interrupt_is_few_changes_and_the_last_one_counts() {
    for bus in ALL_BUSES {
        let (mut nic, clock) = stopped(bus);
        clock.advance(1000);
        reads(&nic);
        let mut told = 0;
        for i in 0..1000 {
            let _ = nic.net.arm();
            change(&mut nic, (i % 2) as u8);
            let _ = nic.net.arm();
            told += usize::from(nic.net.changes().expect("a sound card") != NOTHING);
        }
        assert!(told <= 12, "{bus:?}: told {told} times");
        assert!(reads(&nic) <= 36, "{bus:?}");
        change(&mut nic, 0);
        clock.advance(100);
        nic.net.changes().expect("a sound card");
        clock.advance(100);
        change(&mut nic, 1);
        let _ = nic.net.arm();
        nic.net.changes().expect("a sound card");
        assert_eq!(nic.net.link(), LinkState::Up);
    }
}

#[test]
fn net_25_a_wish_for_an_announcement_is_told_and_acknowledged() {
    for bus in ALL_BUSES {
        let (mut nic, clock) = stopped(bus);
        for round in 0..5 {
            clock.advance(1000);
            let _ = nic.net.arm();
            change(&mut nic, 3);
            let _ = nic.net.arm();
            assert_eq!(nic.net.changes(), Ok(ANNOUNCE), "{bus:?}, round {round}");
            let commands = nic.commands();
            assert_eq!(commands.len(), 1);
            assert_eq!((&commands[0].bytes[..], &commands[0].lens[..]), (&[3, 0][..], &[2][..]), "ANNOUNCE_ACK");
            nic.device.state().config[6] = 1;
            nic.answer(&commands[0], 0);
            assert_eq!(nic.net.changes(), Ok(NOTHING));
        }
    }
}

#[test]
fn net_25_without_the_feature_the_bit_means_nothing() {
    let clock = StoppedClock::leak();
    let mut nic = Setup { clock, ..Setup::commanded().without(features::GUEST_ANNOUNCE) }.nic();
    change(&mut nic, 3);
    let _ = nic.net.arm();
    assert_eq!(nic.net.changes(), Ok(NOTHING));
    assert!(nic.commands().is_empty());
}

#[test]
fn hd_net_16_a_wish_that_never_goes_away_is_told_now_and_then() {
    for bus in ALL_BUSES {
        let (mut nic, clock) = stopped(bus);
        let mut told = 0;
        let mut commanded = 0;
        for _ in 0..100 {
            clock.advance(10);
            for _ in 0..20 {
                let _ = nic.net.arm();
                change(&mut nic, 3);
                let _ = nic.net.arm();
                told += usize::from(nic.net.changes().expect("a sound card").announce);
                commanded += nic.obey().len();
            }
        }
        assert!((1..=11).contains(&told), "{bus:?}: told {told} times in a second");
        assert_eq!(commanded, told);
    }
}

#[test]
fn without_a_status_there_are_no_changes_and_no_reads() {
    for bus in ALL_BUSES {
        let mut nic = Setup { bus, features: EVENT_IDX, ..Setup::default() }.nic();
        reads(&nic);
        for _ in 0..3000 {
            let _ = nic.net.arm();
            change(&mut nic, 0);
            assert_eq!(nic.net.changes(), Ok(NOTHING));
        }
        assert_eq!(reads(&nic), 0, "{bus:?}");
    }
}

#[test]
fn the_owner_of_the_first_pair_looks_and_the_others_are_told() {
    let mut bytes = config(MAC, 1, 1500);
    bytes[8] = 2;
    let offered = VERSION_1 | EVENT_IDX | features::KNOWN.bits() | features::SEVERAL_PAIRS.bits();
    let device = Device::new(1, offered, &[16; 5], &bytes);
    let memory = SimMemory::leak();
    let (space, bars) = PciModel::modern(device.clone(), Vectors::Some(4));
    let messages = [message(); 2];
    let interrupts = Interrupts::Assigned { messages: &messages, of_queue: |queue| queue.0 / 2 };
    let transport: BoxedTransport = Box::new(PciTransport::new(&space, &bars, interrupts).expect("a sound device"));
    let (card, owners) = (device.clone(), NonZeroU16::new(2).expect("not zero"));
    let answering = thread::spawn(move || {
        while !card.state().doorbells.contains(&4) {
            thread::yield_now();
        }
        let mut control = DeviceQueue::new(memory, card.queue(4), true);
        let chain = control.pop().expect("it was kicked");
        assert_eq!(chain.readable.iter().map(|(_, len)| *len).collect::<Vec<_>>(), [2, 2], "NET-30");
        let written = control.write(&chain, &[0]);
        control.push(u32::from(chain.head), written);
    });
    let clock = StoppedClock::leak();
    let made = VirtioNet::divide(transport, memory, clock, &Options::default(), owners);
    answering.join().expect("an obedient driver");
    let mut pairs = made.expect("a sound card");
    let [first, second] = &mut pairs[..] else { panic!("two pairs") };
    assert_eq!((first.changes(), second.changes()), (Ok(NOTHING), Ok(NOTHING)));
    assert_eq!((first.arm(), second.arm()), (Ok(Armed::Idle), Ok(Armed::Idle)));
    device.state().config[6] = 0;
    take(&mut device.state().config_reads);
    assert_eq!(second.changes(), Ok(NOTHING), "it does not look");
    assert!(device.state().config_reads.is_empty());
    assert_eq!((first.changes(), second.changes()), (Ok(DOWN), Ok(DOWN)));
    assert_eq!((first.changes(), second.changes()), (Ok(NOTHING), Ok(NOTHING)));
}
