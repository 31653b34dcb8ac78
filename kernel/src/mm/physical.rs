//! Reading physical memory that firmware or the machine monitor wrote, as bounded byte slices.
//!
//! Boot structures and ACPI tables are parsed by code that never touches a raw address: it asks a [`PhysicalMemory`]
//! for the bytes at an address and gets a slice or nothing. On the machine that is the early identity map or an
//! on-demand mapping; in tests it is a table of byte vectors.

/// Somebody who can show bytes at physical addresses.
pub trait PhysicalMemory {
    /// The `length` bytes at physical address `address`, or `None` where they cannot be reached.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;
}

/// Reads a little-endian `u16` at `offset`.
pub fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

/// Reads a little-endian `u32` at `offset`.
pub fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

/// Reads a little-endian `u64` at `offset`.
pub fn read_u64(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

/// Whether the bytes add up to zero, as those of firmware's tables do that are whole.
pub fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)) == 0
}

#[cfg(test)]
pub(crate) mod model {
    //! Physical memory for tests.

    use super::PhysicalMemory;

    /// A few blocks of bytes at chosen addresses.
    #[derive(Default)]
    pub struct Model {
        blocks: Vec<(u64, Vec<u8>)>,
    }

    impl Model {
        /// Places `bytes` at `address`.
        pub fn with(mut self, address: u64, bytes: impl Into<Vec<u8>>) -> Self {
            self.blocks.push((address, bytes.into()));
            self
        }
    }

    impl PhysicalMemory for Model {
        fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
            self.blocks.iter().find_map(|(start, bytes)| {
                let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
                bytes.get(offset..offset.checked_add(length)?)
            })
        }
    }
}
