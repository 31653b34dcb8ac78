//! A file server in this process that somebody else wrote: `fuse-backend-rs`, on the device side of our driver's rings.
//!
//! ```text
//!   toro::fs, or operations of fuse-proto one by one
//!   VirtioFs                    the driver under test
//!     rings in GuestRam         --chains-->   virtio_queue, fuse-backend-rs' Reader and Writer over descriptors
//!   registers of virtio-sim                   Server<PassthroughFs>: its own structs for every message
//! ```
//!
//! It serves a directory of the host. Nothing of it runs by itself: whoever waits calls [`FuseServer::serve`], so what
//! happens is always the same.
//!
//! The server's verdicts are two: what it cannot decode is in [`FuseServer::offences`], and what it did is in the directory.
//! Where it is silent although the specification wants an answer (DESTROY), an answer of no bytes is given for it, as
//! the virtual machine monitors do that it is built into.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant as HostInstant};

use fuse_backend_rs::api::server::Server;
use fuse_backend_rs::passthrough::{CachePolicy, Config, PassthroughFs};
use fuse_backend_rs::transport::{Reader, VirtioFsWriter, Writer};
use fuse_proto::{Caller, Operation, ReplyError, Request, Unique, UniqueAllocator};
use toro::fs::host::{Mount, Options as MountOptions, Process};
use toro_core::driver::fuse::{FuseDevice, FuseRequest, Priority};
use toro_core::{DmaBuf, Instant};
use virtio_fs::{Options, VirtioFs};
use virtio_queue_of_server::{Queue, QueueT};
use virtio_queue_rt::MmioTransport;
use virtio_queue_rt::attach::BoxedTransport;
use virtio_sim::clock::CLOCK;
use virtio_sim::{Device, MmioModel};
use vm_memory_of_server::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::memory::GuestRam;

/// File system device.
const DEVICE_TYPE: u32 = 26;
const VERSION_1: u64 = 1 << 32;
const QUEUE_SIZE: u16 = 256;

/// The server, and the device side of its queues.
pub struct FuseServer {
    server: Server<PassthroughFs<()>>,
    memory: &'static GuestMemoryMmap,
    queues: [Queue; 2],
    /// What it could not make sense of.
    offences: Vec<String>,
    /// How many requests there were of each operation.
    counts: BTreeMap<u32, usize>,
}

impl FuseServer {
    /// Serves a directory through the queues of `device`, which are running.
    fn new(ram: &'static GuestRam, device: &Device, served: &Path) -> Self {
        let config = Config {
            root_dir: served.to_string_lossy().into_owned(),
            xattr: true,
            use_host_ino: true,
            // What was said holds for no time: the client asks, and the server has to answer.
            cache_policy: CachePolicy::Never,
            ..Config::default()
        };
        let files = PassthroughFs::new(config).expect("a directory");
        files.import().expect("a directory that may be read");
        let memory: &'static GuestMemoryMmap = Box::leak(Box::new(ram.mapped_before()));
        let queues = [0, 1].map(|index| {
            let setup = device.queue(index);
            let mut queue = Queue::new(QUEUE_SIZE).expect("a power of two");
            queue.set_size(setup.size);
            queue.try_set_desc_table_address(GuestAddress(setup.descriptors)).expect("VQ-1");
            queue.try_set_avail_ring_address(GuestAddress(setup.available)).expect("VQ-1");
            queue.try_set_used_ring_address(GuestAddress(setup.used)).expect("VQ-1");
            queue.set_ready(setup.is_ready);
            assert!(queue.is_valid(memory), "VQ-2: rings outside of memory");
            queue
        });
        Self { server: Server::new(files), memory, queues, offences: Vec::new(), counts: BTreeMap::new() }
    }

    /// Answers all requests that are there; how many there were.
    ///
    /// # Panics
    ///
    /// If a chain lies outside of memory.
    pub fn serve(&mut self) -> usize {
        let mut served = 0;
        for queue in &mut self.queues {
            while let Some(chain) = queue.pop_descriptor_chain(self.memory) {
                served += 1;
                let head = chain.head_index();
                let first = chain.clone().next().expect("a chain has a descriptor");
                let opcode: u32 = self.memory.read_obj(GuestAddress(first.addr().0 + 4)).expect("a header");
                *self.counts.entry(opcode).or_default() += 1;
                let reader = Reader::from_descriptor_chain(self.memory, chain.clone()).expect("readable buffers");
                let writer = VirtioFsWriter::new(self.memory, chain).expect("writable buffers");
                let written = self.server.handle_message(reader, Writer::VirtioFs(writer), None, None);
                let written = written.unwrap_or_else(|error| {
                    self.offences.push(format!("operation {opcode}: {error:?}"));
                    0
                });
                queue.add_used(self.memory, head, written as u32).expect("the used ring lies in memory");
            }
        }
        served
    }

    /// What it could not make sense of.
    pub fn offences(&self) -> &[String] {
        &self.offences
    }

    /// How many requests of each operation there were, by its number.
    pub fn counts(&self) -> &BTreeMap<u32, usize> {
        &self.counts
    }
}

/// The driver over a server.
///
/// # Panics
///
/// If there is no such directory.
pub fn connect(served: &Path) -> (VirtioFs<BoxedTransport>, FuseServer) {
    let ram = GuestRam::leak();
    let mut config = b"share".to_vec();
    config.resize(36, 0);
    config.extend(1_u32.to_le_bytes());
    let device = Device::new(DEVICE_TYPE, VERSION_1, &[QUEUE_SIZE; 2], &config);
    let transport = MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device");
    let transport: BoxedTransport = Box::new(transport);
    let driver = VirtioFs::new(transport, ram, &CLOCK, &Options::default()).expect("a sound device");
    (driver, FuseServer::new(ram, &device, served))
}

/// All of `toro::fs` over a server.
///
/// # Panics
///
/// If the server does not let it.
pub fn mount(served: &Path, options: MountOptions) -> (Mount, Rc<RefCell<FuseServer>>) {
    let (driver, server) = connect(served);
    let server = Rc::new(RefCell::new(server));
    let process = Box::new(Here(Rc::clone(&server)));
    (Mount::new(Box::new(driver), process, options).expect("the server is willing"), server)
}

/// Whoever waits is the server.
struct Here(Rc<RefCell<FuseServer>>);

impl Process for Here {
    fn now(&self) -> Instant {
        static START: OnceLock<HostInstant> = OnceLock::new();
        let nanos = START.get_or_init(HostInstant::now).elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn looks_for(&self) -> Duration {
        // Nothing is done meanwhile.
        Duration::ZERO
    }

    fn sleep(&self, _until: Instant) {
        self.0.borrow_mut().serve();
    }
}

/// Operations one by one.
pub struct Asker {
    driver: VirtioFs<BoxedTransport>,
    server: FuseServer,
    unique: UniqueAllocator,
}

impl Asker {
    /// One who talks to a server of this directory.
    ///
    /// # Panics
    ///
    /// If there is no such directory.
    pub fn new(served: &Path) -> Self {
        let (driver, server) = connect(served);
        Self { driver, server, unique: UniqueAllocator::new() }
    }

    /// The server.
    pub fn server(&self) -> &FuseServer {
        &self.server
    }

    /// What the server answers, as `meaning` understands it.
    ///
    /// # Errors
    ///
    /// The server's, and what is wrong with its answer.
    ///
    /// # Panics
    ///
    /// If there is no answer, or no room for the question.
    pub fn ask<O: Operation, M>(
        &mut self,
        operation: &O,
        meaning: impl FnOnce(O::Reply<'_>) -> M,
    ) -> Result<M, ReplyError> {
        self.ask_with(operation, &[], meaning)
    }

    /// The same for an operation with bytes behind it, in a buffer of their own.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    ///
    /// # Panics
    ///
    /// As [`ask`](Self::ask).
    pub fn ask_with<O: Operation, M>(
        &mut self,
        operation: &O,
        data: &[u8],
        meaning: impl FnOnce(O::Reply<'_>) -> M,
    ) -> Result<M, ReplyError> {
        assert_eq!(operation.data_len(), data.len());
        let (unique, request) = self.encode(operation);
        let data = (!data.is_empty()).then(|| self.filled(data));
        let mut reply = self.driver.buffer(operation.reply_capacity()).expect("room");
        reply.fill(0);
        let request = FuseRequest { priority: Priority::Normal, request, data, reply: Some(reply), payload: None };
        let reply = self.exchange(request).reply.expect("it was sent with one");
        operation.decode(unique, &reply).map(meaning)
    }

    /// Says what has no answer.
    ///
    /// # Panics
    ///
    /// If the server keeps it.
    pub fn tell(&mut self, request: &impl Request) {
        let (_, request) = self.encode(request);
        self.exchange(FuseRequest { priority: Priority::High, request, data: None, reply: None, payload: None });
    }

    /// Sends any bytes, with room for so many in answer; the answer.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn send(&mut self, bytes: &[u8], room: usize) -> DmaBuf {
        let request = self.filled(bytes);
        let mut reply = self.driver.buffer(room).expect("room");
        reply.fill(0);
        let request =
            FuseRequest { priority: Priority::Normal, request, data: None, reply: Some(reply), payload: None };
        self.exchange(request).reply.expect("it was sent with one")
    }

    fn filled(&mut self, bytes: &[u8]) -> DmaBuf {
        let mut buffer = self.driver.buffer(bytes.len()).expect("room");
        buffer.copy_from_slice(bytes);
        buffer
    }

    fn encode(&mut self, request: &impl Request) -> (Unique, DmaBuf) {
        let unique = self.unique.allocate();
        let len = request.request_len().expect("a request that can be expressed");
        let mut buffer = self.driver.buffer(len).expect("room");
        request.encode(unique, Caller::SUPERUSER, &mut buffer).expect("as long as it said");
        (unique, buffer)
    }

    fn exchange(&mut self, request: FuseRequest) -> FuseRequest {
        self.driver.submit(request).expect("there is room");
        self.driver.publish();
        assert_eq!(self.server.serve(), 1);
        self.driver.complete().expect("an obedient device").expect("it was answered").request
    }
}
