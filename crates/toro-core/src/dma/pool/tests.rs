use alloc::vec::Vec;
use core::sync::atomic::{AtomicIsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::dma::testing::{Heap, keep};

fn heap() -> &'static Heap {
    Heap::default().leak()
}

fn blocks(heap: &Heap) -> isize {
    heap.blocks.load(Ordering::Relaxed)
}

#[test]
fn a_handle_is_one_pointer_wide_and_a_slot_half_a_cache_line() {
    assert_eq!(size_of::<Option<DmaBuf>>(), size_of::<usize>());
    assert_eq!(size_of::<BufferSlot>(), 32);
}

#[test]
fn no_buffer_is_handed_out_twice() {
    let memory = heap();
    let mut pool = DmaPool::new(memory, 100, 1526).expect("memory");
    let mut buffers: Vec<DmaBuf> = core::iter::from_fn(|| pool.take()).collect();
    assert_eq!(buffers.len(), 100);
    for (i, buffer) in buffers.iter_mut().enumerate() {
        buffer.set_len(1526).expect("that is their size");
        buffer.fill(i as u8);
    }
    for (i, buffer) in buffers.iter().enumerate() {
        assert!(buffer.iter().all(|&byte| byte == i as u8));
    }
    let mut addresses: Vec<u64> = buffers.iter().map(|buffer| buffer.bus_addr().get()).collect();
    addresses.sort_unstable();
    assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] >= 1526));
}

#[test]
fn dropped_and_recycled_buffers_come_back() {
    let mut pool = DmaPool::new(heap(), 4, 64).expect("memory");
    for round in 0..10 {
        let buffers: Vec<DmaBuf> = core::iter::from_fn(|| pool.take()).collect();
        assert_eq!(buffers.len(), 4, "round {round}");
        for (i, buffer) in buffers.into_iter().enumerate() {
            if i % 2 == 0 { drop(buffer) } else { pool.recycle(buffer) }
        }
        assert_eq!(pool.available(), 4);
    }
}

#[test]
fn whole_buffers_are_taken_until_all_are_in_use() {
    let mut pool = DmaPool::new(heap(), 4, 100).expect("memory");
    assert!(pool.whole(101).is_err());
    let first = pool.take().expect("all are free");
    let buffers: Vec<DmaBuf> = pool.whole(28).expect("100 is more").collect();
    assert_eq!(buffers.len(), 3);
    assert!(buffers.iter().all(|buffer| (buffer.headroom(), buffer.len(), buffer.total_capacity()) == (28, 72, 100)));
    drop(first);
    let last = pool.whole(100).expect("it is as much").next().expect("one came back");
    assert_eq!((last.headroom(), last.len()), (100, 0));
    drop((buffers, last));
    let empty = pool.take().expect("all are free");
    assert_eq!((empty.headroom(), empty.len()), (0, 0));
    drop(empty);
    assert_eq!(pool.available(), 4);
}

#[test]
fn a_buffer_of_another_pool_goes_home() {
    let mut one = DmaPool::new(heap(), 2, 64).expect("memory");
    let mut other = DmaPool::new(heap(), 2, 128).expect("memory");
    let buffer = other.take().expect("two are free");
    one.recycle(buffer);
    assert_eq!((one.available(), other.available()), (2, 2));
}

#[test]
fn memory_is_freed_with_the_pool() {
    let memory = heap();
    let mut pool = DmaPool::new(memory, 100, 4096).expect("memory");
    assert!(blocks(memory) > 1, "a large pool is made of several blocks");
    drop(pool.take());
    drop(pool);
    assert_eq!(blocks(memory), 0);
}

#[test]
fn the_last_buffer_frees_a_pool_without_owner() {
    let memory = heap();
    let mut pool = DmaPool::new(memory, 3, 64).expect("memory");
    let one = pool.take().expect("three are free");
    let two = pool.take().expect("two are free");
    drop(pool);
    drop(one);
    assert_eq!(blocks(memory), 1);
    drop(two);
    assert_eq!(blocks(memory), 0);
}

#[test]
fn buffers_may_be_dropped_on_other_threads_while_the_owner_goes() {
    for _ in 0..if cfg!(miri) { 5 } else { 200 } {
        let memory = heap();
        let mut pool = DmaPool::new(memory, 8, 64).expect("memory");
        thread::scope(|scope| {
            let (to, from) = mpsc::channel::<DmaBuf>();
            scope.spawn(move || from.into_iter().for_each(drop));
            for i in 0..40_u8 {
                let Some(mut buffer) = pool.take() else {
                    thread::yield_now();
                    continue;
                };
                buffer.set_len(64).expect("that is their size");
                buffer.fill(i);
                assert!(buffer.iter().all(|&byte| byte == i));
                to.send(buffer).expect("the thread listens");
            }
            drop(pool);
        });
        assert_eq!(blocks(memory), 0);
    }
}

#[test]
fn lengths_and_headroom_stay_inside_the_buffer() {
    let mut pool = DmaPool::new(heap(), 1, 100).expect("memory");
    let mut buffer = pool.take().expect("one is free");
    buffer.reset(12).expect("100 is more than 12");
    assert_eq!(buffer.set_len(89), Err(TooLong));
    buffer.extend(b"frame").expect("there is room");
    let at = buffer.bus_addr().get();
    buffer.push_front(12).expect("that much headroom");
    assert_eq!((buffer.len(), at - buffer.bus_addr().get()), (17, 12));
    assert_eq!(buffer.push_front(1), Err(TooLong));
    buffer.pull_front(12).expect("17 bytes are in use");
    assert_eq!(&buffer[..], b"frame");
    assert_eq!(buffer.pull_front(6), Err(TooLong));
    assert_eq!(buffer.reset(101), Err(TooLong));
    assert_eq!(buffer.extend(&[0; 84]), Err(TooLong));
    assert_eq!(&buffer[..], b"frame");
}

#[test]
fn a_buffer_is_narrowed_to_bytes_that_are_in_use() {
    let mut pool = DmaPool::new(heap(), 1, 100).expect("memory");
    let mut buffer = pool.take().expect("one is free");
    buffer.extend(b"a header and a frame").expect("there is room");
    let at = buffer.bus_addr().get();
    assert_eq!(buffer.bus_addr_at(13).get(), at + 13);
    #[allow(clippy::reversed_empty_ranges)]
    for beyond in [0..21, 21..21, 5..4] {
        assert_eq!(buffer.narrow(beyond), Err(TooLong));
        assert_eq!(&buffer[..], b"a header and a frame");
    }
    buffer.narrow(13..20).expect("they are in use");
    assert_eq!((&buffer[..], buffer.headroom(), buffer.bus_addr().get()), (&b"a frame"[..], 13, at + 13));
    buffer.narrow(7..7).expect("none is some, too");
    assert_eq!((buffer.len(), buffer.capacity()), (0, 80));
}

#[test]
fn a_pool_needs_no_allocator() {
    let memory = heap();
    static STORAGE: PoolStorage<5> = PoolStorage::new();
    let mut pool = DmaPool::in_storage(memory, &STORAGE, 100).expect("memory");
    assert!(DmaPool::in_storage(memory, &STORAGE, 100).is_err(), "it is in use");
    let buffers: Vec<DmaBuf> = core::iter::from_fn(|| pool.take()).collect();
    assert_eq!((buffers.len(), buffers[4].total_capacity()), (5, 100));
    drop(pool);
    assert!(blocks(memory) > 0);
    drop(buffers);
    assert_eq!(blocks(memory), 0);
}

#[test]
fn absurd_pools_are_refused() {
    for (count, size) in [(0, 64), (1, 0), (1, usize::MAX), (2, u32::MAX as usize + 1)] {
        assert_eq!(DmaPool::new(heap(), count, size).err(), Some(OutOfDmaMemory), "{count} x {size}");
    }
}

#[test]
fn a_pool_that_runs_out_half_way_gives_everything_back() {
    /// Two blocks, then nothing.
    struct Short {
        heap: Heap,
        left: AtomicIsize,
    }
    // SAFETY: passes on to `Heap`.
    unsafe impl crate::DmaMemory for Short {
        fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
            if self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
                return None;
            }
            self.heap.allocate(size, align)
        }
        unsafe fn release(&self, block: DmaBlock) {
            // SAFETY: passed on.
            unsafe { self.heap.release(block) };
        }
    }
    let memory = keep(Short { heap: Heap::default(), left: AtomicIsize::new(2) });
    assert_eq!(DmaPool::new(memory, 100, 4096).err(), Some(OutOfDmaMemory));
    assert_eq!(blocks(&memory.heap), 0);
}
