//! What the server says of its own accord, and who wants to know.
//!
//! Only where the device has a way for such messages is it looked for, at every poll: they come when nothing is in flight,
//! too. Who listens is told of one at a time, while no part of the connection is borrowed.

use alloc::rc::{Rc, Weak};
use core::cell::RefCell;

use toro_core::driver::fuse::FuseDevice;

use super::Connection;
use crate::fs::scheduler::Work;

/// The most messages that one poll takes, so that a server that never stops cannot keep the core.
const AT_ONCE: usize = 64;

/// Somebody who wants to know what the server says of its own accord.
pub trait Listener {
    /// It said this. Nothing is known about it but that these are the bytes.
    fn hear(&self, message: &[u8]);
}

/// Where nobody listens: never made.
struct Deaf;

impl Listener for Deaf {
    fn hear(&self, _: &[u8]) {}
}

/// Who listens; `None` where the device has no way for such messages.
pub(super) struct Ear(Option<RefCell<Weak<dyn Listener>>>);

impl Ear {
    /// Nobody yet.
    pub(super) fn new(device: &dyn FuseDevice) -> Self {
        Self(device.has_notifications().then(|| RefCell::new(Weak::<Deaf>::new() as Weak<dyn Listener>)))
    }

    /// Whether there is something to listen to.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

impl Connection {
    /// Says who is told from now on. Before that, and when it is gone, messages are dropped.
    pub fn set_listener(&self, listener: Weak<dyn Listener>) {
        if let Some(place) = &self.ear.0 {
            *place.borrow_mut() = listener;
        }
    }

    /// Takes messages and passes them on.
    pub(super) fn listen(self: &Rc<Self>) -> Work {
        let mut work = Work::None;
        for _ in 0..AT_ONCE {
            let next = self.device.borrow_mut().notification();
            let message = match next {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(fault) => {
                    self.fail(fault);
                    return Work::Done;
                }
            };
            work = Work::Done;
            let listener = self.ear.0.as_ref().and_then(|place| place.borrow().upgrade());
            if let Some(listener) = listener {
                listener.hear(&message);
            }
            self.recycle_buffer(message);
        }
        work
    }
}
