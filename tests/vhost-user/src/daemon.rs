//! [`Daemon`]: a device in a process of its own, started for one test and ended with it.
//!
//! ```text
//!   temporary directory      socket, and what the device keeps its data in
//!   setpriv --pdeathsig KILL -- qemu-storage-daemon ..      dies with the test, however that ends
//! ```
//!
//! The socket appears some milliseconds after the start; whoever connects waits for that.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::file_server::{FileServer, FileServerKind, Serving};

/// QEMU's block devices, by vhost-user among others.
const STORAGE: &str = "qemu-storage-daemon";
/// What a daemon says, in its directory: shown if the test fails.
const LOG: &str = "log";

/// What is behind a disk.
#[derive(Clone, Debug)]
pub enum Backing {
    /// Nothing: every request is done at once. Reads leave the buffers as they are.
    Null {
        /// Bytes that the disk claims to have.
        bytes: u64,
    },
    /// A new file of so many bytes, in the directory of the daemon or another one.
    File {
        /// Its length.
        bytes: u64,
        /// Where it is made; `None` for beside the socket.
        directory: Option<PathBuf>,
        /// How the daemon waits for it: `threads` or `io_uring`.
        aio: &'static str,
    },
}

/// Whether a disk can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can.
    Writable,
    /// It cannot.
    ReadOnly,
}

/// A disk to be served.
#[derive(Clone, Debug)]
pub struct Disk {
    /// What it keeps its data in.
    pub backing: Backing,
    /// How many queues it has.
    pub queues: u16,
    /// Whether it can be written.
    pub access: Access,
    /// How many requests a second it does, if not as many as it can.
    pub requests_per_second: Option<u32>,
}

impl Disk {
    /// A writable file of `bytes` bytes, with so many queues.
    pub fn file(bytes: u64, queues: u16) -> Self {
        let backing = Backing::File { bytes, directory: None, aio: "threads" };
        Self { backing, queues, access: Access::Writable, requests_per_second: None }
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    directory: TempDir,
    /// Where the disk's file is, if not beside the socket: removed with the daemon.
    elsewhere: Option<TempDir>,
    /// How it was started, if it is one for files.
    served: Option<(FileServer, PathBuf, Serving)>,
}

impl Daemon {
    /// Serves a disk.
    ///
    /// # Panics
    ///
    /// If the daemon cannot be started, or its file not made.
    pub fn storage(disk: &Disk) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut arguments = vec!["--object".to_owned(), "iothread,id=io".to_owned()];
        let mut elsewhere = None;
        let mut blockdev = |words: String| arguments.extend(["--blockdev".to_owned(), words]);
        match &disk.backing {
            Backing::Null { bytes } => {
                blockdev(format!("driver=null-co,node-name=disk,size={bytes},read-zeroes=off"));
            }
            Backing::File { bytes, directory: place, aio } => {
                let place = place.as_ref().map(|place| TempDir::new_in(place).expect("a temporary directory there"));
                let path = place.as_ref().unwrap_or(&directory).path().join("disk");
                let file = File::create(&path).expect("a file");
                file.set_len(*bytes).expect("a file of that length");
                elsewhere = place;
                let path = path.display();
                blockdev(format!("driver=file,node-name=file,filename={path},aio={aio},discard=unmap"));
                blockdev("driver=raw,node-name=disk,file=file".to_owned());
            }
        }
        let mut node = "disk";
        if let Some(requests) = disk.requests_per_second {
            blockdev("driver=throttle,node-name=slow,throttle-group=slow,file=disk".to_owned());
            let group = format!("throttle-group,id=slow,x-iops-total={requests}");
            arguments.splice(0..0, ["--object".to_owned(), group]);
            node = "slow";
        }
        let (queues, writable) = (disk.queues, if disk.access == Access::Writable { "on" } else { "off" });
        let socket = directory.path().join("socket");
        arguments.extend([
            "--export".to_owned(),
            format!(
                "type=vhost-user-blk,id=export,node-name={node},addr.type=unix,addr.path={},writable={writable},\
                 num-queues={queues},iothread=io",
                socket.display()
            ),
        ]);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", STORAGE]).args(arguments);
        Self { child: start(&mut command, &directory), directory, elsewhere, served: None }
    }

    /// Serves the files of a directory, by whichever server is here.
    ///
    /// # Panics
    ///
    /// If there is none, or it cannot be started.
    pub fn files(served: &Path) -> Self {
        let server = FileServer::any().expect("`cargo xtask setup` installs virtiofsd");
        Self::files_by(&server, served, &Serving::default())
    }

    /// Serves the files of a directory, by this server.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn files_by(server: &FileServer, served: &Path, serving: &Serving) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let child = start_server(server, &directory, served, serving);
        let served = Some((server.clone(), served.to_owned(), *serving));
        Self { child, directory, elsewhere: None, served }
    }

    /// Starts a server for files once more after it has ended: as it was, at the same place.
    ///
    /// # Panics
    ///
    /// If it serves no files, or cannot be started.
    pub fn start_again(&mut self) {
        let (server, served, serving) = self.served.as_ref().expect("it serves files");
        std::fs::remove_file(self.socket()).expect("its socket is there");
        self.child = start_server(server, &self.directory, served, serving);
    }

    /// The paths of what it has open, as it sees them; of sockets and the like it may have inherited some.
    ///
    /// # Panics
    ///
    /// If it has ended, or is somebody else's.
    pub fn open_paths(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs, and is ours");
        // One that is closed meanwhile is not open.
        let paths = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        let mut paths: Vec<_> = paths.filter(|path| path.is_absolute()).collect();
        paths.sort();
        paths
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The file that a disk keeps its data in; `None` if there is none.
    pub fn disk(&self) -> Option<PathBuf> {
        let path = self.elsewhere.as_ref().unwrap_or(&self.directory).path().join("disk");
        path.exists().then_some(path)
    }

    /// How long its threads have been running on a processor, all together; zero where the system does not count that.
    pub fn processor_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        // Time that it ran, time that it waited, how often it ran (Documentation/scheduler/sched-stats.rst).
        let lines = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
        let nanos = lines.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum();
        Duration::from_nanos(nanos)
    }

    /// Ends it in the middle of whatever it does.
    ///
    /// # Panics
    ///
    /// If it has ended already.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn wait(&mut self) {
        let mut looks = std::iter::repeat_with(|| {
            std::thread::sleep(Duration::from_millis(10));
            self.child.try_wait().expect("it was started here").is_some()
        });
        assert!(looks.by_ref().take(3000).any(|has_ended| has_ended), "it still runs");
    }

    /// Lets it go on after a [`stop`](Self::stop).
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).expect("it runs");
    }

    /// Lets it do nothing any more, but keep all that it has.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).expect("it runs");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.directory.path().join(LOG)).unwrap_or_default();
            eprintln!("the daemon said: {said}");
        }
    }
}

fn start(command: &mut Command, directory: &TempDir) -> Child {
    let log = File::create(directory.path().join(LOG)).expect("a log");
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    quiet.spawn().expect("setpriv is a part of util-linux; `cargo xtask setup` installs the daemons")
}

fn start_server(server: &FileServer, directory: &TempDir, served: &Path, serving: &Serving) -> Child {
    // It is given the socket: to make one, it also wants a place that is root's.
    let listener = UnixListener::bind(directory.path().join("socket")).expect("a socket");
    rustix::io::fcntl_setfd(&listener, FdFlags::empty()).expect("it is open");
    let mut command = Command::new("unshare");
    // It makes a sandbox, and root of a namespace may.
    if server.kind == FileServerKind::C && !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
    command.arg(&server.program).args(server.arguments(listener.as_raw_fd(), served, serving));
    start(&mut command, directory)
}
