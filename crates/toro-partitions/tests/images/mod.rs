//! Images of disks: made by sgdisk, sfdisk and fdisk, changed, and scanned. `cargo xtask setup` installs these tools, and
//! without them the tests fail.

#![allow(dead_code, reason = "each test uses some of it")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use toro_partitions::{BlockSize, Disk, Partition, Problem, Report, scan};

pub const SECTOR: usize = 512;

/// A file that goes with its owner.
pub struct Image(PathBuf);

impl Image {
    pub fn new(sectors: u64) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("toro-partitions-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let file = std::fs::File::create(&path).expect("there is room for temporary files");
        file.set_len(sectors * SECTOR as u64).expect("it can be made larger");
        Self(path)
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.0).expect("it can be read")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

pub fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

/// An image of `sectors` that sgdisk made with these words.
pub fn sgdisk(sectors: u64, words: &[&str]) -> Vec<u8> {
    let image = Image::new(sectors);
    let mut sgdisk = tool("sgdisk");
    let output = sgdisk.args(words).arg(&image.0).output();
    let output = output.unwrap_or_else(|error| panic!("sgdisk: {error}; cargo xtask setup installs it"));
    assert!(output.status.success(), "{sgdisk:?}: {}", String::from_utf8_lossy(&output.stdout));
    image.bytes()
}

/// An image of `sectors` that sfdisk or fdisk made after this script.
pub fn scripted(program: &str, sectors: u64, words: &[&str], script: &str) -> Vec<u8> {
    let image = Image::new(sectors);
    let mut sfdisk = tool(program);
    sfdisk.args(words).arg(&image.0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = sfdisk.spawn().unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask setup installs it"));
    child.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("it reads its script");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{sfdisk:?}: {}", String::from_utf8_lossy(&output.stderr));
    image.bytes()
}

pub fn scan_image(image: &[u8], block_size: BlockSize) -> (Report, Vec<Partition>) {
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

pub fn ranges(found: &[Partition]) -> Vec<(u32, u64, u64)> {
    found.iter().map(|partition| (partition.number, partition.first, partition.sectors)).collect()
}

pub fn problems(report: &Report) -> Vec<Problem> {
    report.problems.iter().collect()
}

pub fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A GPT with three partitions, of which the second place in the table is free.
pub fn gpt() -> Vec<u8> {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let words = ["-n", "1:2048:4095", "-t", "1:ef00", "-c", "1:Boot ä", "-n", "3:8192:16383", "-t", "3:0700"];
    IMAGE.get_or_init(|| sgdisk(32_768, &[&words[..], &["-n", "4:4096:8191"]].concat())).clone()
}

/// Makes the checksums of a header right again, in blocks of 512 bytes.
pub fn seal(image: &mut [u8], header: usize) {
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

/// An entry of an MBR or EBR.
pub fn entry(system: u8, first: u32, blocks: u32) -> Vec<u8> {
    [&[0, 0, 0, 0, system, 0, 0, 0][..], &first.to_le_bytes(), &blocks.to_le_bytes()].concat()
}

/// Makes the sector `sector` an MBR or EBR with these entries.
pub fn put_record(image: &mut [u8], sector: usize, entries: &[Vec<u8>]) {
    put(image, sector * SECTOR + 0x1be, &entries.concat());
    put(image, sector * SECTOR + 0x1fe, &[0x55, 0xaa]);
}
