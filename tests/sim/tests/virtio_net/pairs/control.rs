//! The command that sets the number of pairs, and what a card can make of it.

use std::sync::Mutex;

use virtio_sim::QueueSetup;

use super::*;

#[test]
fn net_18_26_the_command_comes_when_all_queues_are_set_up_and_receive_queues_are_full() {
    let card = Card::new(4);
    let (pairs, command) = card.pairs(3);
    let command = command.expect("there was one");
    assert_eq!(command.bytes, [4, 0, 3, 0], "class, command, pairs");
    assert_eq!(command.available, [16, 0, 16, 0, 16, 0], "receive queues are full, nothing is transmitted yet");
    assert_eq!(pairs.len(), 3);
    let state = card.device.state();
    assert_eq!(state.accepted & (CTRL_VQ | MQ), CTRL_VQ | MQ);
    assert_eq!(state.status, 15);
}

#[test]
fn net_26_a_card_that_refuses_is_reset_and_used_with_one_pair() {
    let card = Card::new(3).replying(Reply::Ack(1));
    let (pairs, command) = card.pairs(3);
    assert_eq!(command.expect("there was one").bytes, [4, 0, 3, 0]);
    assert_eq!(pairs.len(), 1);
    assert_eq!(card.device.state().status_writes, [0, 1, 3, 11, 15, 0, 0, 1, 3, 11, 15], "anew");
    assert_eq!(card.device.state().accepted & (CTRL_VQ | MQ), 0);
    drop(pairs);
    let plain = Card::new(1);
    drop(plain.pairs(1));
    assert_eq!(card.memory.blocks(), plain.memory.blocks(), "nothing is left of the first attempt");
}

#[test]
fn hd_net_15_a_silent_control_queue_is_an_error_after_a_while_and_nothing_stays_allocated() {
    let card = Card::new(2).silent();
    let (pairs, _) = card.divide(2);
    assert_eq!(pairs.map(drop).expect_err("no answer"), AttachError::TimedOut);
    assert_eq!(card.device.state().status, 0, "it was reset");
    assert_eq!(card.memory.blocks(), 0);
}

/// A clock on which each look takes 10 ms. While the driver waits, it notes where the card's queues are, which the
/// model forgets when it is told to reset.
struct Watching {
    device: Device,
    now: AtomicU64,
    queues: Mutex<Vec<QueueSetup>>,
}

impl Clock for Watching {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.fetch_add(10_000_000, Ordering::Relaxed))
    }

    fn relax(&self) {
        let state = self.device.state();
        if state.status & 4 != 0 {
            self.queues.lock().expect("no test panics with it").clone_from(&state.queues);
        }
    }
}

#[test]
fn hd_net_15_a_late_answer_finds_its_memory_where_it_was() {
    let card = Card::new(2).silent();
    let clock = Watching { device: card.device.clone(), now: AtomicU64::new(0), queues: Mutex::default() };
    let clock: &Watching = Box::leak(Box::new(clock));
    // It resets once, and never again.
    card.device.lie(|lies| lies.resets_left = Some(1));
    let card = Card { clock, ..card };
    let (pairs, _) = card.divide(2);
    assert_eq!(pairs.map(drop).expect_err("no answer"), AttachError::TimedOut);
    assert_eq!(card.device.state().status & 128, 128, "marked FAILED");
    // The model panics at an address that is not allocated any more.
    let queues = clock.queues.lock().expect("no test panics with it");
    let mut control = DeviceQueue::new(card.memory, queues[4], true);
    let command = control.pop().expect("it was published");
    assert_eq!((control.read(&command), control.write(&command, &[0])), (vec![4, 0, 2, 0], 1));
    control.push(u32::from(command.head), 1);
    for index in [0, 2] {
        let mut receive = DeviceQueue::new(card.memory, queues[index], true);
        let chain = receive.pop().expect("it is filled");
        assert_eq!(receive.write(&chain, &[0xff; 1536]), 1536);
        receive.push(u32::from(chain.head), 1536);
    }
}

#[test]
fn hd_net_15_an_answer_that_is_none_is_an_error() {
    let malformed = AttachError::Configuration("answer to a command");
    let replies = [Reply::Ack(2), Reply::Ack(0x80), Reply::Ack(0xff), Reply::Unwritten];
    for reply in replies {
        let card = Card::new(2).replying(reply);
        let (pairs, _) = card.divide(2);
        assert_eq!(pairs.map(drop).expect_err("no answer"), malformed, "{reply:?}");
        assert_eq!((card.device.state().status, card.memory.blocks()), (0, 0), "{reply:?}");
    }
}

#[test]
fn hd_vq_1_3_lies_in_the_control_queue_are_faults() {
    // The queue holds two commands of six descriptors, and one was given.
    let faults = [
        (Reply::OtherId, DeviceFault::UsedIdNotInFlight { id: 1 }),
        (Reply::TooMany, DeviceFault::UsedIndexJump { advance: 2, in_flight: 1 }),
    ];
    for (reply, fault) in faults {
        let card = Card::new(2).replying(reply);
        let (pairs, _) = card.divide(2);
        assert_eq!(pairs.map(drop).expect_err("a lie"), AttachError::Fault(fault), "{reply:?}");
        assert_eq!((card.device.state().status, card.memory.blocks()), (0, 0), "{reply:?}");
    }
}
