//! GUID partition tables of sgdisk, and what becomes of them when somebody changes a few bytes.

mod images;

use images::{SECTOR, entry, gpt, problems, put, ranges, scan_image, scripted, seal};
use toro_partitions::{BlockSize, Defect, Disk, GptCopy, Guid, Kind, MAX_PARTITIONS, Problem, Scheme, scan};

#[test]
fn gpt_of_sgdisk_is_read() {
    let (report, found) = scan_image(&gpt(), BlockSize::Bytes512);
    assert_eq!((report.scheme, report.partitions), (Scheme::Gpt(GptCopy::Primary), 3));
    assert_eq!(problems(&report), []);
    assert_eq!(ranges(&found), [(1, 2048, 2048), (3, 8192, 8192), (4, 4096, 4096)]);
    let kinds: Vec<_> = found.iter().map(|partition| partition.kind).collect();
    assert!(matches!(kinds[0], Kind::Gpt { type_guid: Guid::EFI_SYSTEM, .. }));
    assert!(matches!(kinds[1], Kind::Gpt { type_guid: Guid::BASIC_DATA, .. }));
    assert_eq!(found[0].name().collect::<String>(), "Boot ä");
}

#[test]
fn backup_is_used_if_the_primary_is_spoilt_anywhere() {
    let expected = [(1, 2048, 2048), (3, 8192, 8192), (4, 4096, 4096)];
    let cases: [(usize, &[u8], Defect); 6] = [
        (SECTOR, b"X", Defect::Signature),
        (SECTOR + 8, &[0, 0, 9, 0], Defect::Revision),
        (SECTOR + 12, &[0xff, 0xff], Defect::Size),
        (SECTOR + 16, &[1, 2, 3, 4], Defect::HeaderChecksum),
        (SECTOR + 48, &[1], Defect::HeaderChecksum),
        (2 * SECTOR + 40, &[1], Defect::EntriesChecksum),
    ];
    for (at, bytes, defect) in cases {
        let mut image = gpt();
        put(&mut image, at, bytes);
        let (report, found) = scan_image(&image, BlockSize::Bytes512);
        assert_eq!(report.scheme, Scheme::Gpt(GptCopy::Backup), "{defect:?}");
        assert_eq!(problems(&report), [Problem::Header(GptCopy::Primary, defect)]);
        assert_eq!(ranges(&found), expected);
    }
}

#[test]
fn right_checksums_make_no_lie_true() {
    let cases: [(usize, &[u8], Defect); 17] = [
        (24, &[2], Defect::Place),
        (84, &[64, 0, 0, 0], Defect::Size),
        (84, &[192, 0, 0, 0], Defect::Size),
        (80, &[0, 0, 1, 0], Defect::TooMany),
        (72, &[0xff, 0xff, 0, 0], Defect::OutOfRange),
        (48, &[0, 0, 1, 0, 0, 0, 0, 0], Defect::OutOfRange),
        (40, &[0, 0xff, 0, 0, 0, 0, 0, 0], Defect::Empty),
        (40, &[1, 0, 0, 0, 0, 0, 0, 0], Defect::Overlap),
        (40, &[20, 0, 0, 0, 0, 0, 0, 0], Defect::Overlap),
        // The header is too short and too long by a byte; entries before the header, and around it; a block behind the end;
        // block 0; none; the header's own.
        (12, &[91, 0, 0, 0], Defect::Size),
        (12, &[1, 2, 0, 0], Defect::Size),
        (72, &[0], Defect::OutOfRange),
        (72, &[1], Defect::Overlap),
        (48, &[0, 0x80, 0, 0], Defect::OutOfRange),
        (40, &[0, 0, 0, 0], Defect::OutOfRange),
        (40, &[0xdf, 0x7f, 0, 0], Defect::Empty),
        (40, &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], Defect::Overlap),
    ];
    for (at, bytes, defect) in cases {
        let mut image = gpt();
        // The last usable block, so that the first one can be behind it.
        put(&mut image, SECTOR + 48, &[0xde, 0x7f, 0, 0]);
        put(&mut image, SECTOR + at, bytes);
        // A header that cannot be sealed has a wrong checksum, and is found out by that.
        let header: Vec<u8> = image[SECTOR..2 * SECTOR].to_vec();
        let sane = header[80..84] != [0, 0, 1, 0] && ![0xff, 1].contains(&header[72]);
        if sane {
            seal(&mut image, 1);
        } else {
            seal_header(&mut image);
        }
        let (report, found) = scan_image(&image, BlockSize::Bytes512);
        assert_eq!(report.scheme, Scheme::Gpt(GptCopy::Backup), "{defect:?}");
        assert_eq!(problems(&report), [Problem::Header(GptCopy::Primary, defect)]);
        assert_eq!(found.len(), 3);
    }
}

/// Makes only the checksum of the primary header right.
fn seal_header(image: &mut [u8]) {
    let mut copy = image[SECTOR..2 * SECTOR].to_vec();
    put(&mut copy, 16, &[0; 4]);
    let crc = !copy[..92].iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    put(image, SECTOR + 16, &crc.to_le_bytes());
}

/// The same GPT with other entries, of `size` bytes each; the backup is gone.
fn gpt_with(size: u32, entries: &[(u64, u64)]) -> Vec<u8> {
    let mut image = gpt();
    let last = image.len() - SECTOR;
    image[last..].fill(0);
    image[2 * SECTOR..66 * SECTOR].fill(0);
    // From block 66 to what it was before.
    for (at, bytes) in [(40, 66_u32), (80, entries.len() as u32), (84, size)] {
        put(&mut image, SECTOR + at, &bytes.to_le_bytes());
    }
    for (number, (first, last)) in entries.iter().enumerate() {
        let at = 2 * SECTOR + number * size as usize;
        // What is behind the first 128 bytes looks like another entry.
        for at in [at, at + size as usize - 128] {
            put(&mut image, at, &[7; 32]);
            put(&mut image, at + 32, &first.to_le_bytes());
            put(&mut image, at + 40, &last.to_le_bytes());
        }
    }
    seal(&mut image, 1);
    image
}

#[test]
fn entries_of_another_size_are_read_and_what_is_behind_their_meaning_is_not() {
    for size in [128, 256, 512, 1024, 4096] {
        let (report, found) = scan_image(&gpt_with(size, &[(100, 199), (300, 399)]), BlockSize::Bytes512);
        assert_eq!(ranges(&found), [(1, 100, 100), (2, 300, 100)], "{size}");
        assert_eq!(problems(&report), [], "{size}");
    }
}

#[test]
fn partitions_end_where_the_usable_part_of_the_disk_does() {
    // sgdisk leaves the last 33 blocks to the backup.
    let last = 32_768 - 34;
    let of = |first, last| scan_image(&gpt_with(128, &[(first, last)]), BlockSize::Bytes512);
    assert_eq!(ranges(&of(66, last).1), [(1, 66, last - 65)]);
    for (first, last, defect) in [
        (65, 100, Defect::OutOfRange),
        (66, last + 1, Defect::OutOfRange),
        (66, u64::MAX, Defect::OutOfRange),
        (100, 99, Defect::Empty),
    ] {
        let (report, found) = of(first, last);
        assert_eq!(problems(&report), [Problem::Partition { number: 1, defect }], "{first} {last}");
        assert_eq!(found, []);
    }
}

#[test]
fn partitions_that_share_one_block_are_not_both_handed_out() {
    for second in [(71, 100), (199, 250), (100, 100), (199, 199), (71, 250), (120, 130)] {
        let (report, found) = scan_image(&gpt_with(128, &[(100, 199), (66, 70), second]), BlockSize::Bytes512);
        assert_eq!(ranges(&found), [(1, 100, 100), (2, 66, 5)]);
        assert_eq!(problems(&report), [Problem::Partition { number: 3, defect: Defect::Overlap }], "{second:?}");
    }
    let (report, found) = scan_image(&gpt_with(128, &[(100, 199), (99, 99), (200, 200)]), BlockSize::Bytes512);
    assert_eq!((found.len(), problems(&report)), (3, vec![]), "next to each other");
}

#[test]
fn more_partitions_than_anybody_needs_are_left_out() {
    let entries: Vec<_> = (0..130).map(|number| (100 + number, 100 + number)).collect();
    let (report, found) = scan_image(&gpt_with(128, &entries), BlockSize::Bytes512);
    assert_eq!((report.partitions, found.len()), (MAX_PARTITIONS, MAX_PARTITIONS));
    let expected = [129, 130].map(|number| Problem::Partition { number, defect: Defect::TooMany });
    assert_eq!(problems(&report), expected);
}

#[test]
fn partitions_that_lie_are_left_out() {
    // Entry 1 reversed, entry 3 beyond what is usable, entry 4 on top of a new entry 2.
    let mut image = gpt();
    let entry = |number: usize| 2 * SECTOR + (number - 1) * 128;
    put(&mut image, entry(1) + 40, &[0; 8]);
    put(&mut image, entry(3) + 40, &[0xff; 8]);
    let (second, fourth) = (entry(2), entry(4));
    image.copy_within(fourth..fourth + 128, second);
    seal(&mut image, 1);
    let (report, found) = scan_image(&image, BlockSize::Bytes512);
    assert_eq!(report.scheme, Scheme::Gpt(GptCopy::Primary));
    assert_eq!(ranges(&found), [(2, 4096, 4096)]);
    let expected = [(1, Defect::Empty), (3, Defect::OutOfRange), (4, Defect::Overlap)];
    assert_eq!(problems(&report), expected.map(|(number, defect)| Problem::Partition { number, defect }));
}

#[test]
fn the_place_of_the_protective_entry_does_not_matter() {
    let mut image = gpt();
    put(&mut image, 0x1be, &[entry(0x0c, 4_096, 100), entry(0xee, 1, 4_095)].concat());
    let (report, found) = scan_image(&image, BlockSize::Bytes512);
    assert_eq!((report.scheme, found.len()), (Scheme::Gpt(GptCopy::Primary), 3), "a hybrid one");
}

#[test]
fn blocks_of_4096_bytes_are_counted_as_such() {
    // fdisk, unlike sfdisk, can be told the size; in sectors of 512 bytes, everything is at eight times the number.
    let image = scripted("fdisk", 65_536, &["--sector-size", "4096"], "g\nn\n1\n256\n767\nw\n");
    let (report, found) = scan_image(&image, BlockSize::Bytes4096);
    assert_eq!((report.scheme, problems(&report)), (Scheme::Gpt(GptCopy::Primary), vec![]));
    assert_eq!(ranges(&found), [(1, 2048, 4096)]);
    // Read with the wrong size, nothing is believed.
    assert_eq!(scan_image(&image, BlockSize::Bytes512).0.scheme, Scheme::None);
}

#[test]
fn disks_without_a_table_have_none() {
    assert_eq!(scan_image(&vec![0; 4096], BlockSize::Bytes512).0.scheme, Scheme::None);
    assert_eq!(scan_image(&[], BlockSize::Bytes512).0.scheme, Scheme::None);
    let whole = gpt();
    for len in 1..40 {
        // Whatever is cut off, only what is there is read.
        let image = whole[..len * SECTOR].to_vec();
        for block_size in [BlockSize::Bytes512, BlockSize::Bytes4096] {
            assert_eq!(scan_image(&image, block_size).1, []);
        }
    }
}

#[test]
fn a_copy_that_cannot_be_read_is_one_that_cannot_be_used() {
    let image = gpt();
    let last = (image.len() / SECTOR - 1) as u64;
    let scan_without = |bad: &[u64]| {
        let disk = Disk { sectors: last + 1, block_size: BlockSize::Bytes512 };
        let read = |sector: u64, buffer: &mut [u8]| {
            let start = sector as usize * SECTOR;
            buffer.copy_from_slice(&image[start..start + buffer.len()]);
            if bad.contains(&sector) { Err(sector) } else { Ok(()) }
        };
        let mut found = 0;
        scan(disk, read, |_| found += 1).map(|report| (report.scheme, found))
    };
    assert_eq!(scan_without(&[]), Ok((Scheme::Gpt(GptCopy::Primary), 3)));
    for sector in [1, 2, 33] {
        assert_eq!(scan_without(&[sector]), Ok((Scheme::Gpt(GptCopy::Backup), 3)), "{sector}");
    }
    assert_eq!(scan_without(&[1, last]), Err(last), "nobody knows what is there");
    assert_eq!(scan_without(&[0]), Err(0));
}

#[test]
fn gpt_without_its_mbr_is_found_and_one_without_both_copies_is_not_guessed() {
    let mut image = gpt();
    image[..SECTOR].fill(0);
    let (report, found) = scan_image(&image, BlockSize::Bytes512);
    assert_eq!((report.scheme, found.len()), (Scheme::Gpt(GptCopy::Primary), 3));
    assert_eq!(problems(&report), [Problem::NotProtected]);

    let mut image = gpt();
    let last = image.len() - SECTOR;
    image[SECTOR] = 0;
    image[last] = 0;
    let (report, found) = scan_image(&image, BlockSize::Bytes512);
    assert_eq!((report.scheme, found.len()), (Scheme::None, 0));
    assert!(problems(&report).contains(&Problem::ProtectedWithoutTable));
}
