//! Small volumes that need no tool to be made.

use toro_fat::{FatKind, SECTOR};

/// An empty volume of a few hundred KiB: 512 bytes per cluster, two tables. FAT32 has far fewer clusters than it should,
/// and is one by its boot sector, as mkfs.fat makes it on request.
pub fn volume(kind: FatKind) -> Vec<u8> {
    let (sectors, reserved, table, root_slots): (u32, u32, u32, u32) = match kind {
        FatKind::Fat12 => (400, 1, 2, 64),
        FatKind::Fat16 => (4300, 1, 17, 64),
        FatKind::Fat32 => (400, 8, 4, 0),
    };
    let mut image = vec![0; sectors as usize * SECTOR];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x58, 0x90]);
    put(3, b"skeleton");
    put(11, &[0, 2, 1]);
    put(14, &(reserved as u16).to_le_bytes());
    put(16, &[2]);
    put(17, &(root_slots as u16).to_le_bytes());
    put(19, &(sectors as u16).to_le_bytes());
    put(21, &[0xf8]);
    put(510, &[0x55, 0xaa]);
    let (name, extended): (&[u8], usize) = match kind {
        FatKind::Fat12 => (b"FAT12   ", 0x26),
        FatKind::Fat16 => (b"FAT16   ", 0x26),
        FatKind::Fat32 => (b"FAT32   ", 0x42),
    };
    put(extended, b"\x29\x78\x56\x34\x12NO NAME    ");
    put(extended + 16, name);
    match kind {
        FatKind::Fat32 => {
            put(36, &table.to_le_bytes());
            put(44, &2u32.to_le_bytes());
            put(48, &[1, 0, 6, 0]);
            put(SECTOR, b"RRaA");
            put(SECTOR + 484, b"rrAa");
            put(SECTOR + 488, &[0xff; 8]);
            put(SECTOR + 510, &[0x55, 0xaa]);
        }
        FatKind::Fat12 | FatKind::Fat16 => put(22, &(table as u16).to_le_bytes()),
    }
    for copy in 0..2 {
        let start = (reserved + copy * table) as usize * SECTOR;
        match kind {
            FatKind::Fat12 => put(start, &[0xf8, 0xff, 0xff]),
            FatKind::Fat16 => put(start, &[0xf8, 0xff, 0xff, 0xff]),
            FatKind::Fat32 => put(start, &[0xf8, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f, 0xf8, 0xff, 0xff, 0x0f]),
        }
    }
    image
}
