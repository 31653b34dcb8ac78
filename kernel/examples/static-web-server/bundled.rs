//! The site inside the image, served when nobody shares a directory.
//!
//! A handful of files, all in one directory, linked into the executable: the newcomer who starts the
//! server without `--share` sees a page that says what is answering. The files have no date, as nobody
//! knows when an image was built reproducibly, so they carry an entity tag over their contents and no
//! Last-Modified.

use core::ops::ControlFlow;

use crate::storage::{Entry, EntryKind, Metadata, Node, Storage, StorageError, StoredFile};

static FILES: [BundledFile; 3] = [
    BundledFile::new("favicon.svg", include_bytes!("site/favicon.svg")),
    BundledFile::new("index.html", include_bytes!("site/index.html")),
    BundledFile::new("style.css", include_bytes!("site/style.css")),
];

/// The bundled site.
pub struct Bundled;

/// One of its files.
pub struct BundledFile {
    name: &'static str,
    contents: &'static [u8],
    hash: u64,
}

impl BundledFile {
    const fn new(name: &'static str, contents: &'static [u8]) -> Self {
        Self { name, contents, hash: hash(contents) }
    }
}

impl Storage for Bundled {
    type File = &'static BundledFile;

    fn open(&self, path: &[u8]) -> Result<Node<Self::File>, StorageError> {
        let name = path.strip_prefix(b"/").unwrap_or(path);
        if name.is_empty() {
            return Ok(Node::Directory);
        }
        let file = FILES.iter().find(|file| file.name.as_bytes() == name).ok_or(StorageError::NotFound)?;
        let length = file.contents.len() as u64;
        let metadata = Metadata { length, modified: None, identity: file.hash };
        Ok(Node::File { file, metadata })
    }

    fn list(&self, path: &[u8], visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), StorageError> {
        if path != b"/" {
            return Err(StorageError::NotFound);
        }
        for file in &FILES {
            let entry = Entry {
                name: file.name.as_bytes().to_vec(),
                kind: EntryKind::File,
                length: file.contents.len() as u64,
                modified: None,
            };
            if visit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl StoredFile for &'static BundledFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.contents.get(start..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(length)
    }

    fn contents(&self) -> Option<&[u8]> {
        Some(self.contents)
    }
}

/// FNV-1a in 64 bits: changed contents are a changed tag, and nobody attacks the files of our own image.
const fn hash(contents: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut rest = contents;
    while let [first, tail @ ..] = rest {
        state = (state ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
        rest = tail;
    }
    state
}
