//! Several queues for requests.

use std::num::NonZeroU16;

use crate::share::*;

/// A device with so many queues for requests, of which the driver may use `most`.
fn with_queues(count: u32, most: u16) -> Setup {
    let options = Options { request_queues: NonZeroU16::new(most).expect("not zero"), ..Options::default() };
    let sizes = vec![64; 1 + count as usize];
    Setup { sizes, config: config(b"share", count), features: EVENT_IDX | INDIRECT_DESC, options, ..Setup::default() }
}

#[test]
fn fs_1_as_many_queues_are_used_as_there_are_and_are_wanted() {
    for bus in BUSES {
        for (there, most, used) in [(1, 1, 1), (1, 8, 1), (3, 8, 3), (8, 3, 3), (4, 4, 4)] {
            let share = Setup { bus, ..with_queues(there, most) }.share();
            assert_eq!(share.fs.request_queues(), used);
            assert_eq!(share.more.len() + 1, used);
            assert_eq!(share.fs.limits().in_flight, 64 * used);
            assert!(share.device.state().queues.iter().skip(1 + used).all(|queue| !queue.is_ready), "and no others");
        }
    }
}

#[test]
fn hd_cfg_14_queues_that_are_only_claimed_are_not_used() {
    for bus in BUSES {
        let setup = Setup { bus, config: config(b"share", u32::MAX), ..with_queues(2, u16::MAX) };
        let share = setup.share();
        assert_eq!(share.fs.request_queues(), 2);
        assert_eq!(share.device.state().status_writes, [0, 1, 3, 11, 15], "found out without a second attempt");
    }
}

#[test]
fn a_queue_that_cannot_be_made_is_done_without() {
    for bus in BUSES {
        let setup = Setup { bus, ..with_queues(4, 4) };
        // Queue 3 of the device, the third for requests, is too small for any.
        let setup = Setup { sizes: vec![64, 64, 64, 2, 64], features: EVENT_IDX, ..setup };
        let share = setup.share();
        assert_eq!(share.fs.request_queues(), 2);
        let writes = share.device.state().status_writes.clone();
        assert_eq!(writes, [0, 1, 3, 11, FAILED | 11, 0, 0, 1, 3, 11, 15], "begun anew with fewer");
    }
}

#[test]
fn requests_are_spread_to_where_fewest_are_and_ids_name_their_queues() {
    for bus in BUSES {
        let mut share = Setup { bus, ..with_queues(3, 8) }.share();
        let mut seen = HashMap::new();
        for number in 0..192 {
            let id = share.submit(number);
            assert!(seen.insert(id, number).is_none(), "an id is unique among those in flight");
        }
        let one_more = share.request(500);
        let refused = share.fs.submit(one_more).expect_err("all queues are full");
        assert_eq!(refused.reason, Refusal::Full);
        share.fs.publish();
        assert_eq!(share.kicks(), [1, 2, 3]);
        let mut answered = 0;
        // The last queue first, and each backwards.
        for lane in [2, 0, 1] {
            let chains = popped(share.lane(lane));
            assert_eq!(chains.len(), 64, "an even share");
            for chain in chains.iter().rev() {
                let request = share.lane(lane).read(chain);
                let written = share.lane(lane).write(chain, &[request[40..48].to_vec(), vec![lane as u8; 8]].concat());
                share.lane(lane).push(u32::from(chain.head), written);
            }
        }
        while let Some(done) = share.fs.complete().expect("an obedient device") {
            let number = seen.remove(&done.id).expect("it is in flight");
            assert_eq!(number_of(&done.request.request), number, "its own buffers");
            let reply = done.request.reply.expect("as submitted");
            assert_eq!(reply[..8], number.to_le_bytes());
            assert_eq!(usize::from(done.id.0) / 64, usize::from(reply[8]), "ids of a queue are together");
            answered += 1;
        }
        assert_eq!((answered, seen.len()), (192, 0));
    }
}

#[test]
fn one_request_at_a_time_takes_the_first_queue_only() {
    let mut share = with_queues(4, 8).share();
    for number in 0..100 {
        let id = share.submit(number);
        share.fs.publish();
        assert_eq!(share.kicks(), [1]);
        let chain = share.requests.pop().expect("it is on the first queue");
        share.requests.push(u32::from(chain.head), 16);
        assert_eq!(share.completion().id, id);
        let _ = share.requests.enable_kicks();
    }
}

#[test]
fn fs_9_a_stuck_queue_holds_up_no_other() {
    let mut share = with_queues(2, 2).share();
    for number in 0..8 {
        share.submit(number);
    }
    share.fs.publish();
    let stuck = popped(&mut share.requests);
    let mut finished = 0;
    for _ in 0..50 {
        for chain in popped(share.lane(1)) {
            share.lane(1).push(u32::from(chain.head), 16);
        }
        while share.fs.complete().expect("an obedient device").is_some() {
            finished += 1;
            share.submit(100);
        }
        share.fs.publish();
    }
    assert!(finished > 100, "{finished}");
    assert_eq!((stuck.len(), popped(&mut share.requests).len()), (4, 0), "nothing more was sent where nothing moves");
}

#[test]
fn every_queue_wakes_and_every_queue_faults() {
    for bus in BUSES {
        for lane in 0..3 {
            let mut share = Setup { bus, ..with_queues(3, 3) }.share();
            for number in 0..3 {
                share.submit(number);
            }
            share.fs.publish();
            let chain = share.lane(lane).pop().expect("one each");
            assert_eq!(share.fs.arm(), Ok(Armed::Idle));
            share.lane(lane).push(u32::from(chain.head), 16);
            assert!(share.lane(lane).wants_interrupt());
            assert_eq!(share.fs.arm(), Ok(Armed::WorkPending));
            share.completion();
            share.lane(lane).push(77, 16);
            let fault = share.fs.complete().map(drop).expect_err("nothing of it is in flight");
            let request = share.request(9);
            let refused = share.fs.submit(request).expect_err("no queue takes anything any more");
            assert_eq!(refused.reason, Refusal::Faulted(fault));
            assert_eq!((share.fs.arm(), share.fs.notification().map(drop)), (Err(fault), Err(fault)));
        }
    }
}

#[test]
fn there_are_never_more_requests_than_ids() {
    let options = Options { descriptors: 16_384, ..with_queues(4, 8).options };
    let setup = Setup { sizes: vec![16_384; 5], options, ..with_queues(4, 8) };
    let mut share = setup.share();
    assert_eq!((share.fs.request_queues(), share.fs.limits().in_flight), (2, 0x8000));
    let first = share.submit(1);
    let forget = share.one_way();
    let high = share.fs.submit(forget).expect("there is room");
    assert_eq!((first.0, high.0), (0, 0x8000));
}

#[test]
fn work_on_one_queue_leaves_no_other_unarmed() {
    for features in [0, EVENT_IDX] {
        for (busy, quiet) in [(0, 1), (0, 2), (1, 2), (2, 0), (2, 1)] {
            let mut share = Setup { features, ..with_queues(3, 3) }.share();
            for round in 0..10 {
                for number in 0..3 {
                    share.submit(number);
                }
                share.fs.publish();
                let chains = [0, 1, 2].map(|lane| share.lane(lane).pop().expect("one each"));
                share.lane(busy).push(u32::from(chains[busy].head), 16);
                assert_eq!(share.fs.arm(), Ok(Armed::WorkPending));
                share.lane(quiet).push(u32::from(chains[quiet].head), 16);
                assert!(share.lane(quiet).wants_interrupt(), "queue {quiet} beside {busy}, round {round}");
                let last = 3 - busy - quiet;
                share.lane(last).push(u32::from(chains[last].head), 16);
                for _ in 0..3 {
                    share.completion();
                }
            }
        }
    }
}
