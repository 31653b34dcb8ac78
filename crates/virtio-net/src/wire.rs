//! The bytes of the network device, as the specification draws them (VIRTIO 1.3 §5.1.4, §5.1.6).
//!
//! Numbers are little-endian. In a legacy device they are in the guest's byte order: where that is another one, nothing
//! that has a number in it is negotiated with such a device.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, LE, U16, Unaligned};

/// In front of each frame, in both directions.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "virtio_net_hdr")]
pub struct Header {
    /// What to do about the checksum: of [`flags`]; 0 without checksum offload.
    pub flags: u8,
    /// Kind of segmentation: of [`gso`]; 0 for none.
    pub gso_type: u8,
    /// Length of the headers. In received frames it is a hint.
    pub hdr_len: U16<LE>,
    /// Segment size.
    pub gso_size: U16<LE>,
    /// Where summing starts.
    pub csum_start: U16<LE>,
    /// Where the sum goes, from `csum_start`.
    pub csum_offset: U16<LE>,
    /// How many buffers a received frame takes; 0 in transmitted frames.
    pub num_buffers: U16<LE>,
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

/// Length of [`Header`] in bytes.
pub const HEADER_LEN: usize = 12;

/// Its length in a legacy device, which has no `num_buffers` unless receive buffers can be merged.
pub const LEGACY_HEADER_LEN: usize = 10;

/// Length of the Ethernet header.
pub const ETHERNET_HEADER_LEN: usize = 14;

/// Bits of [`Header::flags`].
pub mod flags {
    /// The checksum is to be completed.
    #[doc(alias = "VIRTIO_NET_HDR_F_NEEDS_CSUM")]
    pub const NEEDS_CSUM: u8 = 1;
    /// The device has found the checksum right.
    #[doc(alias = "VIRTIO_NET_HDR_F_DATA_VALID")]
    pub const DATA_VALID: u8 = 2;
    /// The fields about the checksum hold something else.
    #[doc(alias = "VIRTIO_NET_HDR_F_RSC_INFO")]
    pub const RSC_INFO: u8 = 4;
}

/// Values of [`Header::gso_type`].
pub mod gso {
    /// An ordinary frame.
    #[doc(alias = "VIRTIO_NET_HDR_GSO_NONE")]
    pub const NONE: u8 = 0;
    /// TCP over IPv4.
    #[doc(alias = "VIRTIO_NET_HDR_GSO_TCPV4")]
    pub const TCPV4: u8 = 1;
    /// TCP over IPv6.
    #[doc(alias = "VIRTIO_NET_HDR_GSO_TCPV6")]
    pub const TCPV6: u8 = 4;
    /// Added to one of the others: the CWR flag is set.
    #[doc(alias = "VIRTIO_NET_HDR_GSO_ECN")]
    pub const ECN: u8 = 0x80;
}

/// Codes of the control queue (§5.1.6.5).
///
/// A command is its class and its number, a byte each, then its data, and behind it in its chain a byte that the device
/// writes: [`OK`](self::control::OK) or [`ERR`](self::control::ERR).
pub mod control {
    /// Which frames are received.
    #[doc(alias = "VIRTIO_NET_CTRL_RX")]
    pub const RX: u8 = 0;
    /// All of them: one byte of data, 1 or 0.
    #[doc(alias = "VIRTIO_NET_CTRL_RX_PROMISC")]
    pub const RX_PROMISC: u8 = 0;
    /// All those to groups: one byte of data, 1 or 0.
    #[doc(alias = "VIRTIO_NET_CTRL_RX_ALLMULTI")]
    pub const RX_ALLMULTI: u8 = 1;
    /// Addresses.
    #[doc(alias = "VIRTIO_NET_CTRL_MAC")]
    pub const MAC: u8 = 1;
    /// The addresses to receive besides the interface's own: a 32-bit count and as many addresses, which are no groups; then
    /// the same for groups.
    #[doc(alias = "VIRTIO_NET_CTRL_MAC_TABLE_SET")]
    pub const MAC_TABLE_SET: u8 = 0;
    /// VLANs.
    #[doc(alias = "VIRTIO_NET_CTRL_VLAN")]
    pub const VLAN: u8 = 2;
    /// One more is received: 16 bits.
    #[doc(alias = "VIRTIO_NET_CTRL_VLAN_ADD")]
    pub const VLAN_ADD: u8 = 0;
    /// One is received no more: 16 bits.
    #[doc(alias = "VIRTIO_NET_CTRL_VLAN_DEL")]
    pub const VLAN_DEL: u8 = 1;
    /// Announcements.
    #[doc(alias = "VIRTIO_NET_CTRL_ANNOUNCE")]
    pub const ANNOUNCE: u8 = 3;
    /// The wish for one was heard: no data.
    #[doc(alias = "VIRTIO_NET_CTRL_ANNOUNCE_ACK")]
    pub const ANNOUNCE_ACK: u8 = 0;
    /// Queue pairs.
    #[doc(alias = "VIRTIO_NET_CTRL_MQ")]
    pub const MQ: u8 = 4;
    /// How many are in use: 16 bits.
    #[doc(alias = "VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET")]
    pub const MQ_VQ_PAIRS_SET: u8 = 0;
    /// What the driver takes.
    #[doc(alias = "VIRTIO_NET_CTRL_GUEST_OFFLOADS")]
    pub const GUEST_OFFLOADS: u8 = 5;
    /// Feature bits, 64 of them.
    #[doc(alias = "VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET")]
    pub const GUEST_OFFLOADS_SET: u8 = 0;
    /// The answer of a device that did as it was told.
    #[doc(alias = "VIRTIO_NET_OK")]
    pub const OK: u8 = 0;
    /// The answer of one that did not.
    #[doc(alias = "VIRTIO_NET_ERR")]
    pub const ERR: u8 = 1;
}

/// Offsets of the fields of the device configuration.
pub mod config {
    /// Six bytes of address.
    pub const MAC: usize = 0;
    /// 16-bit link status.
    pub const STATUS: usize = 6;
    /// 16-bit number of queue pairs that there are at most.
    pub const MAX_VIRTQUEUE_PAIRS: usize = 8;
    /// 16-bit maximum transmission unit.
    pub const MTU: usize = 10;
    /// 32-bit speed in megabits per second.
    pub const SPEED: usize = 12;
    /// 8-bit number: 1 for full duplex, 0 for half.
    pub const DUPLEX: usize = 16;
    /// The status bit that says that the link is up.
    #[doc(alias = "VIRTIO_NET_S_LINK_UP")]
    pub const LINK_UP: u16 = 1;
    /// The status bit that asks for an announcement.
    #[doc(alias = "VIRTIO_NET_S_ANNOUNCE")]
    pub const ANNOUNCE: u16 = 2;
}
