//! The device status field (VIRTIO 1.3 §2.1).

use bitflags::bitflags;

bitflags! {
    /// How far initialisation has come, and what went wrong. Bits are only ever added; writing 0 resets.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeviceStatus: u8 {
        /// The driver has noticed the device.
        const ACKNOWLEDGE = 1;
        /// The driver knows how to drive it.
        const DRIVER = 2;
        /// The driver is set up and ready.
        const DRIVER_OK = 4;
        /// The driver's choice of features is final, and the device accepts it.
        const FEATURES_OK = 8;
        /// The device has met an error that only a reset mends.
        const DEVICE_NEEDS_RESET = 64;
        /// The driver has given up on the device.
        const FAILED = 128;
        const _ = !0;
    }
}
