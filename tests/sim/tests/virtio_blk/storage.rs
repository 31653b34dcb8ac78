//! Without an allocator: slots where the caller says.

use crate::rig::*;
use virtio_blk::RequestSlot;

fn disk_in<S>(setup: Setup, storage: S) -> (BlockModel, DmaPool, Result<VirtioBlk<BoxedTransport, S>, AttachError>)
where
    S: virtio_queue_rt::queue::SlotStorage<Segments, virtio_blk::InFlight>,
{
    let memory = SimMemory::leak();
    let model = setup.model(memory);
    let disk = VirtioBlk::new_in(transport(model.device(), setup.bus), memory, &CLOCK, &setup.options, storage);
    let pool = DmaPool::new(memory, 100, 512).expect("memory");
    (model, pool, disk)
}

fn slots(count: usize) -> &'static mut [RequestSlot] {
    (0..count).map(|_| RequestSlot::default()).collect::<Vec<_>>().leak()
}

#[test]
fn as_many_requests_are_in_flight_as_there_are_slots() {
    for ring in [0, INDIRECT_DESC, INDIRECT_DESC | IN_ORDER] {
        for (count, in_flight) in [(4, [2, 4]), (5, [5, 4]), (16, [10, 16]), (63, [42, 32]), (500, [85, 256])] {
            let setup = Setup { size: 256, ..Setup::with_features(ring) };
            let (mut model, mut pool, disk) = disk_in(setup, slots(count));
            let mut disk = disk.expect("a sound disk");
            assert_eq!(disk.limits().in_flight, in_flight[usize::from(ring != 0)], "{count} slots, {ring:#x}");
            // A reset uses the same slots again.
            for _ in 0..2 {
                for _ in 0..disk.limits().in_flight.min(90) {
                    let mut buffer = pool.take().expect("there are enough");
                    buffer.set_len(512).expect("as long as it is");
                    let operation = BlockOperation::Read { sector: 1 };
                    disk.submit(BlockRequest { unit: 0, operation, data: buffer.into() }).expect("there is room");
                }
                disk.publish();
                assert!(model.serve() > 0);
                while let Some(done) = disk.complete().expect("sound rings") {
                    assert_eq!(done.result, Ok(()));
                }
                disk.reset(&mut |_| panic!("nothing was in flight")).expect("it resets");
            }
        }
    }
}

#[test]
fn an_array_will_do_and_too_few_slots_are_an_error() {
    let (_, _, disk) = disk_in(Setup::default(), std::array::from_fn::<_, 8, _>(|_| RequestSlot::default()));
    assert_eq!(disk.expect("a sound disk").limits().in_flight, 8);
    for count in 0..4 {
        let (model, _, disk) = disk_in(Setup::with_features(INDIRECT_DESC), slots(count));
        assert_eq!(disk.map(|_| ()).expect_err("too few"), AttachError::Queue { index: 0 }, "{count}");
        assert_eq!(model.device().state().status, 0, "it was reset");
    }
}
