//! What all transports show of a device: status, features, queues, configuration.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the driver told the device about a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueSetup {
    /// Number of descriptors.
    pub size: u16,
    /// Bus address of the descriptor table.
    pub descriptors: u64,
    /// Bus address of the available ring.
    pub available: u64,
    /// Bus address of the used ring.
    pub used: u64,
    /// Whether the driver started the queue.
    pub is_ready: bool,
    /// The MSI-X vector, where there is such a thing.
    pub vector: u16,
}

/// How the device misbehaves in its registers. Everything off is an obedient device.
#[derive(Debug, Clone, Default)]
pub struct Lies {
    /// Status reads non-zero this many times after a reset.
    pub slow_reset: u32,
    /// Status never reads zero again.
    pub never_resets: bool,
    /// Clears FEATURES_OK whatever the driver accepted.
    pub rejects_features: bool,
    /// The generation changes with every read.
    pub unstable_generation: bool,
    /// A queue does not become ready.
    pub never_ready: bool,
    /// Queues are ready before the driver said so.
    pub already_ready: bool,
    /// The queue size register keeps another value than was written.
    pub wrong_size: bool,
    /// Vector registers read back NO_VECTOR.
    pub no_vector: bool,
    /// queue_notify_off points far away.
    pub far_doorbell: bool,
}

/// The state behind the registers.
#[derive(Debug)]
pub struct State {
    /// Virtio device type.
    pub device_type: u32,
    /// Offered features.
    pub offered: u64,
    /// Accepted features.
    pub accepted: u64,
    /// Device status.
    pub status: u8,
    /// Every value written to the status register.
    pub status_writes: Vec<u8>,
    /// Largest size of each queue.
    pub queue_max: Vec<u16>,
    /// What the driver set up.
    pub queues: Vec<QueueSetup>,
    /// Device configuration.
    pub config: Vec<u8>,
    /// Configuration generation.
    pub generation: u32,
    /// Interrupt status.
    pub interrupt: u32,
    /// Every value written to the interrupt acknowledge register.
    pub acknowledged: Vec<u32>,
    /// Queue indices of all kicks.
    pub kicks: Vec<u16>,
    /// How it lies.
    pub lies: Lies,
    pub(crate) feature_select: u32,
    pub(crate) driver_select: u32,
    pub(crate) queue_select: u16,
    reset_reads: u32,
}

/// A device, shared between its register model and the thread that plays it.
#[derive(Debug, Clone)]
pub struct Device {
    shared: Arc<(Mutex<State>, Condvar)>,
}

/// Kicks that arrived since somebody last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kicks {
    /// Some queue was kicked.
    Arrived,
    /// None was, in the time given.
    None,
}

impl Device {
    /// A device of a type, with queues of these largest sizes and these configuration bytes.
    pub fn new(device_type: u32, offered: u64, queue_max: &[u16], config: &[u8]) -> Self {
        let state = State {
            device_type,
            offered,
            accepted: 0,
            status: 0,
            status_writes: Vec::new(),
            queue_max: queue_max.to_vec(),
            queues: vec![QueueSetup::default(); queue_max.len()],
            config: config.to_vec(),
            generation: 0,
            interrupt: 0,
            acknowledged: Vec::new(),
            kicks: Vec::new(),
            lies: Lies::default(),
            feature_select: 0,
            driver_select: 0,
            queue_select: 0,
            reset_reads: 0,
        };
        Self { shared: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    /// The state, to look at or to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        // A failed check panics with the lock held; what drops while the test unwinds may still look.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how the device lies.
    pub fn lie(&self, change: impl FnOnce(&mut Lies)) {
        change(&mut self.state().lies);
    }

    /// What the driver set up for a queue.
    pub fn queue(&self, index: usize) -> QueueSetup {
        self.state().queues[index]
    }

    /// Waits for a kick and forgets all that have arrived.
    pub fn wait_for_kick(&self, patience: Duration) -> Kicks {
        let (lock, condvar) = &*self.shared;
        let state = lock.lock().expect("no test panics with it");
        let (mut state, _) =
            condvar.wait_timeout_while(state, patience, |state| state.kicks.is_empty()).expect("no test panics");
        let arrived = !state.kicks.is_empty();
        state.kicks.clear();
        if arrived { Kicks::Arrived } else { Kicks::None }
    }

    pub(crate) fn kick(&self, queue: u16) {
        let mut state = self.state();
        assert!(state.status & 4 != 0, "INI-9: a kick before DRIVER_OK");
        state.kicks.push(queue);
        self.shared.1.notify_all();
    }

    pub(crate) fn write_status(&self, value: u8) {
        let mut state = self.state();
        state.status_writes.push(value);
        if value == 0 {
            state.reset_reads = state.lies.slow_reset;
            state.status = 0;
            state.accepted = 0;
            let count = state.queue_max.len();
            let lies = state.lies.clone();
            state.queues = vec![QueueSetup { is_ready: lies.already_ready, ..QueueSetup::default() }; count];
            state.kicks.clear();
            return;
        }
        assert_eq!(value & state.status, state.status, "INI-5: status bits are only added");
        let newly = value & !state.status;
        if newly & 8 != 0 {
            assert_eq!(state.accepted & !state.offered, 0, "FTR-1: accepted what was not offered");
        }
        let refuse = newly & 8 != 0 && (state.lies.rejects_features || state.accepted & 1 << 32 == 0);
        state.status = if refuse { value & !8 } else { value };
    }

    pub(crate) fn read_status(&self) -> u8 {
        let mut state = self.state();
        if state.status == 0 && (state.lies.never_resets || state.reset_reads > 0) {
            state.reset_reads = state.reset_reads.saturating_sub(1);
            return 0x80;
        }
        state.status
    }

    pub(crate) fn read_features(&self) -> u32 {
        let state = self.state();
        match state.feature_select {
            0 => state.offered as u32,
            1 => (state.offered >> 32) as u32,
            _ => 0,
        }
    }

    pub(crate) fn write_features(&self, value: u32) {
        let mut state = self.state();
        assert_eq!(state.status & 8, 0, "INI-7: features written after FEATURES_OK");
        match state.driver_select {
            0 => state.accepted = (state.accepted & !0xffff_ffff) | u64::from(value),
            1 => state.accepted = (state.accepted & 0xffff_ffff) | u64::from(value) << 32,
            _ => {}
        }
    }

    pub(crate) fn generation(&self) -> u32 {
        let mut state = self.state();
        if state.lies.unstable_generation {
            state.generation = state.generation.wrapping_add(1);
        }
        state.generation
    }

    pub(crate) fn with_queue<V>(&self, on: impl FnOnce(&mut QueueSetup, &Lies) -> V) -> Option<V> {
        let mut state = self.state();
        let lies = state.lies.clone();
        let index = usize::from(state.queue_select);
        state.queues.get_mut(index).map(|queue| on(queue, &lies))
    }

    pub(crate) fn selected_max(&self) -> u16 {
        let state = self.state();
        state.queue_max.get(usize::from(state.queue_select)).copied().unwrap_or(0)
    }

    pub(crate) fn read_config(&self, offset: usize, width: usize) -> u32 {
        let state = self.state();
        (0..width).rev().fold(0, |value, i| value << 8 | u32::from(state.config.get(offset + i).copied().unwrap_or(0)))
    }
}
