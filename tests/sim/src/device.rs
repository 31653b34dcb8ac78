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
    /// It resets so many times, and never again.
    pub resets_left: Option<u32>,
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
    /// Vector registers read back NO_VECTOR for all vectors but the first.
    pub one_vector: bool,
    /// Vector registers read back a vector that nobody wrote.
    pub other_vector: bool,
    /// Queues are in use after so many of the next resets.
    pub stale_queues: u32,
    /// The queue reset register reads 1 this many times.
    pub slow_queue_reset: u32,
    /// It reads 1 for ever.
    pub never_resets_queue: bool,
    /// A queue is still enabled when its reset register reads 0.
    pub stays_enabled: bool,
    /// The interrupt status never goes away.
    pub stuck_interrupt: bool,
    /// Nothing that is written to the configuration is kept.
    pub stuck_config: bool,
    /// Every register reads as all ones.
    pub gone: bool,
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
    /// The bytes of it that the driver may write; it fails the test if it writes any other.
    pub writable_config: Vec<usize>,
    /// Where the driver has read it, and what the status was then.
    pub config_reads: Vec<(usize, u8)>,
    /// Configuration generation.
    pub generation: u32,
    /// Interrupt status.
    pub interrupt: u32,
    /// Every value written to the interrupt acknowledge register.
    pub acknowledged: Vec<u32>,
    /// Queue indices of all kicks.
    pub kicks: Vec<u16>,
    /// The words of all kicks.
    pub doorbells: Vec<u32>,
    /// How often the interrupt status was read.
    pub interrupt_reads: u32,
    /// Which queues were reset, in order.
    pub queue_resets: Vec<u16>,
    /// What configuration changes are mapped to, where there is such a thing.
    pub config_vector: u16,
    /// Bytes between the doorbells of two queues of a modern function.
    pub multiplier: u32,
    /// Shared memory of a register block: id, length and address as its registers say them.
    pub shared_memory: Vec<(u8, u64, u64)>,
    /// How it lies.
    pub lies: Lies,
    /// Whether its registers speak the legacy interface.
    pub(crate) is_legacy: bool,
    /// Legacy registers in memory: the size of a page, 0 until the driver says it.
    pub(crate) page_size: u32,
    /// Legacy registers in memory: the alignment of the selected queue's used ring, 0 until the driver says it.
    pub(crate) queue_align: u32,
    pub(crate) feature_select: u32,
    pub(crate) driver_select: u32,
    pub(crate) queue_select: u16,
    pub(crate) shm_select: u32,
    reset_reads: u32,
    queue_reset_reads: u32,
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
            writable_config: Vec::new(),
            config_reads: Vec::new(),
            generation: 0,
            interrupt: 0,
            acknowledged: Vec::new(),
            kicks: Vec::new(),
            doorbells: Vec::new(),
            interrupt_reads: 0,
            queue_resets: Vec::new(),
            config_vector: 0xffff,
            multiplier: 4,
            shared_memory: Vec::new(),
            lies: Lies::default(),
            is_legacy: false,
            page_size: 0,
            queue_align: 0,
            feature_select: 0,
            driver_select: 0,
            queue_select: 0,
            shm_select: 0,
            reset_reads: 0,
            queue_reset_reads: 0,
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

    /// What a notification of a queue has to hold in place of its index (NOTIF_CONFIG_DATA).
    pub(crate) fn notify_data(queue: u16) -> u16 {
        0x4000 + 8 * queue
    }

    /// A write of `width` bytes to a doorbell of PCI, or of any to the one of a register block.
    pub(crate) fn kick(&self, word: u32, width: Option<usize>) {
        let mut state = self.state();
        assert!(state.status & 4 != 0, "INI-9: a kick before DRIVER_OK");
        let has_index = state.accepted & 1 << 38 != 0;
        if let Some(width) = width {
            assert_eq!(width, if has_index { 4 } else { 2 }, "PCI-23: the width of a notification");
        }
        assert!(has_index || word >> 16 == 0, "a notification with more than the queue");
        let mut queue = word as u16;
        if state.accepted & 1 << 39 != 0 {
            assert_eq!((queue - 0x4000) % 8, 0, "PCI-23: not what the device asked for");
            queue = (queue - 0x4000) / 8;
        }
        assert!(usize::from(queue) < state.queues.len(), "there is no queue {queue} to kick");
        state.kicks.push(queue);
        state.doorbells.push(word);
        self.shared.1.notify_all();
    }

    /// Takes the interrupt status, as reading it does over PCI.
    pub(crate) fn take_interrupt(&self) -> u8 {
        let mut state = self.state();
        state.interrupt_reads += 1;
        match state.lies.stuck_interrupt {
            true => state.interrupt as u8,
            false => std::mem::take(&mut state.interrupt) as u8,
        }
    }

    /// Clears bits of the interrupt status, as writing them does in a register block.
    pub(crate) fn acknowledge(&self, bits: u32) {
        assert_eq!(bits & !3, 0, "MIO-10: undefined bits acknowledged");
        let mut state = self.state();
        if !state.lies.stuck_interrupt {
            state.interrupt &= !bits;
        }
        state.acknowledged.push(bits);
    }

    /// Starts to reset the selected queue.
    pub(crate) fn start_queue_reset(&self, value: u32) {
        let mut state = self.state();
        assert_eq!(value, 1, "PCI-15, MIO-13: a queue is reset by a 1");
        assert!(state.accepted & 1 << 40 != 0, "RING_RESET was not negotiated");
        state.queue_reset_reads = state.lies.slow_queue_reset;
        let queue = state.queue_select;
        state.queue_resets.push(queue);
    }

    /// Whether the selected queue is still being reset.
    pub(crate) fn is_queue_resetting(&self) -> bool {
        let mut state = self.state();
        if state.lies.never_resets_queue || state.queue_reset_reads > 0 {
            state.queue_reset_reads = state.queue_reset_reads.saturating_sub(1);
            return true;
        }
        drop(state);
        self.with_queue(|queue, lies| {
            *queue = QueueSetup { is_ready: lies.stays_enabled, vector: 0xffff, ..QueueSetup::default() };
        });
        false
    }

    /// What a vector register that holds `vector` reads as.
    pub(crate) fn vector_reads(&self, vector: u16) -> u16 {
        match &self.state().lies {
            lies if lies.no_vector => 0xffff,
            lies if lies.other_vector => vector ^ 1,
            lies if lies.one_vector && vector != 0 => 0xffff,
            _ => vector,
        }
    }

    /// Length and address of the selected shared memory, all ones if there is none.
    pub(crate) fn selected_memory(&self) -> (u64, u64) {
        let state = self.state();
        let found = state.shared_memory.iter().find(|(id, ..)| u32::from(*id) == state.shm_select);
        found.map_or((u64::MAX, u64::MAX), |(_, len, address)| (*len, *address))
    }

    pub(crate) fn write_status(&self, value: u8) {
        let mut state = self.state();
        state.status_writes.push(value);
        if value == 0 {
            match &mut state.lies.resets_left {
                Some(0) => state.lies.never_resets = true,
                Some(left) => *left -= 1,
                None => {}
            }
            state.reset_reads = state.lies.slow_reset;
            state.status = 0;
            state.accepted = 0;
            let count = state.queue_max.len();
            let lies = state.lies.clone();
            let is_ready = lies.already_ready || lies.stale_queues > 0;
            state.lies.stale_queues = lies.stale_queues.saturating_sub(1);
            let left = if is_ready { 0x1000 } else { 0 };
            let queue = QueueSetup { is_ready, descriptors: left, vector: 0xffff, ..QueueSetup::default() };
            state.config_vector = 0xffff;
            state.queues = vec![queue; count];
            (state.page_size, state.queue_align) = (0, 0);
            state.kicks.clear();
            return;
        }
        assert_eq!(value & state.status, state.status, "INI-5: status bits are only added");
        let newly = value & !state.status;
        if state.is_legacy {
            assert_eq!(newly & 8, 0, "INI-17: a legacy device has no FEATURES_OK");
            if newly & 4 != 0 {
                assert_eq!(state.accepted & !state.offered, 0, "FTR-1: accepted what was not offered");
            }
            state.status = value;
            return;
        }
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
        assert!(!state.is_legacy || state.status & 4 == 0, "INI-7: features written after DRIVER_OK");
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

    /// Places the selected queue as a legacy driver does: one block, by its page number. 0 stops the queue.
    pub(crate) fn place_queue(&self, page: u32, page_size: u32, align: u32) {
        self.with_queue(|queue, lies| {
            if page == 0 {
                *queue = QueueSetup::default();
                return;
            }
            assert!(!queue.is_ready, "MIO-17, PCI-32: a queue in use is placed again");
            let size = u64::from(queue.size);
            queue.descriptors = u64::from(page) * u64::from(page_size);
            queue.available = queue.descriptors + 16 * size;
            queue.used = (queue.available + 6 + 2 * size).next_multiple_of(align.into());
            queue.is_ready = !lies.never_ready;
        });
    }

    /// Page size and alignment, as far as the driver has said them.
    pub(crate) fn legacy_layout(&self) -> (u32, u32) {
        let state = self.state();
        (state.page_size, state.queue_align)
    }

    /// The page number of the selected queue.
    pub(crate) fn queue_page(&self, page_size: u32) -> u32 {
        self.with_queue(|queue, _| if queue.is_ready { (queue.descriptors / u64::from(page_size)) as u32 } else { 0 })
            .unwrap_or(0)
    }

    pub(crate) fn selected_max(&self) -> u16 {
        let state = self.state();
        state.queue_max.get(usize::from(state.queue_select)).copied().unwrap_or(0)
    }

    pub(crate) fn read_config(&self, offset: usize, width: usize) -> u32 {
        let mut state = self.state();
        let status = state.status;
        state.config_reads.push((offset, status));
        (0..width).rev().fold(0, |value, i| value << 8 | u32::from(state.config.get(offset + i).copied().unwrap_or(0)))
    }

    pub(crate) fn write_config(&self, offset: usize, width: usize, value: u32) {
        let mut state = self.state();
        assert!(state.writable_config.contains(&offset) && width == 1, "CFG: {width} bytes written at {offset:#x}");
        if !state.lies.stuck_config {
            state.config[offset] = value as u8;
        }
    }
}
