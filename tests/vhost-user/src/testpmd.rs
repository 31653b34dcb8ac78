//! [`Testpmd`]: DPDK's packet forwarder, as a network device or as a driver beside ours.
//!
//! ```text
//!   device   testpmd with a port `net_vhost0` that listens on a socket: takes, makes, or sends back frames
//!   driver   testpmd with a port `net_virtio_user0` that connects to one: DPDK's virtio driver, in a process of its own
//! ```
//!
//! Both poll without end, on the one core that they are given. Once a second they print how many frames pass: the rates
//! of a device are the same meter for whoever is at the other end. Neither needs hugepages nor privileges.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Debian: package `dpdk-dev`.
const PROGRAM: &str = "dpdk-testpmd";
/// What it says, in its directory.
const LOG: &str = "log";
/// It makes its buffers before the socket.
const START: Duration = crate::PATIENCE;

/// What it does with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Takes them and forgets them.
    Take,
    /// Makes as many as go, of 64 bytes without their check sequence.
    Make,
    /// Sends each one back as it is.
    Return,
    /// The same, and begins with one burst of 32 of its own making.
    Begin,
}

impl Forwarding {
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Take => &["--forward-mode=rxonly"],
            Self::Make => &["--forward-mode=txonly"],
            Self::Return => &["--forward-mode=io"],
            Self::Begin => &["--forward-mode=io", "--tx-first"],
        }
    }
}

/// Frames in a second, as it counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// That it took from its port.
    pub received: u64,
    /// That it gave to its port.
    pub transmitted: u64,
}

/// One that runs.
#[derive(Debug)]
pub struct Testpmd {
    child: Child,
    directory: TempDir,
}

impl Testpmd {
    /// A network device with one queue pair, served on this core.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn device(forwarding: Forwarding, core: usize) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let port = format!("net_vhost0,iface={},queues=1", directory.path().join("socket").display());
        let child = start(&directory, &port, &[], forwarding, core);
        let device = Self { child, directory };
        let begin = Instant::now();
        while !device.socket().exists() {
            assert!(begin.elapsed() < START, "{PROGRAM} makes no socket: {}", device.said());
            std::thread::sleep(Duration::from_millis(10));
        }
        device
    }

    /// DPDK's driver with one queue pair of 256 descriptors each, on this core, for the device that listens at `socket`.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn driver(socket: &Path, forwarding: Forwarding, core: usize) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let port = format!("net_virtio_user0,path={},queues=1,queue_size=256", socket.display());
        let child = start(&directory, &port, &["--single-file-segments"], forwarding, core);
        Self { child, directory }
    }

    /// Where a device listens.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The rates of every second so far.
    pub fn rates(&self) -> Vec<Rate> {
        let said = self.said();
        let values = |name: &str| {
            let numbers = said.lines().filter_map(|line| line.trim().strip_prefix(name)?.split_whitespace().next());
            numbers.filter_map(|number| number.parse().ok()).collect::<Vec<u64>>()
        };
        let (received, transmitted) = (values("Rx-pps:"), values("Tx-pps:"));
        received.into_iter().zip(transmitted).map(|(received, transmitted)| Rate { received, transmitted }).collect()
    }

    /// What it has printed.
    pub fn said(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{PROGRAM} said: {}", self.said());
        }
    }
}

fn start(directory: &TempDir, port: &str, memory: &[&str], forwarding: Forwarding, core: usize) -> Child {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let log = File::create(directory.path().join(LOG)).expect("a log");
    let errors = log.try_clone().expect("a log");
    // Its own name for what it keeps in /run, so that several do not meet.
    let name = format!("toro-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", PROGRAM])
        .arg(format!("--lcores=0@{core},1@{core}"))
        .args(["--no-huge", "-m", "256", "--no-shconf", "--no-pci", &format!("--file-prefix={name}")])
        .args(memory)
        .args(["--vdev", port, "--"])
        .args(forwarding.words())
        .args(["--no-mlockall", "--total-num-mbufs=16384", "--stats-period=1"]);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().expect("setpriv is a part of util-linux; `cargo xtask setup` installs the rest")
}
