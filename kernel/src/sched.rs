//! Cores, threads and waiting.
//!
//! | file | what |
//! |---|---|
//! | `core.rs` | a core: ready threads, timers, pollers, the loop |
//! | `record.rs` | a thread as all cores may see it, and who may end its waits |
//! | `port.rs` | what a core shows to the others |
//! | `cores.rs` | the public `toro::core` API |
//! | `thread.rs`, `scope.rs`, `local.rs`, `result.rs` | the public `toro::thread` API |
//! | `wait.rs` | waiting, on one core or for another |
//! | `poll.rs` | `Poller` |
//! | `patience.rs` | how long a core polls before it halts |
//! | `timer.rs` | the timer queue |
//! | `watchdog.rs` | who does not let go of a core |
//!
//! Switching stacks is behind `arch::context`; the one piece of unsafe code here is what makes scoped threads possible.
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
pub(crate) mod core;
#[cfg(target_os = "none")]
pub mod cores;
#[cfg(target_os = "none")]
mod local;
#[cfg(any(target_os = "none", test))]
mod patience;
#[cfg(target_os = "none")]
mod poll;
#[cfg(target_os = "none")]
mod port;
#[cfg(target_os = "none")]
pub(crate) mod record;
#[cfg(target_os = "none")]
mod result;
#[cfg(target_os = "none")]
#[allow(unsafe_code)]
mod scope;
#[cfg(target_os = "none")]
pub mod thread;
#[cfg(any(target_os = "none", test))]
mod timer;
#[cfg(target_os = "none")]
mod wait;
#[cfg(target_os = "none")]
pub(crate) mod watchdog;

#[cfg(target_os = "none")]
pub use self::poll::{Armed, Poller, Progress, register_poller};
#[cfg(all(target_os = "none", any(feature = "block", feature = "fs", feature = "net")))]
pub(crate) use self::port::nudge;
#[cfg(all(target_os = "none", any(feature = "block", feature = "fs")))]
pub(crate) use self::result::Outcome;
#[cfg(target_os = "none")]
pub(crate) use self::wait::Waiter;
#[cfg(target_os = "none")]
pub use self::wait::{WaitQueue, Wake};

/// The name of the running thread for reports; never fails.
#[cfg(target_os = "none")]
pub(crate) fn current_name() -> impl ::core::fmt::Display {
    struct Name;

    impl ::core::fmt::Display for Name {
        fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            let name = crate::arch::context::with_current(|thread| match &thread.name {
                Some(name) => formatter.write_str(name),
                None => write!(formatter, "thread {}", thread.id),
            });
            name.unwrap_or_else(|| formatter.write_str("core"))
        }
    }

    Name
}
