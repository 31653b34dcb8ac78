//! Feature bits of the network device (VIRTIO 1.3 §5.1.3), and those that this driver accepts.
//!
//! | bit | | accepted |
//! |---|---|---|
//! | 0 | CSUM | always |
//! | 1 | GUEST_CSUM | always |
//! | 2 | CTRL_GUEST_OFFLOADS | with CTRL_VQ |
//! | 3 | MTU | if the unit is one that IPv4 can use and buffers hold |
//! | 5 | MAC | always |
//! | 6 | GSO | never: deprecated, and says less than bits 11 and 12 |
//! | 7, 8, 9 | GUEST_TSO4, GUEST_TSO6, GUEST_ECN | with MRG_RXBUF, if large packets are wanted |
//! | 10, 54, 55 | GUEST_UFO, GUEST_USO4, GUEST_USO6 | never: the stack puts no datagrams together |
//! | 11, 12, 13 | HOST_TSO4, HOST_TSO6, HOST_ECN | with CSUM, if large frames are wanted |
//! | 14, 56 | HOST_UFO, HOST_USO | never: the stack has no datagrams to cut |
//! | 15 | MRG_RXBUF | with GUEST_TSO4 or GUEST_TSO6: nothing else needs several buffers |
//! | 16 | STATUS | always |
//! | 17 | CTRL_VQ | if something of what follows is accepted |
//! | 18 | CTRL_RX | always |
//! | 19 | CTRL_VLAN | if asked for: a device that has it passes no tagged frame that it was not told of |
//! | 20 | CTRL_RX_EXTRA | never: it forbids what nobody wants to forbid |
//! | 21 | GUEST_ANNOUNCE | with STATUS |
//! | 22 | MQ | for several queue pairs |
//! | 23 | CTRL_MAC_ADDR | never: an address of the platform's own goes into the table of CTRL_RX |
//! | 50, 52, 53 | DEVICE_STATS, VQ_NOTF_COAL, NOTF_COAL | never: the driver counts by itself, and polls under load |
//! | 51, 57, 60 | HASH_TUNNEL, HASH_REPORT, RSS | never: flows find their cores by the device's own rule, and the stack hashes nothing |
//! | 59 | GUEST_HDRLEN | with segmentation: the length given is exact |
//! | 61 | RSC_EXT | never: it counts acknowledgements that nobody reads |
//! | 62 | STANDBY | always: this is the only interface, and the stand-by one of none |
//! | 63 | SPEED_DUPLEX | always |
//! | 64 and above | RSS_CONTEXT, UDP tunnels, IPsec | never: interfaces here have 64 feature bits |

use virtio_queue_rt::FeatureBits;

/// The device completes checksums of transmitted frames.
#[doc(alias = "VIRTIO_NET_F_CSUM")]
pub const CSUM: FeatureBits = FeatureBits::bit(0);
/// The driver takes frames whose checksum is not complete.
#[doc(alias = "VIRTIO_NET_F_GUEST_CSUM")]
pub const GUEST_CSUM: FeatureBits = FeatureBits::bit(1);
/// What the driver takes can be changed while the device runs.
#[doc(alias = "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS")]
pub const CTRL_GUEST_OFFLOADS: FeatureBits = FeatureBits::bit(2);
/// The configuration names a maximum transmission unit.
#[doc(alias = "VIRTIO_NET_F_MTU")]
pub const MTU: FeatureBits = FeatureBits::bit(3);
/// The configuration names the interface's address.
#[doc(alias = "VIRTIO_NET_F_MAC")]
pub const MAC: FeatureBits = FeatureBits::bit(5);
/// The driver takes long TCP segments over IPv4.
#[doc(alias = "VIRTIO_NET_F_GUEST_TSO4")]
pub const GUEST_TSO4: FeatureBits = FeatureBits::bit(7);
/// The driver takes long TCP segments over IPv6.
#[doc(alias = "VIRTIO_NET_F_GUEST_TSO6")]
pub const GUEST_TSO6: FeatureBits = FeatureBits::bit(8);
/// Among them such with the CWR flag.
#[doc(alias = "VIRTIO_NET_F_GUEST_ECN")]
pub const GUEST_ECN: FeatureBits = FeatureBits::bit(9);
/// The device cuts long TCP segments over IPv4.
#[doc(alias = "VIRTIO_NET_F_HOST_TSO4")]
pub const HOST_TSO4: FeatureBits = FeatureBits::bit(11);
/// The device cuts long TCP segments over IPv6.
#[doc(alias = "VIRTIO_NET_F_HOST_TSO6")]
pub const HOST_TSO6: FeatureBits = FeatureBits::bit(12);
/// Among them such with the CWR flag.
#[doc(alias = "VIRTIO_NET_F_HOST_ECN")]
pub const HOST_ECN: FeatureBits = FeatureBits::bit(13);
/// A received packet may take several buffers.
#[doc(alias = "VIRTIO_NET_F_MRG_RXBUF")]
pub const MRG_RXBUF: FeatureBits = FeatureBits::bit(15);
/// The configuration says whether the link is up.
#[doc(alias = "VIRTIO_NET_F_STATUS")]
pub const STATUS: FeatureBits = FeatureBits::bit(16);
/// There is a control queue.
#[doc(alias = "VIRTIO_NET_F_CTRL_VQ")]
pub const CTRL_VQ: FeatureBits = FeatureBits::bit(17);
/// Which frames are received can be chosen.
#[doc(alias = "VIRTIO_NET_F_CTRL_RX")]
pub const CTRL_RX: FeatureBits = FeatureBits::bit(18);
/// Which VLANs are received can be chosen.
#[doc(alias = "VIRTIO_NET_F_CTRL_VLAN")]
pub const CTRL_VLAN: FeatureBits = FeatureBits::bit(19);
/// The device may ask the driver to tell others its addresses.
#[doc(alias = "VIRTIO_NET_F_GUEST_ANNOUNCE")]
pub const GUEST_ANNOUNCE: FeatureBits = FeatureBits::bit(21);
/// There may be several queue pairs, as many as the configuration says.
#[doc(alias = "VIRTIO_NET_F_MQ")]
pub const MQ: FeatureBits = FeatureBits::bit(22);
/// The driver says exactly how long the headers of a frame are that is to be cut.
#[doc(alias = "VIRTIO_NET_F_GUEST_HDRLEN")]
pub const GUEST_HDRLEN: FeatureBits = FeatureBits::bit(59);
/// The device may be the stand-by of another one.
#[doc(alias = "VIRTIO_NET_F_STANDBY")]
pub const STANDBY: FeatureBits = FeatureBits::bit(62);
/// The configuration names the link's speed.
#[doc(alias = "VIRTIO_NET_F_SPEED_DUPLEX")]
pub const SPEED_DUPLEX: FeatureBits = FeatureBits::bit(63);

/// What the driver takes of any interface whose unit it can use.
pub const KNOWN: FeatureBits = FeatureBits::from_bits(MTU.bits() | MAC.bits() | STATUS.bits());

/// What it accepts besides to use several queue pairs, and only then: where they are offered together.
pub const SEVERAL_PAIRS: FeatureBits = FeatureBits::from_bits(CTRL_VQ.bits() | MQ.bits());

/// What asks for frames to be cut on their way out.
pub const SEGMENTING: FeatureBits = FeatureBits::from_bits(HOST_TSO4.bits() | HOST_TSO6.bits());

/// What lets frames come in uncut.
pub const MERGING: FeatureBits = FeatureBits::from_bits(GUEST_TSO4.bits() | GUEST_TSO6.bits());
