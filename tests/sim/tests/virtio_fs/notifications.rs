//! Messages that nobody asked for.

use crate::share::*;

/// A device with the notification queue, whose buffers are so long.
fn noisy(size: u32) -> Setup {
    let mut config = config(b"share", 1);
    config[40..44].copy_from_slice(&size.to_le_bytes());
    Setup { features: EVENT_IDX | NOTIFICATION, sizes: vec![64, 16, 64], config, ..Setup::default() }
}

fn notifications(share: &mut Share) -> &mut DeviceQueue {
    share.notifications.as_mut().expect("it was negotiated")
}

/// The device sends a message.
fn tell(share: &mut Share, bytes: &[u8]) {
    let queue = notifications(share);
    let chain = queue.pop().expect("FS-6: a buffer is available");
    let written = queue.write(&chain, bytes);
    queue.push(u32::from(chain.head), written);
}

#[test]
fn fs_11_the_notification_queue_is_1_and_requests_are_behind_it() {
    for bus in BUSES {
        let mut share = Setup { bus, ..noisy(4096) }.share();
        assert_eq!(share.device.state().accepted & NOTIFICATION, NOTIFICATION);
        assert!(share.fs.has_notifications());
        let ready: Vec<_> = share.device.state().queues.iter().map(|queue| queue.is_ready).collect();
        assert_eq!(ready, [true, true, true]);
        share.submit(5);
        share.fs.publish();
        assert_eq!(share.kicks(), [1, 2], "its buffers, and the request");
        assert_eq!(popped(&mut share.requests).len(), 1);
    }
}

#[test]
fn fs_11_without_the_feature_requests_are_on_queue_1() {
    for bus in BUSES {
        for (features, buffers) in [(0, 8), (NOTIFICATION, 0)] {
            let options = Options { notification_buffers: buffers, ..Options::default() };
            let setup = Setup { bus, features: EVENT_IDX | features, options, ..noisy(4096) };
            let mut share = setup.share();
            assert_eq!(share.device.state().accepted & NOTIFICATION, 0);
            assert!(!share.fs.has_notifications());
            let ready: Vec<_> = share.device.state().queues.iter().map(|queue| queue.is_ready).collect();
            assert_eq!(ready, [true, true, false]);
            share.submit(5);
            share.fs.publish();
            assert_eq!((share.kicks(), popped(&mut share.requests).len()), (vec![1], 1));
            assert!(share.fs.notification().is_ok_and(|message| message.is_none()));
        }
    }
}

#[test]
fn fs_5_buffers_are_as_long_as_the_device_says_and_empty() {
    for size in [16, 100, 4096, 64 << 10] {
        let mut share = noisy(size).share();
        let queue = notifications(&mut share);
        let chains = popped(queue);
        assert_eq!(chains.len(), 8);
        for chain in chains {
            assert!(chain.readable.is_empty());
            assert_eq!(chain.writable_len(), size);
            assert!(queue.peek(chain.writable[0].0, size).iter().all(|&byte| byte == 0), "HD-G-6");
        }
    }
}

#[test]
fn hd_cfg_15_a_size_that_cannot_be_is_a_device_without_notifications() {
    for bus in BUSES {
        for size in [0, 15, (64 << 10) + 1, u32::MAX] {
            let share = Setup { bus, ..noisy(size) }.share();
            assert_eq!(share.device.state().accepted & NOTIFICATION, 0, "{size}");
            assert!(!share.fs.has_notifications());
        }
    }
}

#[test]
fn messages_come_as_they_were_sent_and_buffers_are_replaced() {
    for bus in BUSES {
        let mut share = Setup { bus, ..noisy(64) }.share();
        assert!(share.fs.notification().is_ok_and(|message| message.is_none()));
        for round in 0..100_u64 {
            assert_eq!(share.fs.arm(), Ok(Armed::Idle));
            tell(&mut share, &round.to_le_bytes());
            assert!(notifications(&mut share).wants_interrupt());
            assert_eq!(share.fs.arm(), Ok(Armed::WorkPending));
            let message = share.fs.notification().expect("an obedient device").expect("there is one");
            assert_eq!(message[..], round.to_le_bytes());
            share.fs.recycle(message);
            assert!(share.fs.notification().is_ok_and(|message| message.is_none()));
        }
    }
}

#[test]
fn fs_6_buffers_are_available_while_the_client_holds_as_many() {
    let mut share = noisy(64).share();
    let mut held = Vec::new();
    for number in 0..8_u8 {
        tell(&mut share, &[number; 20]);
        held.push(share.fs.notification().expect("an obedient device").expect("there is one"));
    }
    assert_eq!(popped(notifications(&mut share)).len(), 8, "full again");
    drop(held);
}

#[test]
fn fs_6_a_client_that_keeps_all_buffers_gets_more_when_it_lets_go() {
    let mut share = noisy(64).share();
    let mut held = Vec::new();
    for number in 0..16_u8 {
        tell(&mut share, &[number; 20]);
        held.push(share.fs.notification().expect("an obedient device").expect("there is one"));
    }
    assert!(notifications(&mut share).pop().is_none(), "all are with the client");
    assert_eq!(share.fs.arm(), Ok(Armed::Idle));
    held.into_iter().for_each(|message| share.fs.recycle(message));
    // Whoever goes to sleep makes sure of it.
    assert_eq!(share.fs.arm(), Ok(Armed::Idle));
    assert_eq!(popped(notifications(&mut share)).len(), 8);
}

#[test]
fn hd_fs_43_a_length_that_lies_is_cut_and_shows_nothing_old() {
    for claimed in [0, 1, 64, 65, u32::MAX] {
        let mut share = noisy(64).share();
        // A message that is full, and then one that is not written at all.
        for _ in 0..20 {
            tell(&mut share, &[0xAA; 64]);
            let message = share.fs.notification().expect("an obedient device").expect("there is one");
            share.fs.recycle(message);
        }
        let queue = notifications(&mut share);
        let chain = queue.pop().expect("FS-6");
        queue.push(u32::from(chain.head), claimed);
        let message = share.fs.notification().expect("no fault").expect("there is one");
        assert_eq!(message.len(), claimed.min(64) as usize);
        assert!(message.iter().all(|&byte| byte == 0), "what it has not written is zeros");
    }
}

#[test]
fn hd_vq_1_a_lie_in_the_notification_queue_is_a_fault() {
    let mut share = noisy(64).share();
    notifications(&mut share).push(99, 0);
    let fault = DeviceFault::UsedIdOutOfRange { id: 99 };
    assert_eq!(share.fs.notification().map(drop), Err(fault));
    assert_eq!((share.fs.complete().map(drop), share.fs.arm()), (Err(fault), Err(fault)));
}

#[test]
fn a_device_without_its_notification_queue_is_used_without_it() {
    for bus in BUSES {
        let setup = Setup { bus, ..noisy(4096) };
        let mut share = Setup { sizes: vec![64, 64], ..setup }.share();
        assert!(!share.fs.has_notifications(), "the second attempt does not ask for it");
        share.submit(1);
        share.fs.publish();
        assert_eq!(popped(&mut share.requests).len(), 1);
    }
}
