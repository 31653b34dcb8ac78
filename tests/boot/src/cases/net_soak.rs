//! Many connections, and clients that behave badly, leave nothing behind.
//!
//! ```text
//!   a round, first to warm up --> at rest: what is held?  --> the same round again --> at rest: no more than before
//! ```
//!
//! A round is so many connections one after the other, so many at once, and so many of each misbehaviour (`Misdeed`). What the
//! guest holds is what it says itself (`net-soak`): connections, sockets, flows, and bytes of heap. The first round fills tables
//! and pools that are kept; a second one like it needs no more. Less than a block for each ten connections is no leak of a
//! connection's, and it may be that a table has grown.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::net::{Server, TAP};
use crate::case::Case;
use crate::netns::{HOST, TapKind, add_addresses, add_tap, ip};
use crate::soak::{Soak, Usage, read_answer, read_head};
use crate::tool::Tool;

/// How much a round does.
#[derive(Clone, Copy, Debug)]
struct Amount {
    /// Connections one after the other.
    sequential: u64,
    /// Connections at once.
    at_once: u64,
    /// Connections of each misdeed.
    misdeeds: u64,
    /// Word for the guest: it hangs up on who is silent for so many seconds. Nobody else may take so long for a step, on a host
    /// that has other things to do as well.
    patience: &'static str,
}

/// For every run of the tests.
const FEW: Amount = Amount { sequential: 500, at_once: 200, misdeeds: 30, patience: "timeout=5" };
/// For an hour with nothing else to do.
const MANY: Amount = Amount { sequential: 10_000, at_once: 1000, misdeeds: 100, patience: "timeout=20" };
/// How long the latter go on: ten minutes, with the first round.
const LONG: Duration = Duration::from_secs(540);
/// The smallest block of the heap.
const BLOCK: u64 = 16;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let long = |tool: &Tool| wear_out(tool, MANY, LONG);
    let few = |tool: &Tool| wear_out(tool, FEW, Duration::ZERO);
    vec![
        Case::new("net::hundreds_of_connections_and_bad_clients_leave_nothing", few).isolated(),
        Case::new("net::thousands_of_connections_and_bad_clients_leave_nothing", long).isolated().long(),
        Case::new("net::clients_that_vanish_leave_nothing", vanished_clients).isolated(),
    ]
}

fn start(tool: &Tool, patience: &str) -> Result<Server, String> {
    add_tap(TAP, TapKind::Plain)?;
    add_addresses(TAP)?;
    Server::start(tool, patience, &["--memory", "256"])
}

/// Rounds for at least so long, two at least.
fn wear_out(tool: &Tool, amount: Amount, time: Duration) -> Result<(), String> {
    let server = start(tool, amount.patience)?;
    let soak = server.soak;
    let first = soak.usage()?;
    let started = Instant::now();
    round(soak, amount)?;
    let before = soak.await_rest(&first)?;
    let mut rounds = 0;
    while rounds == 0 || started.elapsed() < time {
        round(soak, amount)?;
        rounds += 1;
    }
    let after = soak.await_rest(&before)?;
    // Buffers are kept for further connections, as many as the worst moment took.
    let without_buffers = |usage: &Usage| Ok::<_, String>(usage.get("heap")?.saturating_sub(usage.get("buffers")?));
    let (had, has) = (without_buffers(&before)?, without_buffers(&after)?);
    let misdeeds = (Misdeed::QUICK.len() + Misdeed::LASTING.len()) as u64 * amount.misdeeds;
    let connections = rounds * (amount.sequential + amount.at_once + misdeeds);
    if !time.is_zero() {
        println!("{connections} connections after the first round; before: {before:?}; after: {after:?}");
    }
    if has > had + connections / 10 * BLOCK {
        return Err(format!("{connections} connections, and the heap has {had} bytes before and {has} after"));
    }
    server.end()
}

fn round(soak: Soak, amount: Amount) -> Result<(), String> {
    for number in 0..amount.sequential {
        soak.download(100, number).map_err(|reason| format!("connection {number} of many: {reason}"))?;
    }
    at_once(soak, amount.at_once)?;
    let do_it = |misdeed: Misdeed, streams: Result<Vec<TcpStream>, String>| {
        let outcome = streams.and_then(|mut streams| go_on(soak, misdeed, &mut streams));
        outcome.map_err(|reason| format!("{misdeed:?}: {reason}"))
    };
    // These begin before the others and go on after them, so that the guest's patience is spent once.
    let begun = Misdeed::LASTING.map(|misdeed| (misdeed, begin(soak, misdeed, amount.misdeeds)));
    for misdeed in Misdeed::QUICK {
        do_it(misdeed, begin(soak, misdeed, amount.misdeeds))?;
    }
    // Nobody else is the worse for it.
    soak.download(100_000, 1)?;
    soak.upload(100_000, 1)?;
    begun.into_iter().try_for_each(|(misdeed, streams)| do_it(misdeed, streams))
}

/// Connections that are all open before the first is used, and all asked before the first answer is read.
fn at_once(soak: Soak, count: u64) -> Result<(), String> {
    let mut streams = (0..count).map(|_| soak.connect()).collect::<Result<Vec<_>, _>>()?;
    let open = soak.usage()?.get("connections")?;
    if open < count {
        return Err(format!("{count} connections are open, and the guest has {open}"));
    }
    for (number, stream) in (0_u64..).zip(&mut streams) {
        let head = format!("GET /bytes/3000/{number} HTTP/1.1\r\n\r\n");
        stream.write_all(head.as_bytes()).map_err(|error| format!("connection {number}: {error}"))?;
    }
    for (number, stream) in (0_u64..).zip(&mut streams) {
        let answer = read_answer(stream).map_err(|reason| format!("connection {number} at once: {reason}"))?;
        if answer != crate::soak::bytes(number, 0, 3000) {
            return Err(format!("connection {number} at once: another stream"));
        }
    }
    Ok(())
}

/// What bad clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misdeed {
    /// Half a request, then a reset.
    ResetInRequest,
    /// Some of a long answer is read, then a reset.
    ResetInAnswer,
    /// Half of what was announced, then a reset.
    ResetInUpload,
    /// Half a request, then no more to come.
    EndInRequest,
    /// Nothing is said.
    Silence,
    /// Nothing of a long answer is read.
    Deafness,
    /// A long answer is read in small pieces.
    Slowness,
}

impl Misdeed {
    /// What is done at once.
    const QUICK: [Self; 5] =
        [Self::Slowness, Self::ResetInRequest, Self::ResetInAnswer, Self::ResetInUpload, Self::EndInRequest];
    /// What the guest's patience ends.
    const LASTING: [Self; 2] = [Self::Silence, Self::Deafness];
}

/// More than all buffers between the two sides hold.
const LONG_ANSWER: u64 = 8 << 20;

/// Opens so many connections for a misdeed.
fn begin(soak: Soak, misdeed: Misdeed, count: u64) -> Result<Vec<TcpStream>, String> {
    let open = |_| match misdeed {
        Misdeed::ResetInAnswer | Misdeed::Deafness => soak.ask(&format!("GET /bytes/{LONG_ANSWER}/1")),
        Misdeed::Slowness => soak.ask("GET /bytes/60000/1"),
        Misdeed::ResetInUpload => soak.ask("POST /bytes/100000/1"),
        Misdeed::ResetInRequest | Misdeed::EndInRequest => {
            let mut stream = soak.connect()?;
            stream.write_all(b"GET /bytes/100/1 HT").map_err(text)?;
            Ok(stream)
        }
        Misdeed::Silence => soak.connect(),
    };
    (0..count).map(open).collect()
}

/// Does it.
fn go_on(soak: Soak, misdeed: Misdeed, streams: &mut [TcpStream]) -> Result<(), String> {
    match misdeed {
        Misdeed::Slowness => streams.iter_mut().take(3).try_for_each(read_slowly),
        Misdeed::ResetInRequest => streams.iter().try_for_each(reset_when_dropped),
        Misdeed::ResetInAnswer => streams.iter_mut().try_for_each(|stream| {
            let _ = read_head(stream);
            reset_when_dropped(stream)
        }),
        Misdeed::ResetInUpload => streams.iter_mut().try_for_each(|stream| {
            // On a busy host the guest may have hung up before.
            let _ = stream.write_all(&crate::soak::bytes(1, 0, 50_000));
            reset_when_dropped(stream)
        }),
        Misdeed::EndInRequest => streams.iter_mut().try_for_each(|stream| {
            stream.shutdown(std::net::Shutdown::Write).map_err(text)?;
            expect_end(stream)
        }),
        Misdeed::Silence => streams.iter_mut().try_for_each(expect_end),
        Misdeed::Deafness => {
            await_hang_up(soak)?;
            // What has been buffered arrives still, then the reset; the whole answer never does.
            streams.iter_mut().try_for_each(|stream| {
                let mut bytes = Vec::new();
                match stream.read_to_end(&mut bytes) {
                    Ok(_) if bytes.len() as u64 >= LONG_ANSWER => Err("all of the answer came".to_owned()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Err("no end came".to_owned()),
                    Ok(_) | Err(_) => Ok(()),
                }
            })
        }
    }
}

/// Reads an answer in small pieces with pauses, all of it.
fn read_slowly(stream: &mut TcpStream) -> Result<(), String> {
    let (length, body) = read_head(stream)?;
    let mut came = body.len();
    let mut piece = [0; 2000];
    while came < length {
        std::thread::sleep(Duration::from_millis(5));
        match stream.read(&mut piece).map_err(text)? {
            0 => return Err(format!("the end after {came} bytes")),
            count => came += count,
        }
    }
    Ok(())
}

/// Waits until the guest has nobody any more who says or takes nothing.
fn await_hang_up(soak: Soak) -> Result<(), String> {
    let deadline = Instant::now() + crate::soak::PATIENCE;
    while soak.usage()?.get("connections")? > 0 {
        if Instant::now() >= deadline {
            return Err("the guest does not hang up".to_owned());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Has the end of `stream` be a reset.
fn reset_when_dropped(stream: &TcpStream) -> Result<(), String> {
    set_socket_linger(stream, Some(Duration::ZERO)).map_err(|error| error.to_string())
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

/// The guest ends the connection, in whatever way, and says nothing.
fn expect_end(stream: &mut TcpStream) -> Result<(), String> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(0) => Ok(()),
        Ok(count) => Err(format!("{count} bytes came")),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err("no end came".to_owned()),
        Err(_) => Ok(()),
    }
}

/// Half of a connection: the client's host has forgotten it, or is gone, and answers to nothing. Some are silent, some owe the
/// guest acknowledgements for what it has sent.
fn vanished_clients(tool: &Tool) -> Result<(), String> {
    const CLIENTS: usize = 60;
    const OTHER: &str = "10.9.0.66";
    let server = start(tool, FEW.patience)?;
    let soak = server.soak;
    let before = soak.usage()?;
    ip(&["address", "add", &format!("{OTHER}/24"), "dev", TAP])?;
    // What has no address chosen takes that of the route.
    ip(&["route", "change", "10.9.0.0/24", "dev", TAP, "src", OTHER])?;
    let mut streams = Vec::new();
    for number in 0..CLIENTS {
        let stream = if number % 2 == 0 { soak.connect()? } else { soak.ask(&format!("GET /bytes/{LONG_ANSWER}/1"))? };
        let from = stream.local_addr().map_err(text)?.ip().to_string();
        if from != OTHER {
            return Err(format!("connected from {from}"));
        }
        streams.push(stream);
    }
    ip(&["route", "change", "10.9.0.0/24", "dev", TAP, "src", HOST])?;
    ip(&["address", "delete", &format!("{OTHER}/24"), "dev", TAP])?;
    // The host has forgotten the address, but not the connections, which it would end when the program does.
    let halves = soak.usage()?.get("connections")?;
    if halves < CLIENTS as u64 {
        return Err(format!("the guest has {halves} of {CLIENTS} connections"));
    }
    soak.await_rest(&before)?;
    drop(streams);
    server.end()
}
