//! The bytes of the network device, as the specification draws them (VIRTIO 1.3 §5.1.4, §5.1.6).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, LE, U16, Unaligned};

/// In front of each frame, in both directions.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "virtio_net_hdr")]
pub struct Header {
    /// What to do about the checksum; 0 without checksum offload.
    pub flags: u8,
    /// Kind of segmentation; 0 for none.
    pub gso_type: u8,
    /// Length of the headers, a hint.
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

/// The command that sets how many queue pairs are in use, device-readable (§5.1.6.5.5).
///
/// Behind it in its chain the device writes one byte of answer, a [`control::OK`] or [`control::ERR`].
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "virtio_net_ctrl_mq")]
pub struct SetQueuePairs {
    /// Class of the command: [`control::MQ`].
    pub class: u8,
    /// Command of the class: [`control::MQ_VQ_PAIRS_SET`].
    pub command: u8,
    /// How many pairs.
    pub pairs: U16<LE>,
}
const _: () = assert!(size_of::<SetQueuePairs>() == 4);

impl SetQueuePairs {
    /// The command for this number of pairs.
    pub fn new(pairs: u16) -> Self {
        Self { class: control::MQ, command: control::MQ_VQ_PAIRS_SET, pairs: pairs.into() }
    }
}

/// Codes of the control queue (§5.1.6.5).
pub mod control {
    /// The class of commands about queue pairs.
    #[doc(alias = "VIRTIO_NET_CTRL_MQ")]
    pub const MQ: u8 = 4;
    /// Its command that sets how many are in use.
    #[doc(alias = "VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET")]
    pub const MQ_VQ_PAIRS_SET: u8 = 0;
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
    /// The status bit that says that the link is up.
    pub const LINK_UP: u16 = 1;
}
