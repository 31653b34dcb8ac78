//! Thread-local values: `toro::thread_local!`.
//!
//! Each thread has a list of the values that it has asked for, by the address of the key. Threads use few, so the list
//! is searched from the front. Values are made on first use and dropped when the thread's function has returned, on its
//! own stack, last made first.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::RefCell;

/// The values of one thread.
#[derive(Default)]
pub(crate) struct Locals {
    values: RefCell<Vec<(usize, Rc<dyn Any>)>>,
}

impl Locals {
    fn find(&self, key: usize) -> Option<Rc<dyn Any>> {
        self.values.borrow().iter().find(|(other, _)| *other == key).map(|(_, value)| Rc::clone(value))
    }

    /// The value of `key`, made by `make` if the thread has none yet.
    fn get_or_make<T: 'static>(&self, key: usize, make: fn() -> T) -> Rc<T> {
        let value = self.find(key).unwrap_or_else(|| {
            // `make` may ask for other values.
            let value: Rc<dyn Any> = Rc::new(make());
            self.values.borrow_mut().push((key, Rc::clone(&value)));
            value
        });
        value.downcast().unwrap_or_else(|_| unreachable!("a key has one type"))
    }

    /// Drops all values, last made first. What their destructors make anew is dropped as well.
    pub(super) fn clear(&self) {
        loop {
            // Not while the list is borrowed: a destructor may ask for other values.
            let last = self.values.borrow_mut().pop();
            if last.is_none() {
                // The list's own memory as well: the record may be dropped by another core, which leaves it alone.
                drop(self.values.take());
                return;
            }
        }
    }
}

/// Names a value of which each thread has its own; declared by [`thread_local!`](crate::thread_local).
pub struct LocalKey<T: 'static> {
    make: fn() -> T,
}

impl<T: 'static> LocalKey<T> {
    /// For [`thread_local!`](crate::thread_local).
    #[doc(hidden)]
    pub const fn new(make: fn() -> T) -> Self {
        Self { make }
    }

    /// Calls `look` with the running thread's value, which is made if this is the first time.
    ///
    /// # Panics
    ///
    /// If called from a poller: the core's loop is no thread.
    pub fn with<R>(&'static self, look: impl FnOnce(&T) -> R) -> R {
        let key = (&raw const *self).addr();
        let value = super::core::with_locals(|locals| locals.get_or_make(key, self.make));
        look(&value)
    }
}

impl<T: Copy + 'static> LocalKey<core::cell::Cell<T>> {
    /// The running thread's value.
    pub fn get(&'static self) -> T {
        self.with(core::cell::Cell::get)
    }

    /// Sets the running thread's value.
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }
}
