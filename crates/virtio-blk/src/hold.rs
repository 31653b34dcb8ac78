//! [`Hold`]: how a disk holds its device, by itself or together with others.

use core::borrow::Borrow;

use virtio_queue_rt::{Running, Transport};

mod sealed {
    pub trait Sealed {}
}

/// See the module.
pub trait Hold<T: Transport>: sealed::Sealed + Borrow<Running<T>> + From<Running<T>> + Sized {
    /// The device, from whoever is alone with it.
    ///
    /// # Errors
    ///
    /// Itself, if others may use the device too.
    fn alone(self) -> Result<Running<T>, Self>;
}

impl<T: Transport> sealed::Sealed for Running<T> {}

impl<T: Transport> Hold<T> for Running<T> {
    fn alone(self) -> Result<Self, Self> {
        Ok(self)
    }
}

#[cfg(feature = "alloc")]
impl<T: Transport> sealed::Sealed for alloc::sync::Arc<Running<T>> {}

#[cfg(feature = "alloc")]
impl<T: Transport> Hold<T> for alloc::sync::Arc<Running<T>> {
    fn alone(self) -> Result<Running<T>, Self> {
        Err(self)
    }
}
