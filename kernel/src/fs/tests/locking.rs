//! Locks on files, of threads of one core and of several.

use alloc::rc::Rc;
use core::cell::Cell;
use core::time::Duration;

use super::kind;
use super::model::Model;
use super::threads::{Crew, run};
use super::writing::everywhere;
use crate::fs::remote::tests as remote;
use crate::fs::vfs::FileSystem;
use crate::fs::{Namespace, TryLockError};
use crate::io::{Error, ErrorKind};

#[test]
fn a_lock_is_the_open_files_and_goes_with_it() {
    everywhere(|namespace| {
        namespace.write(b"f", b"").expect("there is room");
        let open = || namespace.open(b"f").expect("it exists");
        let (first, second) = (open(), open());
        assert_eq!((first.try_lock_shared(), second.try_lock_shared()), (Ok(()), Ok(())));
        assert_eq!(first.try_lock(), Err(TryLockError::WouldBlock));
        assert_eq!(second.try_lock(), Ok(()), "the one that was refused has none any more");
        assert_eq!(first.try_lock_shared(), Err(TryLockError::WouldBlock));
        let clone = second.try_clone().expect("nothing is in the way");
        assert_eq!(clone.try_lock(), Ok(()), "the same open file");
        drop(second);
        assert_eq!(first.try_lock_shared(), Err(TryLockError::WouldBlock));
        drop(clone);
        assert_eq!(first.lock(), Ok(()));
        assert_eq!((first.unlock(), first.unlock()), (Ok(()), Ok(())));
        assert_eq!(open().lock_shared(), Ok(()));
        assert_eq!(open().try_lock(), Ok(()), "that one was dropped at once");
        // A renamed file is the same; another one of its name is not.
        assert_eq!(first.lock(), Ok(()));
        namespace.rename(b"f", b"g").expect("it exists");
        namespace.write(b"f", b"").expect("there is room");
        assert_eq!(open().try_lock(), Ok(()));
        let renamed = namespace.open(b"g").expect("it exists");
        assert_eq!(renamed.try_lock(), Err(TryLockError::WouldBlock));
        assert_eq!(Error::from(TryLockError::WouldBlock).kind(), ErrorKind::WouldBlock);
    });
}

/// Threads that each add one, in a way that goes wrong if two do so at once.
fn count_with_locks(crew: &Crew, namespace: impl Fn() -> Namespace) -> Rc<Cell<u32>> {
    let count = Rc::new(Cell::new(0));
    // More than an owner has workers for the calls of others.
    for number in 0..20 {
        let (namespace, count) = (namespace(), Rc::clone(&count));
        let (event, clock) = (crew.scheduler().event(), crew.scheduler());
        crew.spawn(move || {
            let file = namespace.open(b"f").expect("it exists");
            for round in 0..3 {
                file.lock().expect("it comes to everybody");
                let before = count.get();
                event.wait_until(clock.now().saturating_add(Duration::from_millis(2)));
                count.set(before + 1);
                // By a call, by a change, or by the end.
                match (number + round) % 3 {
                    0 => file.unlock().expect("it is locked"),
                    1 => file.lock_shared().expect("less is given at once"),
                    _ => {}
                }
            }
        });
    }
    count
}

#[test]
fn threads_that_wait_for_a_lock_have_it_one_after_the_other() {
    let count = run(|crew: &Crew| {
        let model = Model::with(crew.scheduler());
        let own = Namespace::new();
        own.mount(b"/", Rc::clone(&model) as Rc<dyn FileSystem>).expect("nothing is there");
        own.write(b"f", b"").expect("there is room");
        let count = count_with_locks(crew, || {
            let namespace = Namespace::new();
            namespace.mount(b"/", Rc::clone(&model) as Rc<dyn FileSystem>).expect("nothing is there");
            namespace
        });
        move || count.get()
    });
    assert_eq!(count, 60);
}

#[test]
fn threads_of_other_cores_wait_in_the_same_line() {
    let count = run(|crew: &Crew| {
        let model = Model::with(crew.scheduler());
        let own = Namespace::new();
        own.mount(b"/", Rc::clone(&model) as Rc<dyn FileSystem>).expect("nothing is there");
        own.write(b"f", b"").expect("there is room");
        let count = count_with_locks(crew, || {
            let (namespace, _) = remote::seen_from_elsewhere(Rc::clone(&model) as Rc<dyn FileSystem>, "/");
            namespace
        });
        move || count.get()
    });
    assert_eq!(count, 60);
}

#[test]
fn whoever_waits_for_a_lock_hears_of_the_end() {
    let outcome = run(|crew: &Crew| {
        let model = Model::with(crew.scheduler());
        let namespace = Rc::new(Namespace::new());
        namespace.mount(b"/", Rc::clone(&model) as Rc<dyn FileSystem>).expect("nothing is there");
        namespace.write(b"f", b"").expect("there is room");
        let [first, second] = [(); 2].map(|()| namespace.open(b"f").expect("it exists"));
        first.lock().expect("nobody has it");
        let outcome = Rc::new(Cell::new(None));
        let heard = Rc::clone(&outcome);
        crew.spawn(move || heard.set(Some(kind(second.lock()))));
        let (event, clock) = (crew.scheduler().event(), crew.scheduler());
        crew.spawn(move || {
            event.wait_until(clock.now().saturating_add(Duration::from_millis(2)));
            namespace.unmount_all();
            assert_eq!(kind(first.unlock()), Some(ErrorKind::NotConnected));
        });
        move || outcome.get()
    });
    assert_eq!(outcome, Some(Some(ErrorKind::NotConnected)));
}
