//! In place of `segmentation` in an image without the feature: the device neither cuts nor merges segments.

use core::num::NonZeroU16;

use smoltcp::phy::{DeviceCapabilities, PacketMeta};

/// Whether the device does.
pub(super) const IS_THERE: bool = false;

pub(super) fn allow(_capabilities: &mut DeviceCapabilities, _max_tcp4: usize, _max_tcp6: usize) {}

pub(super) fn size(_meta: &PacketMeta) -> Option<NonZeroU16> {
    None
}
