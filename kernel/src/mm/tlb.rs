//! When all cores have forgotten a mapping: translation caches without interrupts.
//!
//! A core that removes a mapping forgets it itself at once. Other cores may still have it in their translation caches, so
//! what it led to, address and frames, must not be used for something else before they have forgotten it too. Nobody is
//! interrupted for that, and nobody waits: each removal [begins a new generation](begin), every core flushes its cache
//! when its loop comes by and sees a new one, and the remover looks later whether all [have passed](has_passed).
//!
//! ```text
//!   generation     7        8                        what is retired in 8 can be used again when
//!   core 0         |--------|-- removes a mapping     every other core has seen 8, or sleeps:
//!   core 1   ------ loop --------- loop: flush, 8      a core that wakes up looks before anything else
//!   core 2   ------ asleep ....................
//! ```
//!
//! # Ordering
//!
//! A core that wakes up says so and then looks at the generation; a remover begins a generation and then looks who is
//! awake. Both are sequentially consistent: either the remover sees the core awake, or the core sees the generation.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch::core_local::{MAX_CORES, core_index};
use crate::arch::{cpu, smp};

/// In place of a generation: the core sleeps, and touches no memory.
const ASLEEP: u64 = u64::MAX;

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The last generation that a core has seen, on a cache line of its own.
#[repr(align(128))]
struct Seen(AtomicU64);

static SEEN: [Seen; MAX_CORES] = [const { Seen(AtomicU64::new(0)) }; MAX_CORES];

/// Begins a new generation, after mappings have been removed and forgotten on this core.
pub(super) fn begin() -> u64 {
    GENERATION.fetch_add(1, Ordering::SeqCst) + 1
}

/// Whether no core has a mapping in its cache that was removed before `generation` [began](begin).
pub(super) fn has_passed(generation: u64) -> bool {
    let me = core_index();
    (0..smp::count()).filter(|&core| core != me).all(|core| SEEN[core].0.load(Ordering::SeqCst) >= generation)
}

/// Called by the core's loop when it comes by.
#[inline]
pub(crate) fn pass() {
    let seen = &SEEN[core_index()].0;
    let generation = GENERATION.load(Ordering::Acquire);
    if seen.load(Ordering::Relaxed) != generation {
        cpu::flush_all_pages();
        seen.store(generation, Ordering::Release);
    }
}

/// The generation that a core has seen when it fell asleep.
#[must_use = "the core has to wake up"]
pub(crate) struct Sleep(u64);

/// Called by the core's loop before it sleeps; until [`wake_up`] it touches nothing that could be unmapped.
pub(crate) fn fall_asleep() -> Sleep {
    Sleep(SEEN[core_index()].0.swap(ASLEEP, Ordering::SeqCst))
}

/// Called by the core's loop after it has slept.
pub(crate) fn wake_up(sleep: Sleep) {
    let seen = &SEEN[core_index()].0;
    // From now on whoever looks sees how far this core really is.
    seen.swap(sleep.0, Ordering::SeqCst);
    if GENERATION.load(Ordering::SeqCst) != sleep.0 {
        pass();
    }
}
