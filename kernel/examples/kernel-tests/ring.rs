//! A virtqueue on a real device: a disk of which every word is known, read with as many requests in flight as fit.
//!
//! ```text
//!   DRIVER   takes the disk's resources at boot
//!   run      Reset -> Negotiated -> Running, compared with the command line; then again and again:
//!            refill when few enough are left --> publish, notify --> arm, halt --> drain, check every answer
//! ```
//!
//! When all requests are made, some more follow one by one, each waited for asleep. That is a round, and there are two:
//! between them the device is reset, the queue retired, and everything set up anew.
//!
//! | word of the command line | meaning |
//! |---|---|
//! | `interface=modern`, `legacy` | how the device must be driven |
//! | `event_idx=on`, `off` | whether EVENT_IDX must be agreed |
//! | `indirect_desc=on`, `off` | whether INDIRECT_DESC must be agreed |
//! | `queue_size=N` | how many descriptors the queue must have |
//! | `requests=N` | how many requests to make in the first round; the second has a quarter of that |
//! | `renew_queue=on` | where RING_RESET was agreed, go on with a queue of another size in the middle of each round |
//! | `sectors=N` | how large the disk must be: not less than the longest request |
//! | `seed=N` | with what the disk was written |
//!
//! Word `i` of sector `s` of the disk is the little-endian `seed ^ (s << 8 | i)`, 64 words a sector. So it matters that
//! a request arrives where it should, whole, and only there; and a wrong word says where it comes from.
//!
//! The core is the test's alone, and only the disk and a timer wake it. So an interrupt that is lost is seen: as a wait
//! that only ends with [`PATIENCE`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64};

use toro::arch::{apic, interrupt};
use toro::driver::{Armed, AttachError, Attached, DeviceFault, DeviceId, Driver, Resources};
use toro::env;
use toro::time::{Duration, Instant};
use toro_core::{Clock, Dma, DmaBuf, DmaPool, Registers};
use virtio_queue_rt::attach::{BoxedTransport, Opened, matches, open};
use virtio_queue_rt::transport::Interface;
use virtio_queue_rt::{
    DeviceType, Direction, Done, FeatureBits, Notify, QueueIndex, Reset, Running, Transport, Virtqueue,
};

/// How long the device may take to finish anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes in a sector (VIRTIO 1.3 §5.2).
const SECTOR: usize = 512;
/// Longest request, in sectors.
const LONGEST: u64 = 4;
/// How often a round flushes: once in so many requests.
const FLUSH_INTERVAL: u32 = 32;
/// How often the core shall have slept, and how many requests that may take.
const ENOUGH_SLEEPS: u32 = 64;
const MOST_ATTEMPTS: u32 = 8192;
/// VIRTIO_BLK_F_FLUSH.
const FLUSH: FeatureBits = FeatureBits::bit(9);
/// VIRTIO_BLK_T_IN and VIRTIO_BLK_T_FLUSH.
const TYPE_IN: u64 = 0;
const TYPE_FLUSH: u64 = 4;
/// VIRTIO_BLK_S_OK, and what is none of the device's answers.
const STATUS_OK: u8 = 0;
const NO_STATUS: u8 = 0xff;

/// What a request asked for.
#[derive(Clone, Copy, Debug)]
enum Request {
    Read { sector: u64 },
    Flush,
}

/// Header, data if there is any, status.
type Queue = Virtqueue<Option<DmaBuf>, Request, [AtomicU64; 2], AtomicU8>;
type Answer = Done<Option<DmaBuf>, Request, u8>;

/// The driver for this test's list.
pub static DRIVER: &dyn Driver = &RingDriver;

/// The disk, from boot until the test begins.
static DISK: spin::Mutex<Option<Resources>> = spin::Mutex::new(None);

struct RingDriver;

impl Driver for RingDriver {
    fn name(&self) -> &'static str {
        "ring test"
    }

    fn matches(&self, id: &DeviceId) -> bool {
        let is_wanted = env::option("test").is_some_and(|test| test.starts_with("ring"));
        is_wanted && matches(id, DeviceType::BLOCK)
    }

    fn attach(&self, resources: Resources) -> Result<Attached, AttachError> {
        *DISK.lock() = Some(resources);
        Ok(Attached::Other)
    }
}

/// Runs both rounds.
pub fn run() -> Result<(), String> {
    let Opened { mut transport, memory, clock, .. } = open_disk()?;
    let requests: u32 = word("requests")?;
    for requests in [requests, requests / 4] {
        let mut reader = Reader::new(transport, memory, clock, requests)?;
        reader.read_all()?;
        if env::option("renew_queue") == Some("on") && reader.has(FeatureBits::RING_RESET) {
            reader = reader.with_new_queue(memory, clock)?;
            reader.requests += requests / 4;
            reader.read_all()?;
        }
        reader.sleep_often()?;
        transport = reader.end(clock)?;
    }
    Ok(())
}

/// Makes a mistake, a request without header and status, and sees that the device complains of it and can be reset.
pub fn mistake() -> Result<(), String> {
    let Opened { transport, memory, clock, .. } = open_disk()?;
    let reset = Reset::new(transport, clock).map_err(text)?;
    let mut device = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |accepted| accepted).map_err(text)?;
    let mut queue: Virtqueue<DmaBuf, ()> = device.queue(QueueIndex(0), 16, memory).map_err(text)?;
    let running = device.run();
    let mut buffer = DmaPool::new(memory, 1, SECTOR).map_err(text)?.take().ok_or("an empty pool")?;
    buffer.set_len(SECTOR).map_err(text)?;
    queue.submit((), buffer, Direction::FromDevice, (), ()).map_err(|refused| text(refused.reason))?;
    let wish = queue.publish();
    running.notify(&queue, wish);
    let start = Instant::now();
    while running.check() != Err(DeviceFault::NeedsReset) {
        if start.elapsed() >= PATIENCE {
            return Err(format!("the device does not complain: {:?}", running.check()));
        }
    }
    let (_, proof) = running.quiesce(clock).map_err(|(_, error)| text(error))?;
    let mut unfinished = 0;
    queue.retire(&proof, |_, ()| unfinished += 1).map_err(|_| "the proof is for another device")?;
    if unfinished == 1 { Ok(()) } else { Err(format!("{unfinished} requests came back")) }
}

fn open_disk() -> Result<Opened, String> {
    open(DISK.lock().take().ok_or("there is no disk")?, DeviceType::BLOCK).map_err(text)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn word<T: core::str::FromStr>(key: &str) -> Result<T, String> {
    env::option(key).and_then(|value| value.parse().ok()).ok_or_else(|| format!("{key}= is missing or no number"))
}

/// Complains unless what came out is what the command line says.
fn expect(key: &str, found: impl ToString) -> Result<(), String> {
    let (found, wanted) = (found.to_string(), env::option(key).unwrap_or("nothing"));
    if found == wanted { Ok(()) } else { Err(format!("{key} is {found}, expected was {wanted}")) }
}

fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// Word `index` of a sector.
fn stamp(seed: u64, sector: u64, index: u64) -> u64 {
    seed ^ (sector << 8 | index)
}

/// One round: the device in service, and what has been asked of it.
struct Reader {
    running: Running<BoxedTransport>,
    queue: Queue,
    pool: DmaPool,
    /// Taken out of the queue and not yet checked.
    answers: Vec<Answer>,
    interface: Interface,
    seed: u64,
    sectors: u64,
    requests: u32,
    submitted: u32,
    /// How often the queue was filled up.
    refills: usize,
    /// How often it was waited.
    turns: usize,
    notifications: u32,
    sleeps: u32,
}

impl Reader {
    fn new(transport: BoxedTransport, memory: Dma, clock: &'static dyn Clock, requests: u32) -> Result<Self, String> {
        let interface = transport.interface();
        let reset = Reset::new(transport, clock).map_err(text)?;
        let mut device = reset.negotiate(FLUSH, FLUSH, |accepted| accepted).map_err(text)?;
        let capacity = |registers: &dyn Registers| [registers.read32(0), registers.read32(4)].map(u64::from);
        let [low, high] = device.config(capacity).map_err(text)?;
        let sectors = high << 32 | low;
        expect("sectors", sectors)?;
        let wanted = word("queue_size")?;
        let size = device.queue_size(QueueIndex(0), wanted);
        let queue: Queue = device.queue(QueueIndex(0), wanted, memory).map_err(text)?;
        let running = device.run();
        let has = |feature| running.features().contains(feature);
        expect("interface", if matches!(interface, Interface::Modern) { "modern" } else { "legacy" })?;
        expect("event_idx", on_or_off(has(FeatureBits::EVENT_IDX)))?;
        expect("indirect_desc", on_or_off(has(FeatureBits::INDIRECT_DESC)))?;
        expect("queue_size", size)?;
        // With tables of their own, requests take one descriptor each.
        let slots = if has(FeatureBits::INDIRECT_DESC) { size } else { size / 3 };
        if queue.capacity() != slots {
            return Err(format!("{} requests fit into the queue, expected were {slots}", queue.capacity()));
        }
        let pool = DmaPool::new(memory, usize::from(slots), SECTOR * LONGEST as usize).map_err(text)?;
        let seed = word("seed")?;
        let answers = Vec::with_capacity(usize::from(slots));
        let (submitted, refills, notifications, sleeps) = (0, 0, 0, 0);
        Ok(Self {
            running,
            queue,
            pool,
            answers,
            interface,
            seed,
            sectors,
            requests,
            submitted,
            refills,
            turns: 0,
            notifications,
            sleeps,
        })
    }

    /// Makes requests one by one until the core has slept often. A disk that is busy is rarely waited for that long; a
    /// single request takes it longer than the way into the halt takes the core, nearly every time.
    fn sleep_often(&mut self) -> Result<(), String> {
        self.sleeps = 0;
        for _ in 0..MOST_ATTEMPTS {
            self.submit()?;
            self.publish();
            self.turns = 1;
            self.wait()?;
            // An interrupt that is not the disk's ends a halt, too: one request may count several.
            if self.sleeps >= ENOUGH_SLEEPS {
                return Ok(());
            }
        }
        Err(format!("the core slept only {} times", self.sleeps))
    }

    fn has(&self, feature: FeatureBits) -> bool {
        self.running.features().contains(feature)
    }

    /// Makes all requests.
    fn read_all(&mut self) -> Result<(), String> {
        while self.submitted < self.requests || !self.queue.is_empty() {
            self.refill()?;
            self.wait()?;
        }
        Ok(())
    }

    /// Resets the queue while the device runs, and makes one of half the size.
    fn with_new_queue(mut self, memory: Dma, clock: &'static dyn Clock) -> Result<Self, String> {
        let mut unfinished = 0;
        let slots = self.queue.capacity();
        let reset = self.running.reset_queue(self.queue, clock, |_, _| unfinished += 1);
        reset.map_err(|(_, error)| format!("the queue cannot be reset: {error}"))?;
        self.queue = self.running.queue(QueueIndex(0), word::<u16>("queue_size")? / 2, memory).map_err(text)?;
        if unfinished > 0 || self.queue.capacity() != slots / 2 {
            return Err(format!("{unfinished} requests came back; the new queue is {:?}", self.queue));
        }
        Ok(self)
    }

    /// Waits until something has finished, and checks it. In every other turn that means to sleep.
    fn wait(&mut self) -> Result<(), String> {
        let start = Instant::now();
        let sleeps = self.turns % 2 == 1;
        self.turns += 1;
        loop {
            if sleeps && self.arm()? == Armed::Idle {
                self.sleeps += 1;
                // What the disk raises from here on ends the halt, also if it has come before.
                interrupt::admit_none();
                apic::set_timer(Some(PATIENCE.as_nanos() as u64));
                interrupt::halt();
                interrupt::admit_urgent();
            }
            let Self { queue, answers, .. } = self;
            let finished = queue.drain(|answer| answers.push(answer)).map_err(text)?;
            let waited = start.elapsed();
            if waited >= PATIENCE {
                let in_flight = self.queue.len();
                return Err(format!("after {waited:?}, {finished} requests have finished and {in_flight} have not"));
            }
            if finished > 0 {
                break;
            }
        }
        while let Some(answer) = self.answers.pop() {
            self.check(answer)?;
        }
        Ok(())
    }

    /// Fills the queue if few enough requests are in flight: in turn, at most none, half, or all but one of those that
    /// fit; and shows them to the device all at once, in sevens, or one by one.
    fn refill(&mut self) -> Result<(), String> {
        let capacity = self.queue.capacity();
        let few = [0, capacity / 2, capacity - 1][self.refills % 3];
        let batch = [u32::MAX, 7, 1][self.refills / 6 % 3];
        if self.queue.len() > few {
            return Ok(());
        }
        let mut count = 0_u32;
        while self.queue.room() > 0 && self.submitted < self.requests {
            self.submit()?;
            count += 1;
            if count.is_multiple_of(batch) {
                self.publish();
            }
        }
        self.publish();
        self.refills += 1;
        Ok(())
    }

    /// Queues the next request.
    fn submit(&mut self) -> Result<(), String> {
        let number = self.submitted;
        let (header, buffer, request) = if number % FLUSH_INTERVAL == FLUSH_INTERVAL - 1 {
            ([TYPE_FLUSH, 0], None, Request::Flush)
        } else {
            // Any order that leaves none out, and every length.
            let sector = u64::from(number).wrapping_mul(0x9e37_79b1) % (self.sectors - LONGEST + 1);
            let sectors = u64::from(number) % LONGEST + 1;
            let mut buffer = self.pool.take().ok_or("more requests than buffers")?;
            buffer.set_len(sectors as usize * SECTOR).map_err(text)?;
            // What is there before must not be what is asked for: a request that is not answered would look right.
            buffer.fill(0xa5);
            ([TYPE_IN, sector], Some(buffer), Request::Read { sector })
        };
        let refused = self.queue.submit(header, buffer, Direction::FromDevice, NO_STATUS, request).err();
        self.submitted += 1;
        refused.map_or(Ok(()), |refused| Err(format!("request {number}: {}", refused.reason)))
    }

    fn publish(&mut self) {
        let wish = self.queue.publish();
        self.notifications += u32::from(wish == Notify::Needed);
        self.running.notify(&self.queue, wish);
    }

    /// Judges a finished request.
    fn check(&mut self, answer: Answer) -> Result<(), String> {
        let Done { payload, cookie: request, written, trailer: status, .. } = answer;
        if status != STATUS_OK {
            return Err(format!("{request:?} has the status {status}"));
        }
        let room = payload.as_ref().map_or(0, |buffer| buffer.len()) + 1;
        // What a legacy device says it wrote means nothing (§2.7.8.1).
        if matches!(self.interface, Interface::Modern) && written as usize != room {
            return Err(format!("{request:?}: {written} of {room} bytes are said to be written"));
        }
        let (Some(buffer), Request::Read { sector: first }) = (payload, request) else { return Ok(()) };
        for (sector, bytes) in (first..).zip(buffer.chunks_exact(SECTOR)) {
            for (index, word) in (0..).zip(bytes.as_chunks::<8>().0) {
                let (found, wanted) = (u64::from_le_bytes(*word), stamp(self.seed, sector, index));
                if found != wanted {
                    let is = found ^ self.seed;
                    return Err(format!("{request:?}: word {index} of sector {sector} is {is:#x}"));
                }
            }
        }
        self.pool.recycle(buffer);
        Ok(())
    }

    /// Lets the device interrupt, and looks once more.
    fn arm(&mut self) -> Result<Armed, String> {
        // Before the look: what arrives after it raises the line again.
        self.running.acknowledge_interrupt().map_err(text)?;
        Ok(self.queue.arm())
    }

    /// Takes the device out of service; gives its registers back.
    fn end(self, clock: &'static dyn Clock) -> Result<BoxedTransport, String> {
        let features = self.running.features();
        toro::println!(
            "ring: {:?}, {features:?}, {} in flight at most; {} requests, {} notifications",
            self.interface,
            self.queue.capacity(),
            self.submitted,
            self.notifications
        );
        let (transport, proof) = self.running.quiesce(clock).map_err(|(_, error)| text(error))?;
        let mut unfinished = 0;
        self.queue.retire(&proof, |_, _| unfinished += 1).map_err(|_| "the proof is for another device")?;
        if unfinished > 0 { Err(format!("{unfinished} requests never finished")) } else { Ok(transport) }
    }
}
