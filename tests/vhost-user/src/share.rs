//! [`Share`]: all of `toro::fs` in this process, with a real server's directory mounted.
//!
//! ```text
//!   Share::namespace()   toro::fs: paths, files, caches, the FUSE client      as in the kernel
//!   VirtioFs             the driver                                           as in the kernel
//!   VhostUser            the transport                                        instead of PCI
//!   virtiofsd            the server, in a process of its own
//! ```

use std::path::Path;
use std::time::Duration;

use toro::fs::Namespace;
use toro::fs::host::{Mount, Options, Process, Statistics};
use toro_core::driver::fuse::FuseDevice;
use toro_core::{Clock, Instant};
use virtio_fs::{Options as FsOptions, VirtioFs};
use virtio_queue_rt::{DeviceType, QueueIndex};
use virtio_vhost_user::{CLOCK, Call, Configuration, GuestMemory, Options as VhostOptions, VhostUser};

use crate::{Daemon, PATIENCE};

/// Memory that is shared with the server: all buffers of the driver, and the rings.
const MEMORY: usize = 40 << 20;
/// What the share is called: QEMU's server has no configuration to say it in.
const TAG: &[u8] = b"share";

/// How a process waits for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It sleeps until the device interrupts.
    Interrupt,
    /// It looks again and again for 50 microseconds, as the kernel's cores do, and then sleeps.
    Look,
    /// It looks again and again, and sleeps only for what takes longer than a tenth of a second: a server that is gone is
    /// found out by who sleeps.
    Spin,
}

impl Waiting {
    /// How long it looks before it sleeps.
    pub fn looks_for(self) -> Duration {
        match self {
            Self::Interrupt => Duration::ZERO,
            Self::Look => Duration::from_micros(50),
            Self::Spin => Duration::from_millis(100),
        }
    }
}

/// Memory that a share needs.
///
/// # Panics
///
/// If there is none.
pub fn share_memory() -> &'static GuestMemory {
    GuestMemory::new(MEMORY).expect("memory")
}

/// Connects to a server: the device, and what its queues interrupt.
///
/// # Panics
///
/// If there is no device.
pub fn connect(socket: &Path, memory: &'static GuestMemory) -> (VirtioFs<VhostUser>, Vec<Call>) {
    // The tag, padded, and the number of request queues (VIRTIO 1.3 §5.11.4).
    let mut configuration = TAG.to_vec();
    configuration.resize(36, 0);
    configuration.extend(1_u32.to_le_bytes());
    let configuration = Configuration::Given(configuration);
    let options = VhostOptions { patience: PATIENCE, configuration, ..VhostOptions::of(DeviceType::FILE_SYSTEM) };
    let transport = VhostUser::connect(socket, DeviceType::FILE_SYSTEM, memory, options).expect("a device");
    let calls = (0..2).filter_map(|queue| transport.call(QueueIndex(queue))).collect();
    let device = VirtioFs::new(transport, memory, &CLOCK, &FsOptions::default()).expect("a share");
    (device, calls)
}

/// A server's directory, mounted at `/`.
pub struct Share {
    mount: Mount,
}

impl Share {
    /// Mounts it with the usual options, sleeping whenever there is nothing to do.
    ///
    /// # Panics
    ///
    /// If the server does not let it.
    pub fn mount(daemon: &Daemon) -> Self {
        Self::mount_with(daemon, Options::default(), Waiting::Interrupt)
    }

    /// Mounts it.
    ///
    /// # Panics
    ///
    /// If the server does not let it.
    pub fn mount_with(daemon: &Daemon, options: Options, waiting: Waiting) -> Self {
        let (device, calls) = connect(&daemon.socket(), share_memory());
        Self::mount_device(Box::new(device), calls, options, waiting)
    }

    /// Mounts what is behind a device with these interrupts.
    ///
    /// # Panics
    ///
    /// If the server does not let it.
    pub fn mount_device(device: Box<dyn FuseDevice>, calls: Vec<Call>, options: Options, waiting: Waiting) -> Self {
        // Once for the process; the second time it is there.
        if log::set_logger(&Words).is_ok() {
            log::set_max_level(log::LevelFilter::Debug);
        }
        let process = Box::new(ThisProcess { calls, waiting });
        Self { mount: Mount::new(device, process, options).expect("the server is willing") }
    }

    /// What an application sees.
    pub fn namespace(&self) -> &Namespace {
        self.mount.namespace()
    }

    /// What it has done so far.
    pub fn statistics(&self) -> Statistics {
        self.mount.statistics()
    }

    /// Waits until all that is owed to the server is paid.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn settle(&self) {
        self.mount.settle(CLOCK.now().saturating_add(PATIENCE)).expect("the server answers");
    }

    /// Takes leave of the server; it runs until this is dropped.
    pub fn unmount(&self) {
        self.mount.unmount();
    }
}

/// What the client says of servers, for whoever looks into a test that failed.
struct Words;

impl log::Log for Words {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

struct ThisProcess {
    calls: Vec<Call>,
    waiting: Waiting,
}

impl Process for ThisProcess {
    fn now(&self) -> Instant {
        CLOCK.now()
    }

    fn looks_for(&self) -> Duration {
        self.waiting.looks_for()
    }

    fn sleep(&self, until: Instant) {
        let left = until.saturating_since(CLOCK.now()).min(Duration::from_secs(3600));
        // Whether it came in time or not, whoever waits looks what time it is, and what the device says.
        let _ = Call::wait_any(&self.calls, left);
    }
}
