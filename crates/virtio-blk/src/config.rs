//! What the device says of its disk, and what of that is believed.
//!
//! Every field comes from the device, and the worst of them has to leave a driver whose arithmetic holds:
//!
//! ```text
//!   capacity                 as it is, up to where its bytes fit 64 bits
//!   blk_size                 512, .. 65,536 and a power of two; else 512
//!   physical_block_exponent  up to 1 MiB; else the block itself
//!   size_max                 whole sectors, at least one; 0 sets no limit
//!   seg_max                  at least 1, at most what the queue takes
//!   sectors of a range       0: no such request
//!   ranges of a request      at least 1
//!   num_queues               at least 1
//! ```
//!
//! The configuration is read once, after the features are settled (§5.2.5.1), and again when the device says that it has
//! changed: then the capacity and the mode of the write cache count, and nothing else.

use core::cmp::{max, min};

use toro_core::Registers;
use toro_core::dma::{LARGEST_BUFFER, LONGEST_TRANSFER};
use toro_core::driver::block::{BlockLimits, Disk, SECTOR};
use virtio_queue_rt::FeatureBits;

use crate::features;
use crate::wire::{ByteOrder, config};

/// The largest block that is believed.
const LARGEST_BLOCK: u32 = 65_536;
/// The largest physical block that is believed.
const LARGEST_PHYSICAL_BLOCK: u64 = 1 << 20;
/// The most sectors that have fewer than 2^64 bytes.
const MOST_SECTORS: u64 = u64::MAX / SECTOR as u64;

/// Whether completed writes may be lost, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// They are stable.
    None,
    /// They may be, until a flush.
    WriteBack,
    /// Those from before the cache was switched off may be, until a flush that is submitted now or later.
    Draining,
}

/// What is the same for all requests of one kind that names ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeLimit {
    /// Sectors of a range; 0 if there is no such request.
    pub(crate) sectors: u32,
    /// Ranges of a request.
    pub(crate) ranges: u32,
}

/// What is known of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traits {
    pub(crate) features: FeatureBits,
    pub(crate) order: ByteOrder,
    pub(crate) sectors: u64,
    pub(crate) cache: Cache,
    pub(crate) block_size: u32,
    physical_block_size: u32,
    /// Sectors in a block, less one: what the first sector and the number of sectors of a request have no bit of.
    pub(crate) block_mask: u64,
    /// The longest buffer, in bytes.
    pub(crate) segment_bytes: usize,
    /// The most buffers of a request, and how many are in flight: those of the queue, once there is one.
    pub(crate) segments: u16,
    pub(crate) in_flight: u16,
    pub(crate) queues: u16,
    pub(crate) discard: RangeLimit,
    pub(crate) write_zeroes: RangeLimit,
    pub(crate) secure_erase: RangeLimit,
    /// Whether the room of zeros may be given up.
    pub(crate) may_unmap: bool,
}

/// The most sectors of a transfer.
pub(crate) const LONGEST_SECTORS: u32 = (LONGEST_TRANSFER / SECTOR as u64) as u32;

impl Traits {
    /// Reads the fields that these features say are there.
    pub(crate) fn read(registers: &dyn Registers, features: FeatureBits, order: ByteOrder) -> Self {
        let has = |feature| features.contains(feature);
        let word = |feature, at, otherwise| if has(feature) { registers.read32(at) } else { otherwise };
        let limit = |feature, [sectors, ranges]: [usize; 2]| match has(feature) {
            true => RangeLimit { sectors: registers.read32(sectors), ranges: max(registers.read32(ranges), 1) },
            false => RangeLimit::default(),
        };
        let block_size = word(features::BLK_SIZE, config::BLK_SIZE, SECTOR as u32);
        let is_sound = block_size.is_power_of_two() && (SECTOR as u32..=LARGEST_BLOCK).contains(&block_size);
        let block_size = if is_sound { block_size } else { SECTOR as u32 };
        let exponent = if has(features::TOPOLOGY) { registers.read8(config::PHYSICAL_BLOCK_EXPONENT) } else { 0 };
        let queues = if has(features::MQ) { registers.read16(config::NUM_QUEUES) } else { 1 };
        Self {
            features,
            order,
            sectors: capacity(registers),
            cache: cache(registers, features),
            block_size,
            physical_block_size: physical_block_size(block_size, exponent),
            block_mask: u64::from(block_size) / SECTOR as u64 - 1,
            segment_bytes: segment_bytes(word(features::SIZE_MAX, config::SIZE_MAX, 0)),
            segments: u16::try_from(max(word(features::SEG_MAX, config::SEG_MAX, 1), 1)).unwrap_or(u16::MAX),
            in_flight: 0,
            queues: max(queues, 1),
            discard: limit(features::DISCARD, config::MAX_DISCARD),
            write_zeroes: limit(features::WRITE_ZEROES, config::MAX_WRITE_ZEROES),
            secure_erase: limit(features::SECURE_ERASE, config::MAX_SECURE_ERASE),
            may_unmap: has(features::WRITE_ZEROES) && registers.read8(config::WRITE_ZEROES_MAY_UNMAP) == 1,
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.features.contains(features::RO)
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk {
            sectors: self.sectors,
            block_size: self.block_size,
            physical_block_size: self.physical_block_size,
            is_read_only: self.is_read_only(),
            has_cache: self.cache != Cache::None,
        }
    }

    pub(crate) fn limits(&self) -> BlockLimits {
        BlockLimits {
            in_flight: self.in_flight.into(),
            segments: self.segments.into(),
            segment_bytes: self.segment_bytes,
            sectors: LONGEST_SECTORS,
            discard_sectors: self.discard.sectors,
            write_zeroes_sectors: self.write_zeroes.sectors,
            secure_erase_sectors: self.secure_erase.sectors,
        }
    }
}

/// The number of sectors, as far as they can be counted in bytes.
pub(crate) fn capacity(registers: &dyn Registers) -> u64 {
    let [low, high] = [0, 4].map(|half| u64::from(registers.read32(config::CAPACITY + half)));
    min(low | high << 32, MOST_SECTORS)
}

/// What the cache is like (§5.2.5.1): whoever offers flushes has one, unless there is a switch and it is off.
pub(crate) fn cache(registers: &dyn Registers, features: FeatureBits) -> Cache {
    let is_off = || features.contains(features::CONFIG_WCE) && registers.read8(config::WRITEBACK) == 0;
    if !features.contains(features::FLUSH) || is_off() { Cache::None } else { Cache::WriteBack }
}

fn physical_block_size(block_size: u32, exponent: u8) -> u32 {
    let size = 1_u64.checked_shl(exponent.into()).and_then(|blocks| blocks.checked_mul(block_size.into()));
    size.filter(|&size| size <= LARGEST_PHYSICAL_BLOCK).and_then(|size| size.try_into().ok()).unwrap_or(block_size)
}

fn segment_bytes(size_max: u32) -> usize {
    let bytes = match size_max {
        0 => LARGEST_BUFFER,
        _ => size_max as usize / SECTOR * SECTOR,
    };
    bytes.clamp(SECTOR, LARGEST_BUFFER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Configuration bytes as registers.
    struct Bytes<'a>(&'a [u8]);

    impl Bytes<'_> {
        fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
            self.0.get(offset..offset + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0xff; N])
        }
    }

    impl Registers for Bytes<'_> {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn read8(&self, offset: usize) -> u8 {
            self.get::<1>(offset)[0]
        }
        fn read16(&self, offset: usize) -> u16 {
            u16::from_le_bytes(self.get(offset))
        }
        fn read32(&self, offset: usize) -> u32 {
            u32::from_le_bytes(self.get(offset))
        }
        fn write8(&self, _: usize, _: u8) {}
        fn write16(&self, _: usize, _: u16) {}
        fn write32(&self, _: usize, _: u32) {}
    }

    fn read(bytes: &[u8], features: FeatureBits) -> Traits {
        Traits::read(&Bytes(bytes), features, ByteOrder::Little)
    }

    #[test]
    fn blk_19_hd_cfg_5_a_block_size_that_cannot_be_counts_as_512() {
        for (size, believed) in [
            (0, 512),
            (1, 512),
            (256, 512),
            (512, 512),
            (1000, 512),
            (4096, 4096),
            (65_536, 65_536),
            (131_072, 512),
            (1 << 31, 512),
            (u32::MAX, 512),
        ] {
            let mut bytes = [0; 80];
            bytes[20..24].copy_from_slice(&u32::to_le_bytes(size));
            assert_eq!(read(&bytes, features::BLK_SIZE).block_size, believed, "{size}");
            assert_eq!(read(&bytes, FeatureBits::EMPTY).block_size, 512, "not negotiated");
        }
    }

    #[test]
    fn hd_cfg_8_exponents_are_bounded() {
        for (exponent, believed) in [(0, 512), (3, 4096), (11, 1 << 20), (12, 512), (63, 512), (64, 512), (255, 512)] {
            assert_eq!(physical_block_size(512, exponent), believed, "{exponent}");
        }
        assert_eq!(physical_block_size(65_536, 255), 65_536);
    }

    #[test]
    fn hd_cfg_6_blk_16_segment_limits_leave_room_for_a_sector() {
        for (size, believed) in [(0, LARGEST_BUFFER), (1, 512), (1000, 512), (4096, 4096), (u32::MAX, LARGEST_BUFFER)] {
            assert_eq!(segment_bytes(size), believed, "{size}");
        }
        for (count, believed) in [(0, 1), (1, 1), (126, 126), (u32::MAX, u16::MAX)] {
            let mut bytes = [0; 80];
            bytes[12..16].copy_from_slice(&u32::to_le_bytes(count));
            assert_eq!(read(&bytes, features::SEG_MAX).segments, believed, "{count}");
            assert_eq!(read(&bytes, FeatureBits::EMPTY).segments, 1, "not negotiated");
        }
    }

    #[test]
    fn hd_cfg_4_a_capacity_can_be_counted_in_bytes() {
        let traits = read(&[0xff; 80], FeatureBits::EMPTY);
        assert_eq!(traits.sectors, MOST_SECTORS);
        assert!(traits.sectors.checked_mul(512).is_some());
        assert_eq!(read(&[1, 0, 0, 0x80, 2, 0, 0, 0], FeatureBits::EMPTY).sectors, 0x2_8000_0001, "both halves count");
        assert_eq!(read(&[0; 80], FeatureBits::EMPTY).sectors, 0);
    }

    #[test]
    fn a_transfer_is_no_longer_than_its_length_can_be_counted() {
        use toro_core::driver::block::BlockOperation;
        let traits = read(&[0xff; 80], features::SEG_MAX);
        let takes =
            |lengths: &[usize]| traits.takes_transfer(BlockOperation::Read { sector: 0 }, 0, lengths.iter().copied());
        assert!(takes(&[LARGEST_BUFFER; (LONGEST_TRANSFER / LARGEST_BUFFER as u64) as usize]));
        assert!(!takes(&[LARGEST_BUFFER; (LONGEST_TRANSFER / LARGEST_BUFFER as u64) as usize + 1]));
        assert!(takes(&[LARGEST_BUFFER]) && !takes(&[LARGEST_BUFFER + SECTOR]));
    }

    #[test]
    fn hd_cfg_3_fields_beyond_the_end_are_as_if_enormous_and_do_no_harm() {
        let everything = features::KNOWN | features::MQ;
        let traits = read(&[1, 0, 0, 0, 0, 0, 0, 0], everything);
        assert_eq!((traits.sectors, traits.block_size, traits.physical_block_size), (1, 512, 512));
        assert_eq!((traits.cache, traits.segment_bytes), (Cache::WriteBack, LARGEST_BUFFER));
        assert!(!traits.may_unmap);
    }

    #[test]
    fn hd_cfg_7_8_numbers_of_queues_and_ranges_are_at_least_one() {
        let traits = read(&[0; 80], features::KNOWN | features::MQ);
        assert_eq!((traits.queues, traits.discard), (1, RangeLimit { sectors: 0, ranges: 1 }));
    }

    #[test]
    fn blk_2_a_cache_is_assumed_where_flushes_are_offered_and_no_switch_is_off() {
        let mut bytes = [0; 80];
        for (features, mode, expected) in [
            (FeatureBits::EMPTY, 1, Cache::None),
            (features::FLUSH, 0, Cache::WriteBack),
            (features::FLUSH | features::CONFIG_WCE, 0, Cache::None),
            (features::FLUSH | features::CONFIG_WCE, 1, Cache::WriteBack),
            (features::FLUSH | features::CONFIG_WCE, 7, Cache::WriteBack),
        ] {
            bytes[32] = mode;
            assert_eq!(read(&bytes, features).cache, expected, "{features:?}, {mode}");
        }
    }
}
