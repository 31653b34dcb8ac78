//! A hash table that is served over TCP, with a part of it on every core.
//!
//! ```text
//!   cargo xtask run hash-table-server --cpus 2 --port 7000:7000
//!   nc 127.0.0.1 7000
//!
//!   client -- TCP -- thread per connection         core 0      core 1      core 2
//!                    parses a line, asks   ------> shard 0     shard 1     shard 2
//!                    the shard of the key, <------ a thread with a map of its own
//!                    writes the answer
//! ```
//!
//! A key's hash says which core has it. Only that core's thread touches that part of the table, so there is no lock; it
//! is asked, and answers, by messages ([`toro::sync::mpsc`]). Connections are served by the cores that have a network card,
//! or a pair of queues of one, with a thread each.
//!
//! The protocol is lines of text, described in `protocol`; what is bounded, and how large it may be, is said in
//! `limits`. Words of the guest's command line: `port=` (7000), `memory=` MiB for keys and values on each core (8).

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "hash-table-server/connection.rs"]
mod connection;
#[path = "hash-table-server/limits.rs"]
mod limits;
#[path = "hash-table-server/protocol.rs"]
mod protocol;
#[path = "hash-table-server/shard.rs"]
mod shard;
#[path = "hash-table-server/table.rs"]
mod table;

use alloc::{rc::Rc, string::String, vec::Vec};
use core::net::Ipv4Addr;

use toro::{
    core::{self as cores, CoreId},
    env, io,
    net::{self, TcpListener},
    sync::mpsc,
    thread::{self, Builder},
};

use crate::table::Table;

toro::entry!(main);

fn main() -> Result<(), String> {
    let port = number("port", 1..=65_535, limits::PORT.into())? as u16;
    let memory = number("memory", 1..=1 << 20, limits::SHARD_MIB)?;
    let table = Table::start(memory as usize * 1024 * 1024).map_err(failure("cannot start the shards"))?;

    let mut homes: Vec<_> = cores::all().filter(|&core| cores::run_on(core, net::is_attached)).collect();
    if homes.is_empty() {
        // It will say what is missing.
        homes.push(CoreId::BOOT);
    }
    let (failures, mut failed) = mpsc::channel(1);
    for core in homes {
        let (table, failures) = (table.clone(), failures.clone());
        let server = move || {
            if let Err(error) = serve(port, table) {
                // Nobody listens any more if another one has failed already.
                let _ = failures.send(error);
            }
        };
        let thread = Builder::new().name(String::from("server")).spawn_on(core, server);
        thread.map_err(failure("cannot start a server"))?;
    }
    drop(failures);
    // The first that fails ends the machine; none of them returns otherwise.
    failed.recv().map_or(Ok(()), Err)
}

/// Serves on the calling core.
fn serve(port: u16, table: Table) -> Result<(), String> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(failure("cannot listen"))?;
    let address = net::wait_until_configured(limits::ADDRESS_TIMEOUT).map_err(failure("no network address"))?;
    let (core, shards) = (cores::current(), table.shards());
    toro::println!("hash-table-server: port {port} of {address} on core {core}, {shards} shards");

    let table = Rc::new(table);
    loop {
        let (stream, _) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return Err(failure("cannot accept")(error)),
            // A lack of memory, perhaps; it may pass.
            Err(_) => {
                thread::sleep(limits::PAUSE);
                continue;
            }
        };
        // This thread and each connection have the table.
        if Rc::strong_count(&table) > limits::CONNECTIONS {
            connection::turn_away(&stream);
            continue;
        }
        let table = Rc::clone(&table);
        // Where there is no memory for a thread, this closes the connection.
        let _ = Builder::new().stack_size(limits::STACK).spawn(move || connection::serve(&stream, &table));
    }
}

/// Says what could not be done.
fn failure(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| alloc::format!("{what}: {error}")
}

/// A number on the command line.
fn number(name: &str, allowed: core::ops::RangeInclusive<u64>, usual: u64) -> Result<u64, String> {
    let Some(text) = env::option(name) else { return Ok(usual) };
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number
        .ok_or_else(|| alloc::format!("{name}={text}: expected a number from {} to {}", allowed.start(), allowed.end()))
}
