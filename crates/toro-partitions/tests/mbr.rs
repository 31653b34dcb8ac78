//! Master boot records of sfdisk and others that nobody would make, with chains of logical partitions.

mod images;

use images::{SECTOR, entry, problems, put, put_record, ranges, scan_image, scripted};
use toro_partitions::{BlockSize, Defect, Kind, MAX_PARTITIONS, Problem, Scheme};

#[test]
fn mbr_of_sfdisk_with_logical_partitions_is_read() {
    let script = "label: dos\nstart=2048,size=2048,type=c,bootable\nstart=4096,size=20480,type=5\n\
                  start=6144,size=2048,type=83\nstart=10240,size=4096,type=83\nstart=24576,size=8192,type=83\n";
    // sfdisk counts in the order of the script, and gives logical partitions their numbers from 5 on.
    let mut image = scripted("sfdisk", 65_536, &[], script);
    let (report, found) = scan_image(&image, BlockSize::Bytes512);
    assert_eq!(report.scheme, Scheme::Mbr);
    assert_eq!(problems(&report), []);
    let mut expected = vec![(1, 2048, 2048), (5, 6144, 2048), (6, 10_240, 4096)];
    let third = ranges(&found).into_iter().find(|&(_, first, _)| first == 24_576);
    expected.extend(third);
    let mut actual = ranges(&found);
    actual.sort_by_key(|&(_, first, _)| first);
    assert_eq!(actual, expected);
    assert_eq!(found[0].kind, Kind::Mbr { system: 0x0c, active: true });

    // The second EBR leads back to the first, to itself, behind the end; the first one is no EBR.
    let chain = |image: &[u8]| problems(&scan_image(image, BlockSize::Bytes512).0);
    let ebr = 4096 * SECTOR;
    let link = ebr + 0x1ce + 8;
    let next = u32::from_le_bytes(image[link..link + 4].try_into().expect("four bytes"));
    let second = ebr + next as usize * SECTOR + 0x1ce;
    for (start, sector, defect) in [(0, 4096, Defect::Loop), (next, 4096 + u64::from(next), Defect::Loop)] {
        let mut image = image.clone();
        put(&mut image, second + 4, &[5]);
        put(&mut image, second + 8, &start.to_le_bytes());
        assert_eq!(chain(&image), [Problem::Chain { sector, defect }]);
    }
    let mut beyond = image.clone();
    put(&mut beyond, link, &40_000u32.to_le_bytes());
    assert_eq!(chain(&beyond), [Problem::Chain { sector: 44_096, defect: Defect::OutOfRange }]);
    image[ebr + 510] = 0;
    assert_eq!(chain(&image), [Problem::Chain { sector: 4096, defect: Defect::Signature }]);
}

#[test]
fn chain_of_logical_partitions_ends_where_a_partition_covers_it() {
    // A first logical partition over the second EBR; a primary partition over the first one; a logical partition that is its
    // own EBR.
    let cases: [(u32, u32, u32, Problem, &[u32]); 3] = [
        (8, 100, 1_000, Problem::Chain { sector: 5_000, defect: Defect::Overlap }, &[1, 5]),
        (3_000, 8, 20, Problem::Chain { sector: 4_096, defect: Defect::Overlap }, &[1]),
        (8, 0, 100, Problem::Partition { number: 5, defect: Defect::Overlap }, &[1, 6]),
    ];
    for (primary, first, blocks, problem, numbers) in cases {
        let mut image = vec![0; 16_384 * SECTOR];
        put_record(&mut image, 0, &[entry(0x0c, 2_000, 100 + primary), entry(0x0f, 4_096, 10_000)]);
        put_record(&mut image, 4_096, &[entry(0x83, first, blocks), entry(0x05, 904, 2_000)]);
        put_record(&mut image, 5_000, &[entry(0x83, 8, 100)]);
        let (report, found) = scan_image(&image, BlockSize::Bytes512);
        assert_eq!(problems(&report), [problem]);
        assert_eq!(found.iter().map(|partition| partition.number).collect::<Vec<_>>(), numbers);
        assert_eq!(report.partitions, found.len());
    }
}

#[test]
fn extended_and_logical_partitions_have_to_lie_within_each_other_and_the_disk() {
    let scan_with = |extended: Vec<u8>, logical: Vec<u8>| {
        let mut image = vec![0; 8_192 * SECTOR];
        put_record(&mut image, 0, &[entry(0x0c, 8, 100), extended]);
        put_record(&mut image, 4_096, &[logical]);
        let (report, found) = scan_image(&image, BlockSize::Bytes512);
        (problems(&report), ranges(&found))
    };
    let (first, refused) = ((1, 8, 100), |number, defect| vec![Problem::Partition { number, defect }]);
    let fits = entry(0x0f, 4_096, 4_096);
    assert_eq!(scan_with(fits.clone(), entry(0x83, 1, 4_095)), (vec![], vec![first, (5, 4_097, 4_095)]));
    let beyond = (refused(5, Defect::OutOfRange), vec![first]);
    assert_eq!(scan_with(fits.clone(), entry(0x83, 1, 4_096)), beyond);
    assert_eq!(scan_with(entry(0x0f, 4_096, 1_000), entry(0x83, 1, 1_000)), beyond, "on the disk, but not in there");
    assert_eq!(scan_with(fits.clone(), entry(0x83, u32::MAX, u32::MAX)), beyond);
    assert_eq!(scan_with(fits, entry(0x83, 1, 0)), (refused(5, Defect::Empty), vec![first]));
    let outside = (refused(2, Defect::OutOfRange), vec![first]);
    assert_eq!(scan_with(entry(0x0f, 4_096, 4_097), entry(0x83, 1, 10)), outside);
    assert_eq!(scan_with(entry(0x0f, 0, 100), entry(0x83, 1, 10)), outside);
    assert_eq!(scan_with(entry(0x0f, u32::MAX, u32::MAX), entry(0x83, 1, 10)), outside);
}

#[test]
fn any_type_that_means_extended_begins_a_chain() {
    for system in [0x05, 0x0f, 0x85] {
        let mut image = vec![0; 1_024 * SECTOR];
        put_record(&mut image, 0, &[entry(system, 8, 1_000)]);
        put_record(&mut image, 8, &[entry(0x83, 1, 7), entry(system, 100, 100)]);
        put_record(&mut image, 108, &[entry(0x0c, 1, 7)]);
        assert_eq!(ranges(&scan_image(&image, BlockSize::Bytes512).1), [(5, 9, 7), (6, 109, 7)], "{system:#x}");
    }
}

#[test]
fn boot_sector_with_text_where_the_entries_would_be_is_no_table() {
    let mut image = vec![0; 1_024 * SECTOR];
    put_record(&mut image, 0, &[entry(0x0c, 8, 100)]);
    put(&mut image, 0x1ce, b"Press any key to");
    let (report, found) = scan_image(&image, BlockSize::Bytes512);
    assert_eq!((report.scheme, found, problems(&report)), (Scheme::None, vec![], vec![]));
}

#[test]
fn mbr_of_a_disk_with_blocks_of_4096_bytes_counts_in_them() {
    let mut image = vec![0; 8_192 * SECTOR];
    put_record(&mut image, 0, &[entry(0x0c, 8, 100), entry(0x0f, 200, 800)]);
    put_record(&mut image, 1_600, &[entry(0x83, 1, 7), entry(0x05, 100, 100)]);
    put_record(&mut image, 2_400, &[entry(0x83, 1, 699)]);
    let (report, found) = scan_image(&image, BlockSize::Bytes4096);
    assert_eq!((ranges(&found), problems(&report)), (vec![(1, 64, 800), (5, 1_608, 56), (6, 2_408, 5_592)], vec![]));
}

#[test]
fn more_logical_partitions_than_anybody_needs_are_left_out() {
    let mut image = vec![0; 2_048 * SECTOR];
    put_record(&mut image, 0, &[entry(0x0f, 8, 2_040)]);
    for number in 0..200 {
        put_record(&mut image, 8 + number * 8, &[entry(0x83, 1, 7), entry(0x05, number as u32 * 8 + 8, 8)]);
    }
    let (report, found) = scan_image(&image, BlockSize::Bytes512);
    assert_eq!((report.partitions, found.len()), (MAX_PARTITIONS, MAX_PARTITIONS));
    let end = 8 + MAX_PARTITIONS as u64 * 8;
    assert_eq!(problems(&report), [Problem::Chain { sector: end, defect: Defect::TooMany }]);
}

#[test]
fn mbr_partitions_that_lie_are_left_out() {
    let script = "label: dos\nstart=2048,size=2048,type=c\nstart=4096,size=2048,type=83\n";
    let mut image = scripted("sfdisk", 65_536, &[], script);
    let entry = |number: usize| 0x1be + (number - 1) * 16;
    let (first, third) = (entry(1), entry(3));
    image.copy_within(first..first + 16, third);
    put(&mut image, entry(2) + 12, &[0xff; 4]);
    put(&mut image, entry(4), &[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
    let (report, found) = scan_image(&image, BlockSize::Bytes512);
    assert_eq!(ranges(&found), [(1, 2048, 2048)]);
    let expected = [(2, Defect::OutOfRange), (3, Defect::Overlap), (4, Defect::Overlap)];
    let expected = expected.map(|(number, defect)| Problem::Partition { number, defect });
    assert!(expected.iter().all(|problem| problems(&report).contains(problem)), "{report:?}");
}
