//! Buffers.

use crate::share::*;

#[test]
fn buffers_come_in_classes_and_have_the_length_asked_for() {
    let mut share = Setup::default().share();
    assert_eq!(share.fs.limits().max_payload, MIB);
    for (size, class) in [
        (0, 1 << 10),
        (1, 1 << 10),
        (1 << 10, 1 << 10),
        ((1 << 10) + 1, 4 << 10),
        (4 << 10, 4 << 10),
        ((4 << 10) + 1, 64 << 10),
        (64 << 10, 64 << 10),
        ((64 << 10) + 1, MIB),
        (MIB, MIB),
    ] {
        let buffer = share.fs.buffer(size).expect("far below the bound");
        assert_eq!((buffer.len(), buffer.total_capacity()), (size, class));
        share.fs.recycle(buffer);
    }
    for size in [MIB + 1, 16 * MIB, usize::MAX] {
        assert!(share.fs.buffer(size).is_none(), "{size} bytes are more than any request may carry");
    }
}

#[test]
fn pools_grow_up_to_the_bound_and_then_give_nothing() {
    for (size, bound, count) in
        [(1 << 10, MIB, 1024), (4 << 10, MIB, 256), (64 << 10, MIB, 16), (MIB, 5 * MIB + 5, 5), (MIB, MIB - 1, 0)]
    {
        let options = Options { buffer_bytes: bound, ..Options::default() };
        let mut share = Setup { options, ..Setup::small(64) }.share();
        let rings = share.memory.blocks();
        let all: Vec<_> = std::iter::from_fn(|| share.fs.buffer(size)).collect();
        assert_eq!(all.len(), count, "of {size} bytes in {bound}");
        let blocks = share.memory.blocks();
        assert!(share.fs.buffer(size).is_none(), "for good");
        // In either way they come back, and nothing more is allocated.
        for (i, buffer) in all.into_iter().enumerate() {
            if i % 2 == 0 { share.fs.recycle(buffer) } else { drop(buffer) }
        }
        let again: Vec<_> = std::iter::from_fn(|| share.fs.buffer(size)).collect();
        assert_eq!((again.len(), share.memory.blocks()), (count, blocks));
        drop(again);
        let memory = share.memory;
        drop(share.fs);
        assert_eq!(memory.blocks(), rings, "pools go with the driver, rings stay with the device");
    }
}

#[test]
fn the_bound_is_for_all_classes_together() {
    let options = Options { buffer_bytes: MIB + (64 << 10), ..Options::default() };
    let mut share = Setup { options, ..Setup::small(64) }.share();
    let large = share.fs.buffer(MIB);
    assert!(large.is_some());
    let small: Vec<_> = std::iter::from_fn(|| share.fs.buffer(4 << 10)).collect();
    assert_eq!(small.len(), 16, "64 KiB were left");
    assert!(share.fs.buffer(1 << 10).is_none() && share.fs.buffer(64 << 10).is_none());
}

#[test]
fn a_platform_without_memory_gives_no_buffers_and_no_panic() {
    let mut share = Setup::small(64).share();
    share.memory.limit(0);
    for size in [1, 4096, 65_536, MIB] {
        assert!(share.fs.buffer(size).is_none());
    }
    share.memory.limit(1);
    let buffer = share.fs.buffer(1).expect("memory has come");
    share.fs.recycle(buffer);
}

#[test]
fn a_buffer_of_somebody_else_goes_home() {
    let mut share = Setup::small(64).share();
    for size in [100, 1 << 10, 2 * MIB] {
        let mut foreign = DmaPool::new(share.memory, 1, size).expect("memory");
        let own = share.fs.buffer(10);
        let buffer = foreign.take().expect("it has one");
        share.fs.recycle(buffer);
        assert_eq!(foreign.available(), 1);
        drop(own);
    }
}
