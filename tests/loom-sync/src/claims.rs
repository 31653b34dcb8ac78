//! A wait is ended once, by one, and nobody stays asleep whom somebody meant to wake.
//!
//! ```text
//!   owner                                   others
//!   take the token; begin; take it again    put the token; claim a parked wait
//!   none: asleep, until a claim is brought
//! ```
//!
//! Parking is modelled as the kernel does it, over the very file that decides who ends a wait; being asleep is the end of
//! the owner's thread, and whoever has claimed its wait says so at the end of his.
//!
//! Each of these was done to `claim.rs` on purpose, and noticed by
//!
//! | change | model |
//! |---|---|
//! | `claim`: relaxed | `what_came_before_..` |
//! | `take_claim`: loaded relaxed | `what_came_before_..` |
//! | `claim`: of whatever wait there is | all but `what_came_before_..` |
//! | `claim_parked`: of any kind | `whoever_parks_..` |
//! | `end`: stores, whoever has claimed | `of_a_timer_..`, `a_handle_..` |
//! | numbers that stay the same | `of_a_timer_..`, `a_handle_..` |

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;

use crate::claim::{WaitKind, Waits};
use crate::explore;

#[derive(Default)]
struct Sleeper {
    waits: Waits,
    token: AtomicBool,
    /// What a waker did before it woke: relaxed, so that only the claim or the token can make it visible.
    work: AtomicU32,
}

/// How parking ended.
#[derive(Debug, PartialEq, Eq)]
enum Parked {
    /// The token was there.
    Token,
    /// It has to be woken.
    Asleep,
}

impl Sleeper {
    fn park(&self) -> Parked {
        let take_token = || self.token.swap(false, Ordering::SeqCst);
        if take_token() {
            return Parked::Token;
        }
        self.waits.begin(WaitKind::Park);
        if !take_token() {
            return Parked::Asleep;
        }
        if !self.waits.end() {
            assert!(self.waits.take_claim(), "a wait that cannot be ended was claimed");
        }
        Parked::Token
    }

    /// Whether the sleeper's wait was claimed, so that it is brought to it.
    fn unpark(&self) -> bool {
        self.work.fetch_add(1, Ordering::Relaxed);
        !self.token.swap(true, Ordering::SeqCst) && self.waits.claim_parked()
    }
}

#[test]
fn whoever_parks_is_woken_by_one_of_those_who_unpark() {
    explore(3, || {
        let sleeper = Arc::new(Sleeper::default());
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let sleeper = Arc::clone(&sleeper);
                thread::spawn(move || sleeper.unpark())
            })
            .collect();
        let parked = sleeper.park();
        if parked == Parked::Token {
            assert!(sleeper.work.load(Ordering::Relaxed) > 0, "who is woken sees why");
        }
        let claims = wakers.into_iter().map(|waker| waker.join().expect("content")).filter(|&it| it);
        let claims = claims.count();
        match parked {
            Parked::Asleep => {
                assert_eq!(claims, 1, "asleep, and woken by so many");
                assert!(sleeper.waits.take_claim() && sleeper.token.load(Ordering::Relaxed));
                assert!(sleeper.work.load(Ordering::Relaxed) > 0, "who is woken sees why");
            }
            Parked::Token => assert!(claims <= 1, "a wait was claimed twice"),
        }
    });
}

#[test]
fn what_came_before_a_claim_is_there_when_it_is_taken() {
    explore(3, || {
        let shared = Arc::new((Waits::new(), UnsafeCell::new(0)));
        let wait = shared.0.begin(WaitKind::Event);
        let waker = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                // SAFETY: the owner looks there only after this wait has been claimed, below.
                shared.1.with_mut(|value| unsafe { *value = 1 });
                shared.0.claim(wait)
            })
        };
        if shared.0.take_claim() {
            // SAFETY: the waker is through with it, or loom reports both.
            assert_eq!(shared.1.with(|value| unsafe { *value }), 1);
        }
        assert!(waker.join().expect("content"));
    });
}

#[test]
fn of_a_timer_and_two_wakers_one_ends_the_wait() {
    explore(3, || {
        let waits = Arc::new(Waits::new());
        let wait = waits.begin(WaitKind::Event);
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let waits = Arc::clone(&waits);
                thread::spawn(move || waits.claim(wait))
            })
            .collect();
        let timed_out = waits.end();
        let claims = wakers.into_iter().map(|waker| waker.join().expect("content")).filter(|&it| it).count();
        assert_eq!(claims, usize::from(!timed_out), "one of three ends it");
        assert_eq!(waits.take_claim(), !timed_out);
    });
}

#[test]
fn a_handle_to_a_wait_that_is_over_ends_no_other() {
    explore(3, || {
        let waits = Arc::new(Waits::new());
        let first = waits.begin(WaitKind::Event);
        let late = {
            let waits = Arc::clone(&waits);
            thread::spawn(move || waits.claim(first))
        };
        let was_claimed = !waits.end() && waits.take_claim();
        let second = waits.begin(WaitKind::Event);
        assert_eq!(late.join().expect("content"), was_claimed, "it ended the first wait or none");
        assert!(!waits.take_claim(), "the second wait was ended by nobody");
        assert!(!waits.claim(first) && waits.claim(second) && !waits.claim(second));
    });
}
