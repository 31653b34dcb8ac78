//! Requests of any number of buffers.

use toro_core::dma::{LARGEST_BUFFER, Segments};
use toro_core::driver::Refusal;
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::queue::{Cell, MOST_SEGMENTS, Token};
use virtio_queue_rt::{Direction, FeatureBits, InitError, MmioTransport, QueueIndex, Reset, Slot, Virtqueue, Wanted};
use virtio_sim::clock::CLOCK;
use virtio_sim::queue::feature::VERSION_1;
use virtio_sim::{Device, MmioModel, SimMemory};

use crate::rig::{EVENT_IDX, Header, IN_ORDER, INDIRECT_DESC, RINGS, Rig, Trailer, buffer, rig_wanting};

/// Buffers of one, two, three .. bytes.
fn segments(pool: &mut DmaPool, count: usize) -> Segments {
    let mut buffers: Vec<DmaBuf> = (0..count).map(|number| buffer(pool, &vec![number as u8; number + 1])).collect();
    match count {
        0 => Segments::None,
        1 => Segments::One(buffers.remove(0)),
        _ => buffers.into(),
    }
}

fn wanting(descriptors: u16, segments: u16) -> Wanted {
    Wanted { descriptors, segments }
}

#[test]
fn vq_5_6_every_number_of_buffers_in_every_order_is_one_descriptor_each() {
    for features in RINGS.iter().copied() {
        let mut rig: Rig<Segments, usize, Header, Trailer> = rig_wanting(wanting(32, 6), features);
        assert_eq!(
            (rig.queue.segments(), rig.queue.capacity()),
            (6, if features & INDIRECT_DESC == 0 { 4 } else { 32 })
        );
        // All successions of two numbers in the same slot: what one left behind is not taken for the other's.
        let numbers = if cfg!(miri) { [0, 1, 3].as_slice() } else { &[0, 1, 2, 3, 4, 5, 6] };
        for &first in numbers {
            for &second in numbers {
                for count in [first, second] {
                    for direction in [Direction::ToDevice, Direction::FromDevice] {
                        let payload = segments(&mut rig.pool, count);
                        rig.queue.submit([1, 2], payload, direction, 0xff, count).expect("there is room");
                        let popped = rig.pop_all().pop().expect("it was published");
                        let lens = |buffers: &[(u64, u32)]| buffers.iter().map(|&(_, len)| len).collect::<Vec<_>>();
                        let data: Vec<u32> = (1..=count as u32).collect();
                        let (readable, writable) = match direction {
                            Direction::ToDevice => ([&[16][..], &data].concat(), vec![1]),
                            Direction::FromDevice => (vec![16], [&data[..], &[1]].concat()),
                        };
                        assert_eq!((lens(&popped.readable), lens(&popped.writable)), (readable, writable));
                        rig.other.push(popped.head.into(), u32::MAX);
                        let done = rig.queue.poll().expect("obedient").expect("completed");
                        assert_eq!((done.cookie, done.payload.as_slice().len()), (count, count));
                        assert_eq!(done.written, popped.writable_len());
                    }
                }
            }
        }
    }
}

#[test]
fn vq_7_what_is_too_much_or_empty_comes_back_unchanged() {
    let mut rig: Rig<Segments, (), Header, Trailer> = rig_wanting(wanting(16, 3), INDIRECT_DESC);
    let four = segments(&mut rig.pool, 4);
    let hole = Segments::from(vec![buffer(&mut rig.pool, b"x"), buffer(&mut rig.pool, b"")]);
    let nothing = Segments::One(buffer(&mut rig.pool, b""));
    for (payload, count) in [(four, 4), (hole, 2), (nothing, 1)] {
        let refused = rig.queue.submit([0; 2], payload, Direction::ToDevice, 0, ()).expect_err("no queue takes it");
        assert_eq!((refused.reason, refused.request.0.as_slice().len()), (Refusal::Invalid, count));
    }
    assert_eq!(rig.queue.len(), 0);
    // Nothing to read or write at all.
    let mut rig: Rig<Segments, (), (), ()> = rig_wanting(wanting(16, 3), 0);
    let refused = rig.queue.submit((), Segments::None, Direction::ToDevice, (), ()).expect_err("an empty chain");
    assert_eq!(refused.reason, Refusal::Invalid);
}

#[test]
fn vq_7_no_request_is_longer_than_two_gigabytes() {
    if cfg!(miri) {
        return;
    }
    let mut rig: Rig<Segments, (), Header, Trailer> = rig_wanting(wanting(16, 6), 0);
    let mut pool = DmaPool::new(rig.memory, 5, LARGEST_BUFFER).expect("what is not touched takes no room");
    let mut whole = |len| {
        let mut buffer = pool.take().expect("there are five");
        buffer.set_len(len).expect("as long as it is");
        buffer
    };
    let buffers: Vec<DmaBuf> =
        [LARGEST_BUFFER, LARGEST_BUFFER, LARGEST_BUFFER, LARGEST_BUFFER, 1].map(&mut whole).into();
    let refused = rig.queue.submit([0; 2], buffers.into(), Direction::FromDevice, 0, ()).expect_err("too long");
    assert_eq!(refused.reason, Refusal::Invalid);
    let Segments::Many(buffers) = refused.request.0 else { panic!("they come back") };
    let four: Vec<DmaBuf> = buffers.into_vec().into_iter().take(4).collect();
    rig.queue.submit([0; 2], four.into(), Direction::FromDevice, 0, ()).expect("just as long as can be");
    let popped = rig.pop_all().pop().expect("it was published");
    rig.other.push(popped.head.into(), u32::MAX);
    assert_eq!(rig.queue.poll().expect("obedient").expect("completed").written, (1 << 31) + 1);
}

#[test]
fn vq_8_34_slots_follow_from_descriptors_and_buffers() {
    fn capacity<H: Cell, T: Cell>(descriptors: u16, segments: u16, features: u64) -> (u16, u16) {
        let rig: Rig<Segments, (), H, T> = rig_wanting(wanting(descriptors, segments), features);
        (rig.queue.capacity(), rig.queue.segments())
    }
    if cfg!(miri) {
        // Large queues take long, and nothing is shared by them.
        return;
    }
    assert_eq!(capacity::<Header, Trailer>(256, 1, 0), (85, 1));
    assert_eq!(capacity::<Header, Trailer>(256, 30, 0), (8, 30));
    assert_eq!(capacity::<Header, Trailer>(256, 30, INDIRECT_DESC), (256, 30));
    assert_eq!(capacity::<Header, Trailer>(256, 1, INDIRECT_DESC | IN_ORDER), (256, 1));
    // Never more than a chain of the whole queue, nor than 254, nor less than one.
    assert_eq!(capacity::<Header, Trailer>(16, 100, INDIRECT_DESC), (16, 14));
    assert_eq!(capacity::<Header, Trailer>(16, 100, 0), (1, 14));
    assert_eq!(capacity::<Header, Trailer>(512, u16::MAX, 0), (2, MOST_SEGMENTS));
    assert_eq!(capacity::<Header, Trailer>(16, 0, 0), (5, 1));
    assert_eq!(capacity::<(), ()>(16, 1, INDIRECT_DESC), (16, 1));
    assert_eq!(capacity::<(), ()>(16, 4, 0), (4, 4));
}

#[test]
fn vq_8_a_queue_that_no_request_fits_is_refused() {
    for features in [0, INDIRECT_DESC] {
        let device = Device::new(4, VERSION_1 | features, &[2], &[]);
        let transport = MmioTransport::new(MmioModel::new(device)).expect("a sound device");
        let mut negotiated = Reset::new(transport, &CLOCK)
            .expect("it resets")
            .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits)
            .expect("it is a modern device");
        let queue = negotiated.queue::<Segments, (), Header, Trailer>(QueueIndex(0), wanting(2, 9), SimMemory::leak());
        assert_eq!(queue.expect_err("three do not fit"), InitError::QueueTooSmall(QueueIndex(0)));
    }
}

#[test]
fn vq_12_28_long_tables_are_apart_and_in_order() {
    let features = INDIRECT_DESC | IN_ORDER | EVENT_IDX;
    let mut rig: Rig<Segments, usize, Header, Trailer> = rig_wanting(wanting(8, 5), features);
    for round in 0..if cfg!(miri) { 12 } else { 200 } {
        let count = round % 6;
        let payload = segments(&mut rig.pool, count);
        rig.queue.submit([0; 2], payload, Direction::FromDevice, 0, count).expect("there is room");
        let popped = rig.pop_all().pop().expect("it was published");
        assert_eq!(popped.len(), count + 2);
        rig.other.push(popped.head.into(), 0);
        assert_eq!(rig.queue.poll().expect("obedient").expect("completed").cookie, count);
    }
}

#[test]
fn ini_12_recovery_says_which_requests_are_unfinished_and_gives_the_slots_back() {
    type Slots = &'static mut [Slot<Segments, u8>];
    let memory = SimMemory::leak();
    let mut pool = DmaPool::new(memory, 8, 64).expect("memory");
    let device = Device::new(4, VERSION_1, &[8], &[]);
    let mut transport = MmioTransport::new(MmioModel::new(device)).expect("a sound device");
    let mut storage: Slots = (0..8).map(|_| Slot::default()).collect::<Vec<_>>().leak();
    for _ in 0..3 {
        let mut negotiated = Reset::new(transport, &CLOCK)
            .expect("it resets")
            .negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits)
            .expect("it is a modern device");
        let queue = negotiated.queue_in(QueueIndex(0), wanting(8, 2), memory, |_| storage);
        let mut queue: Virtqueue<Segments, u8, (), (), Slots> = queue.expect("as before");
        let running = negotiated.run();
        let mut submitted = Vec::new();
        for cookie in 0..3 {
            let payload = segments(&mut pool, 1 + usize::from(cookie % 2));
            let token = queue.submit((), payload, Direction::ToDevice, (), cookie).expect("there is room");
            submitted.push((token, cookie));
        }
        let (reset, proof) = running.quiesce(&CLOCK).expect("it resets");
        let mut unfinished: Vec<(Token, u8)> = Vec::new();
        let recovered = queue.recover(&proof, |token, _, cookie| unfinished.push((token, cookie)));
        (transport, storage) = (reset, recovered.expect("the proof is for this device"));
        assert_eq!(unfinished, submitted);
        assert_eq!(pool.available(), 8, "every buffer came home");
    }
}
