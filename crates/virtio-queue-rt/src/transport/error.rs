//! [`TransportError`]: what can go wrong between a driver and the registers of its device.

use core::fmt;

use super::QueueIndex;
use crate::features::FeatureBits;

/// What can go wrong between driver and registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// The registers are not those of a virtio device that this transport can drive.
    NotVirtio(&'static str),
    /// A capability or register block that every device must have is missing or unusable.
    Missing(&'static str),
    /// The device did not answer in time.
    TimedOut,
    /// The device has no such queue.
    NoSuchQueue(QueueIndex),
    /// The queue is in use, or did not take its configuration.
    QueueRefused(QueueIndex),
    /// The place to notify the queue lies outside the device's registers.
    BadDoorbell(QueueIndex),
    /// The device has no interrupt vector left for the queue.
    NoVector(QueueIndex),
    /// The configuration changed each time it was read.
    UnstableConfiguration,
    /// The rings of the queue lie where a legacy device cannot find them: page numbers have 32 bits.
    AddressTooHigh(QueueIndex),
    /// What was asked for needs a feature that was not negotiated.
    NotNegotiated(FeatureBits),
    /// Every register reads as all ones: the device is not there any more.
    Gone,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVirtio(why) => write!(f, "not a usable virtio device: {why}"),
            Self::Missing(what) => write!(f, "the device has no usable {what}"),
            Self::TimedOut => f.write_str("the device did not answer in time"),
            Self::NoSuchQueue(queue) => write!(f, "the device has no queue {}", queue.0),
            Self::QueueRefused(queue) => write!(f, "queue {} did not take its configuration", queue.0),
            Self::BadDoorbell(queue) => write!(f, "queue {} is to be notified outside the device's registers", queue.0),
            Self::NoVector(queue) => write!(f, "queue {} got no interrupt vector", queue.0),
            Self::AddressTooHigh(queue) => write!(f, "the rings of queue {} lie too high for a legacy device", queue.0),
            Self::NotNegotiated(features) => write!(f, "{features:?} was not negotiated"),
            Self::Gone => f.write_str("the device is gone"),
            Self::UnstableConfiguration => f.write_str("the configuration changes faster than it can be read"),
        }
    }
}

impl core::error::Error for TransportError {}
