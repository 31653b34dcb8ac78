//! Waiting in the kernel: the clock and the wait queues that file systems and disks see as a [`Scheduler`], and work that
//! must come to an end before the machine does.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use toro_core::Instant;

use super::scheduler::{Event, Scheduler, Wake};
use crate::sched::{self, WaitQueue};
use crate::thread::{Builder, JoinHandle};
use crate::time;

/// Stack of a thread that does some of the last work.
const STACK_SIZE: usize = 64 << 10;

/// The kernel's clock and wait queues.
pub(super) struct KernelScheduler;

struct KernelEvent(WaitQueue);

impl Scheduler for KernelScheduler {
    fn now(&self) -> Instant {
        time::Instant::now().into()
    }

    fn event(&self) -> Rc<dyn Event> {
        Rc::new(KernelEvent(WaitQueue::new()))
    }
}

impl Event for KernelEvent {
    fn wait_until(&self, deadline: Instant) -> Wake {
        match self.0.wait_until(Some(deadline.into())) {
            sched::Wake::Notified => Wake::Notified,
            sched::Wake::TimedOut => Wake::TimedOut,
        }
    }

    fn wait(&self) {
        self.0.wait();
    }

    fn announce(&self) {
        self.0.wake_all();
    }
}

/// Does all of `works` at once, each in a thread, so that one that takes for ever holds up no other; how many have not ended
/// when `patience` was over.
pub(super) fn do_in_time(works: Vec<Box<dyn FnOnce()>>, patience: Duration) -> usize {
    let deadline = time::Instant::now().saturating_add(patience);
    let start = |work: Box<dyn FnOnce()>| {
        let name = String::from("last words");
        let started = Builder::new().name(name).stack_size(STACK_SIZE).spawn(work);
        started.inspect_err(|error| log::error!("fs: no thread to end with: {error}")).ok()
    };
    let threads: Vec<_> = works.into_iter().map(start).collect();
    let has_ended =
        |thread: JoinHandle<()>| thread.join_timeout(deadline.saturating_duration_since(time::Instant::now())).is_ok();
    threads.into_iter().map(|thread| thread.is_some_and(has_ended)).filter(|ended| !ended).count()
}
