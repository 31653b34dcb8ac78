//! What a request costs while many other connections are open.
//!
//! One connection asks, one request after another. The others have asked once each, so that the server has everything for
//! them that a connection has, and are silent. What grows with their number is per-connection work that is done for
//! connections which need none.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::contestant::{ANSWER_LIMIT, Contestant, Server, Service};
use super::site::Size;
use super::{Options, circumstances};
use crate::client::Client;
use crate::counters::{Counters, Plugin};
use crate::machine::Card;
use crate::stats::{Samples, grouped};
use crate::table::Table;

/// Requests of each count.
const REQUESTS: usize = 400;
/// What the asking connection asks for.
const SIZE: Size = Size::Line;

/// Measures and prints the table: each guest once, with ever more connections.
pub fn run(options: &Options, contestants: &[Contestant], plugin: &Plugin, scratch: &Path) -> Result<()> {
    let mut counts = options.connections.clone();
    counts.sort_unstable();
    allow_files(counts.last().copied().unwrap_or(1) as u64)?;
    // What the connections of a system cost does not depend on the card below them.
    let card = options.cards.first().copied().unwrap_or(Card::Virtio);
    let contestants: Vec<_> = contestants.iter().filter(|contestant| contestant.card() == card).collect();
    let mut rows: Vec<_> = counts.iter().map(|count| vec![grouped(*count as f64)]).collect();
    for contestant in &contestants {
        let counters = plugin.of_device(contestant.name(), contestant.card().registers())?;
        let server = contestant.serve(Service::Crowd, options, options.crowd_memory, Some(&counters), scratch)?;
        let mut crowd = Vec::new();
        let mut refusal = None;
        for (&count, row) in counts.iter().zip(&mut rows) {
            eprintln!("bench: {}, {count} connections", contestant.name());
            if refusal.is_none() {
                refusal = grow(&mut crowd, count - 1, &server).err();
            }
            match &refusal {
                None => {
                    let samples =
                        (0..options.repeat).map(|_| measure(&server, &counters)).collect::<Result<Samples>>()?;
                    let closed = crowd.iter().filter(|client: &&Client| !client.is_open()).count();
                    let note = if closed > 0 { format!(" ({closed} closed by it)") } else { String::new() };
                    row.push(samples.show(grouped) + &note);
                }
                Some(error) => {
                    eprintln!("bench: {}: {error:#}", contestant.name());
                    row.push(format!("refused after {}", crowd.len()));
                }
            }
        }
    }
    let title = format!(
        "guest instructions per request of {} on one connection, {}",
        SIZE.title(),
        circumstances(options, options.crowd_memory)
    );
    let heads = ["open connections".to_owned()].into_iter();
    let mut table = Table::new(title, heads.chain(contestants.iter().map(|contestant| contestant.name().to_owned())));
    for row in rows {
        table.row(row);
    }
    println!("{table}");
    Ok(())
}

/// Opens connections until there are `count`, and makes a request on each new one.
fn grow(crowd: &mut Vec<Client>, count: usize, server: &Server<'_>) -> Result<()> {
    let body = Contestant::body(server, SIZE)?;
    while crowd.len() < count {
        let mut client = Client::connect(server.link.server(), SIZE.path(), 1, ANSWER_LIMIT)?;
        client.round(&body).with_context(|| format!("connection {}", crowd.len() + 1))?;
        crowd.push(client);
    }
    Ok(())
}

fn measure(server: &Server<'_>, counters: &Counters) -> Result<f64> {
    let body = Contestant::body(server, SIZE)?;
    let mut client = Client::connect(server.link.server(), SIZE.path(), 1, ANSWER_LIMIT)?;
    client.round(&body)?;
    let before = counters.read_at_rest()?;
    for _ in 0..REQUESTS {
        client.round(&body)?;
    }
    let after = counters.read_at_rest()?;
    Ok((after.instructions - before.instructions) as f64 / REQUESTS as f64)
}

/// Lets this process have as many files as it takes for `connections`.
fn allow_files(connections: u64) -> Result<()> {
    /// Everything else that is open here.
    const OTHERS: u64 = 256;
    let wanted = connections + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit { current: Some(wanted), maximum };
    ensure!(setrlimit(Resource::Nofile, raised).is_ok(), "{wanted} open files are not allowed here (ulimit -n)");
    Ok(())
}
