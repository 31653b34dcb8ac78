//! Tables that sgdisk and sfdisk made, and what becomes of them when somebody changes a few bytes. `cargo xtask setup`
//! installs both tools, and without them these tests fail.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use toro_partitions::{
    BlockSize, Defect, Disk, GptCopy, Guid, Kind, MAX_PARTITIONS, Partition, Problem, Report, Scheme, scan,
};

const SECTOR: usize = 512;

/// A file that goes with its owner.
struct Image(PathBuf);

impl Image {
    fn new(sectors: u64) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("toro-partitions-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let file = std::fs::File::create(&path).expect("there is room for temporary files");
        file.set_len(sectors * SECTOR as u64).expect("it can be made larger");
        Self(path)
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.0).expect("it can be read")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

/// An image of `sectors` that sgdisk made with these words.
fn sgdisk(sectors: u64, words: &[&str]) -> Vec<u8> {
    let image = Image::new(sectors);
    let mut sgdisk = tool("sgdisk");
    let output = sgdisk.args(words).arg(&image.0).output();
    let output = output.unwrap_or_else(|error| panic!("sgdisk: {error}; cargo xtask setup installs it"));
    assert!(output.status.success(), "{sgdisk:?}: {}", String::from_utf8_lossy(&output.stdout));
    image.bytes()
}

/// An image of `sectors` that sfdisk or fdisk made after this script.
fn scripted(program: &str, sectors: u64, words: &[&str], script: &str) -> Vec<u8> {
    let image = Image::new(sectors);
    let mut sfdisk = tool(program);
    sfdisk.args(words).arg(&image.0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = sfdisk.spawn().unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask setup installs it"));
    child.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("it reads its script");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{sfdisk:?}: {}", String::from_utf8_lossy(&output.stderr));
    image.bytes()
}

fn scan_image(image: &[u8], block_size: BlockSize) -> (Report, Vec<Partition>) {
    let disk = Disk { sectors: (image.len() / SECTOR) as u64, block_size };
    let mut found = Vec::new();
    let read = |sector: u64, buffer: &mut [u8]| {
        let start = sector as usize * SECTOR;
        buffer.copy_from_slice(&image[start..start + buffer.len()]);
        Ok::<(), ()>(())
    };
    let report = scan(disk, read, |partition| found.push(*partition)).expect("nothing fails");
    (report, found)
}

fn ranges(found: &[Partition]) -> Vec<(u32, u64, u64)> {
    found.iter().map(|partition| (partition.number, partition.first, partition.sectors)).collect()
}

fn problems(report: &Report) -> Vec<Problem> {
    report.problems.iter().collect()
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A GPT with three partitions, of which the second place in the table is free.
fn gpt() -> Vec<u8> {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let words = ["-n", "1:2048:4095", "-t", "1:ef00", "-c", "1:Boot ä", "-n", "3:8192:16383", "-t", "3:0700"];
    IMAGE.get_or_init(|| sgdisk(32_768, &[&words[..], &["-n", "4:4096:8191"]].concat())).clone()
}

/// Makes the checksums of a header right again, in blocks of 512 bytes.
fn seal(image: &mut [u8], header: usize) {
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
        })
    };
    let at = header * SECTOR;
    let word = |image: &[u8], offset: usize| {
        u32::from_le_bytes(image[at + offset..at + offset + 4].try_into().expect("four bytes")) as usize
    };
    let entries = word(image, 72) * SECTOR;
    let checksum = crc(&image[entries..entries + word(image, 80) * word(image, 84)]);
    put(image, at + 88, &checksum.to_le_bytes());
    put(image, at + 16, &[0; 4]);
    let checksum = crc(&image[at..at + word(image, 12)]);
    put(image, at + 16, &checksum.to_le_bytes());
}

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
    let cases: [(usize, &[u8], Defect); 9] = [
        (24, &[2], Defect::Place),
        (84, &[64, 0, 0, 0], Defect::Size),
        (84, &[192, 0, 0, 0], Defect::Size),
        (80, &[0, 0, 1, 0], Defect::TooMany),
        (72, &[0xff, 0xff, 0, 0], Defect::OutOfRange),
        (48, &[0, 0, 1, 0, 0, 0, 0, 0], Defect::OutOfRange),
        (40, &[0, 0xff, 0, 0, 0, 0, 0, 0], Defect::Empty),
        (40, &[1, 0, 0, 0, 0, 0, 0, 0], Defect::Overlap),
        (40, &[20, 0, 0, 0, 0, 0, 0, 0], Defect::Overlap),
    ];
    for (at, bytes, defect) in cases {
        let mut image = gpt();
        // The last usable block, so that the first one can be behind it.
        put(&mut image, SECTOR + 48, &[0xde, 0x7f, 0, 0]);
        put(&mut image, SECTOR + at, bytes);
        // A header that cannot be sealed has a wrong checksum, and is found out by that.
        let header: Vec<u8> = image[SECTOR..2 * SECTOR].to_vec();
        let sane = header[84..88] != [0xff; 4] && header[80..84] != [0, 0, 1, 0] && header[72] != 0xff;
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

/// An entry of an MBR or EBR.
fn entry(system: u8, first: u32, blocks: u32) -> Vec<u8> {
    [&[0, 0, 0, 0, system, 0, 0, 0][..], &first.to_le_bytes(), &blocks.to_le_bytes()].concat()
}

/// Makes the sector `sector` an MBR or EBR with these entries.
fn put_record(image: &mut [u8], sector: usize, entries: &[Vec<u8>]) {
    put(image, sector * SECTOR + 0x1be, &entries.concat());
    put(image, sector * SECTOR + 0x1fe, &[0x55, 0xaa]);
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
