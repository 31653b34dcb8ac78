use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use super::*;
use crate::dma::DmaPool;
use crate::dma::testing::{BUS_OFFSET, Heap};

fn memory() -> Dma {
    Heap::default().leak()
}

#[test]
fn a_device_writes_into_the_callers_memory_itself() {
    let mut bytes = vec![1_u8; 1000];
    let place = bytes.as_ptr() as u64;
    let result = lend::<4, _>(
        memory(),
        &mut bytes,
        300,
        |buffers| {
            let lengths: Vec<_> = buffers.iter().flatten().map(|buffer| buffer.len()).collect();
            assert_eq!(lengths, [300, 300, 300, 100]);
            for (index, mut buffer) in buffers.into_iter().flatten().enumerate() {
                assert_eq!(buffer.bus_addr().get(), place + BUS_OFFSET + 300 * index as u64);
                assert_eq!(buffer.total_capacity(), buffer.len());
                buffer.fill(index as u8 + 10);
            }
            7
        },
        || panic!("all are home by now"),
    );
    assert_eq!(result, Some(7));
    let expected: Vec<u8> = (0..1000).map(|index| (index / 300) as u8 + 10).collect();
    assert_eq!(bytes, expected);
}

#[test]
fn a_buffer_that_is_still_out_keeps_the_call_from_returning() {
    let mut bytes = [0_u8; 64];
    let queue: RefCell<Option<DmaBuf>> = RefCell::new(None);
    let waits = Cell::new(0);
    let work = |[buffer]: [Option<DmaBuf>; 1]| *queue.borrow_mut() = buffer;
    let wait = || {
        waits.set(waits.get() + 1);
        if waits.get() == 5 {
            let mut late = queue.borrow_mut().take().expect("it is there");
            late.fill(9);
        }
    };
    assert_eq!(lend(memory(), &mut bytes, 64, work, wait), Some(()));
    assert_eq!((waits.get(), bytes), (5, [9; 64]));
}

#[test]
fn another_core_may_have_the_last_buffer() {
    let (sender, receiver) = mpsc::channel::<DmaBuf>();
    let device = std::thread::spawn(move || {
        for mut buffer in receiver {
            std::thread::yield_now();
            let number = buffer.len() as u8;
            buffer.fill(number);
        }
    });
    for _ in 0..50 {
        let mut bytes = [0_u8; 100];
        let pass_on = |buffers: [Option<DmaBuf>; 2]| {
            buffers.into_iter().flatten().for_each(|buffer| sender.send(buffer).expect("it listens"));
        };
        assert_eq!(lend(memory(), &mut bytes, 60, pass_on, std::thread::yield_now), Some(()));
        assert_eq!((&bytes[..60], &bytes[60..]), (&[60; 60][..], &[40; 40][..]));
    }
    drop(sender);
    device.join().expect("it ends with the sender");
}

#[test]
fn a_buffer_of_the_callers_goes_home_from_any_pool() {
    let mut pool = DmaPool::new(memory(), 1, 64).expect("memory");
    let mut bytes = [0_u8; 10];
    let work = |[buffer]: [Option<DmaBuf>; 1]| pool.recycle(buffer.expect("there is one piece"));
    assert_eq!(lend(memory(), &mut bytes, 10, work, || panic!("it is home")), Some(()));
    assert_eq!(pool.available(), 1);
}

#[test]
fn a_buffer_may_be_narrowed_and_moved_as_any_other() {
    let mut bytes = [0_u8; 16];
    let work = |[buffer]: [Option<DmaBuf>; 1]| {
        let mut buffer = buffer.expect("there is one piece");
        buffer.pull_front(4).expect("it is longer");
        buffer.set_len(2).expect("shorter");
        buffer.fill(5);
        assert!(buffer.set_len(13).is_err(), "beyond what was lent");
    };
    assert_eq!(lend(memory(), &mut bytes, 16, work, || ()), Some(()));
    assert_eq!(bytes, [0, 0, 0, 0, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn what_cannot_be_lent_is_not() {
    let never = |_: [Option<DmaBuf>; 2]| panic!("nothing is lent");
    assert_eq!(lend::<2, ()>(memory(), &mut [], 10, never, || ()), None);
    assert_eq!(lend::<2, ()>(memory(), &mut [0; 21], 10, never, || ()), None, "three pieces");
    assert_eq!(lend::<2, ()>(memory(), &mut [0; 3], 0, never, || ()), None, "pieces without length");
    let far = Heap { unreachable: true.into(), ..Heap::default() }.leak();
    assert_eq!(lend::<2, ()>(far, &mut [0; 5], 10, never, || ()), None, "not reachable");
}

#[test]
fn a_panic_waits_for_the_memory() {
    let mut bytes = Box::new([0_u8; 64]);
    let queue: RefCell<Option<DmaBuf>> = RefCell::new(None);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        lend::<1, ()>(
            memory(),
            &mut bytes[..],
            64,
            |[buffer]| {
                *queue.borrow_mut() = buffer;
                panic!("something else went wrong");
            },
            || queue.borrow_mut().take().into_iter().for_each(|mut buffer| buffer.fill(3)),
        )
    }));
    assert!(caught.is_err());
    assert_eq!(bytes[..], [3; 64], "the device had written before the panic went on");
    assert!(queue.borrow().is_none());
}
