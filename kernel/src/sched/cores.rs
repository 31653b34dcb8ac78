//! Cores as applications see them: `toro::core`.
//!
//! A core is named by a [`CoreId`], from 0, the one that booted, to the number of cores less one. Work goes to another
//! core as a thread ([`crate::thread::spawn_on`]), or as a call that waits for the answer ([`run_on`]).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::arch::{core_index, smp};
use crate::thread;
use crate::time::Instant;

/// Names a core that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(u8);

impl CoreId {
    /// The core that booted, and that runs the application's `main`.
    pub const BOOT: Self = Self(0);

    /// The core with this number, if it is there.
    pub fn new(index: usize) -> Option<Self> {
        (index < count()).then_some(Self::of(index))
    }

    /// For numbers of cores that are there, hence below 64.
    pub(crate) fn of(index: usize) -> Self {
        Self(index as u8)
    }

    /// The number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for CoreId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Cores in an order, such as those that own a device.
pub type CoreList = Vec<CoreId>;

/// What an application says of its devices' owners that leaves them to the kernel.
#[doc(hidden)]
pub fn no_owners(_device: &str) -> Option<CoreList> {
    None
}

/// The core that executes this.
pub fn current() -> CoreId {
    CoreId::of(core_index())
}

/// How many cores there are.
pub fn count() -> usize {
    smp::count()
}

/// All cores, in order.
pub fn all() -> impl DoubleEndedIterator<Item = CoreId> + ExactSizeIterator + Clone {
    (0..count()).map(CoreId::of)
}

/// Calls `function` on the core `core`, in a thread of its own, and waits for what it returns.
///
/// # Panics
///
/// If there is no memory for the thread's stack.
pub fn run_on<F, T>(core: CoreId, function: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if core == current() {
        return function();
    }
    let Ok(value) = thread::spawn_on(core, function).join();
    value
}

/// Calls `function` on every core, on all at once, and waits up to `patience` for all to return.
#[cfg(any(feature = "block", feature = "fs"))]
pub(crate) fn run_on_all(function: fn(), patience: Duration) {
    /// Enough for what the kernel has to say to devices.
    const STACK_SIZE: usize = 64 * 1024;
    let deadline = Instant::now().saturating_add(patience);
    let start = |core| thread::Builder::new().stack_size(STACK_SIZE).spawn_on(core, function).ok();
    let calls: Box<[_]> = all().filter(|&core| core != current()).filter_map(start).collect();
    function();
    for call in calls {
        // One that does not answer is left behind.
        let _ = call.join_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}
