//! One request at a time, to its end: what a kernel puts between its callers and a driver, in the simplest form.

use core::fmt;
use core::time::Duration;

use toro_core::dma::Segments;
use toro_core::driver::block::{BlockDevice, BlockError, BlockOperation, BlockRequest};
use toro_core::driver::{AttachError, DeviceFault, Refusal};
use toro_core::{Clock, Deadline, DmaBuf, OutOfDmaMemory};

/// How long a disk may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The one disk of a device.
pub struct Disk<'a> {
    device: &'a mut dyn BlockDevice,
    clock: &'static dyn Clock,
    sectors: u64,
}

impl<'a> Disk<'a> {
    /// The first disk of a device.
    pub fn new(device: &'a mut dyn BlockDevice, clock: &'static dyn Clock) -> Result<Self, Trouble> {
        let sectors = device.disk(0).ok_or(Trouble::NoDisk)?.sectors;
        Ok(Self { device, clock, sectors })
    }

    /// Its size.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Reads into a buffer, or writes it; gives it back.
    pub fn transfer(&mut self, operation: BlockOperation, buffer: DmaBuf) -> Result<DmaBuf, Trouble> {
        self.finish(operation, Segments::One(buffer))?.into_one().ok_or(Trouble::Buffers)
    }

    /// Makes stable what was written.
    pub fn flush(&mut self) -> Result<(), Trouble> {
        if self.device.disk(0).is_some_and(|disk| disk.has_cache) {
            self.finish(BlockOperation::Flush, Segments::None)?;
        }
        Ok(())
    }

    /// Hands a request in and looks until it is done; gives its buffers back.
    fn finish(&mut self, operation: BlockOperation, data: Segments) -> Result<Segments, Trouble> {
        let request = BlockRequest { unit: 0, operation, data };
        let id = self.device.submit(request).map_err(|refused| Trouble::Refused(refused.reason))?;
        self.device.publish();
        let deadline = Deadline::after(self.clock, PATIENCE);
        loop {
            // With interrupts, this is where to `arm` and to sleep.
            match self.device.complete()? {
                Some(completion) if completion.id == id => {
                    completion.result?;
                    return Ok(completion.request.data);
                }
                // Nobody else has submitted anything; a kernel would look here whose request it is.
                Some(_) => {}
                None if deadline.is_over() => return Err(Trouble::Request(BlockError::TimedOut)),
                None => self.clock.relax(),
            }
        }
    }
}

/// What may go wrong. Each layer has an error of its own, and all are small values.
pub enum Trouble {
    /// Nothing was found, or it has no disk.
    NoDisk,
    /// The device cannot be taken into service.
    Attach(AttachError),
    /// The driver does not take a request.
    Refused(Refusal),
    /// The device broke the protocol.
    Fault(DeviceFault),
    /// The disk did not do it.
    Request(BlockError),
    /// There is no buffer.
    Buffers,
    /// A sector holds something else.
    Contents(u64),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDisk => f.write_str("there is no disk"),
            Self::Attach(error) => write!(f, "the disk cannot be used: {error}"),
            Self::Refused(reason) => write!(f, "a request is refused: {reason}"),
            Self::Fault(fault) => write!(f, "the disk is broken: {fault}"),
            Self::Request(error) => write!(f, "a request fails: {error}"),
            Self::Buffers => f.write_str("there is no buffer"),
            Self::Contents(sector) => write!(f, "sector {sector} holds something else"),
        }
    }
}

macro_rules! from {
    ($($error:ty => $trouble:ident),*) => {$(
        impl From<$error> for Trouble {
            fn from(error: $error) -> Self {
                Self::$trouble(error)
            }
        }
    )*};
}

from!(AttachError => Attach, DeviceFault => Fault, BlockError => Request);

impl From<OutOfDmaMemory> for Trouble {
    fn from(_: OutOfDmaMemory) -> Self {
        Self::Buffers
    }
}
