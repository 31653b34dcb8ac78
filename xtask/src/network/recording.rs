//! Recordings of frames, as `--pcap` has QEMU make them, brought into the form that every reader knows.
//!
//! ```text
//!   24 bytes: magic number, version, .., kind of link
//!   16 bytes: seconds, microseconds, bytes recorded, bytes of the frame;    [virtio header, 10 or 12 bytes]  frame
//!   16 bytes: ..
//! ```
//!
//! Before version 8, QEMU records in front of each frame the virtio header that goes with it between card and tap interface.
//! No reader knows that. Whether it is there, and how long it is, is told by where the card's own address is in the frames:
//! every one that the card sends has it as source. When the machine has ended, the headers are taken out.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

/// The magic number of a file in this host's order of bytes, as QEMU writes it.
const MAGIC: u32 = 0xa1b2_c3d4;
const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;
/// How long a virtio header can be: without and with a number of buffers.
const VIRTIO_HEADERS: [usize; 2] = [10, 12];
/// The most bytes of a frame that are recorded; a file that says more is damaged.
const MOST_BYTES: usize = 1 << 20;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Takes the virtio headers out of a recording of the card `mac`, if there are any. A frame that was not recorded to its end,
/// because the machine ended in the middle, is left out then.
///
/// # Errors
///
/// What the file system says.
pub fn tidy(file: &Path, mac: Mac) -> std::io::Result<()> {
    let Some(length) = header_length(&mut open(file)?, mac)? else { return Ok(()) };
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let mut output = BufWriter::new(File::create(&name)?);
    without_headers(&mut open(file)?, &mut output, length)?;
    output.into_inner()?.sync_all()?;
    std::fs::rename(&name, file)
}

fn open(file: &Path) -> std::io::Result<BufReader<File>> {
    Ok(BufReader::new(File::open(file)?))
}

/// How long the virtio header in front of each frame is; none if there is none, or nothing to tell it by.
fn header_length(input: &mut impl Read, mac: Mac) -> std::io::Result<Option<usize>> {
    if !read_file_header(input)?.is_some_and(|header| header.starts_with(&MAGIC.to_ne_bytes())) {
        return Ok(None);
    }
    while let Some((_, frame)) = read_frame(input)? {
        let is_source = |offset: usize| frame.get(offset + 6..offset + 12) == Some(&mac[..]);
        if is_source(0) {
            return Ok(None);
        }
        if let Some(length) = VIRTIO_HEADERS.into_iter().find(|&length| is_source(length)) {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

/// Copies a recording without the first `length` bytes of each frame.
fn without_headers(input: &mut impl Read, output: &mut impl Write, length: usize) -> std::io::Result<()> {
    let Some(header) = read_file_header(input)? else { return Ok(()) };
    output.write_all(&header)?;
    while let Some((mut header, frame)) = read_frame(input)? {
        for field in [8, 12] {
            let bytes = number(&header, field).saturating_sub(length as u32).to_ne_bytes();
            header[field..field + 4].copy_from_slice(&bytes);
        }
        output.write_all(&header)?;
        output.write_all(frame.get(length..).unwrap_or_default())?;
    }
    output.flush()
}

fn read_file_header(input: &mut impl Read) -> std::io::Result<Option<[u8; FILE_HEADER]>> {
    let mut header = [0; FILE_HEADER];
    whole(input.read_exact(&mut header)).map(|read| read.map(|()| header))
}

/// The next frame with the header of its record; none at the end of the file, or of what is whole in it.
fn read_frame(input: &mut impl Read) -> std::io::Result<Option<([u8; FRAME_HEADER], Vec<u8>)>> {
    let mut header = [0; FRAME_HEADER];
    if whole(input.read_exact(&mut header))?.is_none() {
        return Ok(None);
    }
    let length = number(&header, 8) as usize;
    if length > MOST_BYTES {
        return Ok(None);
    }
    let mut frame = vec![0; length];
    whole(input.read_exact(&mut frame)).map(|read| read.map(|()| (header, frame)))
}

/// Turns the end of a file in the middle of something into nothing.
fn whole(read: std::io::Result<()>) -> std::io::Result<Option<()>> {
    match read {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn number(header: &[u8; FRAME_HEADER], field: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[field..field + 4]);
    u32::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    /// A recording of a frame to the card and one from it, with so many bytes in front of each.
    fn recording(length: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.resize(FILE_HEADER, 7);
        let frames = [[&[0xff; 6][..], &[1; 6], &[8, 6]].concat(), [&[1; 6][..], &MAC, &[8, 0, 1, 2, 3]].concat()];
        for frame in frames {
            let count = u32::try_from(length + frame.len()).unwrap().to_ne_bytes();
            bytes.extend([[9; 8].as_slice(), &count, &count, &vec![0; length], &frame].concat());
        }
        bytes
    }

    fn tidied(bytes: &[u8]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.pcap");
        std::fs::write(&file, bytes).unwrap();
        tidy(&file, MAC).unwrap();
        assert_eq!(directory.path().read_dir().unwrap().count(), 1);
        std::fs::read(&file).unwrap()
    }

    #[test]
    fn headers_of_either_length_are_taken_out() {
        for length in VIRTIO_HEADERS {
            assert_eq!(tidied(&recording(length)), recording(0));
        }
    }

    #[test]
    fn what_is_in_order_stays_as_it_is() {
        assert_eq!(tidied(&recording(0)), recording(0));
        for other in [&b""[..], b"something else", &[0; 100]] {
            assert_eq!(tidied(other), other);
        }
    }

    #[test]
    fn a_frame_that_is_not_whole_is_left_out() {
        let mut cut = recording(12);
        cut.extend([1, 2, 3]);
        assert_eq!(tidied(&cut), recording(0));
        let mut endless = recording(12);
        endless.extend([0xff; FRAME_HEADER]);
        assert_eq!(tidied(&endless), recording(0));
    }
}
