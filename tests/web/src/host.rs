//! The machine around the server, as `std` has it: sockets, a directory, clocks, threads.

use std::{
    fs,
    io::{self, IoSlice, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::ControlFlow,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    accept::{self, Listener, Work},
    config::Config,
    connection::{Connection, ConnectionError, Environment},
    date::UnixTime,
    serve::Server,
    storage::{Entry, EntryKind, Metadata, Node, Storage, StorageError, StoredFile},
};

/// A directory of the host, as a jail: what leads out of it, by whatever links, is forbidden.
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Serves `root`.
    ///
    /// # Panics
    /// If there is no such directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.canonicalize().expect("the directory exists") }
    }

    fn resolve(&self, path: &[u8]) -> Result<PathBuf, StorageError> {
        let below = path.strip_prefix(b"/").unwrap_or(path);
        let inside = self.root.join(std::ffi::OsStr::from_bytes(below));
        let real = inside.canonicalize().map_err(convert)?;
        if real.starts_with(&self.root) { Ok(real) } else { Err(StorageError::Forbidden) }
    }
}

/// An open file.
pub struct HostFile(fs::File);

impl Storage for Directory {
    type File = HostFile;

    fn open(&self, path: &[u8]) -> Result<Node<HostFile>, StorageError> {
        let path = self.resolve(path)?;
        let kind = fs::metadata(&path).map_err(convert)?;
        if kind.is_dir() {
            return Ok(Node::Directory);
        }
        if !kind.is_file() {
            return Ok(Node::Other);
        }
        let file = fs::File::open(&path).map_err(convert)?;
        let metadata = file.metadata().map_err(convert)?;
        let metadata =
            Metadata { length: metadata.len(), modified: Some(modified(&metadata)), identity: metadata.ino() };
        Ok(Node::File { file: HostFile(file), metadata })
    }

    fn list(&self, path: &[u8], visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), StorageError> {
        for entry in fs::read_dir(self.resolve(path)?).map_err(convert)? {
            let entry = entry.map_err(convert)?;
            let name = entry.file_name().as_bytes().to_vec();
            let slash: &[u8] = if path.ends_with(b"/") { b"" } else { b"/" };
            let below = [path, slash, &name].concat();
            let Ok(metadata) = self.resolve(&below).and_then(|real| fs::metadata(real).map_err(convert)) else {
                continue;
            };
            let kind = match (metadata.is_dir(), metadata.is_file()) {
                (true, _) => EntryKind::Directory,
                (_, true) => EntryKind::File,
                _ => continue,
            };
            let modified = Some(modified(&metadata));
            if visit(Entry { name, kind, length: metadata.len(), modified }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl StoredFile for HostFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        self.0.read_at(buffer, offset).map_err(convert)
    }
}

fn modified(metadata: &fs::Metadata) -> UnixTime {
    UnixTime { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 }
}

fn convert(error: io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            StorageError::NotFound
        }
        io::ErrorKind::PermissionDenied => StorageError::Forbidden,
        // ELOOP has no stable kind.
        _ if error.raw_os_error() == Some(40) => StorageError::Forbidden,
        _ => StorageError::Failed,
    }
}

/// A socket.
pub struct Socket(pub TcpStream);

impl Connection for Socket {
    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, ConnectionError> {
        self.0.set_read_timeout(Some(patience)).map_err(|_| ConnectionError::Lost)?;
        self.0.read(buffer).map_err(|error| lost_or_late(&error))
    }

    fn write(&mut self, pieces: [&[u8]; 2], patience: Duration) -> Result<usize, ConnectionError> {
        self.0.set_write_timeout(Some(patience)).map_err(|_| ConnectionError::Lost)?;
        self.0.write_vectored(&pieces.map(IoSlice::new)).map_err(|error| lost_or_late(&error))
    }

    fn finish(&mut self) {
        // A connection that is gone already is finished.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

fn lost_or_late(error: &io::Error) -> ConnectionError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ConnectionError::TimedOut,
        _ => ConnectionError::Lost,
    }
}

/// The host's clocks, and a console that remembers.
pub struct Host {
    start: Instant,
    lines: Mutex<Vec<String>>,
}

impl Default for Host {
    fn default() -> Self {
        Self { start: Instant::now(), lines: Mutex::default() }
    }
}

impl Host {
    /// What was logged.
    ///
    /// # Panics
    /// If a thread panicked while it logged.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics here").clone()
    }
}

impl Environment for Host {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_time(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixTime { seconds: since.as_secs() as i64, nanoseconds: since.subsec_nanos() }
    }

    fn log(&self, line: &str) {
        self.lines.lock().expect("nobody panics here").push(line.to_owned());
    }
}

struct Acceptor<S> {
    listener: TcpListener,
    server: Arc<Server<S, Host>>,
    ends: Arc<AtomicBool>,
}

impl<S: Storage + Send + Sync + 'static> Listener for Acceptor<S> {
    type Connection = Socket;

    fn accept(&mut self) -> Option<(Socket, IpAddr)> {
        let (stream, peer) = self.listener.accept().ok()?;
        // Like the image: small responses do not wait for an acknowledgement.
        stream.set_nodelay(true).ok()?;
        (!self.ends.load(SeqCst)).then_some((Socket(stream), peer.ip()))
    }

    fn start(&mut self, work: Work<Socket>) {
        let server = Arc::clone(&self.server);
        thread::spawn(move || work.run(&server));
    }
}

/// A server on a port of the loopback interface; dropping it ends it.
pub struct Running<S> {
    /// Where it listens.
    pub address: SocketAddr,
    /// The server.
    pub server: Arc<Server<S, Host>>,
    ends: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<S: Storage + Send + Sync + 'static> Running<S> {
    /// Starts a server for `storage` on a port that is free, whatever `config` says.
    ///
    /// # Panics
    /// If the loopback interface has no free port.
    pub fn start(storage: S, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = Arc::new(Server { storage, environment: Host::default(), config });
        let ends = Arc::new(AtomicBool::new(false));
        let mut acceptor = Acceptor { listener, server: Arc::clone(&server), ends: Arc::clone(&ends) };
        let thread = thread::spawn(move || accept::accept_all(&mut acceptor, config.max_connections));
        Self { address, server, ends, thread: Some(thread) }
    }
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        // Wakes the accepting thread; it fails only if that has ended already.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
