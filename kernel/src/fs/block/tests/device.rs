//! A disk with a volatile cache: what was written and not flushed is lost at a cut, as much of it as the test wants.

use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;

use toro_core::Instant;
use toro_core::driver::block::{
    BlockCompletion, BlockDevice, BlockError, BlockLimits, BlockOperation, BlockRequest, Disk, SECTOR,
};
use toro_core::driver::{Armed, AttachError, DeviceFault, Refusal, Refused, RequestId};

/// How the device behaves; tests change it at any time.
#[derive(Default)]
pub struct Behaviour {
    /// The state of a generator that picks the next request to finish; 0 is in order.
    pub order: u64,
    /// How many polls a request takes.
    pub delay: usize,
    /// Sectors that can be neither read nor written.
    pub bad: BTreeSet<u64>,
    /// Whether no request finishes.
    pub is_hanging: bool,
    /// Requests to swallow for good, until a reset.
    pub swallow: usize,
    /// What the next poll fails with, until a reset.
    pub fault: Option<DeviceFault>,
    /// Whether a reset fails.
    pub is_beyond_reset: bool,
    /// Whether the flush fails.
    pub flush_fails: bool,
    /// Whether there is never room.
    pub is_full: bool,
    /// Whether the device tells of changes by interrupt.
    pub tells: bool,
    /// After how many more writes and flushes the power fails: then nothing is done any more.
    pub until_cut: Option<usize>,
}

/// What the device was asked, in the order in which it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub operation: BlockOperation,
    pub segments: usize,
    pub bytes: usize,
}

pub struct Inner {
    pub disk: Disk,
    pub limits: BlockLimits,
    pub behaviour: Behaviour,
    pub asked: Vec<Asked>,
    pub notifications: usize,
    pub resets: usize,
    /// Writes and flushes that were done.
    pub changes: usize,
    pub most_in_flight: usize,
    /// How large the disk is, which the driver may not know yet.
    pub capacity: u64,
    /// What is stable, a sector a row.
    pub medium: Vec<[u8; SECTOR]>,
    /// What was written since the last flush, in order.
    unstable: Vec<(u64, [u8; SECTOR])>,
    /// Where the last of these are that a sector has.
    latest: BTreeMap<u64, usize>,
    unpublished: Vec<InFlight>,
    in_flight: Vec<InFlight>,
    free: VecDeque<u16>,
    polls: usize,
}

struct InFlight {
    id: RequestId,
    request: BlockRequest,
    due: usize,
    is_swallowed: bool,
}

/// The test's side.
#[derive(Clone)]
pub struct Model(Arc<Mutex<Inner>>);

/// The queue's side.
struct ModelDevice(Model);

impl Model {
    /// A disk of so many sectors, each filled with its number.
    pub fn new(sectors: u64) -> Self {
        let disk = Disk { sectors, block_size: 512, physical_block_size: 512, is_read_only: false, has_cache: true };
        let limits = BlockLimits {
            in_flight: 16,
            segments: 8,
            segment_bytes: 64 * 1024,
            sectors: 256,
            discard_sectors: 0,
            write_zeroes_sectors: 0,
            secure_erase_sectors: 0,
        };
        Self(Arc::new(Mutex::new(Inner {
            disk,
            limits,
            behaviour: Behaviour::default(),
            asked: Vec::new(),
            notifications: 0,
            resets: 0,
            changes: 0,
            most_in_flight: 0,
            capacity: sectors,
            medium: (0..sectors).map(|sector| [sector as u8; SECTOR]).collect(),
            unstable: Vec::new(),
            latest: BTreeMap::new(),
            unpublished: Vec::new(),
            in_flight: Vec::new(),
            free: (0..64).collect(),
            polls: 0,
        })))
    }

    pub fn device(&self) -> Box<dyn BlockDevice> {
        Box::new(ModelDevice(self.clone()))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Inner {
    /// Lets the disk have so many sectors. New ones are filled with their numbers.
    pub fn resize(&mut self, sectors: u64) {
        self.medium.extend((self.medium.len() as u64..sectors).map(|sector| [sector as u8; SECTOR]));
        self.capacity = sectors;
    }

    /// What the disk holds, whether stable or not.
    pub fn contents(&self) -> Vec<[u8; SECTOR]> {
        self.after_cut(|_| true)
    }

    /// What the disk holds after a cut that `survives` decides for each sector that was written and not flushed.
    pub fn after_cut(&self, mut survives: impl FnMut(usize) -> bool) -> Vec<[u8; SECTOR]> {
        let mut medium = self.medium.clone();
        for (index, (sector, bytes)) in self.unstable.iter().enumerate() {
            if survives(index) {
                medium[*sector as usize] = *bytes;
            }
        }
        medium
    }

    fn settle(&mut self) {
        self.latest.clear();
        for (sector, bytes) in core::mem::take(&mut self.unstable) {
            self.medium[sector as usize] = bytes;
        }
    }

    fn random(&mut self) -> usize {
        let state = &mut self.behaviour.order;
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as usize
    }

    fn check(&self, request: &BlockRequest) -> Result<(), Refusal> {
        let bytes = request.data.len();
        let block = u64::from(self.disk.block_size);
        let (sector, is_write) = match request.operation {
            BlockOperation::Read { sector } => (sector, false),
            BlockOperation::Write { sector } => (sector, true),
            BlockOperation::Flush if bytes == 0 && self.disk.has_cache => return Ok(()),
            BlockOperation::Discard { sector, sectors } => {
                return self.check_command(sector, sectors, self.limits.discard_sectors);
            }
            BlockOperation::WriteZeroes { sector, sectors, .. } => {
                return self.check_command(sector, sectors, self.limits.write_zeroes_sectors);
            }
            _ => return Err(Refusal::Invalid),
        };
        let longest = request.data.as_slice().iter().map(|buffer| buffer.len()).max().unwrap_or(0);
        let is_good = request.unit == 0
            && bytes > 0
            && bytes.is_multiple_of(block)
            && (sector * 512).is_multiple_of(block)
            && sector.checked_add(bytes / 512).is_some_and(|end| end <= self.disk.sectors)
            && request.data.as_slice().len() <= self.limits.segments
            && longest <= self.limits.segment_bytes
            && bytes / 512 <= u64::from(self.limits.sectors)
            && request.data.as_slice().iter().all(|buffer| buffer.len().is_multiple_of(SECTOR))
            && !(is_write && self.disk.is_read_only);
        if is_good { Ok(()) } else { Err(Refusal::Invalid) }
    }

    fn check_command(&self, sector: u64, sectors: u32, most: u32) -> Result<(), Refusal> {
        let is_there = sector.checked_add(u64::from(sectors)).is_some_and(|end| end <= self.disk.sectors);
        let is_good = is_there && (1..=most).contains(&sectors) && !self.disk.is_read_only;
        if is_good { Ok(()) } else { Err(Refusal::Invalid) }
    }

    fn serve(&mut self, request: &mut BlockRequest) -> Result<(), BlockError> {
        let bytes = request.data.len();
        let is_change = !matches!(request.operation, BlockOperation::Read { .. });
        match &mut self.behaviour.until_cut {
            Some(0) => return Err(BlockError::Failed),
            Some(left) if is_change => *left -= 1,
            _ => {}
        }
        self.changes += usize::from(is_change);
        match request.operation {
            BlockOperation::Flush if self.behaviour.flush_fails => return Err(BlockError::Failed),
            BlockOperation::Flush => {
                self.settle();
                return Ok(());
            }
            BlockOperation::Discard { .. } => return Ok(()),
            BlockOperation::WriteZeroes { sector, sectors, .. } => {
                for sector in sector..sector + u64::from(sectors) {
                    self.latest.insert(sector, self.unstable.len());
                    self.unstable.push((sector, [0; SECTOR]));
                }
                return Ok(());
            }
            BlockOperation::Read { sector } | BlockOperation::Write { sector } => {
                let range = sector..sector + bytes / 512;
                if range.end > self.capacity {
                    return Err(BlockError::Failed);
                }
                if let Some(&bad) = self.behaviour.bad.range(range).next() {
                    return Err(BlockError::Medium { sector: Some(bad) });
                }
            }
            _ => return Err(BlockError::Unsupported),
        }
        match request.operation {
            BlockOperation::Read { mut sector } => {
                for buffer in request.data.as_mut_slice() {
                    for row in buffer.chunks_mut(SECTOR) {
                        let latest = self.latest.get(&sector).map(|&index| &self.unstable[index].1);
                        row.copy_from_slice(latest.unwrap_or(&self.medium[sector as usize]));
                        sector += 1;
                    }
                }
            }
            BlockOperation::Write { mut sector } => {
                for buffer in request.data.as_slice() {
                    for row in buffer.chunks(SECTOR) {
                        self.latest.insert(sector, self.unstable.len());
                        self.unstable.push((sector, row.try_into().expect("whole sectors")));
                        sector += 1;
                    }
                }
            }
            _ => {}
        }
        if !self.disk.has_cache {
            self.settle();
        }
        Ok(())
    }

    fn complete(&mut self) -> Option<BlockCompletion> {
        if self.behaviour.is_hanging {
            return None;
        }
        let ready: Vec<usize> = (0..self.in_flight.len())
            .filter(|&index| self.in_flight[index].due <= self.polls && !self.in_flight[index].is_swallowed)
            .collect();
        let chosen = match self.behaviour.order {
            0 => 0,
            _ => self.random() % ready.len().max(1),
        };
        let InFlight { id, mut request, .. } = self.in_flight.remove(*ready.get(chosen)?);
        let result = self.serve(&mut request);
        self.free.push_back(id.0);
        Some(BlockCompletion { id, request, result })
    }
}

impl BlockDevice for ModelDevice {
    fn units(&self) -> u8 {
        1
    }

    fn disk(&self, unit: u8) -> Option<Disk> {
        (unit == 0).then(|| self.0.lock().disk)
    }

    fn refresh(&mut self) -> bool {
        let mut inner = self.0.lock();
        let capacity = inner.capacity;
        core::mem::replace(&mut inner.disk.sectors, capacity) != capacity
    }

    fn limits(&self) -> BlockLimits {
        self.0.lock().limits
    }

    fn submit(&mut self, request: BlockRequest) -> Result<RequestId, Refused<BlockRequest>> {
        let mut inner = self.0.lock();
        let in_flight = inner.in_flight.len() + inner.unpublished.len();
        let check = match inner.behaviour.fault {
            Some(fault) => Err(Refusal::Faulted(fault)),
            None if inner.behaviour.is_full || in_flight >= inner.limits.in_flight => Err(Refusal::Full),
            None => inner.check(&request),
        };
        if let Err(reason) = check {
            return Err(Refused { reason, request });
        }
        let (segments, bytes) = (request.data.as_slice().len(), request.data.len() as usize);
        inner.asked.push(Asked { operation: request.operation, segments, bytes });
        inner.most_in_flight = inner.most_in_flight.max(in_flight + 1);
        let id = RequestId(inner.free.pop_front().expect("limits are below that"));
        let is_swallowed = inner.behaviour.swallow > 0;
        inner.behaviour.swallow -= usize::from(is_swallowed);
        inner.unpublished.push(InFlight { id, request, due: 0, is_swallowed });
        Ok(id)
    }

    fn publish(&mut self) {
        let mut inner = self.0.lock();
        inner.notifications += 1;
        let due = inner.polls + inner.behaviour.delay;
        let new = core::mem::take(&mut inner.unpublished);
        inner.in_flight.extend(new.into_iter().map(|request| InFlight { due, ..request }));
    }

    fn complete(&mut self) -> Result<Option<BlockCompletion>, DeviceFault> {
        let mut inner = self.0.lock();
        if let Some(fault) = inner.behaviour.fault {
            return Err(fault);
        }
        let completion = inner.complete();
        if completion.is_none() {
            inner.polls += 1;
        }
        Ok(completion)
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        if self.0.lock().behaviour.tells {
            self.refresh();
        }
        self.0.lock().behaviour.fault.map_or(Ok(Armed::Idle), Err)
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn reset(&mut self, unfinished: &mut dyn FnMut(BlockCompletion)) -> Result<(), AttachError> {
        let mut inner = self.0.lock();
        inner.resets += 1;
        inner.behaviour.fault = None;
        if inner.behaviour.is_beyond_reset {
            return Err(AttachError::TimedOut);
        }
        let unpublished = core::mem::take(&mut inner.unpublished);
        let all: Vec<_> = core::mem::take(&mut inner.in_flight).into_iter().chain(unpublished).collect();
        for InFlight { id, request, .. } in all {
            inner.free.push_back(id.0);
            unfinished(BlockCompletion { id, request, result: Err(BlockError::Interrupted) });
        }
        Ok(())
    }
}
