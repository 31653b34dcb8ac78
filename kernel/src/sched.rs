//! Threads, waiting and the core's loop.
//!
//! | file | what |
//! |---|---|
//! | `core.rs` | the core: ready threads, timers, pollers, the loop |
//! | `thread.rs` | the public `toro::thread` API |
//! | `wait.rs` | `WaitQueue` |
//! | `poll.rs` | `Poller` |
//! | `timer.rs` | the timer queue |
//!
//! There is no unsafe code here: switching stacks is behind `arch::context::Coroutine`.
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
pub(crate) mod core;
#[cfg(target_os = "none")]
mod poll;
#[cfg(target_os = "none")]
pub mod thread;
#[cfg(any(target_os = "none", test))]
mod timer;
#[cfg(target_os = "none")]
mod wait;

#[cfg(target_os = "none")]
pub use self::poll::{Armed, Poller, Progress, register_poller};
#[cfg(target_os = "none")]
pub use self::wait::{WaitQueue, Wake};

/// The name of the running thread for reports; never fails.
#[cfg(target_os = "none")]
pub(crate) fn current_name() -> impl ::core::fmt::Display {
    struct Name(Option<alloc::rc::Rc<core::ThreadRecord>>);

    impl ::core::fmt::Display for Name {
        fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            match &self.0 {
                Some(thread) => match &thread.name {
                    Some(name) => formatter.write_str(name),
                    None => write!(formatter, "thread {}", thread.id),
                },
                None => formatter.write_str("core"),
            }
        }
    }

    Name(core::Core::current().running())
}
