//! A device that hangs is reset, and goes on.

use std::time::Duration;

use toro_core::driver::net::{Burst, LinkState, MacAddress, NetDevice, ReceiveFilter};
use toro_core::driver::{Armed, DeviceFault};
use virtio_sim::e1000::{Delivery, Nature};

use crate::packets::{Over, partial, pattern, payload};
use crate::rig::{Rig, ordinary};

/// Lets the driver look each second for so long; says how often it was reset meanwhile.
fn wait(rig: &mut Rig, seconds: u32) -> Result<u32, DeviceFault> {
    let before = rig.nic.chip().resets;
    for _ in 0..seconds {
        rig.clock.advance(Duration::from_secs(1));
        // Through a reset, if there is one.
        for _ in 0..10_000 {
            if rig.net.arm()? == Armed::Idle {
                break;
            }
            let _ = rig.receive();
            let _ = rig.net.changes()?;
        }
    }
    Ok(rig.nic.chip().resets - before)
}

fn send(rig: &mut Rig, number: u8) {
    let frame = rig.frame(&ordinary(number, 100));
    rig.transmit([frame]);
}

#[test]
fn e1_28_transmitter_that_hangs_is_reset_and_everything_is_as_before() {
    for nature in [Nature::Emulated, Nature::Hardware] {
        let mut rig = Rig::with(|nic| nic.chip().nature = nature);
        let group = [0x33, 0x33, 0, 0, 0, 9];
        let filter = ReceiveFilter { multicast: &[MacAddress(group)], ..ReceiveFilter::default() };
        rig.net.set_filter(&filter).expect("no fault");
        let (bytes, notes) = partial(Over::Ipv4, 6, &pattern(10));
        let mut partial = || {
            let mut frame = rig.frame(&bytes);
            frame.set_notes(notes);
            rig.transmit([frame]);
        };
        partial();
        rig.nic.take_sent();
        rig.nic.chip().lies.is_mute = true;
        send(&mut rig, 1);
        rig.deliver(2);
        assert_eq!(wait(&mut rig, 3), Ok(0), "not yet");
        assert_eq!(wait(&mut rig, 3), Ok(1));
        rig.nic.chip().lies.is_mute = false;
        assert_eq!((rig.net.counters().resets, rig.net.counters().lost), (1, 1));
        let mut frame = rig.frame(&bytes);
        frame.set_notes(notes);
        rig.transmit([frame]);
        assert_eq!(payload(&rig.nic.take_sent()[0], Over::Ipv4, 6), pattern(10), "the context was told anew");
        rig.nic.sit_out_pause();
        rig.deliver(10);
        let mut frame = [&group[..], &[2; 6], &[0x88, 0xb5]].concat();
        frame.resize(60, 0);
        assert_eq!(rig.nic.deliver(&frame), Delivery::Taken, "and the filter");
        assert_eq!(rig.receive().len(), 11);
        assert_eq!(wait(&mut rig, 10), Ok(0));
    }
}

#[test]
fn e1_28_nobody_waits_for_the_reset() {
    let mut rig = Rig::new();
    rig.nic.chip().lies.is_mute = true;
    send(&mut rig, 1);
    for _ in 0..2 {
        rig.clock.advance(Duration::from_secs(3));
        let _ = rig.net.arm();
    }
    let mut looks = 0;
    let mut burst = Burst::new();
    while rig.nic.chip().peek(0x100) & 2 == 0 {
        looks += 1;
        let before = rig.clock.peek();
        assert_eq!(rig.net.arm(), Ok(Armed::WorkPending), "no interrupt will come");
        rig.net.receive(&mut burst).expect("no fault");
        assert!(burst.is_empty());
        if looks == 2 {
            let frame = rig.frame(&ordinary(2, 60));
            burst.push(frame).expect("it is empty");
            rig.net.transmit(&mut burst).expect("no fault");
            assert_eq!(burst.len(), 1, "it cannot be sent now");
            drop(burst.pop());
            assert_eq!(rig.net.link(), LinkState::Down);
            assert!(rig.net.changes().is_ok());
            rig.net.set_filter(&ReceiveFilter::default()).expect("no fault");
        }
        let spent = rig.clock.peek().saturating_since(before);
        assert!(spent < Duration::from_millis(1), "{spent:?} in one look");
        assert!(looks < 100_000);
    }
    assert!(looks > 2);
}

#[test]
fn e1_28_without_a_link_nothing_hangs() {
    let mut rig = Rig::new();
    rig.nic.set_link(LinkState::Down);
    rig.nic.chip().lies.is_mute = true;
    send(&mut rig, 1);
    assert_eq!(wait(&mut rig, 20), Ok(0));
    rig.nic.set_link(LinkState::Up);
    assert_eq!(wait(&mut rig, 10), Ok(1), "but then it may");
}

#[test]
fn e1_28_slow_is_not_hung() {
    let mut rig = Rig::with(|nic| nic.chip().pace = virtio_sim::e1000::Pace::Slow);
    for number in 0..20 {
        send(&mut rig, number);
        assert_eq!(wait(&mut rig, 2), Ok(0));
        rig.nic.run();
    }
    assert_eq!(rig.nic.take_sent().len(), 20);
}

#[test]
fn hd_e1k_7_device_that_never_sends_again_is_given_up() {
    let mut rig = Rig::new();
    rig.nic.chip().lies.is_mute = true;
    let mut resets = 0;
    let fault = loop {
        let mut burst = Burst::new();
        if let Some(mut frame) = rig.net.frame(60) {
            frame.set_len(60).expect("as long as that");
            burst.push(frame).expect("it is empty");
        }
        if let Err(fault) = rig.net.transmit(&mut burst) {
            break fault;
        }
        match wait(&mut rig, 1) {
            Ok(more) => resets += more,
            Err(fault) => break fault,
        }
        assert!(resets < 10, "it is hopeless");
    };
    assert_eq!((fault, resets), (DeviceFault::NeedsReset, 3));
    assert_eq!(rig.net.arm(), Err(fault), "it stays so");
    assert_eq!(rig.net.receive(&mut Burst::new()), Err(fault));
    assert_eq!(rig.net.changes().err(), Some(fault));
    assert_eq!(rig.net.set_filter(&ReceiveFilter::default()), Err(fault));
}

#[test]
fn hd_e1k_7_reset_that_does_not_end_is_a_fault() {
    let mut rig = Rig::new();
    {
        let mut chip = rig.nic.chip();
        chip.lies.is_mute = true;
        chip.lies.never_resets = true;
    }
    send(&mut rig, 1);
    let (memory, nic) = (rig.memory, rig.nic.clone());
    // The driver's waits are measured by the clock, of which each look takes a microsecond.
    let mut fault = None;
    for _ in 0..1_000_000 {
        rig.clock.advance(Duration::from_millis(20));
        if let Err(found) = rig.net.arm() {
            fault = Some(found);
            break;
        }
    }
    assert_eq!(fault, Some(DeviceFault::NeedsReset));
    drop(rig);
    assert!(!nic.config().is_master());
    assert_eq!(memory.blocks(), 0);
}

#[test]
fn e1_27_device_that_goes_away_is_a_fault_wherever_it_shows() {
    let mut rig = Rig::new();
    rig.nic.chip().lies.is_gone = true;
    assert_eq!(rig.net.link(), LinkState::Down);
    assert_eq!(rig.net.arm(), Err(DeviceFault::Gone));
    assert_eq!(rig.net.transmit(&mut Burst::new()), Err(DeviceFault::Gone));
    let memory = rig.memory;
    drop(rig);
    assert_eq!(memory.blocks(), 0, "nobody can reach it any more");

    let mut rig = Rig::new();
    rig.nic.chip().lies.is_mute = true;
    send(&mut rig, 1);
    rig.nic.chip().lies.is_gone = true;
    rig.clock.advance(Duration::from_secs(2));
    assert_eq!(rig.net.transmit(&mut Burst::new()), Err(DeviceFault::Gone), "the watchdog");

    let mut rig = Rig::new();
    rig.nic.set_link(LinkState::Down);
    assert_eq!(rig.net.arm(), Ok(Armed::WorkPending));
    rig.nic.chip().lies.is_gone = true;
    assert_eq!(rig.net.changes().err(), Some(DeviceFault::Gone));
}
