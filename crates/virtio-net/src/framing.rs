//! [`Queue`]: a queue of frames, whose header shares a descriptor with the frame or has one of its own.
//!
//! ```text
//!   buffer       | header | destination, source, type, payload |
//!   Whole        [ one descriptor ............................ ]
//!   Divided      [ one    ][ another ......................... ]
//! ```
//!
//! A frame lies behind its header in one buffer either way. Legacy devices that have not left the layout of requests
//! open want the second form, in both directions (§5.1.6.6); all others have the first. Which it is, is decided once per
//! burst: what is done with each frame is compiled for both, or without the feature `legacy` for the first alone.

use toro_core::driver::{Armed, DeviceFault};
use toro_core::{Dma, DmaBuf};
#[cfg(feature = "legacy")]
use virtio_queue_rt::Divided;
#[cfg(not(feature = "legacy"))]
use virtio_queue_rt::FeatureBits;
use virtio_queue_rt::queue::Payload;
use virtio_queue_rt::{Direction, InitError, Negotiated, QueueIndex, Quiesced, Running, Transport, Virtqueue};

/// How a frame and its header are described to the device.
pub(crate) trait Framing: Payload<Direction = Direction> {
    /// Takes a buffer that begins with a header of so many bytes.
    fn wrap(buffer: DmaBuf, header_len: usize) -> Self;
    /// Gives it back.
    fn unwrap(self) -> DmaBuf;
}

impl Framing for DmaBuf {
    #[inline(always)]
    fn wrap(buffer: DmaBuf, _: usize) -> Self {
        buffer
    }

    #[inline(always)]
    fn unwrap(self) -> DmaBuf {
        self
    }
}

#[cfg(feature = "legacy")]
impl Framing for Divided {
    fn wrap(buffer: DmaBuf, header_len: usize) -> Self {
        Self::new(buffer, header_len)
    }

    fn unwrap(self) -> DmaBuf {
        self.into_buffer()
    }
}

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Whole,
    Divided,
}

/// A queue of frames.
#[derive(Debug)]
pub(crate) enum Queue {
    Whole(Virtqueue<DmaBuf, ()>),
    #[cfg(feature = "legacy")]
    Divided(Virtqueue<Divided, ()>),
}

/// Does the same with either kind of queue.
macro_rules! with {
    ($queue:expr, $each:ident => $do:expr) => {
        match $queue {
            $crate::framing::Queue::Whole($each) => $do,
            #[cfg(feature = "legacy")]
            $crate::framing::Queue::Divided($each) => $do,
        }
    };
}
pub(crate) use with;

impl Queue {
    /// Makes the queue with this number, of at most so many slots.
    pub fn new<T: Transport>(
        device: &mut Negotiated<T>,
        index: QueueIndex,
        slots: u16,
        memory: Dma,
        layout: Layout,
    ) -> Result<Self, InitError> {
        Ok(match layout {
            Layout::Whole => Self::Whole(device.queue(index, slots, memory)?),
            #[cfg(feature = "legacy")]
            Layout::Divided => Self::Divided(device.queue(index, slots.saturating_mul(2), memory)?),
            #[cfg(not(feature = "legacy"))]
            Layout::Divided => return Err(InitError::FeaturesMissing(FeatureBits::ANY_LAYOUT)),
        })
    }

    /// The queue, where each frame shares a descriptor with its header.
    pub fn whole(&mut self) -> Option<&mut Virtqueue<DmaBuf, ()>> {
        match self {
            Self::Whole(queue) => Some(queue),
            #[cfg(feature = "legacy")]
            Self::Divided(_) => None,
        }
    }

    pub fn capacity(&self) -> u16 {
        with!(self, queue => queue.capacity())
    }

    pub fn room(&self) -> u16 {
        with!(self, queue => queue.room())
    }

    pub fn len(&self) -> u16 {
        with!(self, queue => queue.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn fault(&self) -> Option<DeviceFault> {
        with!(self, queue => queue.fault())
    }

    pub fn has_news(&self) -> bool {
        with!(self, queue => queue.has_news())
    }

    pub fn arm(&mut self) -> Armed {
        with!(self, queue => queue.arm())
    }

    /// Shows the device what was submitted, and notifies it if it wishes.
    pub fn publish<T: Transport>(&mut self, running: &Running<T>) {
        with!(self, queue => {
            let wish = queue.publish();
            running.notify(queue, wish);
        });
    }

    /// Frees everything, the device having been reset.
    pub fn retire(self, proof: &Quiesced) {
        // It is this device's, so it is taken.
        with!(self, queue => drop(queue.retire(proof, |_, ()| {})));
    }
}
