//! Target `archive`: a tar or cpio file of any bytes, as a file system.
//!
//! | input | meaning |
//! |---|---|
//! | byte 0 | bit 0: blocks in which the word `ustar` stands where a header has it get a right checksum |
//! | rest | the archive |
//!
//! Held: no panic; no more objects than were allowed; every name can be looked up, and is listed once; what is read is as long as
//! the file says, and its data and holes are where they are said to be; nothing can be changed, and nothing is left.

use std::collections::BTreeSet;

use tar_core::{EntryBuilder, EntryType, SparseEntry};
use toro::fs::host::{self, ArchiveError};
use toro::fs::{FileType, Namespace};
use virtio_sim::SimMemory;

/// Objects and names that an archive may have.
const MOST: usize = 4096;
/// Bytes of a file that are read; with holes it can be of any length.
const MOST_READ: usize = 16 << 10;
/// A block of a tar.
const BLOCK: usize = 512;

/// Mounts the archive and looks at everything in it; says what was wrong, or how many names there were.
pub fn body(input: &[u8], memory: &'static SimMemory) -> Result<usize, ArchiveError> {
    let (&manner, image) = input.split_first().unwrap_or((&0, &[]));
    let mut image = image.to_vec();
    if manner & 1 != 0 {
        image.chunks_exact_mut(BLOCK).filter(|block| block[257..].starts_with(b"ustar")).for_each(seal);
    }
    let namespace = host::archive(Box::new(image), MOST, memory)?;
    let files = namespace.stats(b"/").expect("it is mounted").files;
    assert!(files as usize <= MOST + 1);
    let mut inodes = BTreeSet::new();
    let names = look(&namespace, b"", 0, &mut inodes);
    assert!(inodes.len() as u64 <= files && names <= MOST);
    assert!(namespace.write(b"/new", b"x").is_err() && namespace.create_dir(b"/new").is_err());
    namespace.unmount_all();
    Ok(names)
}

/// Archives as programs make them, and one of each lie.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let sealed = |entries: &[Vec<u8>]| [&[1][..], &entries.concat(), &[0; 2 * BLOCK]].concat();
    let file = |name, bytes: &[u8]| entry(name, EntryType::Regular, "", bytes);
    let mut sparse = EntryBuilder::new_gnu();
    sparse.path("holes").entry_type(EntryType::GnuSparse);
    sparse.size(6).expect("small").mode(0o644).expect("small");
    let map = [(3, 1), (5, 2), (9, 1), (20, 1), (40, 1)].map(|(offset, length)| SparseEntry { offset, length });
    sparse.sparse(&map, 64);
    let mut pax = EntryBuilder::new_ustar();
    pax.path("n".repeat(120)).entry_type(EntryType::Regular);
    pax.size(1).expect("small").mode(0o644).expect("small");
    pax.add_pax("mtime", b"1.25").add_pax("SCHILY.xattr.user.a", b"b");
    let long = entry(&"d/".repeat(60), EntryType::Directory, "", b"");
    vec![
        ("tar", sealed(&[file("a", b"1"), file("d/b", &[b'x'; 600]), entry("l", EntryType::Symlink, "d/b", b"")])),
        (
            "tar_links",
            sealed(&[file("a", b"1"), entry("b", EntryType::Link, "a", b""), entry("a", EntryType::Fifo, "", b"")]),
        ),
        ("tar_long", sealed(&[long, file("a", b"1")])),
        ("tar_sparse", sealed(&[padded(sparse.finish_bytes(), b"123456"), file("a", b"1")])),
        ("tar_pax", sealed(&[padded(pax.finish_bytes(), b"1"), file("a", b"1")])),
        ("leads_out", sealed(&[file("../a", b"1")])),
        ("conflict", sealed(&[file("a", b"1"), file("a/b", b"1")])),
        ("link_to_nothing", sealed(&[entry("b", EntryType::Link, "a", b"")])),
        ("no_end", [&[1][..], &file("a", b"1")].concat()),
        (
            "cpio",
            [&[0][..], &newc(&[("d", 0o040_755, 2, ""), ("d/a", 0o100_644, 1, "1"), ("l", 0o120_777, 1, "d/a")])]
                .concat(),
        ),
        ("cpio_links", [&[0][..], &newc(&[("a", 0o100_644, 2, ""), ("b", 0o100_644, 2, "contents")])].concat()),
        ("gzip", vec![0, 0x1F, 0x8B, 8, 0]),
    ]
}

/// An entry of a tar.
fn entry(name: &str, kind: EntryType, link: &str, bytes: &[u8]) -> Vec<u8> {
    let mut entry = EntryBuilder::new_gnu();
    entry.path(name).entry_type(kind).link_name(link);
    entry.size(bytes.len() as u64).expect("small").mode(0o644).expect("small");
    padded(entry.finish_bytes(), bytes)
}

/// Headers and what they are followed by.
fn padded(mut headers: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    headers.extend_from_slice(bytes);
    headers.resize(headers.len().next_multiple_of(BLOCK), 0);
    headers
}

/// A cpio archive of names, modes, numbers of links and contents.
fn newc(entries: &[(&str, u32, u32, &str)]) -> Vec<u8> {
    let mut archive = String::new();
    for (name, mode, links, contents) in entries.iter().chain([&("TRAILER!!!", 0, 1, "")]) {
        let numbers = [7, *mode, 0, 0, *links, 1, contents.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        archive.push_str("070701");
        archive.extend(numbers.map(|number| format!("{number:08x}")));
        archive.push_str(name);
        for rest in ["\0", contents] {
            archive.push_str(rest);
            archive.extend(std::iter::repeat_n('\0', archive.len().next_multiple_of(4) - archive.len()));
        }
    }
    archive.into_bytes()
}

/// Makes the checksum of a header right.
fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Looks at what is below a directory.
fn look(namespace: &Namespace, below: &[u8], depth: usize, inodes: &mut BTreeSet<u64>) -> usize {
    assert!(depth <= 4096, "a directory in itself");
    let directory = if below.is_empty() { b"/" } else { below };
    let mut count = 0;
    let mut last = Vec::new();
    let mut directories = Vec::new();
    for entry in namespace.read_dir(directory).expect("a directory") {
        let entry = entry.expect("it is in order");
        let name = entry.file_name().to_vec();
        assert!(name > last && !name.contains(&b'/') && !name.contains(&0), "a name twice, or none");
        let path = [below, b"/", &name].concat();
        last = name;
        count += 1;
        // A path may be too long to be named, by a slash; a name is not.
        let Ok(metadata) = namespace.symlink_metadata(&path) else {
            assert!(path.len() > 4095);
            continue;
        };
        assert_eq!((metadata.inode(), Ok(metadata.file_type())), (entry.inode(), entry.file_type()));
        inodes.insert(metadata.inode());
        match metadata.file_type() {
            FileType::Directory => directories.push(path),
            FileType::File => read(namespace, &path, metadata.len()),
            FileType::Symlink => {
                assert_eq!(namespace.read_link(&path).expect("a link").len() as u64, metadata.len());
                let _ = namespace.metadata(&path);
            }
            _ => assert!(namespace.open(&path).is_err()),
        }
    }
    directories.iter().map(|path| look(namespace, path, depth + 1, inodes)).sum::<usize>() + count
}

/// Reads a file, all at once and in pieces.
fn read(namespace: &Namespace, path: &[u8], len: u64) {
    let file = namespace.open(path).expect("a file");
    let mut bytes = vec![0xFF; MOST_READ];
    let whole = file.read_at(&mut bytes, 0).expect("it is in order");
    assert_eq!(whole as u64, len.min(MOST_READ as u64));
    for at in [0, 1, whole / 2, whole] {
        let mut piece = [0xFF; 700];
        let count = file.read_at(&mut piece, at as u64).expect("it is in order");
        let shown = &bytes[at..whole.min(at + count)];
        assert_eq!(&piece[..shown.len()], shown);
    }
    assert_eq!(file.read_at(&mut [0; 9], u64::MAX), Ok(0));
    let data = file.seek_data(0).expect("it is in order").unwrap_or(len);
    let hole = file.seek_hole(0).expect("it is in order").unwrap_or(len);
    assert!(data <= len && hole <= len && (data == 0) != (hole == 0 && len > 0) || len == 0);
    let zeros = data.min(whole as u64) as usize;
    assert!(bytes[..zeros].iter().all(|&byte| byte == 0), "a hole with something in it");
    let buffer = file.read_buffer(0, MOST_READ).expect("there is memory");
    assert_eq!(&*buffer, &bytes[..whole]);
}
