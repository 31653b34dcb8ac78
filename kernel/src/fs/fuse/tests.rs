//! The client against a model of a server that keeps a ledger.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use fuse_proto::Errno;
use proptest::prelude::ProptestConfig;

use self::device::Model;
use self::server::Server;
use super::connection::Connection;
use super::{Client, Options};
use crate::fs::options::{Contents, Rights};
use crate::fs::path::{LastLink, resolve};
use crate::fs::scheduler::pump::Pump;
use crate::fs::vfs::{FileSystem, Freshness, Node, OpenFile};

mod attributes;
mod caching;
mod changes;
mod changes_hostile;
mod device;
mod hostile;
mod interrupting;
mod listing;
mod locking;
pub mod memory;
mod notices;
mod ordering;
mod pieces;
mod random;
mod reading;
mod remounting;
mod requests;
pub mod server;
mod space;
mod straight;
mod writing;
mod xattrs;

/// A mount, and what a test needs around it.
pub struct Mount {
    model: Model,
    pump: Pump,
    client: Rc<Client>,
}

/// How many random runs a test makes: this many, and `TORO_TEST_TIMES` times as many where that is set, as in
/// `cargo xtask test --long`.
fn cases(ordinary: u32) -> ProptestConfig {
    let times = std::env::var("TORO_TEST_TIMES").map_or(1, |times| times.parse().expect("a number"));
    ProptestConfig { cases: ordinary * times, failure_persistence: None, ..ProptestConfig::default() }
}

fn options() -> Options {
    Options { idle_handles: 0, contents: 0, forget_delay: Duration::ZERO, ..Options::default() }
}

/// Mounts a server that `prepare` has filled.
pub fn mount<R>(prepare: impl FnOnce(&mut Server) -> R) -> Mount {
    mount_with(options(), prepare).expect("the server is willing")
}

fn mount_with<R>(options: Options, prepare: impl FnOnce(&mut Server) -> R) -> Result<Mount, Errno> {
    let mut server = Server::new();
    prepare(&mut server);
    let model = Model::new(server);
    mount_model(model, options)
}

fn mount_model(model: Model, options: Options) -> Result<Mount, Errno> {
    let pump = Pump::default();
    let scheduler = Box::new(pump.clone());
    let client = Client::mount(model.device(), scheduler, options, |connection| drive(&pump, connection))?;
    Ok(Mount { model, pump, client })
}

/// Lets a pump drive a connection.
fn drive(pump: &Pump, connection: &Rc<Connection>) {
    let driven = Rc::clone(connection);
    pump.drive(move |_| driven.poll());
}

impl Mount {
    pub fn file_system(&self) -> Rc<dyn FileSystem> {
        Rc::clone(&self.client) as Rc<dyn FileSystem>
    }

    pub fn server<R>(&self, change: impl FnOnce(&mut Server) -> R) {
        change(&mut self.model.lock().server);
    }

    fn find(&self, path: &str) -> Result<Rc<dyn Node>, Errno> {
        let root = self.client.root()?;
        resolve(&root, path.as_bytes(), LastLink::Follow, Freshness::Cached).map(|resolved| resolved.node)
    }

    fn root(&self) -> Rc<dyn Node> {
        self.client.root().expect("mounted")
    }

    fn open(&self, path: &str) -> Result<Box<dyn OpenFile>, Errno> {
        self.find(path)?.open()
    }

    /// Opens a file with rights that include writing.
    fn open_to_write(&self, path: &str, rights: Rights) -> Result<Box<dyn OpenFile>, Errno> {
        self.find(path)?.open_for_writing(rights, Contents::Keep)
    }

    /// What a file holds on the host.
    fn bytes(&self, path: &str) -> Vec<u8> {
        match &self.model.lock().server.inode(path).contents {
            server::Contents::File(bytes) => bytes.clone(),
            _ => panic!("{path} is no file"),
        }
    }

    fn count(&self, opcode: &str) -> usize {
        self.model.lock().server.count(opcode)
    }

    fn most_reads(&self) -> usize {
        self.model.lock().most_reads
    }

    fn largest_read(&self) -> usize {
        self.model.lock().server.largest_read
    }

    fn advance(&self, duration: Duration) {
        self.pump.advance(duration);
    }

    /// What the client holds, when all that is under way has arrived.
    fn debts(&self) -> Vec<String> {
        self.pump.settle();
        self.model.lock().server.debts()
    }

    /// All paths, as the server knows them.
    fn tree(&self) -> Vec<String> {
        self.model.lock().server.tree()
    }

    /// FU-T-4: takes leave, and fails on every reference and handle that was not returned, and on every one that was
    /// returned too often.
    pub fn finish(self) {
        self.client.shutdown();
        let inner = self.model.lock();
        assert_eq!(inner.server.offences, [""; 0]);
        assert_eq!(inner.server.debts(), [""; 0]);
        assert!(inner.server.destroyed, "no DESTROY");
    }
}
