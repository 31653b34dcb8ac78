//! Locks, conditions, barriers and channels, between the threads of all cores. Names and meaning are those of `std::sync`.
//!
//! | for | use |
//! |---|---|
//! | data of the threads of one core | nothing: threads change only at waiting points; an `Rc` of a `RefCell` does |
//! | data that has to stay consistent across a waiting point, or that several cores change | [`Mutex`], [`RwLock`], with [`Condvar`] |
//! | handing things from core to core | channels: [`spsc`], [`mpsc`] |
//! | doing something once | [`Once`], [`OnceLock`] |
//! | waiting for each other | [`Barrier`], [`WaitGroup`] |
//!
//! A call that waits suspends its thread and leaves the core to others. A thread on another core is woken by way of its
//! core's inbox, and interrupted only if that core sleeps. There is no poisoning: a panic ends the machine.
//!
//! There is no unsafe code here.
#![forbid(unsafe_code)]

mod barrier;
mod condvar;
pub mod mpsc;
mod mutex;
mod once;
mod rwlock;
pub mod spsc;
mod wait_group;
mod waiters;

pub use self::barrier::{Barrier, BarrierWaitResult};
pub use self::condvar::Condvar;
pub use self::mutex::{Mutex, MutexGuard};
pub use self::once::{Once, OnceLock};
pub use self::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use self::spsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
pub use self::wait_group::WaitGroup;
