//! Which thread runs where.
//!
//! ```text
//!   this process may use      2  3           as it was started, taskset and containers included
//!   pin(0), pin(1)            2  3           the first of these, the second of these
//! ```
//!
//! The numbers count what the process was given, not what the calling thread has left: a thread that starts a daemon on one
//! core and then goes to another is bound twice, and the second time it has one core only. What a bound thread starts, a
//! thread or a process, is bound as it is.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Binds this thread to one of the processors that the process may use, if there are so many.
pub fn pin(which: usize) {
    if let Some(&processor) = usable().get(which) {
        let mut one = CpuSet::new();
        one.set(processor);
        // Best effort: without it the scheduler decides.
        let _ = sched_setaffinity(None, &one);
    }
}

/// Those that the process had before anything of it was bound.
fn usable() -> &'static [usize] {
    static USABLE: OnceLock<Vec<usize>> = OnceLock::new();
    USABLE.get_or_init(|| {
        let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
        (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_was_bound_can_be_bound_elsewhere() {
        // A thread of its own, so that no other test inherits what it is bound to.
        let bound = std::thread::spawn(|| {
            [1, 0, 1].map(|which| {
                pin(which);
                let allowed = sched_getaffinity(None).expect("its own");
                (which, (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect::<Vec<_>>())
            })
        });
        for (which, processors) in bound.join().expect("no panic") {
            if let Some(&processor) = usable().get(which) {
                assert_eq!(processors, [processor], "bound to number {which}");
            }
        }
    }
}
