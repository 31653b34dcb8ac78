//! Archives in the format of cpio that Linux unpacks as its initial file system ("newc").
//!
//! ```text
//!   entry:    "070701", 13 numbers of 8 hexadecimal digits, name, NUL, padding, contents, padding     (to 4 bytes)
//!   archive:  entries, and one with the name "TRAILER!!!"
//! ```

/// What the mode of a regular file that anybody may execute is.
const EXECUTABLE: u32 = 0o100_755;
/// That of a directory.
const DIRECTORY: u32 = 0o040_755;
/// Name of the last entry.
const TRAILER: &str = "TRAILER!!!";

/// An archive that has one file, `name`, executable.
pub fn of_one_program(name: &str, contents: &[u8]) -> Vec<u8> {
    of_programs(&[(name.to_owned(), contents.to_vec())])
}

/// An archive of executable files, by name. Their directories come with them.
pub fn of_programs(programs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::with_capacity(programs.iter().map(|(_, contents)| contents.len() + 512).sum());
    let mut made = Vec::new();
    for (name, contents) in programs {
        for (end, _) in name.match_indices('/') {
            let directory = &name[..end];
            if !made.contains(&directory) {
                made.push(directory);
                entry(&mut archive, directory, DIRECTORY, &[]);
            }
        }
        entry(&mut archive, name, EXECUTABLE, contents);
    }
    entry(&mut archive, TRAILER, 0, &[]);
    archive
}

fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, contents: &[u8]) {
    let inode = archive.len() as u64;
    let (name_size, size) = (name.len() as u64 + 1, contents.len() as u64);
    // Inode, mode, user, group, links, time, size, two devices of two numbers each, size of the name, check sum.
    let numbers = [inode, u64::from(mode), 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    archive.extend_from_slice(b"070701");
    for number in numbers {
        archive.extend_from_slice(format!("{number:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(contents);
    pad(archive);
}

/// Zeros up to the next multiple of four.
fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_begin_where_their_sizes_say() {
        let archive = of_one_program("init", b"12345");
        let number = |index: usize| {
            let digits = &archive[6 + 8 * index..][..8];
            usize::from_str_radix(str::from_utf8(digits).expect("digits"), 16).expect("a number")
        };
        let name_at = 6 + 13 * 8;
        assert_eq!((number(1), number(6), number(11)), (0o100_755, 5, 5));
        assert_eq!(&archive[name_at..name_at + 5], b"init\0");
        // 110 bytes of head and 5 of name, and one to the next multiple of four.
        assert_eq!(&archive[116..121], b"12345");
        assert_eq!(&archive[124..130], b"070701");
        assert!(archive.windows(TRAILER.len()).any(|window| window == TRAILER.as_bytes()));
        assert!(archive.len().is_multiple_of(4));
    }
}
