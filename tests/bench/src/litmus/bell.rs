//! What wakes a side: a kick or an interrupt.

use std::hint::spin_loop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

const QUIET: u8 = 0;
const RUNG: u8 = 1;
const ASLEEP: u8 = 2;

/// How often a waiting side looks before it sleeps.
const LOOKS: u32 = 600;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// While the waiting side still looked.
    Looking,
    /// It slept in the operating system.
    Asleep,
    /// Nobody rang in time.
    Never,
}

/// A bell that one thread rings and one waits for.
#[derive(Default)]
pub struct Bell {
    state: AtomicU8,
    /// Whoever waits; known before the state is [`ASLEEP`].
    sleeper: OnceLock<Thread>,
}

impl Bell {
    /// Wakes whoever waits, or will.
    pub fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.unpark();
        }
    }

    /// Forgets a ring that is not needed any more. A look at the queue follows, or it may have been needed.
    pub fn forget(&self) {
        self.state.swap(QUIET, Ordering::AcqRel);
    }

    /// Waits until it rings. Always on the same thread.
    pub fn wait(&self, patience: Duration, looks: Looks) -> Woken {
        for _ in 0..if looks == Looks::Some { LOOKS } else { 0 } {
            if self.state.load(Ordering::Relaxed) == RUNG {
                self.forget();
                return Woken::Looking;
            }
            spin_loop();
        }
        self.sleeper.get_or_init(thread::current);
        if self.state.compare_exchange(QUIET, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.forget();
            return Woken::Looking;
        }
        let start = Instant::now();
        loop {
            let elapsed = start.elapsed();
            if self.state.load(Ordering::Acquire) == RUNG {
                self.forget();
                return Woken::Asleep;
            }
            if elapsed >= patience {
                // A ring in this moment counts.
                return if self.state.swap(QUIET, Ordering::AcqRel) == RUNG { Woken::Asleep } else { Woken::Never };
            }
            thread::park_timeout(patience - elapsed);
        }
    }
}

/// Whether to look a while before sleeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    None,
    Some,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_wakes_whoever_waits_now_or_later() {
        let bell = Bell::default();
        bell.ring();
        assert_eq!(bell.wait(Duration::ZERO, Looks::Some), Woken::Looking);
        assert_eq!(bell.wait(Duration::from_millis(1), Looks::Some), Woken::Never);
        thread::scope(|scope| {
            scope.spawn(|| {
                while bell.state.load(Ordering::Relaxed) != ASLEEP {
                    thread::yield_now();
                }
                bell.ring();
            });
            assert_eq!(bell.wait(Duration::from_secs(60), Looks::None), Woken::Asleep);
        });
        bell.ring();
        bell.forget();
        assert_eq!(bell.wait(Duration::ZERO, Looks::None), Woken::Never, "forgotten");
    }
}
