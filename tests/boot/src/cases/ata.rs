//! Disks of QEMU's PIIX3: the kernel's test `ata` writes one and reads it back, by DMA and through the data port, asleep while
//! it waits, and reads a CD-ROM that was written here. Then the disk is looked at from here.

use std::fs;
use std::path::Path;

use crate::case::Case;
use crate::tool::Tool;

/// With what disk and CD are written.
const SEED: u64 = 0x6174_612d_7465_7374;
/// Sectors of the disk, and blocks of the CD.
const SECTORS: u64 = 8192;
const BLOCKS: u64 = 64;
/// Bytes in a sector, in 64-bit words.
const SECTOR: usize = 512;
/// Sectors that the requests reach at least, of those that there are.
const WRITTEN: usize = 2000;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let case =
        |name: &str, transfer, requests| Case::new(name, move |tool: &Tool| disk_and_cdrom(tool, transfer, requests));
    vec![
        case("ata::at_1_2_17_18_31_disk_and_cdrom_by_dma_asleep", "dma", 60),
        case("ata::at_1_2_13_14_31_disk_and_cdrom_by_pio_asleep", "pio", 40),
    ]
}

fn disk_and_cdrom(tool: &Tool, transfer: &str, requests: u32) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let directory = tempfile::tempdir().map_err(text)?;
    let (disk, cdrom) = (directory.path().join("disk"), directory.path().join("cdrom"));
    fs::write(&disk, vec![0; SECTORS as usize * SECTOR]).map_err(text)?;
    fs::write(&cdrom, (0..4 * BLOCKS).flat_map(stamped).collect::<Vec<_>>()).map_err(text)?;
    let words = format!(
        "test=ata ata={transfer} requests={requests} seed={SEED} sectors={SECTORS} serial=QEMUDISK cdrom={BLOCKS}"
    );
    let arguments =
        ["run", "kernel-tests", "--machine", "pc", "--nics", "0", "--timeout", "120", "--append", &words, "--"];
    let drives = [
        "-drive".to_owned(),
        format!("if=none,id=disk,format=raw,file={}", disk.display()),
        "-device".to_owned(),
        "ide-hd,drive=disk,bus=ide.0,unit=0,serial=QEMUDISK".to_owned(),
        "-drive".to_owned(),
        format!("if=none,id=cdrom,format=raw,read-only=on,file={}", cdrom.display()),
        "-device".to_owned(),
        "ide-cd,drive=cdrom,bus=ide.1,unit=0".to_owned(),
    ];
    let finished = tool.run(arguments.map(str::to_owned).into_iter().chain(drives))?;
    finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed")?;
    look_at(&disk)
}

fn stamped(sector: u64) -> Vec<u8> {
    (0..64).flat_map(|word| (SEED ^ (sector << 8 | word)).to_le_bytes()).collect()
}

/// Each sector is as it was, or says that it is the one that it is.
fn look_at(disk: &Path) -> Result<(), String> {
    let contents = fs::read(disk).map_err(|error| error.to_string())?;
    let mut written = 0;
    for (sector, bytes) in (0..).zip(contents.chunks_exact(SECTOR)) {
        if bytes == stamped(sector) {
            written += 1;
        } else if bytes.iter().any(|byte| *byte != 0) {
            return Err(format!("sector {sector} of the disk begins with {:x?}", &bytes[..16]));
        }
    }
    if written >= WRITTEN { Ok(()) } else { Err(format!("only {written} sectors are written")) }
}
