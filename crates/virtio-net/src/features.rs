//! Feature bits of the network device (VIRTIO 1.3 §5.1.3), and those that this driver accepts.

use virtio_queue_rt::FeatureBits;

/// The configuration names a maximum transmission unit.
#[doc(alias = "VIRTIO_NET_F_MTU")]
pub const MTU: FeatureBits = FeatureBits::bit(3);
/// The configuration names the interface's address.
#[doc(alias = "VIRTIO_NET_F_MAC")]
pub const MAC: FeatureBits = FeatureBits::bit(5);
/// The configuration says whether the link is up.
#[doc(alias = "VIRTIO_NET_F_STATUS")]
pub const STATUS: FeatureBits = FeatureBits::bit(16);
/// There is a control queue.
#[doc(alias = "VIRTIO_NET_F_CTRL_VQ")]
pub const CTRL_VQ: FeatureBits = FeatureBits::bit(17);
/// There may be several queue pairs, as many as the configuration says.
#[doc(alias = "VIRTIO_NET_F_MQ")]
pub const MQ: FeatureBits = FeatureBits::bit(22);

/// What the driver knows of any interface.
pub const KNOWN: FeatureBits = FeatureBits::from_bits(MTU.bits() | MAC.bits() | STATUS.bits());

/// What it accepts besides to use several queue pairs, and only then: where they are offered together.
pub const SEVERAL_PAIRS: FeatureBits = FeatureBits::from_bits(CTRL_VQ.bits() | MQ.bits());
