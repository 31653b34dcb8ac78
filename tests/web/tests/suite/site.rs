//! Trees of files for the tests: a directory that removes itself, and files that misbehave.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use web_tests::{
    date::UnixTime,
    respond::BUFFER_LENGTH,
    storage::{Entry, EntryKind, Metadata, Node, Storage, StorageError, StoredFile},
};

/// A directory that is removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A fresh, empty directory.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("toro-web-tests-{}-{}", process::id(), COUNT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    /// Writes a file, and the directories above it.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("below the scratch directory")).expect("directories");
        fs::write(path, contents).expect("a file");
        self
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that fails must not fail twice.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes that tell where in the file they are.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(byte_at).collect()
}

fn byte_at(offset: u64) -> u8 {
    (offset ^ offset >> 8 ^ offset >> 16) as u8
}

/// One file, `/file`, that claims a length and has another.
pub struct Odd {
    /// What the metadata says.
    pub claimed: u64,
    /// Where reading ends.
    pub actual: u64,
    /// What happens there.
    pub end: End,
    /// Most bytes that one read returns.
    pub piece: usize,
    /// Longest read that was asked for.
    pub longest_read: AtomicUsize,
    /// Reads so far.
    pub reads: AtomicU64,
    /// Offsets that were asked for, for files that are read a few times only.
    pub offsets: Mutex<Vec<u64>>,
}

/// What a read at the end of an [`Odd`] file gives.
#[derive(Clone, Copy)]
pub enum End {
    /// Nothing, like the end of any file.
    Eof,
    /// An error.
    Failure,
}

impl Odd {
    /// A file of `claimed` bytes of which `actual` can be read.
    pub fn new(claimed: u64, actual: u64, end: End) -> Self {
        Self {
            claimed,
            actual,
            end,
            piece: usize::MAX,
            longest_read: AtomicUsize::new(0),
            reads: AtomicU64::new(0),
            offsets: Mutex::default(),
        }
    }
}

/// The open file of an [`Odd`] storage.
pub struct OddFile(std::sync::Arc<Odd>);

/// Shares an [`Odd`] between the server and the test.
#[derive(Clone)]
pub struct OddStorage(pub std::sync::Arc<Odd>);

impl Storage for OddStorage {
    type File = OddFile;

    fn open(&self, path: &[u8]) -> Result<Node<OddFile>, StorageError> {
        match path {
            b"/file" => {
                let metadata = Metadata {
                    length: self.0.claimed,
                    modified: Some(UnixTime::from_seconds(784_111_777)),
                    identity: 7,
                };
                Ok(Node::File { file: OddFile(self.0.clone()), metadata })
            }
            b"/secret" | b"/secrets/index.html" => Err(StorageError::Forbidden),
            b"/broken" => Err(StorageError::Failed),
            b"/fifo" => Ok(Node::Other),
            b"/" | b"/directory" | b"/broken-directory" => Ok(Node::Directory),
            _ => Err(StorageError::NotFound),
        }
    }

    fn list(&self, path: &[u8], visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), StorageError> {
        match path {
            b"/" => {
                for index in 0..20_000 {
                    let name = format!("entry-{index:05}").into_bytes();
                    let entry = Entry { name, kind: EntryKind::File, length: 1, modified: None };
                    if visit(entry).is_break() {
                        break;
                    }
                }
                Ok(())
            }
            b"/broken-directory" => Err(StorageError::Failed),
            _ => Err(StorageError::NotFound),
        }
    }
}

impl StoredFile for OddFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        let odd = &self.0;
        assert!(buffer.len() <= BUFFER_LENGTH);
        odd.longest_read.fetch_max(buffer.len(), SeqCst);
        if odd.reads.fetch_add(1, SeqCst) < 1_000 {
            odd.offsets.lock().expect("nobody panics here").push(offset);
        }
        let left = odd.actual.saturating_sub(offset);
        let length = buffer.len().min(odd.piece).min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 && matches!(odd.end, End::Failure) {
            return Err(StorageError::Failed);
        }
        for (index, byte) in buffer[..length].iter_mut().enumerate() {
            *byte = byte_at(offset + index as u64);
        }
        Ok(length)
    }
}
