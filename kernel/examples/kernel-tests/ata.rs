//! Disks behind a PCI IDE controller: written with sectors that say which they are, and read back, asleep meanwhile.
//!
//! ```text
//!   DRIVER   takes the controller into service at boot, in its own way or, with the word `ata=pio`, without DMA
//!   run      disk 0: several requests in flight, of one buffer and of many, then one after the other
//!            flush, serial number, a request beyond the end, a reset
//! ```
//!
//! | word of the command line | meaning |
//! |---|---|
//! | `sectors=N` | how large disk 0 must be |
//! | `serial=TEXT` | its serial number |
//! | `requests=N` | how many writes to make, and as many reads |
//! | `seed=N` | what the words are mixed with: word `i` of sector `s` is `seed ^ (s << 8 | i)` |
//! | `cdrom=N` | unit 2 must be a CD-ROM drive of so many blocks, filled with such sectors |
//!
//! The core is the test's alone: a lost interrupt is seen as a wait that only ends with [`PATIENCE`].

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use toro::arch::{apic, interrupt};
use toro::driver::{Armed, AttachError, Attached, DeviceId, Driver, Refusal, Resources};
use toro::env;
use toro::time::{Duration, Instant};
use toro_core::dma::Segments;
use toro_core::driver::block::{BlockCompletion, BlockDevice, BlockOperation, BlockRequest, SECTOR, SERIAL_BYTES};
use toro_core::{Clock, Dma, DmaBuf, DmaPool};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests in flight, and buffers of each at most.
const IN_FLIGHT: usize = 8;
const BUFFERS: usize = 5;
/// Sectors in a buffer at most.
const LONGEST: usize = 40;

/// The driver for this test's list.
pub static DRIVER: &dyn Driver = &AtaTest;

/// The controller, from boot until the test begins.
static CONTROLLER: spin::Mutex<Option<Controller>> = spin::Mutex::new(None);

struct AtaTest;

impl Driver for AtaTest {
    fn name(&self) -> &'static str {
        "ata test"
    }

    fn matches(&self, id: &DeviceId) -> bool {
        env::option("test") == Some("ata") && ata::DRIVER.matches(id)
    }

    fn attach(&self, resources: Resources) -> Result<Attached, AttachError> {
        let (memory, clock) = (resources.memory, resources.clock);
        let driver = if env::option("ata") == Some("pio") { ata::PIO_DRIVER } else { ata::DRIVER };
        if let Attached::Block(device) = driver.attach(resources)? {
            *CONTROLLER.lock() = Some(Controller { device, memory, clock, sleeps: 0 });
        }
        Ok(Attached::Other)
    }
}

/// The controller, and where its buffers come from.
struct Controller {
    device: Box<dyn BlockDevice>,
    memory: Dma,
    clock: &'static dyn Clock,
    sleeps: u32,
}

/// Runs all of it.
pub fn run() -> Result<(), String> {
    let mut controller = CONTROLLER.lock().take().ok_or("there is no controller with disks")?;
    let (seed, requests) = (word("seed")?, word("requests")?);
    if let Some(sectors) = env::option("sectors") {
        let disk = controller.device.disk(0).ok_or("there is no disk")?;
        if disk.sectors.to_string() != sectors || disk.is_read_only {
            return Err(format!("{disk:?}"));
        }
        controller.check_serial()?;
        controller.refuses_what_is_beyond(disk.sectors)?;
        controller.transfers(Direction::Out, seed, requests, disk.sectors)?;
        controller.single(BlockOperation::Flush, Segments::None)?.result.map_err(text)?;
        controller.transfers(Direction::In, seed, requests, disk.sectors)?;
        controller.device.reset(&mut |_| {}).map_err(text)?;
        controller.transfers(Direction::In, seed, requests / 4, disk.sectors)?;
    }
    if let Some(blocks) = env::option("cdrom") {
        let disk = controller.device.disk(2).ok_or("there is no CD-ROM")?;
        if (disk.sectors / 4).to_string() != blocks || disk.block_size != 2048 || !disk.is_read_only {
            return Err(format!("{disk:?}"));
        }
        controller.reads_cdrom(seed, disk.sectors)?;
    }
    toro::println!("ata: {:?}, slept {} times", controller.device.limits(), controller.sleeps);
    if controller.sleeps == 0 { Err("nothing was waited for asleep".to_string()) } else { Ok(()) }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn word<T: core::str::FromStr>(key: &str) -> Result<T, String> {
    env::option(key).and_then(|value| value.parse().ok()).ok_or_else(|| format!("{key}= is missing or no number"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// A transfer: request `number` of a series that leaves no part of the disk out.
fn place(number: u64, sectors: u64) -> (u64, Vec<usize>) {
    let mix = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let buffers = 1 + (mix % BUFFERS as u64) as usize;
    let lengths: Vec<_> = (0..buffers).map(|index| 1 + (mix >> (8 + 5 * index)) as usize % LONGEST).collect();
    let total = lengths.iter().sum::<usize>() as u64;
    (mix % (sectors - total + 1), lengths)
}

fn stamp(bytes: &mut [u8], seed: u64, first: u64) {
    for (sector, bytes) in (first..).zip(bytes.chunks_exact_mut(SECTOR)) {
        for (index, word) in (0..).zip(bytes.as_chunks_mut::<8>().0) {
            *word = (seed ^ (sector << 8 | index)).to_le_bytes();
        }
    }
}

/// Complains of the first wrong sector.
fn check(bytes: &[u8], seed: u64, first: u64) -> Result<(), String> {
    for (sector, bytes) in (first..).zip(bytes.chunks_exact(SECTOR)) {
        let mut wanted = [0; SECTOR];
        stamp(&mut wanted, seed, sector);
        if bytes != wanted {
            return Err(format!("sector {sector} begins with {:x?}", &bytes[..16]));
        }
    }
    Ok(())
}

impl Controller {
    fn check_serial(&mut self) -> Result<(), String> {
        let mut buffer = DmaPool::new(self.memory, 1, SERIAL_BYTES).map_err(text)?.take().ok_or("an empty pool")?;
        buffer.set_len(SERIAL_BYTES).map_err(text)?;
        let done = self.single(BlockOperation::Identify, buffer.into())?;
        done.result.map_err(text)?;
        let serial = done.request.data.into_one().ok_or("the buffer is gone")?;
        let found = String::from_utf8_lossy(&serial);
        let found = found.trim_end_matches('\0');
        if Some(found) == env::option("serial") { Ok(()) } else { Err(format!("the serial number is {found:?}")) }
    }

    fn refuses_what_is_beyond(&mut self, sectors: u64) -> Result<(), String> {
        let mut buffer = DmaPool::new(self.memory, 1, 2 * SECTOR).map_err(text)?.take().ok_or("an empty pool")?;
        buffer.set_len(2 * SECTOR).map_err(text)?;
        let operation = BlockOperation::Read { sector: sectors - 1 };
        match self.device.submit(BlockRequest { unit: 0, operation, data: buffer.into() }) {
            Err(refused) if refused.reason == Refusal::Invalid => Ok(()),
            _ => Err("a read beyond the end was accepted".to_string()),
        }
    }

    /// Makes `requests` transfers, several at a time; what was read has to be what was written.
    fn transfers(&mut self, direction: Direction, seed: u64, requests: u64, sectors: u64) -> Result<(), String> {
        let mut pool = DmaPool::new(self.memory, IN_FLIGHT * BUFFERS, LONGEST * SECTOR).map_err(text)?;
        let (mut made, mut finished) = (0, 0);
        while finished < requests {
            while made < requests && made - finished < IN_FLIGHT as u64 {
                let (sector, lengths) = place(made, sectors);
                let mut at = sector;
                let mut buffers: Vec<DmaBuf> = Vec::new();
                for length in lengths {
                    let mut buffer = pool.take().ok_or("more requests than buffers")?;
                    buffer.set_len(length * SECTOR).map_err(text)?;
                    match direction {
                        Direction::In => buffer.fill(0xa5),
                        Direction::Out => stamp(&mut buffer, seed, at),
                    }
                    at += length as u64;
                    buffers.push(buffer);
                }
                let operation = match direction {
                    Direction::In => BlockOperation::Read { sector },
                    Direction::Out => BlockOperation::Write { sector },
                };
                let request = BlockRequest { unit: 0, operation, data: buffers.into() };
                self.device.submit(request).map_err(|refused| format!("{:?}: {}", refused.request, refused.reason))?;
                made += 1;
            }
            self.device.publish();
            let done = self.wait()?;
            finished += 1;
            done.result.map_err(|error| format!("{:?}: {error}", done.request.operation))?;
            if let BlockOperation::Read { sector } = done.request.operation {
                let mut at = sector;
                for buffer in done.request.data.as_slice() {
                    check(buffer, seed, at)?;
                    at += (buffer.len() / SECTOR) as u64;
                }
            }
        }
        Ok(())
    }

    fn reads_cdrom(&mut self, seed: u64, sectors: u64) -> Result<(), String> {
        let mut pool = DmaPool::new(self.memory, 1, 64 * SECTOR).map_err(text)?;
        let mut sector = 0;
        while sector < sectors {
            let length = (sectors - sector).min(64);
            let mut buffer = pool.take().ok_or("an empty pool")?;
            buffer.set_len(length as usize * SECTOR).map_err(text)?;
            buffer.fill(0xa5);
            let request = BlockRequest { unit: 2, operation: BlockOperation::Read { sector }, data: buffer.into() };
            self.device.submit(request).map_err(|refused| text(refused.reason))?;
            self.device.publish();
            let done = self.wait()?;
            done.result.map_err(text)?;
            check(&done.request.data.into_one().ok_or("the buffer is gone")?, seed, sector)?;
            sector += length;
        }
        Ok(())
    }

    fn single(&mut self, operation: BlockOperation, data: Segments) -> Result<BlockCompletion, String> {
        self.device.submit(BlockRequest { unit: 0, operation, data }).map_err(|refused| text(refused.reason))?;
        self.device.publish();
        self.wait()
    }

    /// The next finished request; halts where the device has nothing to say.
    fn wait(&mut self) -> Result<BlockCompletion, String> {
        let start = Instant::now();
        loop {
            if let Some(done) = self.device.complete().map_err(text)? {
                return Ok(done);
            }
            if start.elapsed() >= PATIENCE {
                return Err(format!("nothing has finished in {PATIENCE:?}: {:?}", self.device.deadline()));
            }
            if self.device.arm().map_err(text)? == Armed::Idle {
                self.sleeps += 1;
                let deadline = self.device.deadline().map(|at| at.saturating_since(self.clock.now()));
                let nanoseconds = deadline.unwrap_or(PATIENCE).min(PATIENCE).as_nanos() as u64;
                interrupt::admit_none();
                apic::set_timer(Some(nanoseconds));
                interrupt::halt();
                interrupt::admit_urgent();
            }
        }
    }
}
