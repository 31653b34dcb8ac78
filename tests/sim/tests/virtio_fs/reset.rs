//! Beginning anew.

use crate::common::HASTE;
use crate::share::*;

/// Resets, and returns what was handed back.
fn reset(share: &mut Share) -> Result<Vec<(RequestId, FuseRequest)>, AttachError> {
    let mut unfinished = Vec::new();
    let result = share.fs.reset(&mut |id, request| unfinished.push((id, request)));
    result.map(|()| {
        share.look_again();
        unfinished
    })
}

/// One request there and back.
fn works(share: &mut Share) {
    let id = share.submit(4711);
    share.fs.publish();
    let chain = share.requests.pop().expect("it was published");
    assert_eq!(number_of(&share.requests.read(&chain)), 4711);
    share.requests.push(u32::from(chain.head), 16);
    assert_eq!(share.completion().id, id);
}

#[test]
fn hd_vq_14_a_reset_hands_back_what_was_never_answered() {
    for bus in BUSES {
        for features in [0, EVENT_IDX | INDIRECT_DESC, NOTIFICATION] {
            let setup = Setup { bus, features, sizes: vec![64; 5], config: config(b"share", 3), ..Setup::default() };
            let mut share = setup.share();
            let mut expected = HashMap::new();
            for number in 0..10 {
                expected.insert(share.submit(number), (Priority::Normal, number));
            }
            for number in 10..14 {
                let request = share.request_of(Priority::High, number);
                expected.insert(share.fs.submit(request).expect("there is room"), (Priority::High, number));
            }
            share.fs.publish();
            let taken = popped(&mut share.requests);
            share.requests.push(u32::from(taken[0].head), 16);
            let done = share.completion();
            assert!(expected.remove(&done.id).is_some());
            // One more that the device was never shown.
            expected.insert(share.submit(14), (Priority::Normal, 14));
            let blocks = share.memory.blocks();
            let unfinished = reset(&mut share).expect("an obedient device");
            assert_eq!(unfinished.len(), expected.len());
            for (id, request) in unfinished {
                let (priority, number) = expected.remove(&id).expect("once each");
                assert_eq!((request.priority, number_of(&request.request)), (priority, number));
                assert_eq!(request.reply.is_some(), priority == Priority::Normal);
            }
            assert_eq!(share.memory.blocks(), blocks, "the rings of before are freed");
            for _ in 0..3 {
                works(&mut share);
            }
        }
    }
}

#[test]
fn a_reset_gets_out_of_a_fault() {
    for bus in BUSES {
        let mut share = Setup { bus, ..Setup::small(64) }.share();
        for round in 0..5 {
            share.submit(round);
            share.fs.publish();
            share.requests.push(63, 0);
            assert!(share.fs.complete().is_err());
            assert_eq!(reset(&mut share).expect("an obedient device").len(), 1);
            works(&mut share);
        }
    }
}

#[test]
fn hd_st_4_a_device_that_needs_a_reset_says_so_when_asked() {
    for bus in BUSES {
        let mut share = Setup { bus, ..Setup::small(64) }.share();
        assert_eq!(share.fs.check(), Ok(()));
        share.submit(1);
        share.fs.publish();
        share.device.state().status |= 0x40;
        assert_eq!(share.fs.check(), Err(DeviceFault::NeedsReset));
        assert_eq!(share.fs.complete().map(drop), Err(DeviceFault::NeedsReset), "INI-12: nothing is relied on");
        let request = share.request(2);
        let refused = share.fs.submit(request).expect_err("it is unwell");
        assert_eq!(refused.reason, Refusal::Faulted(DeviceFault::NeedsReset));
        assert_eq!(reset(&mut share).expect("it resets").len(), 1);
        assert_eq!(share.fs.check(), Ok(()));
        works(&mut share);
    }
}

#[test]
fn hd_st_4_by_a_line_an_interrupt_tells_of_it() {
    let mut share = Setup::small(64).share();
    share.device.state().status |= 0x40;
    assert_eq!(share.fs.arm(), Ok(Armed::Idle), "nobody has said anything");
    share.device.state().interrupt = 2;
    assert_eq!(share.fs.arm(), Err(DeviceFault::NeedsReset));
}

#[test]
fn a_device_that_is_gone_is_found_out() {
    for bus in BUSES {
        let mut share = Setup { bus, ..Setup::small(64) }.share();
        share.device.lie(|lies| lies.gone = true);
        assert_eq!(share.fs.check(), Err(DeviceFault::Gone));
        assert_eq!(reset(&mut share).map(drop), Err(AttachError::Fault(DeviceFault::Gone)));
    }
}

/// Whether a device that did not confirm a reset confirms another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Confirms {
    Never,
    Later,
}

#[test]
fn hd_st_1_hd_g_4_a_device_that_does_not_confirm_is_gone_until_it_does_and_keeps_what_it_has() {
    for (bus, confirms) in BUSES.into_iter().flat_map(|bus| [(bus, Confirms::Never), (bus, Confirms::Later)]) {
        let memory = SimMemory::leak();
        let device = Device::new(26, VERSION_1 | EVENT_IDX, &[64, 64], &config(b"share", 1));
        let fs = VirtioFs::new(transport(&device, bus), memory, &HASTE, &Options::default()).expect("a sound device");
        let [high, requests] = [0, 1].map(|index| DeviceQueue::negotiated(memory, device.queue(index), EVENT_IDX));
        let mut share = Share { memory, device, fs, high, notifications: None, requests, more: Vec::new() };
        share.submit(0xdead);
        share.fs.publish();
        let stuck = share.requests.pop().expect("it was published");
        share.device.lie(|lies| lies.never_resets = true);
        let mut unfinished = 0;
        let result = share.fs.reset(&mut |_, _| unfinished += 1);
        assert_eq!((result, unfinished), (Err(AttachError::TimedOut), 0));
        assert_eq!(share.device.state().status_writes.last().map(|bits| bits & FAILED), Some(FAILED));
        // From here on there is no device, until it confirms a reset.
        let gone = DeviceFault::Gone;
        assert_eq!(
            (share.fs.complete().map(drop), share.fs.arm(), share.fs.check()),
            (Err(gone), Err(gone), Err(gone))
        );
        assert_eq!(share.fs.request_queues(), 0);
        let request = share.request(1);
        assert!(share.fs.submit(request).is_err_and(|refused| refused.reason == Refusal::Faulted(gone)));
        share.fs.publish();
        assert_eq!(share.fs.reset(&mut |_, _| unfinished += 1), Err(AttachError::TimedOut));
        assert_eq!(format!("{:?}", share.fs), "VirtioFs(share, 0 queues, 16 at once, the device is gone)");
        // The device may still write to its buffers, and nobody else has them.
        assert_eq!(number_of(&share.requests.read(&stuck)), 0xdead);
        assert_eq!(share.requests.write(&stuck, &[1; 16]), 16);
        if confirms == Confirms::Never {
            let Share { fs, requests, .. } = share;
            drop(fs);
            assert_eq!(number_of(&requests.read(&stuck)), 0xdead);
            continue;
        }
        share.device.lie(|lies| lies.never_resets = false);
        assert_eq!(reset(&mut share).expect("it confirms now").len(), 1, "what was in flight comes back");
        works(&mut share);
    }
}

#[test]
fn hd_ft_3_after_a_reset_everything_is_looked_at_again() {
    for bus in BUSES {
        let setup = Setup { bus, sizes: vec![64; 4], config: config(b"share", 3), ..Setup::default() };
        let mut share = setup.share();
        assert_eq!((share.fs.request_queues(), share.fs.limits().in_flight), (3, 48));
        {
            let mut state = share.device.state();
            state.offered |= INDIRECT_DESC;
            state.queue_max = vec![16, 32, 64];
            state.config = config(b"share", 1);
        }
        reset(&mut share).expect("an obedient device");
        assert_eq!((share.fs.request_queues(), share.fs.limits().in_flight), (1, 32));
        assert_eq!(share.fs.limits().high_priority_in_flight, 16);
        works(&mut share);
    }
}

#[test]
fn hd_ft_3_hd_ft_4_a_device_that_becomes_another_is_given_up() {
    type Change = fn(&mut virtio_sim::device::State);
    let changes: [(Change, AttachError); 5] = [
        (
            |state| state.config = config(b"other", 1),
            AttachError::Configuration("the tag is another one than before the reset"),
        ),
        (|state| state.config = config(b"", 1), AttachError::Configuration("the tag is empty")),
        (|state| state.config = config(b"share", 0), AttachError::Configuration("there is no request queue")),
        (|state| state.offered &= !VERSION_1, AttachError::Features),
        (|state| state.queue_max = vec![64, 0], AttachError::Queue { index: 1 }),
    ];
    for bus in BUSES {
        for (change, error) in changes {
            let mut share = Setup { bus, ..Setup::small(64) }.share();
            share.submit(1);
            share.fs.publish();
            change(&mut share.device.state());
            let mut unfinished = 0;
            assert_eq!(share.fs.reset(&mut |_, _| unfinished += 1), Err(error));
            assert_eq!(unfinished, 1, "what was in flight comes back: the device did confirm");
            assert_eq!(share.fs.check(), Err(DeviceFault::Gone));
        }
    }
}

#[test]
fn buffers_outlive_a_reset() {
    let mut share = Setup::small(64).share();
    let held = share.buffer(b"held across");
    share.submit(1);
    reset(&mut share).expect("an obedient device");
    assert_eq!(&held[..], b"held across");
    share.fs.recycle(held);
    works(&mut share);
}

#[test]
fn stopping_gives_the_device_back_for_another_driver() {
    for bus in BUSES {
        let mut share = Setup { bus, ..Setup::small(64) }.share();
        share.submit(1);
        share.fs.publish();
        let Share { memory, fs, .. } = share;
        let mut unfinished = Vec::new();
        let transport = fs.stop(&mut |_, request| unfinished.push(request)).expect("an obedient device");
        assert_eq!(unfinished.len(), 1);
        drop(unfinished);
        assert_eq!(memory.blocks(), 0, "nothing stays allocated");
        VirtioFs::new(transport, memory, &CLOCK, &Options::default()).expect("it can be used again");
    }
}
