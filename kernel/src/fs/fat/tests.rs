//! Volumes in memory, and on a disk that loses power.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::RefCell;

use toro_core::DmaPool;

use super::*;
use crate::fs::Namespace;
use crate::fs::fuse::tests::memory::Heap;
use crate::fs::tests::threads::{Crew, run};
use crate::io::{self, ErrorKind};

mod attributes;
mod contents;
#[cfg(feature = "block")]
mod cuts;
mod ends;
mod memory;
mod names;
mod threads;
mod trouble;

pub use self::memory::Memory;

/// A platform without waiting, for tests with one thread.
fn platform(scheduler: Box<dyn Scheduler>) -> Platform {
    let pool = RefCell::new(DmaPool::new(&Heap, 8, 256 * 1024).expect("a host has memory"));
    let buffer = move |bytes| {
        let mut buffer = pool.borrow_mut().take().ok_or(Errno::ENOMEM)?;
        buffer.set_len(bytes).map_err(|_| Errno::EINVAL)?;
        Ok(buffer)
    };
    // 2024-02-29 12:34:56
    let now = || Timestamp { seconds: 1_709_210_096, nanoseconds: 0 };
    Platform { scheduler, buffer: Box::new(buffer), now }
}

/// Mounts a disk in a test with one thread.
pub fn mount(disk: &Memory) -> Result<Rc<Fat>, toro_fat::Error> {
    let scheduler = run(|crew: &Crew| {
        let scheduler = crew.scheduler();
        move || scheduler
    });
    Fat::mount(Box::new(disk.clone()), 64, platform(scheduler))
}

fn mounted(disk: &Memory) -> Namespace {
    let namespace = Namespace::new();
    let file_system = mount(disk).expect("it is in order");
    namespace.mount(b"/", file_system).expect("nothing is there");
    namespace
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn free(namespace: &Namespace) -> u64 {
    namespace.stats(b"/").expect("it is mounted").blocks_free
}
