//! [`UnsafeCell`] as loom has it: whoever wants the pointer says whether he reads or writes, and for how long.

/// Memory that is shared and changes, with nothing but its owner's argument to keep readers and writers apart.
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Lends the pointer to one who reads. Nobody may write meanwhile.
    #[inline]
    pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Lends the pointer to one who reads and writes. Nobody else may do either meanwhile.
    #[inline]
    pub fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        change(self.0.get())
    }
}
