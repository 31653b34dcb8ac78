//! Target `block_device`: a disk that says what it likes, at any time, under the driver for disks.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | bit 0 legacy, bit 1 EVENT_IDX, bit 2 INDIRECT_DESC, bit 3 IN_ORDER, bits 4 and up: size of the queue, 4 to 512 |
//! | 3 bytes | features of the disk that are offered, 0 to 23 |
//! | 1 byte | length of the configuration, up to 80 bytes, which follow |
//!
//! | step | arguments | what happens |
//! |---|---|---|
//! | 0 | | the end: the device is reset, and everything has to come home |
//! | 1 | operation, sector (8), buffers, sectors | a request is submitted |
//! | 2, 3, 4, 5 | | publish, complete, arm, refresh |
//! | 6 | | the device takes what is available |
//! | 7 | which, status, length (4) | the device answers, with that status and that length |
//! | 8 | id (4), length (4) | the device gives back something |
//! | 9 | index (2) | the device shows a used index |
//! | 10 | offset (2), value (8) | the device writes anywhere into the queue's memory |
//! | 11 | offset, value | the configuration changes, and the device says so |
//! | 12 | mode | the write cache is switched |
//! | 13 | confirms | the driver resets the device |
//! | 14 | kind, range (12), ranges | a command of several ranges, or for the lifetime |
//! | 15 | | the device asks for a reset |
//!
//! # What is held
//!
//! - A request is accepted exactly if the disk, as the driver describes it, takes it.
//! - What completes is what was submitted, once, with its buffers, and is done only if the device has said so.
//! - The description adds up whatever the device says.
//! - A fault stays until a reset, and a reset hands back all the rest.

use std::collections::BTreeMap;

use toro_core::dma::Segments;
use toro_core::driver::block::{BlockCompletion, BlockDevice, BlockError, BlockOperation, BlockRequest};
use toro_core::driver::{AttachError, DeviceFault, Refusal, RequestId};
use toro_core::{DmaBuf, DmaPool};
use virtio_blk::{Command, Finished, Options, RangeOperation, VirtioBlk, WriteCache, features};
use virtio_queue_rt::FeatureBits;
use virtio_queue_rt::transport::{Interface, InterruptStatus, QueueSizing};
use virtio_sim::SimMemory;

use crate::clock::CLOCK;
use crate::peer::Peer;
use crate::script::Script;
use crate::wires::Wires;

/// Steps of one input at most.
const MOST_STEPS: usize = 512;
/// The largest buffer in bytes.
const BUFFER: usize = 2048;
const OPTIONS: Options = Options { descriptors: 64, segments: 6, segments_without_tables: 2 };

/// What is known of a request in flight.
struct Entry {
    /// `None` for a command.
    operation: Option<BlockOperation>,
    /// Address and length of each.
    buffers: Vec<(u64, usize)>,
    /// What the device wrote into its status; `None` if it wrote nothing.
    status: Option<u8>,
    is_published: bool,
}

/// A driver, its disk, and what is between them.
struct Story {
    memory: &'static SimMemory,
    wires: Wires,
    disk: VirtioBlk<Wires>,
    peer: Peer,
    pool: DmaPool,
    entries: BTreeMap<u16, Entry>,
    fault: Option<DeviceFault>,
    /// Whether the device wrote into the queue's memory, so that a status may be anything.
    is_spoilt: bool,
}

/// Runs an input; says why the driver did not take the device, if so.
pub fn body(input: &[u8], memory: &'static SimMemory) -> Option<AttachError> {
    let script = Script::new(input);
    let wires = wires(&script);
    let disk = match VirtioBlk::new(wires.clone(), memory, &CLOCK, &OPTIONS) {
        Ok(disk) => disk,
        Err(error) => {
            assert!(wires.board().config.len() < 8, "a disk was refused: {error}");
            assert_eq!(memory.blocks(), 0, "HD-G-5: a failed attachment left memory");
            return Some(error);
        }
    };
    let peer = peer(&wires, memory);
    let pool = DmaPool::new(memory, 128, BUFFER).expect("memory");
    let (entries, fault) = (BTreeMap::new(), None);
    let mut story = Story { memory, wires, disk, peer, pool, entries, fault, is_spoilt: false };
    story.check();
    for _ in 0..MOST_STEPS {
        if !story.step(&script) {
            break;
        }
        story.check();
    }
    story.end();
    None
}

/// The device that the head of the input describes.
fn wires(script: &Script<'_>) -> Wires {
    let head = script.byte();
    let [low, middle, high] = script.bytes();
    let mut offered = FeatureBits::from_bits(u32::from_le_bytes([low, middle, high, 0]).into());
    let interface = match head & 1 {
        0 => Interface::Modern,
        _ => Interface::Legacy { queue_align: 4096, sizing: QueueSizing::Chosen },
    };
    if interface == Interface::Modern {
        offered |= FeatureBits::VERSION_1;
    }
    for (bit, feature) in [FeatureBits::EVENT_IDX, FeatureBits::INDIRECT_DESC, FeatureBits::IN_ORDER].iter().enumerate()
    {
        if head & 2 << bit != 0 {
            offered |= *feature;
        }
    }
    let wires = Wires::new(interface, offered, 4 << ((head >> 4) % 8));
    let len = script.byte() % 81;
    wires.board().config = script.take(len.into()).to_vec();
    wires
}

/// The device's side of the queue that the driver has just set up.
fn peer(wires: &Wires, memory: &'static SimMemory) -> Peer {
    let board = wires.board();
    let rings = board.rings.expect("the queue was set up");
    let parts = [rings.descriptors, rings.available, rings.used].map(|address| address.get());
    Peer::new(memory, rings.size, parts, board.accepted)
}

impl Story {
    /// One step; `false` at the end.
    fn step(&mut self, script: &Script<'_>) -> bool {
        match script.byte() % 16 {
            0 => return false,
            1 => self.submit(script),
            2 => {
                self.disk.publish();
                self.entries.values_mut().for_each(|entry| entry.is_published = true);
            }
            3 => self.complete(),
            4 => {
                if let Err(fault) = self.disk.arm()
                    && fault != DeviceFault::NeedsReset
                {
                    assert_eq!(self.fault, Some(fault), "a fault out of nothing");
                }
            }
            5 => {
                let before = self.disk.disk(0);
                let has_changed = self.disk.refresh();
                assert!(has_changed || self.disk.disk(0) == before, "a change that was not told");
            }
            6 => self.peer.take_all(),
            7 => self.answer(script.byte().into(), script.byte(), script.long()),
            8 => self.peer.return_anything(script),
            9 => self.peer.show_anything(script),
            10 => {
                self.is_spoilt = true;
                self.peer.spoil_anything(script);
            }
            11 => {
                let (offset, value) = (usize::from(script.byte()), script.byte());
                let mut board = self.wires.board();
                let len = board.config.len();
                board.config[offset % len] = value;
                board.is_stubborn = value & 1 == 1;
                board.interrupt = InterruptStatus { queues: true, configuration: true };
            }
            12 => self.switch(if script.byte().is_multiple_of(2) {
                WriteCache::WriteBack
            } else {
                WriteCache::WriteThrough
            }),
            13 => return self.reset(script.byte() % 4 != 3),
            14 => self.command(script),
            _ => {
                let mut board = self.wires.board();
                board.needs_reset();
                board.interrupt = InterruptStatus { queues: true, configuration: true };
            }
        }
        true
    }

    /// What holds at all times.
    fn check(&self) {
        let disk = self.disk.disk(0).expect("there is always one");
        assert!(disk.sectors.checked_mul(512).is_some(), "HD-CFG-4: {disk:?}");
        assert!(disk.block_size.is_power_of_two() && (512..=65_536).contains(&disk.block_size), "HD-CFG-5: {disk:?}");
        assert!(disk.physical_block_size.is_multiple_of(disk.block_size), "HD-CFG-8: {disk:?}");
        let limits = self.disk.limits();
        assert!(limits.segment_bytes >= 512 && limits.segment_bytes.is_multiple_of(512), "HD-CFG-6: {limits:?}");
        assert!((1..=6).contains(&limits.segments) && (1..=64).contains(&limits.in_flight), "HD-CFG-6: {limits:?}");
        assert!(self.entries.len() <= limits.in_flight);
    }

    fn buffer(&mut self, len: usize) -> Option<DmaBuf> {
        let mut buffer = self.pool.take()?;
        buffer.set_len(len.min(BUFFER)).expect("it fits, as just computed");
        Some(buffer)
    }

    fn submit(&mut self, script: &Script<'_>) {
        let [which, count, len] = script.bytes();
        let sector = u64::from_le_bytes(script.bytes());
        let sectors = u32::from(len);
        let operation = match which % 8 {
            _ if which == 0xff => BlockOperation::Identify,
            0 | 6 => BlockOperation::Read { sector },
            1 | 7 => BlockOperation::Write { sector },
            2 => BlockOperation::Flush,
            3 => BlockOperation::Discard { sector, sectors },
            4 => BlockOperation::WriteZeroes { sector, sectors, may_discard: which & 8 != 0 },
            _ => BlockOperation::SecureErase { sector, sectors },
        };
        // Mostly whole sectors.
        let len = if which & 64 != 0 { usize::from(len) } else { usize::from(len % 5) * 512 };
        let Some(mut buffers) = (0..count % 8).map(|_| self.buffer(len)).collect::<Option<Vec<_>>>() else { return };
        let data = match buffers.len() {
            0 => Segments::None,
            1 => buffers.pop().map_or(Segments::None, Segments::One),
            _ => buffers.into(),
        };
        let request = BlockRequest { unit: u8::from(which & 48 == 32), operation, data };
        let expected = self.takes(&request);
        let mut buffers = places(&request.data);
        match self.disk.submit(request) {
            Ok(id) => {
                assert_eq!(expected, Ok(()), "{operation:?} was accepted");
                if has_range(operation) {
                    // The range is what is in the buffer now.
                    buffers.iter_mut().for_each(|(_, len)| *len = 16);
                }
                self.insert(id, Some(operation), buffers);
            }
            Err(refused) => {
                assert_eq!(Err(refused.reason), expected, "{operation:?} was refused");
                assert_eq!(places(&refused.request.data), buffers, "other buffers came back");
            }
        }
    }

    /// Whether the disk, as it is described, takes a request.
    fn takes(&self, request: &BlockRequest) -> Result<(), Refusal> {
        let (disk, limits) = (self.disk.disk(0).expect("there is one"), self.disk.limits());
        let BlockRequest { unit, operation, data } = request;
        if let Some(fault) = self.fault {
            return Err(Refusal::Faulted(fault));
        }
        if self.entries.len() == limits.in_flight {
            return Err(Refusal::Full);
        }
        let lens: Vec<usize> = data.as_slice().iter().map(|buffer| buffer.len()).collect();
        let blocks = u128::from(disk.block_size) / 512;
        let inside = |sector: u64, count: u128| {
            let sector = u128::from(sector);
            let is_whole = sector.is_multiple_of(blocks) && count.is_multiple_of(blocks);
            is_whole && count > 0 && sector + count <= disk.sectors.into()
        };
        let range = |sector, sectors: u32, most| {
            lens.len() == 1 && sectors <= most && inside(sector, sectors.into()) && !disk.is_read_only
        };
        let transfer = |sector| {
            let is_sound = |len: &usize| *len > 0 && len.is_multiple_of(512) && *len <= limits.segment_bytes;
            let sectors = lens.iter().sum::<usize>() / 512;
            lens.iter().all(is_sound) && lens.len() <= limits.segments && inside(sector, sectors as u128)
        };
        let has_flush = self.wires.board().accepted.contains(features::FLUSH);
        let is_sound = match *operation {
            BlockOperation::Read { sector } => transfer(sector),
            BlockOperation::Write { sector } => transfer(sector) && !disk.is_read_only,
            BlockOperation::Flush => has_flush && lens.is_empty(),
            BlockOperation::Identify => lens == [20],
            BlockOperation::Discard { sector, sectors } => range(sector, sectors, limits.discard_sectors),
            BlockOperation::WriteZeroes { sector, sectors, .. } => range(sector, sectors, limits.write_zeroes_sectors),
            BlockOperation::SecureErase { sector, sectors } => range(sector, sectors, limits.secure_erase_sectors),
            _ => false,
        };
        if is_sound && *unit == 0 { Ok(()) } else { Err(Refusal::Invalid) }
    }

    fn command(&mut self, script: &Script<'_>) {
        let which = script.byte();
        let (sector, sectors, count) = (u64::from_le_bytes(script.bytes()), script.long(), script.byte() % 8);
        let Some(buffer) = self.buffer(0) else { return };
        let place = buffer.bus_addr().get();
        let ranges = vec![(sector, sectors); count.into()];
        let result = match which % 4 {
            0 => self.disk.submit_lifetime(buffer),
            1 => self.disk.submit_ranges(RangeOperation::Discard, &ranges, buffer),
            2 => {
                let may_discard = which & 4 != 0;
                self.disk.submit_ranges(RangeOperation::WriteZeroes { may_discard }, &ranges, buffer)
            }
            _ => self.disk.submit_ranges(RangeOperation::SecureErase, &ranges, buffer),
        };
        match result {
            Ok(id) => {
                let len = if which.is_multiple_of(4) { 6 } else { 16 * usize::from(count) };
                assert!(len > 0, "BLK-10");
                self.insert(id, None, vec![(place, len)]);
            }
            Err(refused) => assert_eq!(refused.request.bus_addr().get(), place, "another buffer came back"),
        }
    }

    fn insert(&mut self, id: RequestId, operation: Option<BlockOperation>, buffers: Vec<(u64, usize)>) {
        let entry = Entry { operation, buffers, status: None, is_published: false };
        assert!(self.entries.insert(id.0, entry).is_none(), "two requests of one name");
    }

    fn switch(&mut self, mode: WriteCache) {
        let has_switch = self.wires.board().accepted.contains(features::CONFIG_WCE);
        let result = self.disk.set_write_cache(mode);
        assert_eq!(result == Err(BlockError::Unsupported), !has_switch, "a switch that is there or is not");
        let has_cache = self.disk.disk(0).expect("there is one").has_cache;
        assert!(result.is_err() || mode == WriteCache::WriteThrough || has_cache, "BLK-2");
    }

    /// Lets the device answer the chain number `which` of those that it has taken.
    fn answer(&mut self, which: usize, status: u8, len: u32) {
        let count = self.peer.chains.len();
        // In order it answers the oldest.
        let is_in_order = self.wires.board().accepted.contains(FeatureBits::IN_ORDER);
        let which = if is_in_order { 0 } else { which % count.max(1) };
        let Some(chain) = self.peer.chains.remove(which) else { return };
        let is_framed = chain.parts.first().is_some_and(|part| part.len == 16 && !part.is_writable)
            && chain.parts.last().is_some_and(|part| part.len == 1 && part.is_writable);
        assert!(is_framed || self.peer.is_lenient, "BLK-24: {:?}", chain.parts);
        // 0x55: it forgets to write one.
        if let (Some(part), Some(entry)) = (chain.parts.last(), self.entries.get_mut(&chain.head))
            && is_framed
            && status != 0x55
        {
            self.peer.poke(part.address, status);
            entry.status = Some(status);
        }
        self.peer.push(chain.head.into(), len, 1);
    }

    fn complete(&mut self) {
        match self.disk.finished() {
            Ok(None) => {}
            Ok(Some(Finished::Request(done))) => {
                assert_eq!(self.fault, None, "a completion after a fault");
                let BlockCompletion { id, request, result } = done;
                let entry = self.entries.remove(&id.0).expect("it was in flight, once");
                assert_eq!((Some(request.operation), request.unit), (entry.operation, 0), "another request");
                self.came_back(&entry, &places(&request.data), result);
            }
            Ok(Some(Finished::Command(done))) => {
                assert_eq!(self.fault, None, "a completion after a fault");
                let entry = self.entries.remove(&done.id.0).expect("it was in flight, once");
                assert!(entry.operation.is_none() && matches!(done.command, Command::Lifetime | Command::Ranges(_)));
                self.came_back(&entry, &[(done.buffer.bus_addr().get(), done.buffer.len())], done.result);
            }
            Err(fault) => {
                assert!(self.peer.is_lenient, "a fault without a lie");
                assert!(self.fault.is_none_or(|known| known == fault), "another fault");
                self.fault = Some(fault);
            }
        }
    }

    fn came_back(&self, entry: &Entry, buffers: &[(u64, usize)], result: Result<(), BlockError>) {
        assert!(entry.is_published, "a completion of what the device has not seen");
        assert_eq!(buffers, entry.buffers, "other buffers came back");
        let expected = match entry.status {
            Some(0) => Ok(()),
            Some(1) => Err(BlockError::Failed),
            Some(2) => Err(BlockError::Unsupported),
            _ => Err(BlockError::Protocol),
        };
        assert!(self.is_spoilt || result == expected, "HD-BLK-1: {result:?}, not {expected:?}");
    }

    /// Resets; `false` if the device is gone after that.
    fn reset(&mut self, confirms: bool) -> bool {
        self.wires.board().confirms = confirms;
        let mut back = Vec::new();
        let result = self.disk.reset(&mut |done| back.push(done));
        self.wires.board().confirms = true;
        if !confirms {
            assert!(result.is_err() && back.is_empty(), "what the device may still use was handed out");
            assert_eq!(self.disk.finished().map(|_| ()), Err(DeviceFault::Gone));
            assert_eq!(self.disk.arm(), Err(DeviceFault::Gone));
            return false;
        }
        came_home(&mut self.entries, &mut self.pool, back);
        assert_eq!(result, Ok(()), "it was fine before");
        self.peer = peer(&self.wires, self.memory);
        (self.fault, self.is_spoilt) = (None, false);
        true
    }

    /// The end: if the device is still there, everything comes home, and nothing is left.
    fn end(self) {
        let Self { memory, disk, mut pool, mut entries, .. } = self;
        let mut back = Vec::new();
        match disk.stop(&mut |done| back.push(done)) {
            Ok(_) => {
                came_home(&mut entries, &mut pool, back);
                drop(pool);
                assert_eq!(memory.blocks(), 0, "memory was forgotten");
            }
            Err(error) => assert_eq!(error, AttachError::Fault(DeviceFault::Gone), "it confirms"),
        }
    }
}

/// Whether the driver writes a range into the request's buffer.
fn has_range(operation: BlockOperation) -> bool {
    use BlockOperation::{Discard, SecureErase, WriteZeroes};
    matches!(operation, Discard { .. } | WriteZeroes { .. } | SecureErase { .. })
}

/// Each request was handed back, once.
fn came_home(entries: &mut BTreeMap<u16, Entry>, pool: &mut DmaPool, back: Vec<BlockCompletion>) {
    for done in back {
        let entry = entries.remove(&done.id.0).expect("it was in flight, once");
        assert_eq!((Some(done.request.operation), done.result), (entry.operation, Err(BlockError::Interrupted)));
        assert_eq!(places(&done.request.data), entry.buffers, "other buffers came back");
    }
    // The buffers of commands go home by themselves.
    assert!(entries.values().all(|entry| entry.operation.is_none()), "a request was forgotten");
    entries.clear();
    assert_eq!(pool.available(), pool.count(), "a buffer was forgotten");
}

/// Address and length of each buffer.
fn places(data: &Segments) -> Vec<(u64, usize)> {
    data.as_slice().iter().map(|buffer| (buffer.bus_addr().get(), buffer.len())).collect()
}
