//! Target `partitions`: a disk with a partition table of any bytes.
//!
//! | input | meaning |
//! |---|---|
//! | byte 0 | bit 0: blocks of 4096 bytes; bit 1: checksums of GPT headers and entries are made right |
//! | bytes 1, 2 | how many sectors the disk has, up to 4,095 |
//! | rest | sector, two bytes, of which the upper four bits count from the end; offset / 2; number of bytes; bytes |
//!
//! Held: no panic; a bounded number of reads, all of them on the disk; partitions that are on the disk, not empty, and
//! have nothing in common.

use std::collections::HashMap;

use toro_partitions::{BlockSize, Disk, MAX_PARTITIONS, Partition, Report, Scheme, scan};

use crate::script::Script;

const SECTOR: usize = 512;
/// The entries twice and for both copies, and a chain, by far.
const MOST_READS: u32 = 20_000;

/// A disk that is zeros but for some sectors.
struct Sparse {
    sectors: u64,
    block: u64,
    written: HashMap<u64, [u8; SECTOR]>,
}

impl Sparse {
    fn byte(&mut self, at: u64) -> &mut u8 {
        &mut self.written.entry(at / SECTOR as u64).or_insert([0; SECTOR])[at as usize % SECTOR]
    }

    fn bytes(&self, at: u64, len: u64) -> Vec<u8> {
        let sector = |at: u64| self.written.get(&(at / SECTOR as u64));
        (at..at + len).map(|at| sector(at).map_or(0, |bytes| bytes[at as usize % SECTOR])).collect()
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        (at..).zip(bytes).for_each(|(at, &byte)| *self.byte(at) = byte);
    }

    /// Makes the checksums of the header at this block right, if it is one of sensible size.
    fn seal(&mut self, block: u64) {
        let at = block * self.block * SECTOR as u64;
        let header = self.bytes(at, 512);
        let word = |offset: usize| u32::from_le_bytes(header[offset..offset + 4].try_into().expect("four bytes"));
        let (size, count, entry) = (word(12), u64::from(word(80)), u64::from(word(84)));
        let entries = u64::from(word(72)) * self.block * SECTOR as u64;
        if !header.starts_with(b"EFI PART") || !(92..=512).contains(&size) || count.saturating_mul(entry) > 1 << 16 {
            return;
        }
        let checksum = crc(&self.bytes(entries, count * entry));
        self.put(at + 88, &checksum.to_le_bytes());
        self.put(at + 16, &[0; 4]);
        let checksum = crc(&self.bytes(at, size.into()));
        self.put(at + 16, &checksum.to_le_bytes());
    }
}

/// CRC-32, once more: what checks should not be what is checked.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Runs an input.
pub fn body(input: &[u8]) -> Report {
    let script = Script::new(input);
    let flags = script.byte();
    let block_size = if flags & 1 == 0 { BlockSize::Bytes512 } else { BlockSize::Bytes4096 };
    let sectors = u64::from(script.word() & 0xfff);
    let mut image = Sparse { sectors, block: block_size.sectors(), written: HashMap::new() };
    while !script.is_over() {
        let (place, offset, len) = (u64::from(script.word()), u64::from(script.byte()) * 2, script.byte());
        let sector = if place >> 12 == 0 { place } else { sectors.saturating_sub(place >> 12) };
        image.put(sector * SECTOR as u64 + offset, script.take(len.into()));
    }
    if flags & 2 != 0 && sectors >= image.block {
        image.seal(1);
        image.seal(sectors / image.block - 1);
    }
    let disk = Disk { sectors, block_size };
    let mut reads = 0;
    let read = |sector: u64, buffer: &mut [u8]| {
        reads += 1;
        assert!(reads < MOST_READS, "a scan that does not end");
        assert!(buffer.len().is_multiple_of(SECTOR) && sector + (buffer.len() / SECTOR) as u64 <= image.sectors);
        buffer.copy_from_slice(&image.bytes(sector * SECTOR as u64, buffer.len() as u64));
        Ok::<(), ()>(())
    };
    let mut found: Vec<Partition> = Vec::new();
    let report = scan(disk, read, |partition| found.push(*partition)).expect("nothing fails");
    assert!(found.len() == report.partitions && found.len() <= MAX_PARTITIONS);
    assert!(report.scheme != Scheme::None || found.is_empty());
    for (at, one) in found.iter().enumerate() {
        assert!(one.sectors > 0 && one.first > 0 && one.first + one.sectors <= sectors, "{one:?}");
        for other in &found[at + 1..] {
            let apart = one.first + one.sectors <= other.first || other.first + other.sectors <= one.first;
            assert!(apart && one.number != other.number, "{one:?} and {other:?}");
        }
        let _ = one.name().count();
    }
    report
}

/// Tables as they should be.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let put = |sector: u16, offset: u16, bytes: &[u8]| {
        let [low, high] = sector.to_le_bytes();
        [&[low, high, (offset / 2) as u8, bytes.len() as u8], bytes].concat()
    };
    let entry = |system: u8, first: u32, blocks: u32| {
        [&[0, 0, 0, 0, system, 0, 0, 0][..], &first.to_le_bytes(), &blocks.to_le_bytes()].concat()
    };
    let record = |sector: u16, entries: &[Vec<u8>]| {
        [put(sector, 0x1be, &entries.concat()), put(sector, 0x1fe, &[0x55, 0xaa])].concat()
    };
    let header = |here: u32, other: u32, entries: u32, last: u32| {
        let mut header = b"EFI PART\0\0\x01\0\x5c\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        for value in [here, other, 6, last] {
            header.extend(u64::from(value).to_le_bytes());
        }
        header.extend([7; 16]);
        header.extend(u64::from(entries).to_le_bytes());
        header.extend([8, 0, 0, 0, 128, 0, 0, 0]);
        header
    };
    let slot = |first: u32, last: u32| {
        let mut slot = vec![1; 32];
        slot.extend(u64::from(first).to_le_bytes());
        slot.extend(u64::from(last).to_le_bytes());
        slot.extend([0; 8]);
        slot.extend(b"n\0a\0m\0e\0");
        slot
    };
    let disk =
        |flags: u8, sectors: u16, parts: &[Vec<u8>]| [&[flags][..], &sectors.to_le_bytes(), &parts.concat()].concat();
    let mbr = record(0, &[entry(0x0c, 8, 40), entry(0x83, 48, 50), entry(0x05, 100, 100)]);
    let logical =
        [record(100, &[entry(0x83, 2, 20), entry(0x05, 50, 50)]), record(150, &[entry(0x83, 2, 20)])].concat();
    let protective = record(0, &[entry(0xee, 1, 99)]);
    let backup = [put(0x1000, 0, &header(99, 1, 90, 80)), put(90, 0, &slot(8, 20))].concat();
    vec![
        ("nothing", disk(0, 100, &[])),
        ("mbr", disk(0, 1000, &[mbr, logical])),
        (
            "gpt",
            disk(
                2,
                100,
                &[protective.clone(), put(1, 0, &header(1, 99, 2, 80)), put(2, 0, &slot(8, 20)), backup.clone()],
            ),
        ),
        ("backup", disk(2, 100, &[protective.clone(), backup])),
        ("blocks_of_4096", disk(3, 800, &[protective, put(8, 0, &header(1, 99, 2, 80)), put(16, 0, &slot(8, 20))])),
    ]
}
