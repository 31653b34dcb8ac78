use std::cell::{Cell, RefCell};
use std::rc::Rc;

use toro_sync::{Registered, WakeSlot};

fn is_sync_and_send<T: Sync + Send>(_: &T) {}

#[test]
fn who_is_registered_is_woken_once() {
    static SLOT: WakeSlot<Cell<u8>> = WakeSlot::new();
    is_sync_and_send(&SLOT);
    assert_eq!(SLOT.take(), None);
    for number in 0..3 {
        assert_eq!(SLOT.register(Cell::new(number)), Registered::Waiting);
        assert_eq!(SLOT.take(), Some(Cell::new(number)));
        assert_eq!(SLOT.take(), None);
    }
}

#[test]
fn the_last_registration_counts_and_each_handle_is_dropped() {
    let slot = WakeSlot::default();
    let handles = [Rc::new(1), Rc::new(2), Rc::new(3)];
    assert_eq!(slot.register(handles[0].clone()), Registered::Waiting);
    assert_eq!(slot.register(handles[1].clone()), Registered::Waiting);
    assert_eq!(Rc::strong_count(&handles[0]), 1);
    assert_eq!(slot.take(), Some(handles[1].clone()));
    assert_eq!(slot.register(handles[2].clone()), Registered::Waiting);
    drop(slot);
    assert!(handles.iter().all(|handle| Rc::strong_count(handle) == 1));
}

/// A handle that wakes its own slot when it is dropped, as the last handle of a task may do.
struct Meddler(Rc<WakeSlot<Meddler>>, Rc<RefCell<Vec<bool>>>);

impl Drop for Meddler {
    fn drop(&mut self) {
        let taken = self.0.take();
        self.1.borrow_mut().push(taken.is_some());
        drop(taken);
    }
}

#[test]
fn a_handle_may_use_the_slot_while_it_is_dropped() {
    let (slot, log) = (Rc::new(WakeSlot::new()), Rc::new(RefCell::new(Vec::new())));
    for _ in 0..2 {
        assert_eq!(slot.register(Meddler(slot.clone(), log.clone())), Registered::Waiting);
    }
    // The second replaced the first, which took the second, which found nobody.
    assert_eq!(*log.borrow(), [true, false]);
    assert!(slot.take().is_none());
}
