//! A static web server: one image, one directory of the host, HTTP/1.1.
//!
//! ```text
//!   cargo xtask run static-web-server --share DIR
//!
//!   main -> accept -.-> thread: serve -> input -> request -> target -> storage
//!                   |-> thread: ...                                       |
//!                   '-> thread: ...      response <- range <- conditional <
//! ```
//!
//! Every core that has a network interface has a listener, a server and threads of its own: cores share nothing. With
//! one interface that is one core; with a card that has a queue pair for each core, or a card for each, it is all.
//!
//! The modules know the kernel only through the traits in `storage` and `connection`, which `adapters` fills
//! with `toro::fs`, `toro::net` and `toro::time`. On the host the same files run against `std`
//! (`tests/web`), with real sockets and with arbitrary bytes.
//!
//! Without a share it serves the small site that is linked into the image. Options are words of the guest's
//! command line, see `config`.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "static-web-server/accept.rs"]
mod accept;
#[path = "static-web-server/adapters.rs"]
mod adapters;
#[path = "static-web-server/bundled.rs"]
mod bundled;
#[path = "static-web-server/conditional.rs"]
mod conditional;
#[path = "static-web-server/config.rs"]
mod config;
#[path = "static-web-server/connection.rs"]
mod connection;
#[path = "static-web-server/copied.rs"]
mod copied;
#[path = "static-web-server/date.rs"]
mod date;
#[path = "static-web-server/input.rs"]
mod input;
#[path = "static-web-server/listing.rs"]
mod listing;
#[path = "static-web-server/log.rs"]
mod log;
#[path = "static-web-server/mime.rs"]
mod mime;
#[path = "static-web-server/range.rs"]
mod range;
#[path = "static-web-server/request.rs"]
mod request;
#[path = "static-web-server/respond.rs"]
mod respond;
#[path = "static-web-server/response.rs"]
mod response;
#[path = "static-web-server/serve.rs"]
mod serve;
#[path = "static-web-server/sort.rs"]
mod sort;
#[path = "static-web-server/storage.rs"]
mod storage;
#[path = "static-web-server/target.rs"]
mod target;

use alloc::{rc::Rc, string::String, vec::Vec};
use core::{fmt, net::Ipv6Addr, time::Duration};

use toro::{
    core::{self as cores, CoreId},
    env, fs,
    io::{self, ErrorKind},
    net::{self, TcpListener},
    sync::mpsc,
    thread,
};

use crate::{
    adapters::{Acceptor, Machine, Share, Site},
    bundled::Bundled,
    config::{Config, ConfigError, Preload},
    copied::Copied,
    serve::Server,
    storage::StorageError,
};

toro::entry!(main);

/// Connections that may wait to be accepted.
const BACKLOG: usize = 128;

/// How long a DHCP server may take to give us an address.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the server did not start; printed before the machine ends with status 1.
enum StartError {
    Option(ConfigError),
    Core(io::Error),
    Root(&'static str, io::Error),
    Copy(StorageError),
    Listen(io::Error),
    Address(io::Error),
}

impl fmt::Debug for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(error) => write!(formatter, "{error}"),
            Self::Core(error) => write!(formatter, "no thread for a core: {error}"),
            Self::Root(path, error) => write!(formatter, "root={path}: {error}"),
            Self::Copy(error) => write!(formatter, "preload=on: {error}"),
            Self::Listen(error) => write!(formatter, "cannot listen: {error}"),
            Self::Address(error) => write!(formatter, "no network address: {error}"),
        }
    }
}

fn main() -> Result<(), StartError> {
    let config = Config::from_options(env::option).map_err(StartError::Option)?;
    let mut homes: Vec<_> = cores::all().filter(|&core| cores::run_on(core, net::is_attached)).collect();
    if homes.is_empty() {
        // It will say what is missing.
        homes.push(CoreId::BOOT);
    }
    let share = config.max_connections.div_ceil(homes.len());
    let config = Config { max_connections: share, ..config };
    let copied = copied(&config)?;
    let (failures, mut failed) = mpsc::channel(1);
    for core in homes {
        let (failures, copied) = (failures.clone(), copied.clone());
        let server = move || {
            if let Err(error) = serve(config, copied) {
                // Nobody listens any more if another one has failed already.
                let _ = failures.send(error);
            }
        };
        thread::Builder::new().name(String::from("server")).spawn_on(core, server).map_err(StartError::Core)?;
    }
    drop(failures);
    // The first that fails ends the machine; none of them returns otherwise.
    failed.recv().map_or(Ok(()), Err)
}

/// Serves on the calling core.
fn serve(config: Config, copied: Option<Copied>) -> Result<(), StartError> {
    let storage = copied.map_or_else(|| site(config.root), |copied| Ok(Site::Copied(copied)))?;
    let listener =
        TcpListener::bind_with_backlog((Ipv6Addr::UNSPECIFIED, config.port), BACKLOG).map_err(StartError::Listen)?;
    let address = net::wait_until_configured(ADDRESS_TIMEOUT).map_err(StartError::Address)?;
    let server = Rc::new(Server { storage, environment: Machine::new(), config });
    toro::println!("listening on http://{address}:{}/", config.port);
    accept::accept_all(&mut Acceptor::new(listener, server), config.max_connections);
    Ok(())
}

/// The files of the site in memory, for all cores, where that is asked for.
fn copied(config: &Config) -> Result<Option<Copied>, StartError> {
    match config.preload {
        Preload::Off => Ok(None),
        Preload::On => Copied::of(&site(config.root)?).map(Some).map_err(StartError::Copy),
    }
}

/// The directory `root`, if one is named; else what is mounted at `/`; else the site in the image.
fn site(root: Option<&'static str>) -> Result<Site, StartError> {
    let path = root.unwrap_or("/");
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(Site::Share(Share::new(path))),
        Ok(_) => Err(StartError::Root(path, ErrorKind::NotADirectory.into())),
        Err(error) if root.is_none() && error.kind() == ErrorKind::NotFound => {
            toro::println!("nothing is mounted, serving the bundled site");
            Ok(Site::Bundled(Bundled))
        }
        Err(error) => Err(StartError::Root(path, error)),
    }
}
