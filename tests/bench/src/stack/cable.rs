//! Two interfaces that hand their frames to each other.
//!
//! The buffers themselves change hands, so that nothing is copied and the model costs the measured side nothing but the
//! calls. What the server's interface does is left out of the count by the names of its functions; the client's must not
//! have the same names, since entering one outside of what is counted would switch counting on.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use toro_core::driver::net::{
    Burst, Changes, Checksum, Frame, LinkState, MacAddress, NetDevice, NetLimits, Notes, Offloads, ReceiveFilter,
};
use toro_core::driver::{Armed, DeviceFault};
use toro_core::{DmaBuf, DmaPool};

use crate::heap::HEAP;

/// What the interfaces do besides moving frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Interface {
    /// Nothing: frames of 1,514 bytes, checksums in software.
    Plain,
    /// Checksums and long segments, as between guests and with vhost.
    Full,
}

type Lane = Arc<Mutex<VecDeque<Frame>>>;

/// Whose interface it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

/// One end.
pub struct End {
    side: Side,
    mac: MacAddress,
    interface: Interface,
    out: Lane,
    into: Lane,
    pool: RefCell<DmaPool>,
    long: RefCell<DmaPool>,
}

/// Both ends of a cable: the server's and the client's.
///
/// # Errors
///
/// There is no memory.
pub fn cable(interface: Interface) -> Result<(End, End)> {
    let lanes = [Lane::default(), Lane::default()];
    let pool = |count, size| DmaPool::new(&HEAP, count, size).map_err(|error| anyhow!("{error:?}"));
    let end = |out: usize| -> Result<End> {
        Ok(End {
            side: [Side::Server, Side::Client][out],
            mac: MacAddress([2, 0, 0, 0, 0, out as u8 + 1]),
            interface,
            out: lanes[out].clone(),
            into: lanes[1 - out].clone(),
            pool: RefCell::new(pool(1024, 2048)?),
            long: RefCell::new(pool(32, 65_600)?),
        })
    };
    Ok((end(0)?, end(1)?))
}

impl End {
    fn lane(lane: &Lane) -> std::sync::MutexGuard<'_, VecDeque<Frame>> {
        lane.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[inline(never)]
fn stack_device_receive(end: &mut End, out: &mut Burst<Frame>) {
    receive(end, out);
}

#[inline(always)]
fn receive(end: &mut End, out: &mut Burst<Frame>) {
    let mut lane = End::lane(&end.into);
    while out.room() > 0
        && let Some(frame) = lane.pop_front()
    {
        let _ = out.push(frame);
    }
}

#[inline(never)]
fn stack_device_transmit(end: &mut End, frames: &mut Burst<Frame>) {
    transmit(end, frames);
}

#[inline(always)]
fn transmit(end: &mut End, frames: &mut Burst<Frame>) {
    let mut lane = End::lane(&end.out);
    while let Some(mut frame) = frames.pop() {
        if end.interface == Interface::Plain {
            frame.set_notes(Notes { checksum: Checksum::Plain, ..Notes::default() });
        }
        lane.push_back(frame);
    }
}

#[inline(never)]
fn stack_device_frame(end: &mut End, len: usize) -> Option<DmaBuf> {
    frame(end, len)
}

#[inline(always)]
fn frame(end: &mut End, len: usize) -> Option<DmaBuf> {
    let pool = if len <= 1514 { &end.pool } else { &end.long };
    let mut buffer = pool.borrow_mut().take()?;
    buffer.reset(16).ok()?;
    Some(buffer)
}

impl NetDevice for End {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn limits(&self) -> NetLimits {
        let offloads = match self.interface {
            Interface::Plain => Offloads::NONE,
            Interface::Full => Offloads { checksum: true, max_tcp4: 65_549, max_tcp6: 65_549 },
        };
        NetLimits { offloads, ..NetLimits::plain(1514, 256) }
    }

    fn link(&mut self) -> LinkState {
        LinkState::Up
    }

    fn changes(&mut self) -> Result<Changes, DeviceFault> {
        Ok(Changes::default())
    }

    fn set_filter(&mut self, _: &ReceiveFilter<'_>) -> Result<(), DeviceFault> {
        Ok(())
    }

    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        match self.side {
            Side::Server => stack_device_receive(self, out),
            Side::Client => receive(self, out),
        }
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        match self.side {
            Side::Server => stack_device_transmit(self, frames),
            Side::Client => transmit(self, frames),
        }
        Ok(())
    }

    fn frame(&mut self, len: usize) -> Option<Frame> {
        let buffer = match self.side {
            Side::Server => stack_device_frame(self, len),
            Side::Client => frame(self, len),
        };
        buffer.map(Frame::from_buffer)
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        Ok(if End::lane(&self.into).is_empty() { Armed::Idle } else { Armed::WorkPending })
    }
}
