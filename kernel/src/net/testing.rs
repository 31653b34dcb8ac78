//! A cable with a network interface at each end, for tests on the host.
//!
//! Time stands still unless a test moves it, nothing is random, and what the cable does to frames is up to the
//! test: it may lose them, hold them, or refuse to take them.

extern crate std;

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use std::sync::{Mutex, MutexGuard};

use toro_core::driver::net::{Burst, Changes, Frame, LinkState, MacAddress, NetDevice, NetLimits, ReceiveFilter};
use toro_core::driver::{Armed, DeviceFault};
use toro_core::{BusAddr, DmaBlock, DmaMemory, DmaPool};

/// Memory from the host's heap.
struct Heap;

#[allow(unsafe_code)]
// SAFETY:
// - `alloc_zeroed` gives zeroed, exclusive memory of the layout asked for, or null;
// - there is no device, so any bus address names the same memory for all of them.
unsafe impl DmaMemory for Heap {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        let layout = Layout::from_size_align(size.max(1), align.max(4096)).ok()?;
        // SAFETY: the layout's size is not zero.
        let cpu = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: no device exists that could use it.
        let bus = unsafe { BusAddr::new(cpu.as_ptr() as u64) };
        // SAFETY: `size` bytes at `cpu`, zeroed and unshared; as above for `bus`.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        let layout = Layout::from_size_align(block.size().max(1), 4096).expect("it was allocated with this layout");
        // SAFETY: the caller gives back what `allocate` returned; pools never ask for more than a page's alignment.
        unsafe { dealloc(block.cpu().as_ptr(), layout) };
    }
}

static HEAP: Heap = Heap;

/// A frame with these bytes.
pub(super) fn frame_of(bytes: &[u8]) -> Frame {
    let mut pool = DmaPool::new(&HEAP, 1, 2048).expect("the host has memory");
    let mut buffer = pool.take().expect("nobody else has taken one");
    buffer.extend(bytes).expect("no test needs more");
    Frame::from_buffer(buffer)
}

/// Decides which frames get lost.
pub(super) type Loss = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// What happens to frames in one direction.
#[derive(Default)]
pub(super) struct Lane {
    frames: VecDeque<Vec<u8>>,
    /// How many frames were handed to the cable.
    pub(super) count: u64,
    /// Loses each frame whose number is divisible by this.
    pub(super) lose_every: Option<u64>,
    /// Loses each frame for which this holds.
    pub(super) lose_if: Option<Loss>,
    /// Takes no frames while set, as a full ring does.
    pub(super) full: bool,
    /// Takes at most this many frames at once.
    pub(super) slots: Option<usize>,
    /// The device at the beginning of this lane has broken down.
    pub(super) fault: Option<DeviceFault>,
    /// What the device at the beginning of this lane will say about its link, once.
    pub(super) changes: Changes,
    /// The groups that this device shall receive, as it was last told.
    pub(super) filter: Vec<MacAddress>,
}

impl Lane {
    fn put(&mut self, frame: &[u8]) {
        self.count += 1;
        let lost = self.lose_every.is_some_and(|every| self.count.is_multiple_of(every))
            || self.lose_if.as_mut().is_some_and(|lose| lose(frame));
        if !lost {
            self.frames.push_back(frame.to_vec());
        }
    }
}

type Shared = Arc<Mutex<Lane>>;

/// One end of a cable.
pub(super) struct CableEnd {
    mac: MacAddress,
    out: Shared,
    into: Shared,
    pool: DmaPool,
}

/// A test's hold on a cable: from end 0 to end 1, and back.
#[derive(Clone)]
pub(super) struct Cable {
    lanes: [Shared; 2],
}

impl Cable {
    /// A cable and its two ends.
    pub(super) fn new() -> (Self, CableEnd, CableEnd) {
        let lanes = [Shared::default(), Shared::default()];
        let end = |out: usize| CableEnd {
            mac: Self::mac(out),
            out: lanes[out].clone(),
            into: lanes[1 - out].clone(),
            pool: DmaPool::new(&HEAP, 256, 2048).expect("the host has memory"),
        };
        let ends = (end(0), end(1));
        (Self { lanes }, ends.0, ends.1)
    }

    /// The address of an end.
    pub(super) fn mac(end: usize) -> MacAddress {
        MacAddress([0x52, 0x54, 0, 0, 0, end as u8 + 1])
    }

    /// What leaves an end.
    pub(super) fn from(&self, end: usize) -> MutexGuard<'_, Lane> {
        self.lanes[end].lock().expect("no test panics while it holds a lane")
    }

    /// Sends a frame of the test's own making, as if from an end.
    pub(super) fn inject(&self, end: usize, frame: &[u8]) {
        self.from(end).put(frame);
    }

    /// Takes a frame off the cable.
    pub(super) fn take_from(&self, end: usize) -> Option<Vec<u8>> {
        self.from(end).frames.pop_front()
    }
}

impl NetDevice for CableEnd {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn limits(&self) -> NetLimits {
        NetLimits::plain(1514, 256)
    }

    fn link(&mut self) -> LinkState {
        LinkState::Up
    }

    fn changes(&mut self) -> Result<Changes, DeviceFault> {
        Ok(core::mem::take(&mut self.out.lock().expect("unpoisoned").changes))
    }

    fn set_filter(&mut self, filter: &ReceiveFilter<'_>) -> Result<(), DeviceFault> {
        self.out.lock().expect("unpoisoned").filter = filter.multicast.to_vec();
        Ok(())
    }

    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        if let Some(fault) = self.out.lock().expect("unpoisoned").fault {
            return Err(fault);
        }
        let mut lane = self.into.lock().expect("unpoisoned");
        while out.room() > 0
            && let Some(bytes) = lane.frames.pop_front()
        {
            let Some(mut buffer) = self.pool.take() else {
                lane.frames.push_front(bytes);
                break;
            };
            if buffer.extend(&bytes).is_ok() {
                assert!(out.push(Frame::from_buffer(buffer)).is_ok(), "there was room");
            }
        }
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        let mut lane = self.out.lock().expect("unpoisoned");
        if let Some(fault) = lane.fault {
            return Err(fault);
        }
        let mut slots = lane.slots.unwrap_or(usize::MAX);
        while !lane.full
            && slots > 0
            && let Some(frame) = frames.pop()
        {
            slots -= 1;
            lane.put(&frame);
        }
        Ok(())
    }

    fn frame(&mut self, len: usize) -> Option<Frame> {
        if len > self.limits().max_frame {
            return None;
        }
        let mut buffer = self.pool.take()?;
        buffer.reset(16).ok()?;
        Some(Frame::from_buffer(buffer))
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        let waiting = !self.into.lock().expect("unpoisoned").frames.is_empty();
        Ok(if waiting { Armed::WorkPending } else { Armed::Idle })
    }
}
