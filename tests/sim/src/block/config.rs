//! The configuration of a disk, and its feature bits, as the specification numbers them.

/// Buffers have a longest length.
pub const SIZE_MAX: u64 = 1 << 1;
/// Requests have a largest number of buffers.
pub const SEG_MAX: u64 = 1 << 2;
/// No writes.
pub const RO: u64 = 1 << 5;
/// Blocks have a size.
pub const BLK_SIZE: u64 = 1 << 6;
/// There are flushes.
pub const FLUSH: u64 = 1 << 9;
/// Blocks have physical ones.
pub const TOPOLOGY: u64 = 1 << 10;
/// The cache has a switch.
pub const CONFIG_WCE: u64 = 1 << 11;
/// There are several queues.
pub const MQ: u64 = 1 << 12;
/// Ranges can be discarded.
pub const DISCARD: u64 = 1 << 13;
/// Ranges can be filled with zeros.
pub const WRITE_ZEROES: u64 = 1 << 14;
/// There is a lifetime.
pub const LIFETIME: u64 = 1 << 15;
/// Ranges can be erased.
pub const SECURE_ERASE: u64 = 1 << 16;

/// Where the mode of the cache is.
pub const WRITEBACK: usize = 32;

/// What the fields hold.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct BlockConfig {
    pub capacity: u64,
    pub size_max: u32,
    pub seg_max: u32,
    pub blk_size: u32,
    pub physical_exponent: u8,
    pub writeback: u8,
    pub queues: u16,
    /// Sectors of a range, ranges of a request.
    pub discard: [u32; 2],
    pub write_zeroes: [u32; 2],
    pub may_unmap: u8,
    pub secure_erase: [u32; 2],
}

impl Default for BlockConfig {
    fn default() -> Self {
        Self {
            capacity: 64,
            size_max: 1 << 20,
            seg_max: 126,
            blk_size: 512,
            physical_exponent: 3,
            writeback: 1,
            queues: 1,
            discard: [32, 4],
            write_zeroes: [32, 4],
            may_unmap: 1,
            secure_erase: [16, 2],
        }
    }
}

impl BlockConfig {
    /// As the driver sees it.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; 96];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &self.capacity.to_le_bytes());
        put(8, &self.size_max.to_le_bytes());
        put(12, &self.seg_max.to_le_bytes());
        put(20, &self.blk_size.to_le_bytes());
        put(24, &[self.physical_exponent]);
        put(WRITEBACK, &[self.writeback]);
        put(34, &self.queues.to_le_bytes());
        for (at, [sectors, ranges]) in [(36, self.discard), (48, self.write_zeroes), (60, self.secure_erase)] {
            put(at, &sectors.to_le_bytes());
            put(at + 4, &ranges.to_le_bytes());
        }
        put(56, &[self.may_unmap]);
        bytes
    }
}
