//! [`InitError`]: why a device could not be initialised.

use core::fmt;

use toro_core::OutOfDmaMemory;
use toro_core::driver::{AttachError, DeviceFault};

use crate::features::FeatureBits;
use crate::transport::{QueueIndex, TransportError};

/// Why a device could not be initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitError {
    /// The registers did not do what they must.
    Transport(TransportError),
    /// The device does not offer these features, without which it cannot be driven.
    FeaturesMissing(FeatureBits),
    /// The device did not accept the driver's choice of features.
    FeaturesRejected,
    /// A queue is too small for a single request.
    QueueTooSmall(QueueIndex),
    /// The platform has no memory for the rings.
    OutOfDmaMemory,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::FeaturesMissing(features) => write!(f, "the device does not offer {features:?}"),
            Self::FeaturesRejected => f.write_str("the device rejected the features chosen"),
            Self::QueueTooSmall(queue) => write!(f, "queue {} is too small for one request", queue.0),
            Self::OutOfDmaMemory => OutOfDmaMemory.fmt(f),
        }
    }
}

impl core::error::Error for InitError {}

impl From<TransportError> for InitError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<OutOfDmaMemory> for InitError {
    fn from(_: OutOfDmaMemory) -> Self {
        Self::OutOfDmaMemory
    }
}

impl From<InitError> for AttachError {
    fn from(error: InitError) -> Self {
        match error {
            InitError::FeaturesMissing(_) | InitError::FeaturesRejected => Self::Features,
            InitError::QueueTooSmall(queue) => Self::Queue { index: queue.0 },
            InitError::OutOfDmaMemory => Self::OutOfDmaMemory,
            InitError::Transport(error) => error.into(),
        }
    }
}

impl From<TransportError> for AttachError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::NotVirtio(what) | TransportError::Missing(what) => Self::Resources(what),
            TransportError::TimedOut => Self::TimedOut,
            TransportError::Gone => Self::Fault(DeviceFault::Gone),
            TransportError::NotNegotiated(_) => Self::Features,
            TransportError::NoSuchQueue(queue)
            | TransportError::QueueRefused(queue)
            | TransportError::BadDoorbell(queue)
            | TransportError::AddressTooHigh(queue)
            | TransportError::NoVector(queue) => Self::Queue { index: queue.0 },
            TransportError::UnstableConfiguration => Self::Configuration("it changes faster than it can be read"),
        }
    }
}
