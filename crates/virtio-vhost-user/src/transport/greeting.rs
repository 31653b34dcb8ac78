//! From a path to a daemon that has been greeted: what is said once on each connection, before there are features.
//!
//! ```text
//!   connect    GET_FEATURES, SET_OWNER, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM
//! ```

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use virtio_queue_rt::DeviceType;

use super::PAUSE;
use crate::connection::{Connection, Failure};
use crate::options::ConnectError;
use crate::wire::{Message, PROTOCOL_FEATURES, Request, protocol};

/// The most queues that a device may say it has; their numbers have eight bits in some messages.
const MOST_QUEUES: u64 = 256;

/// What a daemon says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Greeted {
    /// The features that it offers, its protocol features among it.
    pub offered: u64,
    /// How many queues it has, at least one.
    pub queues: usize,
    /// Whether it has the configuration space.
    pub has_config: bool,
}

/// Greets the daemon behind a new connection; `queues` is how many it has if it does not say.
pub fn greet(
    connection: &Connection,
    device_type: DeviceType,
    queues: u16,
    until: Instant,
) -> Result<Greeted, ConnectError> {
    let offered = connection.ask_wide(Request::GetFeatures, until).map_err(refused)?;
    connection.tell(&Message::new(Request::SetOwner), until).map_err(refused)?;
    if offered & PROTOCOL_FEATURES == 0 {
        return Err(ConnectError::TooOld);
    }
    let can = connection.ask_wide(Request::GetProtocolFeatures, until).map_err(refused)?;
    let wanted = can & (protocol::MQ | protocol::REPLY_ACK | protocol::CONFIG);
    connection.tell(&Message::new(Request::SetProtocolFeatures).wide(wanted), until).map_err(refused)?;
    if wanted & protocol::REPLY_ACK != 0 {
        connection.expect_acknowledgements();
    }
    let queues = match wanted & protocol::MQ {
        0 => u64::from(queues),
        // Of a network device, pairs are counted.
        _ if device_type == DeviceType::NETWORK => u64::from(queues),
        _ => connection.ask_wide(Request::GetQueueNum, until).map_err(refused)?,
    };
    match queues.min(MOST_QUEUES) as usize {
        0 => Err(ConnectError::Unusable("a device without queues")),
        queues => Ok(Greeted { offered, queues, has_config: wanted & protocol::CONFIG != 0 }),
    }
}

/// Connects, as often as it takes.
pub fn open(path: &Path, until: Instant) -> Result<OwnedFd, ConnectError> {
    let address = SocketAddrUnix::new(path).map_err(system)?;
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(system)?;
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            // Nobody has made the socket yet, listens to it yet, or has time for one more.
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN | Errno::INTR) if Instant::now() < until => {
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(ConnectError::Connect(error.kind())),
        }
    }
}

pub fn system(error: Errno) -> ConnectError {
    ConnectError::System(error.kind())
}

fn refused(failure: Failure) -> ConnectError {
    match failure {
        Failure::Refused => ConnectError::Unusable("a device that refuses to be asked"),
        Failure::Over(error) => ConnectError::Device(error),
    }
}
