//! Tickets and slots in storage of the caller's.

use toro_core::driver::{Armed, Refusal};
use virtio_queue_rt::asynchronous::{ExchangeError, Ticket};
use virtio_queue_rt::{FeatureBits, QueueIndex, Reset};
use virtio_sim::clock::CLOCK;

use super::common::VERSION_1;
use super::*;

#[test]
fn without_an_allocator_there_are_as_many_exchanges_as_tickets() {
    let memory = SimMemory::leak();
    let device = Device::new(4, VERSION_1, &[2], &[]);
    let transport = MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device");
    let reset = Reset::new(transport, &CLOCK).expect("it resets");
    let mut negotiated =
        reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits).expect("it is a modern device");
    let slots = |_| [const { None::<()> }; 2].map(|_| Slot::default());
    let queue = negotiated.queue_in(QueueIndex(0), 2, memory, slots).expect("the queue is there");
    let tickets: [Ticket<DmaBuf, (), ()>; 3] = [(); 3].map(|()| Ticket::default());
    let queue = AsyncQueue::with_storage(queue, negotiated.run(), tickets);
    let mut other = DeviceQueue::new(memory, device.queue(0), false);
    let mut pool = DmaPool::new(memory, 8, 64).expect("memory");
    let task = Task::new();
    let ask = |pool: &mut DmaPool, byte| queue.exchange((), buffer(pool, byte), Direction::FromDevice, ());
    for round in 0..10 {
        let mut futures: Vec<_> = (0..3).map(|byte| ask(&mut pool, byte)).collect();
        for future in &mut futures {
            assert!(task.poll(future).is_pending());
        }
        let Poll::Ready(Err(ExchangeError::Refused(refused))) = task.poll(&mut ask(&mut pool, 3)) else {
            panic!("there are three tickets")
        };
        assert_eq!((refused.reason, refused.request[0]), (Refusal::Full, 3), "round {round}");
        drop(refused);
        // One of them is free again when its future is gone and the device is done.
        drop(futures.remove(0));
        assert!(matches!(task.poll(&mut ask(&mut pool, 3)), Poll::Ready(Err(_))), "the device has it");
        while answer(&mut other).is_some() {
            assert_eq!(queue.process(), Ok(Armed::Idle));
        }
        assert!(task.poll(&mut ask(&mut pool, 3)).is_pending());
        while answer(&mut other).is_some() {}
        assert_eq!(queue.process(), Ok(Armed::Idle));
        assert!(futures.iter_mut().all(|future| matches!(task.poll(future), Poll::Ready(Ok(_)))));
        drop(futures);
        assert_eq!(pool.available(), 8);
    }
}

/// Futures of an asynchronous queue go to any thread, and so does the queue.
#[test]
fn queue_and_futures_may_be_anywhere() {
    fn is_free<V: Send + Sync>(_: &V) {}
    let Scene { queue, mut pool, .. } = scene(2, 0);
    is_free(&queue);
    is_free(&ask(&queue, buffer(&mut pool, 1)));
    // Each of the usual two storages, as a type: the vector grows, the borrowed slice does not.
    let _ = |slice: &'static mut [Ticket<DmaBuf, (), ()>], ring, running: Notifier| {
        AsyncQueue::<DmaBuf, Notifier, (), (), Slots, _>::with_storage(ring, running, slice)
    };
}
