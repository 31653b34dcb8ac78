//! virtio-blk against QEMU's storage daemon: everything that a disk can do, and how it ends.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::os::unix::fs::FileExt;

use toro_core::dma::Segments;
use toro_core::driver::block::{
    BlockCompletion, BlockDevice, BlockError, BlockOperation, BlockRequest, COMMAND_BYTES, SECTOR, SERIAL_BYTES,
};
use toro_core::driver::{Armed, AttachError, DeviceFault, Refusal};
use toro_core::{DmaBuf, DmaPool};
use vhost_user_tests::{Access, Backing, Daemon, Disk, PATIENCE};
use virtio_blk::{DiskQueue, Options as BlkOptions, VirtioBlk, WriteCache};
use virtio_queue_rt::{DeviceType, QueueIndex};
use virtio_vhost_user::{CLOCK, Call, Configuration, GuestMemory, Options, VhostUser, WaitError};

/// How many pairs of a write and a read of the same place.
const PAIRS: u64 = 1000;
/// The longest request, in sectors.
const LONGEST: u64 = 8;
/// Bytes of the disk, larger than all that is written.
const BYTES: u64 = 8 << 20;

fn connect(daemon: &Daemon, memory: &'static GuestMemory) -> (VhostUser, Vec<Call>) {
    let options = Options { patience: PATIENCE, ..Options::of(DeviceType::BLOCK) };
    let transport = VhostUser::connect(daemon.socket(), DeviceType::BLOCK, memory, options).expect("a device");
    let calls = (0..transport.queues()).filter_map(|queue| transport.call(QueueIndex(queue))).collect();
    (transport, calls)
}

/// A disk with one owner.
struct Rig {
    disk: VirtioBlk<VhostUser>,
    calls: Vec<Call>,
    pool: DmaPool,
}

impl Rig {
    fn new(daemon: &Daemon) -> Self {
        let memory = GuestMemory::new(4 << 20).expect("memory");
        let (transport, calls) = connect(daemon, memory);
        let disk = VirtioBlk::new(transport, memory, &CLOCK, &BlkOptions::default()).expect("a disk");
        let pool = DmaPool::new(memory, 64, LONGEST as usize * SECTOR).expect("room");
        Self { disk, calls, pool }
    }

    fn buffer(&mut self, len: usize, byte: u8) -> DmaBuf {
        let mut buffer = self.pool.take().expect("as many as are needed");
        buffer.set_len(len).expect("no longer than the longest request");
        buffer.fill(byte);
        buffer
    }

    fn submit(&mut self, operation: BlockOperation, data: Segments) {
        self.disk.submit(BlockRequest { unit: 0, operation, data }).expect("the disk takes it");
        self.disk.publish();
    }

    fn wait(&mut self) -> BlockCompletion {
        next(&mut self.disk, &self.calls).expect("the device keeps to the protocol")
    }

    /// Does one request and returns its data.
    fn ask(&mut self, operation: BlockOperation, data: Segments) -> Result<Segments, BlockError> {
        self.submit(operation, data);
        let done = self.wait();
        done.result.map(|()| done.request.data)
    }

    fn read(&mut self, sector: u64, sectors: u64) -> Vec<u8> {
        let buffer = self.buffer(sectors as usize * SECTOR, 0xa5);
        let data = self.ask(BlockOperation::Read { sector }, buffer.into()).expect("it can be read");
        data.into_one().expect("it was one").to_vec()
    }

    fn write(&mut self, sector: u64, sectors: u64, byte: u8) -> Result<(), BlockError> {
        let buffer = self.buffer(sectors as usize * SECTOR, byte);
        self.ask(BlockOperation::Write { sector }, buffer.into()).map(drop)
    }
}

/// Sleeps until a request is finished, or the device is known to be gone.
fn next(disk: &mut impl BlockDevice, calls: &[Call]) -> Result<BlockCompletion, DeviceFault> {
    loop {
        if let Some(done) = disk.complete()? {
            return Ok(done);
        }
        if disk.arm()? == Armed::Idle {
            match Call::wait_any(calls, PATIENCE) {
                Err(WaitError::Gone) => return Err(DeviceFault::Gone),
                woken => woken.expect("an interrupt"),
            }
        }
    }
}

/// What sector `sector` holds.
fn stamp(bytes: &mut [u8], sector: u64) {
    for (index, word) in bytes.chunks_exact_mut(8).enumerate() {
        let place = sector * SECTOR as u64 / 8 + index as u64;
        word.copy_from_slice(&(place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place).to_le_bytes());
    }
}

/// Writes and reads back its share of the pairs, with many in flight.
fn pairs(
    mut disk: DiskQueue<VhostUser>,
    call: &Call,
    memory: &'static GuestMemory,
    numbers: impl Iterator<Item = u64>,
) {
    const MOST: usize = 16;
    let mut pool = DmaPool::new(memory, 2 * MOST, LONGEST as usize * SECTOR / 2).expect("room");
    let mut numbers = numbers.fuse();
    let mut in_flight = HashMap::new();
    let mut expected = vec![0; LONGEST as usize * SECTOR];
    let mut verified = 0;
    loop {
        while let Some(number) = (in_flight.len() < MOST).then(|| numbers.next()).flatten() {
            // As long as it likes, in two pieces where it is longer than one.
            let (sector, sectors) = (number * LONGEST, number % LONGEST + 1);
            let lengths = [sectors.min(LONGEST / 2), sectors.saturating_sub(LONGEST / 2)];
            let mut buffers = Vec::new();
            for length in lengths.into_iter().filter(|length| *length > 0) {
                let mut buffer = pool.take().expect("two for each in flight");
                buffer.set_len(length as usize * SECTOR).expect("no longer than half");
                stamp(&mut buffer, sector + buffers.len() as u64 * LONGEST / 2);
                buffers.push(buffer);
            }
            let operation = BlockOperation::Write { sector };
            let request = BlockRequest { unit: 0, operation, data: buffers.into() };
            in_flight.insert(disk.submit(request).expect("there is room"), sector);
        }
        if in_flight.is_empty() {
            break;
        }
        disk.publish();
        let BlockCompletion { id, request, result } = next(&mut disk, std::slice::from_ref(call)).expect("an answer");
        let sector = in_flight.remove(&id).expect("it is in flight");
        assert_eq!(result, Ok(()), "sector {sector}: {:?}", request.operation);
        let mut data = request.data;
        match request.operation {
            BlockOperation::Write { .. } => {
                for buffer in data.as_mut_slice() {
                    buffer.fill(0xa5);
                }
                let operation = BlockOperation::Read { sector };
                let again = BlockRequest { unit: 0, operation, data };
                in_flight.insert(disk.submit(again).expect("one has just left"), sector);
            }
            _ => {
                let found: Vec<u8> = data.as_slice().iter().flat_map(|buffer| buffer.iter().copied()).collect();
                stamp(&mut expected, sector);
                assert!(found == expected[..found.len()], "sector {sector} holds something else");
                verified += 1;
            }
        }
    }
    assert_eq!(verified, PAIRS / 2);
}

#[test]
fn two_queues_write_and_read_back_a_thousand_places() {
    let daemon = Daemon::storage(&Disk::file(BYTES, 2));
    let memory = GuestMemory::new(4 << 20).expect("memory");
    let (transport, calls) = connect(&daemon, memory);
    let owners = NonZeroU16::new(2).expect("two");
    let queues = DiskQueue::divide(transport, memory, &CLOCK, &BlkOptions::default(), owners).expect("a disk");
    assert_eq!(queues.len(), 2);
    std::thread::scope(|scope| {
        for (number, queue) in queues.into_iter().enumerate() {
            let call = &calls[number];
            scope.spawn(move || pairs(queue, call, memory, (number as u64..PAIRS).step_by(2)));
        }
    });
    // And where it should be, as the file has it.
    let file = std::fs::File::open(daemon.disk().expect("it has one")).expect("it can be opened");
    let (mut found, mut expected) = ([0; SECTOR], [0; SECTOR]);
    for number in 0..PAIRS {
        file.read_exact_at(&mut found, number * LONGEST * SECTOR as u64).expect("it is long enough");
        stamp(&mut expected, number * LONGEST);
        assert_eq!(found, expected, "pair {number}");
    }
}

#[test]
fn a_disk_flushes_discards_writes_zeros_and_says_its_name() {
    let daemon = Daemon::storage(&Disk::file(BYTES, 1));
    let mut rig = Rig::new(&daemon);
    let disk = rig.disk.disk(0).expect("a disk");
    assert_eq!((disk.sectors, disk.block_size, disk.is_read_only), (BYTES / SECTOR as u64, 512, false));
    // QEMU 7.2 says that it has none until it is told to.
    rig.disk.set_write_cache(WriteCache::WriteBack).expect("it has a switch");
    assert!(rig.disk.disk(0).expect("a disk").has_cache);
    for byte in [0x11, 0x22] {
        rig.write(16, 8, byte).expect("it is written");
        rig.ask(BlockOperation::Flush, Segments::None).expect("it is stable");
        assert_eq!(rig.read(16, 8), [byte; 8 * SECTOR]);
    }
    let limits = rig.disk.limits();
    assert!(limits.write_zeroes_sectors >= 8 && limits.discard_sectors >= 8, "{limits:?}");
    let command = rig.buffer(COMMAND_BYTES, 0);
    rig.ask(BlockOperation::WriteZeroes { sector: 18, sectors: 2, may_discard: false }, command.into()).expect("zeros");
    assert_eq!(rig.read(18, 2), [0; 2 * SECTOR]);
    assert_eq!(rig.read(20, 4), [0x22; 4 * SECTOR]);
    let command = rig.buffer(COMMAND_BYTES, 0);
    rig.ask(BlockOperation::Discard { sector: 16, sectors: 8 }, command.into()).expect("nobody needs it");
    rig.write(16, 1, 0x33).expect("it can be written again");
    assert_eq!(rig.read(16, 1), [0x33; SECTOR]);
    let serial = rig.buffer(SERIAL_BYTES, 0xff);
    let serial = rig.ask(BlockOperation::Identify, serial.into()).expect("it has a name").into_one().expect("one");
    assert!(serial.starts_with(b"vhost_user_blk"), "{serial:?}");
}

#[test]
fn a_disk_goes_on_after_a_reset() {
    let slow = Disk { requests_per_second: Some(20), ..Disk::file(BYTES, 1) };
    let daemon = Daemon::storage(&slow);
    let mut rig = Rig::new(&daemon);
    rig.write(5, 1, 0x44).expect("it is written");
    for sector in 0..4 {
        let buffer = rig.buffer(SECTOR, 0);
        rig.submit(BlockOperation::Read { sector }, buffer.into());
    }
    let mut unfinished = 0;
    let reset = rig.disk.reset(&mut |completion| {
        assert_eq!(completion.result, Err(BlockError::Interrupted));
        unfinished += 1;
    });
    assert_eq!((reset, unfinished), (Ok(()), 4));
    assert_eq!(rig.pool.available(), 64, "all buffers came back");
    assert_eq!(rig.read(5, 1), [0x44; SECTOR]);
}

#[test]
fn a_daemon_that_is_killed_is_an_error_and_not_a_wait() {
    let mut daemon = Daemon::storage(&Disk { requests_per_second: Some(1), ..Disk::file(BYTES, 1) });
    let mut rig = Rig::new(&daemon);
    for sector in 0..4 {
        let buffer = rig.buffer(SECTOR, 0);
        rig.submit(BlockOperation::Read { sector }, buffer.into());
    }
    daemon.kill();
    let lost = std::iter::from_fn(|| Some(next(&mut rig.disk, &rig.calls))).find_map(Result::err);
    assert_eq!(lost, Some(DeviceFault::Gone));
    assert_eq!(rig.disk.arm().map(drop), Err(DeviceFault::Gone));
    let mut unfinished = 0;
    let reset = rig.disk.reset(&mut |_| unfinished += 1);
    assert_eq!((reset, unfinished), (Err(AttachError::Fault(DeviceFault::Gone)), 0), "nobody gave them back");
    assert_eq!(rig.disk.complete().map(drop), Err(DeviceFault::Gone));
}

#[test]
fn what_is_exported_read_only_refuses_writes() {
    let daemon = Daemon::storage(&Disk { access: Access::ReadOnly, ..Disk::file(BYTES, 1) });
    let mut rig = Rig::new(&daemon);
    assert!(rig.disk.disk(0).expect("a disk").is_read_only);
    let data = rig.buffer(SECTOR, 1).into();
    let request = BlockRequest { unit: 0, operation: BlockOperation::Write { sector: 0 }, data };
    let refused = rig.disk.submit(request).expect_err("it is read-only");
    assert_eq!(refused.reason, Refusal::Invalid);
    assert_eq!(rig.read(0, 1), [0; SECTOR]);
}

#[test]
fn a_configuration_that_cannot_be_is_no_disk() {
    let daemon = Daemon::storage(&Disk { backing: Backing::Null { bytes: BYTES }, ..Disk::file(0, 1) });
    let memory = GuestMemory::new(1 << 20).expect("memory");
    // Shorter than a capacity.
    let configuration = Configuration::Given(vec![0; 4]);
    let options = Options { patience: PATIENCE, configuration, ..Options::of(DeviceType::BLOCK) };
    let transport = VhostUser::connect(daemon.socket(), DeviceType::BLOCK, memory, options).expect("a device");
    let disk = VirtioBlk::new(transport, memory, &CLOCK, &BlkOptions::default()).map(drop);
    assert!(matches!(disk, Err(AttachError::Configuration(_))), "{disk:?}");
    assert_eq!(memory.available(), 1 << 20, "nothing stays allocated");
    // What it leaves is as good as new.
    let (transport, _) = connect(&daemon, memory);
    VirtioBlk::new(transport, memory, &CLOCK, &BlkOptions::default()).expect("a disk");
}
