//! From the sectors of a disk to the files that others want.
//!
//! | format | file | who takes it |
//! |---|---|---|
//! | raw | the sectors, sparse | QEMU, `dd`, Amazon, OpenStack |
//! | qcow2 | QEMU's own | QEMU, OpenStack |
//! | vmdk | stream-optimized: compressed, to be read from one end to the other | VMware, Amazon |
//! | vhd | fixed size: the sectors and a footer | Hyper-V, Azure, Amazon |
//! | gce | `disk.raw` in a compressed tar of the old GNU format | Google Compute Engine |
//!
//! `qemu-img` makes the middle three. It makes up an identifier for two of them and notes the time in one; both are replaced, so
//! that the same input gives the same file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::layout::MIB;
use super::{cannot_read, cannot_write, program, run_program};
use crate::cli::ImageFormat;
use crate::exit::Failure;

/// The descriptor of a VMDK file is near its beginning.
const DESCRIPTOR_WITHIN: u64 = 64 * 1024;
/// How its text begins.
const DESCRIPTOR: &[u8] = b"# Disk DescriptorFile\n";
/// The footer of a VHD file (Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format").
const FOOTER: usize = 512;
const FOOTER_TIME: std::ops::Range<usize> = 24..28;
const FOOTER_CHECKSUM: std::ops::Range<usize> = 64..68;
const FOOTER_IDENTITY: std::ops::Range<usize> = 68..84;

impl ImageFormat {
    /// What a disk of this format has a multiple of, in bytes.
    pub fn unit(self) -> u64 {
        match self {
            // "The disk size must be a multiple of 1 GB."
            Self::Gce => 1024 * MIB,
            Self::Raw | Self::Qcow2 | Self::Vmdk | Self::Vhd => MIB,
        }
    }

    /// The end of a file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Raw => "img",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Gce => "tar.gz",
        }
    }

    /// What is made.
    pub fn description(self) -> &'static str {
        match self {
            Self::Raw => "a raw image",
            Self::Qcow2 => "a qcow2 image",
            Self::Vmdk => "a stream-optimized VMDK image",
            Self::Vhd => "a VHD image of fixed size",
            Self::Gce => "a tar archive for Compute Engine",
        }
    }
}

/// Makes a file of `format` in `workshop` from the sectors in `raw`, and gives its path. `identity` is the disk's GUID.
///
/// # Errors
///
/// A preparation failure where a program fails or a file cannot be written.
pub fn convert(raw: &Path, format: ImageFormat, workshop: &Path, identity: String) -> Result<PathBuf, Failure> {
    let made = workshop.join("made");
    match format {
        ImageFormat::Raw => return Ok(raw.to_owned()),
        ImageFormat::Qcow2 => qemu_img(raw, &made, &["-O", "qcow2"])?,
        ImageFormat::Vmdk => {
            qemu_img(raw, &made, &["-O", "vmdk", "-o", "subformat=streamOptimized"])?;
            fix(&made, |file| fix_vmdk(file, &identity))?;
        }
        ImageFormat::Vhd => {
            qemu_img(raw, &made, &["-O", "vpc", "-o", "subformat=fixed,force_size=on"])?;
            fix(&made, |file| fix_vhd(file, &identity))?;
        }
        ImageFormat::Gce => archive(raw, &made)?,
    }
    Ok(made)
}

fn qemu_img(raw: &Path, made: &Path, options: &[&str]) -> Result<(), Failure> {
    let mut command = program("qemu-img");
    command.args(["convert", "-f", "raw"]).args(options).arg(raw).arg(made);
    run_program(&mut command).map(drop)
}

/// Packs the disk as Compute Engine wants it; the sectors that are empty take no room.
fn archive(raw: &Path, made: &Path) -> Result<(), Failure> {
    let (Some(directory), Some(name)) = (raw.parent(), raw.file_name()) else {
        return Err(Failure::preparation(format!("{} names no file", raw.display())));
    };
    let output = File::create(made).map_err(|error| cannot_write(made, &error))?;
    let mut tar = program("tar");
    tar.args(["--create", "--format=oldgnu", "--sparse", "--owner=0", "--group=0", "--numeric-owner", "--mode=644"]);
    tar.arg(format!("--mtime=@{}", super::EPOCH)).arg("--directory").arg(directory).arg(name);
    let cannot = |what: &str, error: std::io::Error| Failure::preparation(format!("cannot run {what}: {error}"));
    let tar = tar.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| cannot("tar", error))?;
    let mut tar = Packing(tar);
    let from = tar.0.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut gzip = program("gzip");
    let packed = gzip.args(["--no-name", "--best"]).stdin(from).stdout(output).status();
    let packed = packed.map_err(|error| cannot("gzip", error))?;
    let listed = tar.0.wait().map_err(|error| cannot("tar", error))?;
    if packed.success() && listed.success() {
        return Ok(());
    }
    Err(Failure::preparation(format!("packing the image failed: tar: {listed}; gzip: {packed}")))
}

/// A program that ends with the function.
struct Packing(std::process::Child);

impl Drop for Packing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens a file for a change of a few bytes.
fn fix(path: &Path, change: impl FnOnce(&mut File) -> std::io::Result<bool>) -> Result<(), Failure> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| cannot_read(path, &error))?;
    match change(&mut file) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::preparation("qemu-img made an image without the fields that one has")),
        Err(error) => Err(cannot_write(path, &error)),
    }
}

/// Replaces the content identifier, a line of the descriptor's text. `qemu-img` writes it without leading zeros, so the text may
/// grow, into the zeros behind it. Gives whether there is such a text.
fn fix_vmdk(file: &mut (impl Read + Write + Seek), identity: &str) -> std::io::Result<bool> {
    let mut start = Vec::new();
    Read::by_ref(file).take(DESCRIPTOR_WITHIN).read_to_end(&mut start)?;
    let Some(at) = start.windows(DESCRIPTOR.len()).position(|window| window == DESCRIPTOR) else { return Ok(false) };
    let (text, behind) =
        start[at..].split_at(start[at..].iter().position(|&byte| byte == 0).unwrap_or(start.len() - at));
    let digits: String = identity.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    let own = format!("CID={}\n", digits.to_lowercase());
    let is_identifier = |line: &&[u8]| line.starts_with(b"CID=");
    let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let Some(line) = lines.iter_mut().find(|line| is_identifier(line)) else { return Ok(false) };
    *line = own.as_bytes();
    let fixed = lines.concat();
    let zeros = behind.iter().take_while(|&&byte| byte == 0).count();
    if fixed.len() < text.len() || fixed.len() > text.len() + zeros {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(at as u64))?;
    file.write_all(&fixed)?;
    Ok(true)
}

/// Replaces time and identifier in the footer, and the checksum over them. Gives whether there was a footer.
fn fix_vhd(file: &mut (impl Read + Write + Seek), identity: &str) -> std::io::Result<bool> {
    let mut footer = [0; FOOTER];
    let at = file.seek(SeekFrom::End(-(FOOTER as i64)))?;
    file.read_exact(&mut footer)?;
    if !footer.starts_with(b"conectix") {
        return Ok(false);
    }
    footer[FOOTER_TIME].fill(0);
    let digits: Vec<u8> =
        identity.bytes().filter_map(|byte| char::from(byte).to_digit(16)).map(|digit| digit as u8).collect();
    for (byte, digits) in footer[FOOTER_IDENTITY].iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digits[0] << 4 | digits[1];
    }
    footer[FOOTER_CHECKSUM].fill(0);
    let sum = !footer.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    footer[FOOTER_CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&footer)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const IDENTITY: &str = "01234567-89AB-8DEF-8123-456789ABCDEF";

    #[test]
    fn identifier_of_a_vmdk_follows_from_the_disks() {
        for identifier in ["deadbeef", "bee", "0"] {
            let before = format!("KDMV....# Disk DescriptorFile\nversion=1\nCID={identifier}\nparentCID=ffffffff\n\0");
            let mut file = before.clone().into_bytes();
            file.resize(100, 0);
            file.extend(b"more");
            let mut file = Cursor::new(file);
            assert!(fix_vmdk(&mut file, IDENTITY).unwrap());
            let text = String::from_utf8(file.into_inner()).unwrap();
            assert!(text.contains("version=1\nCID=01234567\nparentCID=ffffffff\n\0"), "{text}");
            assert!(text.ends_with("\0more") && text.len() == 104, "{text}");
            // Where the text has no room to grow, nothing is changed.
            let mut full = Cursor::new(before.replace('\0', "x").into_bytes());
            assert_eq!(fix_vmdk(&mut full, IDENTITY).unwrap(), identifier.len() == 8, "{identifier}");
        }
        assert!(!fix_vmdk(&mut Cursor::new(vec![0; 9]), IDENTITY).unwrap());
    }

    #[test]
    fn footer_of_a_vhd_has_no_time_and_a_right_checksum() {
        let mut disk = vec![7; 1024];
        disk[512..520].copy_from_slice(b"conectix");
        let mut file = Cursor::new(disk);
        assert!(fix_vhd(&mut file, IDENTITY).unwrap());
        let disk = file.into_inner();
        let footer = &disk[512..];
        assert_eq!(disk[..512], [7; 512]);
        assert_eq!((&footer[24..28], &footer[68..72], footer[83]), (&[0; 4][..], &[0x01, 0x23, 0x45, 0x67][..], 0xef));
        let others = footer[..64].iter().chain(&footer[68..]).map(|&byte| u32::from(byte)).sum::<u32>();
        assert_eq!(footer[64..68], (!others).to_be_bytes());
        assert!(!fix_vhd(&mut Cursor::new(vec![0; 512]), IDENTITY).unwrap());
    }
}
