//! Images in QEMU's format qcow2: made empty, and read.
//!
//! ```text
//!   header --> L1 table --> L2 tables --> clusters of data
//!          --> refcount table --> refcount blocks
//! ```
//!
//! QEMU keeps what it changes in the tables in its own memory, and writes it at a flush. If it is killed, a cluster that
//! was written for the first time since is lost: it reads as zeros. So unlike a raw file, whose writes are in the host's
//! memory at once, such an image shows whether a guest flushed what it says is stable.
//!
//! See `docs/interop/qcow2.txt` of QEMU. All numbers are big-endian.

/// Of a cluster, and so of all tables here.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: usize = 1 << CLUSTER_BITS;
/// Where a table's entry points to.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const MAGIC: &[u8; 4] = b"QFI\xfb";

/// An empty image of a disk with `bytes` bytes: four clusters, for the header, the two tables of refcounts, and the L1
/// table.
pub fn empty(bytes: u64) -> Vec<u8> {
    let l1_entries = bytes.div_ceil((CLUSTER * CLUSTER / 8) as u64);
    let mut image = vec![0; 4 * CLUSTER];
    let mut put = |offset: usize, bytes: &[u8]| image[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, MAGIC);
    put(4, &3_u32.to_be_bytes());
    put(20, &CLUSTER_BITS.to_be_bytes());
    put(24, &bytes.to_be_bytes());
    put(36, &(l1_entries as u32).to_be_bytes());
    put(40, &(3 * CLUSTER as u64).to_be_bytes());
    put(48, &(CLUSTER as u64).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    // Refcounts have 2^4 bits; the header has 104 bytes.
    put(96, &4_u32.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    put(CLUSTER, &(2 * CLUSTER as u64).to_be_bytes());
    for cluster in 0..4 {
        put(2 * CLUSTER + 2 * cluster, &1_u16.to_be_bytes());
    }
    image
}

/// What a guest would read from the whole disk.
///
/// # Errors
///
/// What is not understood.
pub fn read(image: &[u8]) -> Result<Vec<u8>, String> {
    let table = |offset: u64| {
        image.get(offset as usize..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_be_bytes(*bytes))
    };
    let at = |offset: u64| table(offset).ok_or_else(|| format!("the image ends before byte {offset}"));
    if image.get(..4) != Some(MAGIC) || at(16)? as u32 != CLUSTER_BITS {
        return Err("no qcow2 image, or one with clusters of another size".to_owned());
    }
    let (size, l1_table) = (at(24)?, at(40)?);
    let mut contents = vec![0; size as usize];
    let per_table = CLUSTER as u64 / 8;
    for (cluster, place) in (0..).zip(contents.chunks_mut(CLUSTER)) {
        let l2_table = at(l1_table + cluster / per_table * 8)? & OFFSET;
        if l2_table == 0 {
            continue;
        }
        let entry = at(l2_table + cluster % per_table * 8)?;
        let (offset, is_zero, is_compressed) = (entry & OFFSET, entry & 1 != 0, entry >> 62 & 1 != 0);
        if is_compressed {
            return Err(format!("cluster {cluster} is compressed"));
        }
        if offset != 0 && !is_zero {
            // The last cluster of a file may be short: what is missing is zeros.
            let bytes = image.get(offset as usize..).unwrap_or_default();
            let length = bytes.len().min(place.len());
            place[..length].copy_from_slice(&bytes[..length]);
        }
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_image_is_all_zeros() {
        let contents = read(&empty(1 << 20)).unwrap();
        assert!(contents.len() == 1 << 20 && contents.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn clusters_are_found_through_both_tables() {
        let mut image = empty(4 * CLUSTER as u64);
        let l2_table = image.len();
        image.resize(l2_table + CLUSTER, 0);
        let data = image.len();
        image.resize(data + 100, 7);
        let copied = 1_u64 << 63;
        image[3 * CLUSTER..3 * CLUSTER + 8].copy_from_slice(&(copied | l2_table as u64).to_be_bytes());
        image[l2_table + 16..l2_table + 24].copy_from_slice(&(copied | data as u64).to_be_bytes());
        let contents = read(&image).unwrap();
        let begin = 2 * CLUSTER;
        assert!(contents[..begin].iter().all(|&byte| byte == 0));
        assert_eq!(contents[begin..begin + 101], [[7; 100].as_slice(), &[0]].concat());
        image[l2_table + 16] |= 0x40;
        assert!(read(&image).is_err());
        assert!(read(&image[..l2_table]).is_err() && read(b"QFI\xfb").is_err());
    }
}
