//! Feature bits of the block device (VIRTIO 1.3 §5.2.3), and those that this driver accepts.
//!
//! Zoned disks (bit 17) are not among them: without it a disk of zones that may be written like any other is one, and a
//! disk whose zones may not does not accept the choice of features. Nor are the legacy bits for barriers and for SCSI
//! commands (§5.2.3.1), which nobody should use.

use virtio_queue_rt::FeatureBits;

/// The configuration names the longest buffer of a request.
#[doc(alias = "VIRTIO_BLK_F_SIZE_MAX")]
pub const SIZE_MAX: FeatureBits = FeatureBits::bit(1);
/// The configuration names the most buffers of a request.
#[doc(alias = "VIRTIO_BLK_F_SEG_MAX")]
pub const SEG_MAX: FeatureBits = FeatureBits::bit(2);
/// The disk refuses writes, whether the driver accepts this or not.
#[doc(alias = "VIRTIO_BLK_F_RO")]
pub const RO: FeatureBits = FeatureBits::bit(5);
/// The configuration names the size of the disk's blocks.
#[doc(alias = "VIRTIO_BLK_F_BLK_SIZE")]
pub const BLK_SIZE: FeatureBits = FeatureBits::bit(6);
/// There are flushes; in a legacy device also the word for a cache that needs them.
#[doc(alias = "VIRTIO_BLK_F_FLUSH")]
pub const FLUSH: FeatureBits = FeatureBits::bit(9);
/// The configuration describes what lies below the blocks.
#[doc(alias = "VIRTIO_BLK_F_TOPOLOGY")]
pub const TOPOLOGY: FeatureBits = FeatureBits::bit(10);
/// The write cache can be switched on and off.
#[doc(alias = "VIRTIO_BLK_F_CONFIG_WCE")]
pub const CONFIG_WCE: FeatureBits = FeatureBits::bit(11);
/// There may be several queues, as many as the configuration says.
#[doc(alias = "VIRTIO_BLK_F_MQ")]
pub const MQ: FeatureBits = FeatureBits::bit(12);
/// Sectors can be given up.
#[doc(alias = "VIRTIO_BLK_F_DISCARD")]
pub const DISCARD: FeatureBits = FeatureBits::bit(13);
/// Sectors can be filled with zeros without sending any.
#[doc(alias = "VIRTIO_BLK_F_WRITE_ZEROES")]
pub const WRITE_ZEROES: FeatureBits = FeatureBits::bit(14);
/// The disk says how worn it is.
#[doc(alias = "VIRTIO_BLK_F_LIFETIME")]
pub const LIFETIME: FeatureBits = FeatureBits::bit(15);
/// Sectors can be erased for good.
#[doc(alias = "VIRTIO_BLK_F_SECURE_ERASE")]
pub const SECURE_ERASE: FeatureBits = FeatureBits::bit(16);

/// What the driver knows of any disk. [`MQ`] comes to it where several queues are wanted.
pub const KNOWN: FeatureBits = FeatureBits::from_bits(
    SIZE_MAX.bits()
        | SEG_MAX.bits()
        | RO.bits()
        | BLK_SIZE.bits()
        | FLUSH.bits()
        | TOPOLOGY.bits()
        | CONFIG_WCE.bits()
        | DISCARD.bits()
        | WRITE_ZEROES.bits()
        | LIFETIME.bits()
        | SECURE_ERASE.bits(),
);

/// `accepted` without what makes no sense alone: a cache that can be switched on needs flushes (§5.2.5.2).
pub(crate) fn refine(accepted: FeatureBits) -> FeatureBits {
    if accepted.contains(FLUSH) { accepted } else { accepted & !CONFIG_WCE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blk_4_22_zones_barriers_and_scsi_commands_are_unknown() {
        for bit in [0, 4, 7, 17] {
            assert!(!(KNOWN | MQ).contains(FeatureBits::bit(bit)), "bit {bit}");
        }
    }

    #[test]
    fn a_switch_for_the_cache_needs_flushes() {
        assert_eq!(refine(CONFIG_WCE | RO), RO);
        assert_eq!(refine(CONFIG_WCE | FLUSH), CONFIG_WCE | FLUSH);
    }
}
