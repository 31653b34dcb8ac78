//! POLL: is a file ready?
//!
//! The answer is what is true now. With a [`WakeUp`] in the request, the server also promises to say when that changes,
//! with [`Notification::Poll`](crate::notify::Notification::Poll) and the same number. It is the client's number, so it
//! is never taken for anything but a key to look up. Without a channel for notifications there is nobody to keep the
//! promise, and a client asks again.
//!
//! A server that answers `ENOSYS` has only files that are always ready.

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of POLL.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_poll_in")]
pub struct WirePoll {
    /// The open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// [`WakeUp`].
    #[doc(alias = "kh")]
    pub wake_up: U64,
    /// 1 if `wake_up` counts.
    pub flags: U32,
    /// [`PollEvents`] that are wanted.
    pub events: U32,
}
const _: () = assert!(size_of::<WirePoll>() == 24);

/// `flags`: a notification is wanted.
const SCHEDULE_NOTIFY: u32 = 1;

/// Reply to POLL.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_poll_out")]
pub struct WirePollReply {
    /// [`PollEvents`] that are true.
    #[doc(alias = "revents")]
    pub events: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WirePollReply>() == 8);

bitflags! {
    /// What a file may be ready for.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct PollEvents: u32 {
        /// Reading.
        #[doc(alias = "POLLIN")]
        const READABLE = 0x1;
        /// Reading what is urgent.
        #[doc(alias = "POLLPRI")]
        const PRIORITY = 0x2;
        /// Writing.
        #[doc(alias = "POLLOUT")]
        const WRITABLE = 0x4;
        /// An error; always wanted.
        #[doc(alias = "POLLERR")]
        const ERROR = 0x8;
        /// The other end is gone; always wanted.
        #[doc(alias = "POLLHUP")]
        const HANG_UP = 0x10;
        /// The file cannot be asked; always wanted.
        #[doc(alias = "POLLNVAL")]
        const INVALID = 0x20;
        /// Reading of ordinary data.
        #[doc(alias = "POLLRDNORM")]
        const READ_NORMAL = 0x40;
        /// Reading of data out of band.
        #[doc(alias = "POLLRDBAND")]
        const READ_BAND = 0x80;
        /// Writing of ordinary data.
        #[doc(alias = "POLLWRNORM")]
        const WRITE_NORMAL = 0x100;
        /// Writing of data out of band.
        #[doc(alias = "POLLWRBAND")]
        const WRITE_BAND = 0x200;
        /// The other end will send nothing more.
        #[doc(alias = "POLLRDHUP")]
        const READ_HANG_UP = 0x2000;
    }
}

impl PollEvents {
    /// What is reported whether it was asked for or not.
    const ALWAYS: Self = Self::ERROR.union(Self::HANG_UP).union(Self::INVALID);
}

/// The client's number for somebody who waits for a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WakeUp(pub u64);

/// Asks what an open file is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_POLL")]
pub struct Poll {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// What is of interest.
    pub events: PollEvents,
    /// Whom to wake when it changes, if anybody.
    pub wake_up: Option<WakeUp>,
}

impl Request for Poll {
    const OPCODE: Opcode = Opcode::Poll;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WirePoll {
            handle: U64::new(self.handle.0),
            wake_up: U64::new(self.wake_up.map_or(0, |WakeUp(number)| number)),
            flags: U32::new(self.wake_up.map_or(0, |_| SCHEDULE_NOTIFY)),
            events: U32::new(self.events.bits()),
        })
    }
}

impl Operation for Poll {
    /// Nothing but what was asked for, and errors.
    type Reply<'a> = PollEvents;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WirePollReply>()
    }

    fn parse(&self, payload: &[u8]) -> Result<PollEvents, ReplyError> {
        let wire: WirePollReply = parse_fixed(payload)?;
        Ok(PollEvents::from_bits_truncate(wire.events.get()) & (self.events | PollEvents::ALWAYS))
    }
}
