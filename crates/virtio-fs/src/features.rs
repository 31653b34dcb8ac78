//! Feature bits of the file system device (VIRTIO 1.3 §5.11.3), and which are accepted.
//!
//! | bit | | accepted |
//! |---|---|---|
//! | 0 | NOTIFICATION | if notifications are wanted, and the buffers that the device asks for have a size that can be |
//!
//! What is true of any virtio device (EVENT_IDX, INDIRECT_DESC, ..) is decided in `virtio-queue-rt`. The device has no
//! legacy form: without VERSION_1 it is not driven (§5.11.1).

use core::ops::RangeInclusive;

use virtio_queue_rt::FeatureBits;

/// The server may send messages of its own accord, on a queue for them.
#[doc(alias = "VIRTIO_FS_F_NOTIFICATION")]
pub const NOTIFICATION: FeatureBits = FeatureBits::bit(0);

/// The sizes of notification buffers that are believed, in bytes: from a message without contents to the largest one that
/// a server could have a use for.
pub const NOTIFICATION_SIZES: RangeInclusive<u32> = 16..=64 << 10;
