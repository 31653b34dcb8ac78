//! Waking.

use crate::share::*;

#[test]
fn after_idle_the_next_completion_interrupts_on_either_queue() {
    for bus in BUSES {
        for features in [0, EVENT_IDX] {
            let mut share = Setup { bus, features, ..Setup::small(64) }.share();
            for round in 0..50 {
                share.submit(round);
                let forget = share.one_way();
                share.fs.submit(forget).expect("there is room");
                share.fs.publish();
                let (normal, high) = (popped(&mut share.requests), popped(&mut share.high));
                assert_eq!(share.fs.arm(), Ok(Armed::Idle));
                share.high.push(u32::from(high[0].head), 0);
                assert!(share.high.wants_interrupt(), "round {round}");
                assert_eq!(share.fs.arm(), Ok(Armed::WorkPending));
                assert_eq!(share.completion().request.priority, Priority::High);
                assert_eq!(share.fs.arm(), Ok(Armed::Idle));
                share.requests.push(u32::from(normal[0].head), 16);
                assert!(share.requests.wants_interrupt(), "round {round}");
                assert_eq!(share.fs.arm(), Ok(Armed::WorkPending));
                assert_eq!(share.completion().request.priority, Priority::Normal);
            }
        }
    }
}

#[test]
fn work_on_one_queue_does_not_leave_the_other_unarmed() {
    for features in [0, EVENT_IDX] {
        let mut share = Setup { features, ..Setup::small(64) }.share();
        for round in 0..10 {
            share.submit(round);
            let forget = share.one_way();
            share.fs.submit(forget).expect("there is room");
            share.fs.publish();
            let (normal, high) = (popped(&mut share.requests), popped(&mut share.high));
            share.requests.push(u32::from(normal[0].head), 16);
            assert_eq!(share.fs.arm(), Ok(Armed::WorkPending));
            share.high.push(u32::from(high[0].head), 0);
            assert!(share.high.wants_interrupt());
            for _ in 0..2 {
                share.completion();
            }
        }
    }
}

#[test]
fn arming_acknowledges_the_interrupt() {
    let mut share = Setup::small(64).share();
    share.device.state().interrupt = 1;
    assert_eq!(share.fs.arm(), Ok(Armed::Idle));
    let state = share.device.state();
    assert_eq!((state.interrupt, &state.acknowledged[..]), (0, &[1][..]));
}
