//! A disk behind the registers of any transport: sectors, a write cache that can lose power, and a strict reader of
//! requests.
//!
//! ```text
//!   driver --queues--> take --> waiting requests --> finish, in some order --> used rings, interrupts
//!                                                        |
//!                                     image (what reads see), stable (what survives a loss of power)
//! ```
//!
//! It panics where a driver sends what no driver may: see [`request`]. How it answers is the test's choice: at once, one
//! at a time, in any order, or with lies.

pub mod config;
pub mod request;

use std::collections::VecDeque;

pub use self::config::BlockConfig;
pub use self::request::{Framing, SECTOR, Seen, kind};
use crate::device::{Device, QueueSetup};
use crate::memory::GuestMemory;
use crate::queue::{DeviceQueue, PoppedChain};

/// In which order requests are answered, and how many at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// All, as they came.
    Obedient,
    /// One at a time.
    Slow,
    /// Some of them, in any order.
    Reordering,
    /// None.
    Silent,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The request is not carried out, and its status is this.
    Status(u8),
    /// The request is completed, and nothing is written at all.
    Untouched,
    /// Its status is success, and no data is read or written.
    Idle,
    /// It is carried out, and the reported length is this.
    Length(u32),
}

/// A request that the device has taken and not answered.
#[derive(Debug)]
struct Waiting {
    queue: usize,
    chain: PoppedChain,
    seen: Seen,
}

/// The device; see the module.
#[derive(Debug)]
pub struct BlockModel {
    device: Device,
    memory: &'static dyn GuestMemory,
    queues: Vec<Option<(QueueSetup, DeviceQueue)>>,
    waiting: VecDeque<Waiting>,
    /// What reads see.
    pub image: Vec<u8>,
    /// What survives a loss of power.
    pub stable: Vec<u8>,
    /// Every request so far.
    pub seen: Vec<Seen>,
    /// How requests are answered.
    pub manner: Manner,
    /// What is wrong with the next answers.
    pub lie: Option<Lie>,
    /// What requests have to look like.
    pub framing: Framing,
    /// How often each queue has interrupted.
    pub interrupts: Vec<u32>,
    /// The serial number.
    pub serial: [u8; 20],
    /// How worn it is.
    pub lifetime: [u8; 6],
    random: u64,
}

impl BlockModel {
    /// A disk of zeros: `features` of its own and of the ring, and queues of these sizes.
    pub fn new(memory: &'static dyn GuestMemory, features: u64, sizes: &[u16], config: BlockConfig) -> Self {
        let device = Device::new(2, features, sizes, &config.to_bytes());
        if features & config::CONFIG_WCE != 0 {
            device.state().writable_config.push(config::WRITEBACK);
        }
        // A capacity may be absurd; what there is of it is not.
        let bytes = config.capacity.min(1 << 16) as usize * SECTOR;
        Self {
            device,
            memory,
            queues: sizes.iter().map(|_| None).collect(),
            waiting: VecDeque::new(),
            image: vec![0; bytes],
            stable: vec![0; bytes],
            seen: Vec::new(),
            manner: Manner::Obedient,
            lie: None,
            framing: Framing::Separate,
            interrupts: vec![0; sizes.len()],
            serial: *b"serial number no. 20",
            lifetime: [1, 0, 2, 0, 3, 0],
            random: 1,
        }
    }

    /// What is behind the registers.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many requests it has taken and not answered.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Changes the configuration, as [`BlockConfig::to_bytes`] lays it out, and says so.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.device.state();
        change(&mut state.config);
        state.generation = state.generation.wrapping_add(1);
        state.interrupt |= 2;
    }

    /// Changes the capacity; sectors that are gone are gone.
    pub fn resize(&mut self, sectors: u64) {
        self.reconfigure(|config| config[..8].copy_from_slice(&sectors.to_le_bytes()));
        self.image.resize(sectors as usize * SECTOR, 0);
        self.stable.resize(sectors as usize * SECTOR, 0);
    }

    /// What is not stable is lost.
    pub fn lose_power(&mut self) {
        self.image.clone_from(&self.stable);
    }

    /// Takes what the driver has published, and answers as its manner is; returns how many were answered.
    pub fn serve(&mut self) -> usize {
        self.take();
        let count = match self.manner {
            Manner::Obedient => self.waiting.len(),
            Manner::Slow => self.waiting.len().min(1),
            Manner::Reordering => self.below(self.waiting.len() + 1),
            Manner::Silent => 0,
        };
        for _ in 0..count {
            let index = if self.manner == Manner::Reordering { self.below(self.waiting.len()) } else { 0 };
            self.answer(index);
        }
        count
    }

    /// Takes what the driver has published in all queues.
    pub fn take(&mut self) {
        for index in 0..self.queues.len() {
            self.look_at(index);
            let Some((_, queue)) = &mut self.queues[index] else { continue };
            while let Some(chain) = queue.pop() {
                let seen = request::read(queue, &chain, &self.device, self.framing);
                self.seen.push(seen.clone());
                self.waiting.push_back(Waiting { queue: index, chain, seen });
            }
        }
    }

    /// Finds out whether the driver has made a queue anew.
    fn look_at(&mut self, index: usize) {
        let setup = self.device.queue(index);
        let (accepted, runs) = {
            let state = self.device.state();
            (state.accepted, state.status & 4 != 0)
        };
        if self.queues[index].as_ref().is_some_and(|(known, _)| *known == setup) {
            return;
        }
        self.waiting.retain(|waiting| waiting.queue != index);
        let is_used = setup.is_ready && runs;
        self.queues[index] = is_used.then(|| (setup, DeviceQueue::negotiated(self.memory, setup, accepted)));
    }

    /// Answers the request at `index` of those that wait.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn answer(&mut self, index: usize) {
        let Waiting { queue: number, chain, seen } = self.waiting.remove(index).expect("it waits");
        let (lie, kind) = (self.lie, seen.kind);
        let status = chain.writable.last().copied().expect("the status is there, as checked");
        let status_byte = PoppedChain { writable: vec![status], ..PoppedChain::default() };
        let (result, data) = match lie {
            Some(Lie::Status(status)) => (status, Vec::new()),
            Some(Lie::Untouched | Lie::Idle) => (0, Vec::new()),
            _ => self.carry_out(&seen),
        };
        let Some((_, queue)) = &mut self.queues[number] else { return };
        let mut written = 0;
        if lie != Some(Lie::Untouched) {
            written = queue.write(&chain, &data) + queue.write(&status_byte, &[result]);
        }
        if let Some(Lie::Length(length)) = lie {
            written = length;
        }
        assert!(kind != kind::IN || data.is_empty() || data.len() as u32 + 1 == chain.writable_len());
        queue.push(chain.head.into(), written);
        if queue.wants_interrupt() {
            self.interrupts[number] += 1;
            self.device.state().interrupt |= 1;
        }
    }

    /// Does what was asked for: the status, and what to write to the driver's buffers.
    fn carry_out(&mut self, seen: &Seen) -> (u8, Vec<u8>) {
        let write_through = !self.has_cache();
        let start = seen.sector as usize * SECTOR;
        match seen.kind {
            kind::IN => {
                let end = start + seen.data_len as usize;
                self.image.get(start..end).map_or((1, Vec::new()), |bytes| (0, bytes.to_vec()))
            }
            kind::OUT => {
                let Some(place) = self.image.get_mut(start..start + seen.data.len()) else { return (1, Vec::new()) };
                place.copy_from_slice(&seen.data);
                if write_through {
                    self.stable[start..start + seen.data.len()].copy_from_slice(&seen.data);
                }
                (0, Vec::new())
            }
            kind::FLUSH => {
                self.stable.clone_from(&self.image);
                (0, Vec::new())
            }
            kind::GET_ID => (0, self.serial.to_vec()),
            kind::GET_LIFETIME => (0, self.lifetime.to_vec()),
            _ => {
                // What was discarded is anything; it is never what it was.
                let fill = if seen.kind == kind::DISCARD { 0xdd } else { 0 };
                for &(sector, sectors, _) in &seen.ranges {
                    let (start, end) = (sector as usize * SECTOR, (sector + u64::from(sectors)) as usize * SECTOR);
                    let Some(place) = self.image.get_mut(start..end) else { return (1, Vec::new()) };
                    place.fill(fill);
                }
                (0, Vec::new())
            }
        }
    }

    /// Whether writes need a flush.
    fn has_cache(&self) -> bool {
        let state = self.device.state();
        match state.accepted & config::CONFIG_WCE != 0 {
            true => state.config[config::WRITEBACK] != 0,
            false => state.offered & config::FLUSH != 0,
        }
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound.max(1) as u64) as usize
    }
}
