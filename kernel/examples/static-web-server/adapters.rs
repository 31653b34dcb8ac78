//! The machine around the server, as `toro` has it: sockets, a share, clocks, threads.
//!
//! Each type here puts one of the server's traits onto one of the kernel's:
//!
//! | trait | here | kernel |
//! |---|---|---|
//! | [`Storage`], [`StoredFile`] | [`Share`], [`File`] | `toro::fs`, a jail by itself |
//! | [`Connection`] | [`Client`] | `toro::net::TcpStream` |
//! | [`Listener`] | [`Acceptor`] | `toro::net::TcpListener`, `toro::thread` |
//! | [`Environment`] | [`Machine`] | `toro::time`, the console |
//!
//! Nothing is decided here but how errors are named.

use alloc::{rc::Rc, string::String, vec::Vec};
use core::{net::IpAddr, ops::ControlFlow, time::Duration};

use toro::{
    fs,
    io::{self, ErrorKind, IoSlice},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    accept::{Listener, Work},
    bundled::Bundled,
    connection::{Connection, ConnectionError, Environment},
    copied::Copied,
    date::UnixTime,
    serve::Server,
    storage::{Entry, EntryKind, Metadata, Node, OneOf, Storage, StorageError, StoredFile},
};

/// What this server serves: a share of the host, a copy of it, or the site inside the image.
pub type Site = OneOf<Share, Copied, Bundled>;

/// How long the accepting thread waits after a failure that may pass, such as a lack of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// Stack of a thread that serves a connection, in bytes.
const STACK_SIZE: usize = 32 * 1024;

/// A directory of a mounted share.
pub struct Share {
    root: &'static str,
}

impl Share {
    /// Serves the directory `root`, an absolute path.
    pub fn new(root: &'static str) -> Self {
        Self { root: root.trim_end_matches('/') }
    }

    fn path(&self, below: &[u8]) -> Vec<u8> {
        [self.root.as_bytes(), below].concat()
    }
}

/// An open file of a share.
pub struct File(fs::File);

impl Storage for Share {
    type File = File;

    fn open(&self, path: &[u8]) -> Result<Node<File>, StorageError> {
        let file = match fs::File::open(self.path(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::IsADirectory => return Ok(Node::Directory),
            Err(error) if error.raw_os_error() == Some(ENXIO) => return Ok(Node::Other),
            Err(error) => return Err(convert(&error)),
        };
        let found = file.metadata().map_err(|error| convert(&error))?;
        let metadata = Metadata { length: found.len(), modified: Some(modified(&found)), identity: found.inode() };
        Ok(Node::File { file: File(file), metadata })
    }

    fn list(&self, path: &[u8], visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), StorageError> {
        for entry in fs::read_dir(self.path(path)).map_err(|error| convert(&error))? {
            let entry = entry.map_err(|error| convert(&error))?;
            let Ok(found) = follow(&entry) else {
                continue;
            };
            let kind = match (found.is_dir(), found.is_file()) {
                (true, _) => EntryKind::Directory,
                (_, true) => EntryKind::File,
                _ => continue,
            };
            let name = entry.file_name().to_vec();
            if visit(Entry { name, kind, length: found.len(), modified: Some(modified(&found)) }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl StoredFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        self.0.read_at(buffer, offset).map_err(|error| convert(&error))
    }
}

/// What an entry is; of a link, what it leads to.
fn follow(entry: &fs::DirEntry) -> io::Result<fs::Metadata> {
    let found = entry.metadata()?;
    if found.is_symlink() { fs::metadata(entry.path()) } else { Ok(found) }
}

fn modified(metadata: &fs::Metadata) -> UnixTime {
    let time = metadata.modified_time();
    UnixTime { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

/// What the file system answers for a fifo, a socket or a device, as Linux numbers it.
const ENXIO: i32 = 6;

fn convert(error: &io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => StorageError::NotFound,
        ErrorKind::PermissionDenied | ErrorKind::FilesystemLoop => StorageError::Forbidden,
        _ => StorageError::Failed,
    }
}

/// A connection to a client.
pub struct Client(TcpStream);

impl Connection for Client {
    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, ConnectionError> {
        self.0.set_read_timeout(Some(patience)).map_err(|error| lost_or_late(&error))?;
        self.0.read(buffer).map_err(|error| lost_or_late(&error))
    }

    fn write(&mut self, [head, body]: [&[u8]; 2], patience: Duration) -> Result<usize, ConnectionError> {
        self.0.set_write_timeout(Some(patience)).map_err(|error| lost_or_late(&error))?;
        let pieces = [IoSlice::new(head), IoSlice::new(body)];
        self.0.write_vectored(&pieces).map_err(|error| lost_or_late(&error))
    }

    fn finish(&mut self) {
        // A connection that is gone already is finished.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

fn lost_or_late(error: &io::Error) -> ConnectionError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ConnectionError::TimedOut,
        _ => ConnectionError::Lost,
    }
}

/// Clocks and the console.
pub struct Machine {
    start: Instant,
}

impl Machine {
    /// A machine whose monotonic clock begins now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Environment for Machine {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_time(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Both fit: the clock counts from 1970, and seconds of this era need 33 bits.
        UnixTime { seconds: since.as_secs() as i64, nanoseconds: since.subsec_nanos() }
    }

    fn log(&self, line: &str) {
        toro::println!("{line}");
    }
}

/// Accepts connections and gives each a thread.
pub struct Acceptor {
    listener: TcpListener,
    server: Rc<Server<Site, Machine>>,
}

impl Acceptor {
    /// Accepts what comes to `listener`.
    pub fn new(listener: TcpListener, server: Rc<Server<Site, Machine>>) -> Self {
        Self { listener, server }
    }
}

impl Listener for Acceptor {
    type Connection = Client;

    fn accept(&mut self) -> Option<(Client, IpAddr)> {
        loop {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    // Small responses do not wait for an acknowledgement; where the option cannot be set,
                    // the connection is gone, and its first read says so.
                    let _ = stream.set_nodelay(true);
                    return Some((Client(stream), peer.ip()));
                }
                Err(error) => {
                    toro::eprintln!("accept: {error}");
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn start(&mut self, work: Work<Client>) {
        let server = Rc::clone(&self.server);
        let builder = thread::Builder::new().name(String::from("connection")).stack_size(STACK_SIZE);
        if let Err(error) = builder.spawn(move || work.run(&server)) {
            toro::eprintln!("thread: {error}");
        }
    }
}
