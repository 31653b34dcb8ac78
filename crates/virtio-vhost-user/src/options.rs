//! What a caller has to know about a daemon, because the daemon does not say it: [`Options`].

use std::fmt;
use std::io;
use std::time::Duration;

use virtio_queue_rt::{DeviceType, FeatureBits, TransportError};

/// Where the device configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// From the daemon: the first so many bytes of it, at most 256.
    Device {
        /// How many.
        len: u16,
    },
    /// From the caller, for daemons that have none: the tag of a file system, the address of a network interface.
    Given(Vec<u8>),
}

/// What is assumed of a daemon, and how patient to be with it.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a connection, or an answer, may take.
    pub patience: Duration,
    /// The configuration.
    pub configuration: Configuration,
    /// How many queues the device has, if it is one that does not say.
    pub queues: u16,
    /// The largest size that a queue may have: no daemon says it. 1,024 is what most can do.
    pub queue_size: u16,
    /// Features that are not offered to the driver, whether the daemon has them or not.
    pub hidden: FeatureBits,
    /// Features that are offered to the driver although the daemon knows nothing of them: those that say what is in a
    /// [given](Configuration::Given) configuration.
    pub added: FeatureBits,
}

impl Options {
    /// What suits most daemons of a type of device.
    pub fn of(device_type: DeviceType) -> Self {
        let (len, queues, hidden) = match device_type {
            // Everything up to the limits for writing zeros.
            DeviceType::BLOCK => (60, 1, FeatureBits::EMPTY),
            // The control queue is the frontend's to serve, and this one does not: without it, one pair.
            DeviceType::NETWORK => (12, 2, NETWORK_CONTROL),
            DeviceType::FILE_SYSTEM => (44, 2, FeatureBits::EMPTY),
            _ => (64, 1, FeatureBits::EMPTY),
        };
        Self {
            patience: Duration::from_secs(5),
            configuration: Configuration::Device { len },
            queues,
            queue_size: 1024,
            hidden,
            added: FeatureBits::EMPTY,
        }
    }
}

/// What needs a network device's control queue: CTRL_VQ, CTRL_RX, CTRL_VLAN, GUEST_ANNOUNCE, MQ, CTRL_MAC_ADDR, and
/// CTRL_GUEST_OFFLOADS (VIRTIO 1.3 §5.1.3).
const NETWORK_CONTROL: FeatureBits = {
    let numbers = [17, 18, 19, 21, 22, 23, 2];
    let (mut bits, mut i) = (0, 0);
    while i < numbers.len() {
        bits |= FeatureBits::bit(numbers[i]).bits();
        i += 1;
    }
    FeatureBits::from_bits(bits)
};

/// Why there is no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody accepted the connection in time; this is what the last attempt said.
    Connect(io::ErrorKind),
    /// The operating system refuses something else that is needed.
    System(io::ErrorKind),
    /// The daemon is too old: it has no protocol features.
    TooOld,
    /// The daemon does not have the configuration, or less of it than was asked for.
    NoConfiguration,
    /// The daemon refuses what every device must accept, or says that it has no queue.
    Unusable(&'static str),
    /// The daemon does not answer, or not with sense.
    Device(TransportError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(kind) => write!(f, "no connection: {kind}"),
            Self::System(kind) => write!(f, "the operating system refuses: {kind}"),
            Self::TooOld => f.write_str("the device has no protocol features"),
            Self::NoConfiguration => f.write_str("the device does not have that much of a configuration"),
            Self::Unusable(why) => write!(f, "unusable: {why}"),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}
