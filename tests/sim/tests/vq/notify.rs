//! Who wants to be woken when, as it stands in the rings.

use toro_core::driver::Armed;
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::{Direction, FeatureBits, Notify, QueueIndex, Reset, Virtqueue};
use virtio_sim::clock::CLOCK;
use virtio_sim::queue::feature::VERSION_1;
use virtio_sim::{Device, DeviceQueue, SimMemory};

use crate::common::transports::{BUSES, transport};
use crate::rig::{EVENT_IDX, Rig, buffer, rig};

const NOTIFICATION_DATA: u64 = 1 << 38;

type Plain = Rig<DmaBuf, (), (), ()>;

fn submit(queue: &mut Virtqueue<DmaBuf, ()>, pool: &mut DmaPool) {
    let payload = buffer(pool, b"x");
    queue.submit((), payload, Direction::ToDevice, (), ()).expect("there is room");
}

/// Has `count` requests made, answered and taken out, without anybody asking to be woken.
fn pass(rig: &mut Plain, count: u32) {
    for _ in 0..count {
        submit(&mut rig.queue, &mut rig.pool);
        let chain = rig.pop_all().pop().expect("it was published");
        rig.other.push(chain.head.into(), 0);
        rig.pool.recycle(rig.queue.poll().expect("obedient").expect("completed").payload);
    }
}

#[test]
fn vq_17_without_event_idx_the_flag_decides_and_the_index_does_not() {
    let mut rig: Plain = rig(8, 0);
    for word in [0, 1, 2, 3, 0xfffe, 0xffff] {
        // Flags and avail_event both hold the word.
        rig.other.scribble_kick_wish(word);
        submit(&mut rig.queue, &mut rig.pool);
        let expected = if word & 1 == 0 { Notify::Needed } else { Notify::Suppressed };
        assert_eq!(rig.queue.publish(), expected, "{word:#x}");
        let chain = rig.other.pop().expect("it was published");
        rig.other.push(chain.head.into(), 0);
        rig.queue.poll().expect("obedient").expect("completed");
    }
}

#[test]
fn vq_18_with_event_idx_the_index_decides_and_the_flag_does_not() {
    let mut rig: Plain = rig(8, EVENT_IDX);
    for step in 0..60_u16 {
        // Passed before, being passed, not reached yet; the flags hold the same word, odd or even.
        let (event, expected) = match step % 3 {
            0 => (step.wrapping_sub(1), Notify::Suppressed),
            1 => (step, Notify::Needed),
            _ => (step + 1, Notify::Suppressed),
        };
        rig.other.scribble_kick_wish(event);
        assert_eq!(rig.queue.publish(), Notify::Suppressed, "nothing new");
        submit(&mut rig.queue, &mut rig.pool);
        assert_eq!(rig.queue.publish(), expected, "{event} at {step}");
        let chain = rig.other.pop().expect("it was published");
        rig.other.push(chain.head.into(), 0);
        rig.pool.recycle(rig.queue.poll().expect("obedient").expect("completed").payload);
    }
}

#[test]
fn vq_18_a_batch_needs_a_kick_if_it_passes_the_index_over_the_wrap_too() {
    if cfg!(miri) {
        // The formula is checked for itself beside it; 65,530 requests are too many here.
        return;
    }
    let start = 0_u16.wrapping_sub(4);
    for (batch, before) in [(1, 0), (5, 4), (8, 3), (8, 7)] {
        let mut rig: Plain = rig(16, EVENT_IDX);
        pass(&mut rig, start.into());
        (0..batch).for_each(|_| submit(&mut rig.queue, &mut rig.pool));
        rig.other.scribble_kick_wish(start.wrapping_add(before));
        assert_eq!(rig.queue.publish(), Notify::Needed, "number {before} of {batch}");
        submit(&mut rig.queue, &mut rig.pool);
        assert_eq!(rig.queue.publish(), Notify::Suppressed, "passed already");
        submit(&mut rig.queue, &mut rig.pool);
        rig.other.scribble_kick_wish(start.wrapping_add(batch + 2));
        assert_eq!(rig.queue.publish(), Notify::Suppressed, "not reached yet");
    }
}

#[test]
fn vq_19_without_event_idx_the_flags_are_0_or_1() {
    let mut rig: Plain = rig(8, 0);
    for _ in 0..10 {
        assert_eq!(rig.other.available_flags(), 1, "quiet while polling");
        assert_eq!(rig.queue.arm(), Armed::Idle);
        assert_eq!(rig.other.available_flags(), 0, "armed");
        assert_eq!(rig.other.used_event(), 0, "which means nothing here");
        pass(&mut rig, 1);
    }
}

#[test]
fn vq_20_with_event_idx_the_flags_stay_0_and_used_event_says_when() {
    let mut rig: Plain = rig(8, EVENT_IDX);
    for taken in 0..10 {
        assert_eq!(rig.queue.arm(), Armed::Idle);
        assert_eq!((rig.other.available_flags(), rig.other.used_event()), (0, taken));
        pass(&mut rig, 1);
        assert_eq!((rig.other.available_flags(), rig.other.used_event()), (0, taken));
    }
}

#[test]
fn vq_21_interrupts_without_work_do_no_harm() {
    for features in [0, EVENT_IDX] {
        let mut rig: Plain = rig(8, features);
        for round in 0..20 {
            // Before anything is in flight, while it is, and after it was taken out.
            for step in 0..3 {
                let _ = rig.running.acknowledge_interrupt();
                assert!(rig.queue.poll().expect("no fault").is_none(), "round {round}, step {step}");
                assert_eq!(rig.queue.drain(|_| panic!("nothing completed")), Ok(0));
                assert_eq!(rig.queue.arm(), Armed::Idle);
                if step == 0 {
                    submit(&mut rig.queue, &mut rig.pool);
                }
            }
            let chain = rig.pop_all().pop().expect("it was published");
            rig.other.push(chain.head.into(), 0);
            assert!(rig.queue.poll().expect("no fault").is_some());
        }
    }
}

#[test]
fn vq_22_arming_looks_again_whatever_was_seen_before() {
    for features in [0, EVENT_IDX] {
        let mut rig: Plain = rig(8, features);
        submit(&mut rig.queue, &mut rig.pool);
        submit(&mut rig.queue, &mut rig.pool);
        let chains = rig.pop_all();
        assert!(rig.queue.poll().expect("no fault").is_none());
        rig.other.push(chains[1].head.into(), 0);
        assert_eq!(rig.queue.arm(), Armed::WorkPending);
        rig.other.push(chains[0].head.into(), 0);
        assert!(rig.queue.poll().expect("no fault").is_some());
        assert_eq!(rig.queue.arm(), Armed::WorkPending, "one of two was taken out");
        assert!(rig.queue.poll().expect("no fault").is_some());
        assert_eq!(rig.queue.arm(), Armed::Idle);
    }
}

#[test]
fn vq_35_the_doorbell_is_told_queue_and_available_index() {
    for bus in BUSES {
        for features in [0, NOTIFICATION_DATA] {
            let device = Device::new(1, VERSION_1 | features, &[8, 8, 8], &[]);
            let memory = SimMemory::leak();
            let reset = Reset::new(transport(&device, bus), &CLOCK).expect("it resets");
            let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("modern");
            let mut queue: Virtqueue<DmaBuf, ()> = negotiated.queue(QueueIndex(2), 8, memory).expect("it is there");
            let running = negotiated.run();
            let mut other = DeviceQueue::negotiated(memory, device.queue(2), device.state().accepted);
            let mut pool = DmaPool::new(memory, 8, 64).expect("memory");
            // Past the wrap of the 15 bits of the position, where the wrap counter is set.
            for index in 1..=if cfg!(miri) { 10 } else { 33_000_u32 } {
                submit(&mut queue, &mut pool);
                let wish = queue.publish();
                running.notify(&queue, wish);
                let data = ((index & 0x7fff) << 16) + (index >> 15 << 31);
                let expected = if features == 0 { 2 } else { 2 + data };
                assert_eq!(std::mem::take(&mut device.state().doorbells), [expected], "{bus:?}");
                device.state().kicks.clear();
                let chain = other.pop().expect("it was published");
                other.push(chain.head.into(), 0);
                pool.recycle(queue.poll().expect("obedient").expect("completed").payload);
            }
        }
    }
}
