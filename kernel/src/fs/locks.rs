//! [`LockTable`]: the locks on the files of a file system that does not keep them anywhere else.
//!
//! ```text
//!   file 7    held by:  4 (shared), 9 (shared)
//!             waiting:  5 (exclusive), 6 (shared), ...      in the order of coming
//! ```
//!
//! These are the locks of `flock`: for a whole file, owned by an open file, and advisory. They bind the threads of all cores
//! of this machine, because the calls of other cores come to the one that owns the file system. Nobody else sees them.
//!
//! # Order
//!
//! Whoever asks for a lock gets it after those who have asked before, also if it could be had at once: a stream of readers
//! does not keep a writer waiting for ever. Who does not want to wait is refused as long as others do.
//!
//! A lock is changed by giving it up and asking anew, but an exclusive one becomes a shared one on the spot. Two who have a
//! shared lock and want it exclusively do not wait for each other, therefore: one gets it when the other has given its own up.
//!
//! # Failure
//!
//! A wait has no deadline; it ends when the lock is there, or with the file system ([`LockTable::abandon`]). Whoever waits for a
//! lock that it keeps itself, by another open file, waits for ever, as on Linux.

// Without `fs-write` nobody asks for much of it.
#![cfg_attr(not(feature = "fs-write"), allow(dead_code))]

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use fuse_proto::Errno;

use super::scheduler::{Event, Scheduler};
use super::vfs::{LockKind, LockWait};
use crate::sorted_map::SortedMap;

/// The locks on the files of a file system.
pub struct LockTable {
    scheduler: Box<dyn Scheduler>,
    /// Those that somebody has locked or wants to lock.
    files: RefCell<SortedMap<u64, FileLocks>>,
    /// How many holders there have been.
    holders: Cell<u64>,
}

#[derive(Default)]
struct FileLocks {
    held: SortedMap<u64, LockKind>,
    waiting: VecDeque<Rc<Waiter>>,
}

struct Waiter {
    holder: u64,
    kind: LockKind,
    event: Rc<dyn Event>,
    outcome: Cell<Option<Result<(), Errno>>>,
}

/// An open file that may have a lock. Dropping it gives that up.
pub struct LockHolder {
    table: Rc<LockTable>,
    file: u64,
    number: u64,
}

impl LockTable {
    /// No file is locked.
    pub fn new(scheduler: Box<dyn Scheduler>) -> Rc<Self> {
        Rc::new(Self { scheduler, files: RefCell::default(), holders: Cell::new(0) })
    }

    /// A new holder of locks on the file with this number, which stays the file's as long as the holder lives.
    pub fn holder(self: &Rc<Self>, file: u64) -> LockHolder {
        let number = self.holders.get();
        self.holders.set(number + 1);
        LockHolder { table: Rc::clone(self), file, number }
    }

    /// Takes all locks away, and ends all waits with this error.
    pub fn abandon(&self, errno: Errno) {
        let files = self.files.take();
        for waiter in files.into_values().flat_map(|locks| locks.waiting) {
            waiter.finish(Err(errno));
        }
    }

    /// Gives locks to those who can have them now.
    fn serve(&self, file: u64) {
        let mut served = Vec::new();
        {
            let mut files = self.files.borrow_mut();
            let Some(locks) = files.get_mut(&file) else { return };
            while let Some(next) = locks.waiting.pop_front_if(|next| allows(&locks.held, next.holder, next.kind)) {
                locks.held.insert(next.holder, next.kind);
                served.push(next);
            }
            if locks.held.is_empty() && locks.waiting.is_empty() {
                files.remove(&file);
            }
        }
        served.into_iter().for_each(|waiter| waiter.finish(Ok(())));
    }
}

/// Whether `holder` can have such a lock beside those that others have.
fn allows(held: &SortedMap<u64, LockKind>, holder: u64, kind: LockKind) -> bool {
    held.iter()
        .filter(|&(&other, _)| other != holder)
        .all(|(_, &theirs)| (kind, theirs) == (LockKind::Shared, LockKind::Shared))
}

impl Waiter {
    fn finish(&self, outcome: Result<(), Errno>) {
        self.outcome.set(Some(outcome));
        self.event.announce();
    }
}

impl LockHolder {
    /// Locks the file, in turn.
    ///
    /// # Errors
    ///
    /// EAGAIN if that is not possible at once and there is no waiting; what [`abandon`](LockTable::abandon) says.
    pub fn lock(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        let table = &*self.table;
        {
            let mut files = table.files.borrow_mut();
            let locks = files.get_or_default(self.file);
            let mine = locks.held.get_mut(&self.number);
            match (mine, kind) {
                (Some(mine), kind) if *mine == kind => return Ok(()),
                (Some(mine), LockKind::Shared) => *mine = LockKind::Shared,
                (Some(_), LockKind::Exclusive) => drop(locks.held.remove(&self.number)),
                (None, _) => {}
            }
        }
        // What was given up may be others'.
        table.serve(self.file);
        let waiter = {
            let mut files = table.files.borrow_mut();
            let locks = files.get_or_default(self.file);
            if locks.held.get(&self.number) == Some(&kind) {
                return Ok(());
            }
            if locks.waiting.is_empty() && allows(&locks.held, self.number, kind) {
                locks.held.insert(self.number, kind);
                return Ok(());
            }
            if wait == LockWait::Never {
                return Err(Errno::EAGAIN);
            }
            let event = table.scheduler.event();
            let waiter = Rc::new(Waiter { holder: self.number, kind, event, outcome: Cell::new(None) });
            locks.waiting.push_back(Rc::clone(&waiter));
            waiter
        };
        loop {
            waiter.event.wait();
            if let Some(outcome) = waiter.outcome.get() {
                return outcome;
            }
        }
    }

    /// Gives the lock up, if there is one.
    pub fn unlock(&self) {
        let removed =
            self.table.files.borrow_mut().get_mut(&self.file).and_then(|locks| locks.held.remove(&self.number));
        if removed.is_some() {
            self.table.serve(self.file);
        }
    }
}

impl Drop for LockHolder {
    fn drop(&mut self) {
        self.unlock();
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::fs::tests::threads::{Crew, run};

    const FILE: u64 = 7;
    use LockKind::{Exclusive, Shared};
    use LockWait::{Forever, Never};

    #[test]
    fn shared_locks_go_together_and_an_exclusive_one_is_alone() {
        run(|crew: &Crew| {
            let table = LockTable::new(crew.scheduler());
            move || {
                let [first, second, third] = [(); 3].map(|()| table.holder(FILE));
                assert_eq!((first.lock(Shared, Never), second.lock(Shared, Never)), (Ok(()), Ok(())));
                assert_eq!(third.lock(Exclusive, Never), Err(Errno::EAGAIN));
                assert_eq!(table.holder(FILE + 1).lock(Exclusive, Never), Ok(()), "another file");
                second.unlock();
                assert_eq!(first.lock(Exclusive, Never), Ok(()), "alone, it can have more");
                assert_eq!(second.lock(Shared, Never), Err(Errno::EAGAIN));
                assert_eq!(first.lock(Shared, Never), Ok(()));
                assert_eq!(second.lock(Shared, Never), Ok(()));
                assert_eq!(first.lock(Exclusive, Never), Err(Errno::EAGAIN));
                assert_eq!(second.lock(Exclusive, Never), Ok(()), "the first one has none any more");
                drop(second);
                assert_eq!(third.lock(Exclusive, Never), Ok(()), "a holder that is dropped has none");
                third.unlock();
                third.unlock();
                assert!(table.files.borrow().is_empty(), "what nobody has locked takes no memory");
            }
        });
    }

    #[test]
    fn those_who_wait_are_served_in_the_order_of_coming_and_nobody_passes_them() {
        let order = run(|crew: &Crew| {
            let table = LockTable::new(crew.scheduler());
            let order = Rc::new(RefCell::new(Vec::new()));
            let kinds = [Exclusive, Shared, Exclusive, Shared, Shared, Exclusive];
            for (number, kind) in kinds.into_iter().enumerate() {
                let (holder, order) = (table.holder(FILE), Rc::clone(&order));
                let (event, clock) = (crew.scheduler().event(), crew.scheduler());
                crew.spawn(move || {
                    let sleep = |milliseconds| {
                        let _ = event.wait_until(clock.now().saturating_add(Duration::from_millis(milliseconds)));
                    };
                    sleep(number as u64);
                    holder.lock(kind, Forever).expect("it comes to everybody");
                    order.borrow_mut().push((number, clock.now().as_nanos() / 1_000_000));
                    if number == 0 {
                        // All others have come by then.
                        sleep(50);
                        assert_eq!(holder.lock(Shared, Never), Ok(()), "less is given at once");
                        assert_eq!(holder.table.holder(FILE).lock(Shared, Never), Err(Errno::EAGAIN), "others wait");
                    }
                    sleep(100);
                });
            }
            move || order.borrow().clone()
        });
        // The second one joins the first one, which has become shared; the fourth and fifth one go together.
        assert_eq!(order, [(0, 0), (1, 50), (2, 150), (3, 250), (4, 250), (5, 350)]);
    }

    #[test]
    fn two_who_share_and_both_want_more_do_not_wait_for_each_other() {
        let count = run(|crew: &Crew| {
            let table = LockTable::new(crew.scheduler());
            let count = Rc::new(Cell::new(0));
            for _ in 0..2 {
                let (holder, count) = (table.holder(FILE), Rc::clone(&count));
                let (event, clock) = (crew.scheduler().event(), crew.scheduler());
                crew.spawn(move || {
                    holder.lock(Shared, Forever).expect("shared");
                    event.wait_until(clock.now().saturating_add(Duration::from_millis(5)));
                    holder.lock(Exclusive, Forever).expect("one after the other");
                    let before = count.get();
                    event.wait_until(clock.now().saturating_add(Duration::from_millis(5)));
                    assert_eq!(count.replace(before + 1), before, "alone");
                });
            }
            move || count.get()
        });
        assert_eq!(count, 2);
    }

    #[test]
    fn waits_end_with_the_file_system() {
        let outcomes = run(|crew: &Crew| {
            let table = LockTable::new(crew.scheduler());
            let outcomes = Rc::new(RefCell::new(Vec::new()));
            let first = table.holder(FILE);
            first.lock(Exclusive, Never).expect("nobody has it");
            for _ in 0..3 {
                let (holder, outcomes) = (table.holder(FILE), Rc::clone(&outcomes));
                crew.spawn(move || {
                    let outcome = holder.lock(Shared, Forever);
                    outcomes.borrow_mut().push(outcome);
                });
            }
            let (event, clock) = (crew.scheduler().event(), crew.scheduler());
            crew.spawn(move || {
                event.wait_until(clock.now().saturating_add(Duration::from_millis(5)));
                table.abandon(Errno::ENOTCONN);
                drop(first);
                assert!(table.files.borrow().is_empty());
            });
            move || outcomes.take()
        });
        assert_eq!(outcomes, [Err(Errno::ENOTCONN); 3]);
    }
}
