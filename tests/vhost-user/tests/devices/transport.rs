//! The transport itself, with a queue and nothing above it.

use std::sync::atomic::{AtomicU8, AtomicU64};
use std::time::Duration;

use toro_core::driver::{Armed, DeviceFault};
use toro_core::{Deadline, DmaBuf, DmaPool};
use vhost_user_tests::{Backing, Daemon, Disk, PATIENCE};
use virtio_queue_rt::transport::TransportError;
use virtio_queue_rt::{
    DeviceType, Direction, FeatureBits, InitError, QueueIndex, Reset, Running, Transport, Virtqueue,
};
use virtio_vhost_user::{CLOCK, Call, Configuration, ConnectError, GuestMemory, Options, VhostUser, WaitError};

const SECTOR: usize = 512;

/// Header, data, status.
type Queue = Virtqueue<DmaBuf, (), [AtomicU64; 2], AtomicU8>;

/// A device and the interrupt of its first queue.
fn connect(daemon: &Daemon, memory: &'static GuestMemory) -> (VhostUser, Call) {
    let options = Options { patience: PATIENCE, ..Options::of(DeviceType::BLOCK) };
    let transport = VhostUser::connect(daemon.socket(), DeviceType::BLOCK, memory, options).expect("a device");
    let call = transport.call(QueueIndex(0)).expect("every device has one");
    (transport, call)
}

/// A disk in service: one queue, and buffers of a sector.
struct Rig<T: Transport> {
    running: Running<T>,
    queue: Queue,
    pool: DmaPool,
    call: Call,
}

impl<T: Transport> Rig<T> {
    fn new(transport: T, call: &Call, memory: &'static GuestMemory) -> Self {
        let reset = Reset::new(transport, &CLOCK).expect("it resets");
        let none = FeatureBits::EMPTY;
        let mut device = reset.negotiate(none, none, |accepted| accepted).expect("it wants nothing");
        let queue = device.queue(QueueIndex(0), 64, memory).expect("a queue");
        let pool = DmaPool::new(memory, 64, SECTOR).expect("room");
        Self { running: device.run(), queue, pool, call: call.clone() }
    }

    fn submit(&mut self, write: Option<u8>, sector: u64) {
        let mut buffer = self.pool.take().expect("as many as the queue takes");
        buffer.set_len(SECTOR).expect("as long as it is");
        buffer.fill(write.unwrap_or(0xee));
        let (kind, direction) = match write {
            Some(_) => (1, Direction::ToDevice),
            None => (0, Direction::FromDevice),
        };
        self.queue.submit([kind, sector], buffer, direction, 0xff, ()).expect("there is room");
        let wish = self.queue.publish();
        self.running.notify(&self.queue, wish);
    }

    /// Sleeps until one is done.
    fn wait(&mut self) -> Result<(DmaBuf, u8), WaitError> {
        loop {
            if let Some(done) = self.queue.poll().expect("the device keeps to the protocol") {
                return Ok((done.payload, done.trailer));
            }
            if self.queue.arm() == Armed::Idle {
                self.call.wait(PATIENCE)?;
            }
        }
    }
}

#[test]
fn what_was_written_is_read_back_also_after_a_reset() {
    let daemon = Daemon::storage(&Disk::file(1 << 20, 2));
    let memory = GuestMemory::new(1 << 20).expect("memory");
    let (mut transport, call) = connect(&daemon, memory);
    assert_eq!(transport.queues(), 2);
    for round in 0..3 {
        let mut rig = Rig::new(transport, &call, memory);
        assert_eq!(rig.running.config(|config| config.read32(0)), Ok(2048));
        rig.submit(Some(round + 1), 5);
        assert_eq!(rig.wait().map(|(_, status)| status), Ok(0));
        rig.submit(None, 5);
        let (buffer, status) = rig.wait().expect("an answer");
        assert_eq!((&buffer[..], status), (&[round + 1; SECTOR][..], 0));
        let (back, proof) = rig.running.quiesce(&CLOCK).expect("it resets");
        rig.queue.retire(&proof, |_, ()| panic!("nothing is in flight")).expect("the proof is for this device");
        transport = back;
        drop((rig.pool, buffer));
        assert_eq!(memory.available(), 1 << 20, "everything came back");
    }
}

#[test]
fn a_reset_waits_for_what_the_device_still_works_on() {
    let slow = Disk { requests_per_second: Some(8), ..Disk::file(1 << 20, 1) };
    let daemon = Daemon::storage(&slow);
    let memory = GuestMemory::new(1 << 20).expect("memory");
    let (transport, call) = connect(&daemon, memory);
    let mut rig = Rig::new(transport, &call, memory);
    for sector in 0..5 {
        rig.submit(None, sector);
    }
    // The first is done: the device has taken them, and has not done them all.
    let (first, _) = rig.wait().expect("an answer");
    let (_, proof) = rig.running.quiesce(&CLOCK).expect("it resets");
    let mut unfinished = 0;
    let all_read = |buffer: &DmaBuf| buffer.iter().all(|byte| *byte == 0);
    assert!(all_read(&first));
    let retired = rig.queue.retire(&proof, |buffer, ()| {
        unfinished += 1;
        assert!(all_read(&buffer), "the device did not do this one, and was believed to be done");
    });
    retired.expect("the proof is for this device");
    assert!(unfinished > 0, "nothing was in flight");
}

#[test]
fn a_daemon_that_dies_is_gone_and_keeps_its_memory() {
    let mut daemon = Daemon::storage(&Disk { requests_per_second: Some(1), ..Disk::file(1 << 20, 1) });
    let memory = GuestMemory::new(1 << 20).expect("memory");
    let (transport, call) = connect(&daemon, memory);
    let mut rig = Rig::new(transport, &call, memory);
    for sector in 0..8 {
        rig.submit(None, sector);
    }
    rig.wait().expect("the first is done at once");
    assert_eq!(rig.running.check(), Ok(()));
    daemon.kill();
    let ended = std::iter::from_fn(|| Some(rig.wait())).find_map(Result::err);
    assert_eq!(ended, Some(WaitError::Gone));
    assert_eq!(rig.running.check(), Err(DeviceFault::Gone));
    assert_eq!(rig.running.acknowledge_interrupt(), Err(DeviceFault::Gone));
    let before = memory.available();
    let (running, error) = rig.running.quiesce(&CLOCK).expect_err("nobody confirms");
    assert_eq!(error, TransportError::Gone);
    drop((running, rig.queue));
    assert_eq!(memory.available(), before, "what the device may still have is not handed out again");
}

#[test]
fn a_daemon_that_does_not_answer_has_timed_out() {
    let daemon = Daemon::storage(&Disk::file(1 << 20, 1));
    let memory = GuestMemory::new(1 << 20).expect("memory");
    let (mut transport, call) = connect(&daemon, memory);
    let mut rig = Rig::new(&mut transport, &call, memory);
    rig.submit(None, 0);
    rig.wait().expect("an answer");
    daemon.stop();
    rig.submit(None, 0);
    assert_eq!(rig.call.wait(Duration::from_millis(50)), Err(WaitError::TimedOut));
    drop(rig);
    let soon = || Deadline::after(&CLOCK, Duration::from_millis(50));
    assert_eq!(transport.reset(soon()), Err(TransportError::TimedOut));
    // Its answer may come late, to another question: it is not asked any more.
    assert_eq!((transport.reset(soon()), call.wait(PATIENCE)), (Err(TransportError::TimedOut), Err(WaitError::Gone)));
}

#[test]
fn who_is_not_there_or_has_less_to_say_is_an_error() {
    let memory = GuestMemory::new(1 << 16).expect("memory");
    let soon = Options { patience: Duration::from_millis(20), ..Options::of(DeviceType::BLOCK) };
    let nobody = VhostUser::connect("/nonexistent/socket", DeviceType::BLOCK, memory, soon.clone());
    assert!(matches!(nobody, Err(ConnectError::Connect(_))), "{nobody:?}");

    let daemon = Daemon::storage(&Disk { backing: Backing::Null { bytes: 1 << 20 }, ..Disk::file(0, 1) });
    let wrong = Options { patience: PATIENCE, configuration: Configuration::Device { len: 256 }, ..soon.clone() };
    let error = VhostUser::connect(daemon.socket(), DeviceType::BLOCK, memory, wrong).expect_err("it has less");
    assert_eq!(error, ConnectError::NoConfiguration);
    // The device is none the worse for it.
    let (mut transport, _) = connect(&daemon, memory);
    assert_eq!((transport.max_queue_size(QueueIndex(0)), transport.max_queue_size(QueueIndex(1))), (1024, 0));
    let offered = transport.device_features();
    let reset = Reset::new(transport, &CLOCK).expect("it resets");
    let impossible = !offered & FeatureBits::DEVICE;
    let missing = reset.negotiate(impossible, impossible, |accepted| accepted).map(drop);
    assert_eq!(missing, Err(InitError::FeaturesMissing(impossible)));
}
