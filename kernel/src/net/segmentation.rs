//! Segments of TCP that the device cuts: what smoltcp is told of it, and says with a packet.
//!
//! It concerns both families, but smoltcp 0.14 can be built with it only if it is built with IPv6.

use core::num::{NonZeroU16, NonZeroUsize};

use smoltcp::phy::{DeviceCapabilities, PacketMeta};

/// Whether the device cuts and merges segments.
pub(super) const IS_THERE: bool = true;

/// Lets smoltcp write frames with segments of up to so many bytes, for each family; 0: no longer than the link's.
pub(super) fn allow(capabilities: &mut DeviceCapabilities, max_tcp4: usize, max_tcp6: usize) {
    capabilities.segmentation.tcpv4 = NonZeroUsize::new(max_tcp4);
    capabilities.segmentation.tcpv6 = NonZeroUsize::new(max_tcp6);
}

/// Of what size the segments are that a packet has to be cut into, if smoltcp says so.
pub(super) fn size(meta: &PacketMeta) -> Option<NonZeroU16> {
    meta.segmentation_offload_size
}
