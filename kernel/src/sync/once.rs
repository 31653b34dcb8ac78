//! [`Once`] and [`OnceLock`]: what happens once, whoever comes first.

use core::fmt;

use super::mutex::Mutex;

/// A value that is made once.
pub struct OnceLock<T> {
    value: spin::Once<T>,
    /// Held by whoever makes the value: others wait for it here, and leave their cores to others.
    making: Mutex<()>,
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> OnceLock<T> {
    /// No value yet.
    pub const fn new() -> Self {
        Self { value: spin::Once::new(), making: Mutex::new(()) }
    }

    /// The value, if it has been made.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, made by `make` if there is none yet. `make` may wait; it must not ask for this value.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.value.get() {
            return value;
        }
        let _making = self.making.lock();
        if let Some(value) = self.value.get() {
            return value;
        }
        // Made before, as nobody may wait in the middle of `call_once`, which spins.
        let value = make();
        self.value.call_once(|| value)
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// Gives `value` back if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value itself.
    pub fn into_inner(self) -> Option<T> {
        self.value.try_into_inner()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("OnceLock").field(&self.get()).finish()
    }
}

/// Something that is done once.
#[derive(Debug, Default)]
pub struct Once {
    done: OnceLock<()>,
}

impl Once {
    /// Nothing has been done.
    pub const fn new() -> Self {
        Self { done: OnceLock::new() }
    }

    /// Calls `function` if nobody has called one by way of this; returns when it has been done, by whomever.
    pub fn call_once(&self, function: impl FnOnce()) {
        self.done.get_or_init(function);
    }

    /// Whether it has been done.
    pub fn is_completed(&self) -> bool {
        self.done.get().is_some()
    }
}
