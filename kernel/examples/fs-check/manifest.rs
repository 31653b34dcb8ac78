//! What the guest sees at the end, for the host to compare with what is there.
//!
//! A file with one line for each object below a directory, sorted by nothing in particular:
//!
//! ```text
//!   f 100644 4096 2 9f86d081...  path            files: st_mode in octal, length, names, SHA-256, path below the directory
//!   d 40755 - 3 - path                           directories
//!   l 120777 7 1 target path                     symbolic links
//!   p 10600 - 1 - path                           others
//!   x name value path                            an extended attribute of the file or directory
//! ```
//!
//! Bytes of names, targets and values that are not plain are percent-encoded; an empty value is `%`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use toro::fs::{self, FileType};
use toro::io;

use crate::features::Features;
use crate::outcome::{Checked, worked};
use crate::sha256;

/// How many objects a manifest has, and bytes in files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Lines that are objects.
    pub objects: usize,
    /// Bytes in all files together.
    pub bytes: u64,
}

/// Writes a manifest of what is below `directory` to the file `to`.
///
/// # Errors
///
/// The file system fails.
pub fn write(directory: &str, to: &str, features: &Features) -> Checked<Totals> {
    let mut text = String::new();
    let mut totals = Totals::default();
    let mut pending = Vec::from([Vec::new()]);
    while let Some(below) = pending.pop() {
        let path = [directory.as_bytes(), &below].concat();
        let what = || format!("the manifest's {}", path.escape_ascii());
        let names = worked(&what(), fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>))?;
        for entry in names {
            let name = [&below, b"/".as_slice(), entry.file_name()].concat();
            let path = [directory.as_bytes(), &name].concat();
            let what = || format!("the manifest's {}", path.escape_ascii());
            let is_directory = worked(&what(), describe(&mut text, &mut totals, &path, &name, features))?.is_dir();
            if is_directory {
                pending.push(name);
            }
        }
    }
    worked("the manifest", fs::write(to, &text))?;
    Ok(totals)
}

fn describe(
    text: &mut String,
    totals: &mut Totals,
    path: &[u8],
    name: &[u8],
    features: &Features,
) -> io::Result<FileType> {
    let metadata = fs::symlink_metadata(path)?;
    let (mode, links) = (metadata.mode(), metadata.links());
    let name = encoded(name.get(1..).unwrap_or_default());
    let kind = metadata.file_type();
    let line = match kind {
        FileType::File => {
            let contents = fs::read(path)?;
            totals.bytes += contents.len() as u64;
            format!("f {mode:o} {} {links} {} {name}", metadata.len(), hexadecimal(&sha256::digest(&contents)))
        }
        FileType::Directory => format!("d {mode:o} - {links} - {name}"),
        FileType::Symlink => format!("l {mode:o} {} {links} {} {name}", metadata.len(), encoded(&fs::read_link(path)?)),
        _ => format!("p {mode:o} - {links} - {name}"),
    };
    totals.objects += 1;
    // Writing to memory does not fail.
    let _ = writeln!(text, "{line}");
    if features.xattrs && (kind.is_file() || kind.is_dir()) {
        for attribute in fs::list_xattrs(path)? {
            let value = fs::xattr(path, &attribute)?.unwrap_or_default();
            let _ = writeln!(text, "x {} {} {name}", encoded(&attribute), encoded(&value));
        }
    }
    Ok(kind)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Percent-encodes what is not plain.
fn encoded(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "%".into();
    }
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"-._/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}
