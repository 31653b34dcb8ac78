//! Networks in trouble: frames that are lost and overtaken, a cable that is pulled out, and nobody who takes what is sent.
//!
//! | trouble | what is expected |
//! |---|---|
//! | of a hundred frames one is lost, two are overtaken, some come twice ([`Relay`]) | every byte arrives, in both directions |
//! | the link goes down in the middle of an answer, and up again (QEMU's `set_link`) | the answer arrives, and others after it |
//! | the network takes nothing for seconds ([`Valve`]) | the card's ring is full, answers wait, and all arrive |
//!
//! Both sides know every byte ([`Soak`]).

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::net::{Server, TAP};
use crate::case::Case;
use crate::netns::relay::{Badness, Relay};
use crate::netns::valve::Valve;
use crate::netns::{GUEST, TapKind, add_addresses, add_tap};
use crate::soak::{self, Soak, read_answer, read_head};
use crate::tool::{Running, Tool};

/// A bad network.
const BAD: Badness = Badness { lost: 10, overtaken: 20, repeated: 5, seed: 0x746f_726f };
/// Bytes in each direction over a bad network.
const BYTES: u64 = 1_500_000;

/// A machine and a card for it, which are added by words for QEMU.
#[derive(Clone, Copy, Debug)]
struct Card {
    name: &'static str,
    machine: &'static str,
    virtio: &'static str,
    nic: &'static str,
    device: &'static str,
}

const CARDS: [Card; 3] = [
    Card { name: "virtio", machine: "microvm", virtio: "modern", nic: "virtio", device: "virtio-net-device" },
    Card {
        name: "legacy_virtio",
        machine: "pc",
        virtio: "legacy",
        nic: "virtio",
        device: "virtio-net-pci,disable-legacy=off,disable-modern=on,romfile=",
    },
    Card { name: "e1000", machine: "q35", virtio: "modern", nic: "e1000", device: "e1000,romfile=" },
];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for card in CARDS {
        let mut add = |claim: &str, body: fn(&Tool, Card) -> Result<(), String>| {
            cases.push(Case::new(format!("net::{claim}_with_{}", card.name), move |tool| body(tool, card)).isolated());
        };
        add("every_byte_arrives_over_a_bad_network", bad_network);
        add("a_link_that_was_down_goes_on", link_goes_down);
        add("a_network_that_takes_nothing_is_waited_for", full_ring);
    }
    cases
}

/// A guest whose card is at the end of a network that is no interface. Nothing of the tool's own looks for it.
fn start_at(tool: &Tool, card: Card, network: &str) -> Result<(Running, Soak), String> {
    let (netdev, device) = (format!("{network},id=trouble"), format!("{},netdev=trouble", card.device));
    let words = format!("ip={GUEST}/24 timeout=60");
    let options =
        ["run", "net-soak", "--net", "none", "--timeout", "800", "--machine", card.machine, "--virtio", card.virtio];
    let more = ["--append", &words, "--", "-netdev", &netdev, "-device", &device];
    let mut running = tool.start([&options[..], &more].concat(), &[])?;
    running.await_line(|line| line.starts_with("listening on ").then_some(()))?;
    Ok((running, Soak::at(guest()?)))
}

fn guest() -> Result<IpAddr, String> {
    GUEST.parse().map_err(|_| "not an address".to_owned())
}

fn bad_network(tool: &Tool, card: Card) -> Result<(), String> {
    let relay = Relay::to_interface(tool, TAP, BAD)?;
    let (running, soak) = start_at(tool, card, &relay.guest_end())?;
    soak.download(BYTES, 1)?;
    soak.upload(BYTES, 2)?;
    let tally = relay.tally();
    if tally.lost == 0 || tally.overtaken == 0 || tally.repeated == 0 {
        return Err(format!("not a bad network: {tally:?}"));
    }
    // The answer may be lost with the machine, so the way to its end is another one.
    drop(running);
    Ok(())
}

/// QEMU's monitor, to which one can talk.
struct Monitor(UnixStream);

impl Monitor {
    fn connect(path: &Path) -> Result<Self, String> {
        let trouble = |error: std::io::Error| format!("QEMU's monitor: {error}");
        let stream = UnixStream::connect(path).map_err(trouble)?;
        stream.set_read_timeout(Some(soak::PATIENCE)).map_err(trouble)?;
        let mut monitor = Self(stream);
        monitor.answer()?;
        Ok(monitor)
    }

    /// Has a command done.
    fn command(&mut self, command: &str) -> Result<String, String> {
        self.0.write_all(format!("{command}\n").as_bytes()).map_err(|error| format!("{command}: {error}"))?;
        self.answer()
    }

    /// What it says up to its next prompt.
    fn answer(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let mut piece = [0; 1024];
        while !text.ends_with("(qemu) ") {
            match self.0.read(&mut piece).map_err(|error| format!("QEMU's monitor: {error}, after {text:?}"))? {
                0 => return Err(format!("QEMU's monitor ended after {text:?}")),
                count => text.push_str(&String::from_utf8_lossy(&piece[..count])),
            }
        }
        Ok(text)
    }
}

fn link_goes_down(tool: &Tool, card: Card) -> Result<(), String> {
    /// More than the buffers on both sides hold.
    const LONG_ANSWER: u64 = 8_000_000;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = directory.path().join("monitor");
    add_tap(TAP, TapKind::Plain)?;
    add_addresses(TAP)?;
    let monitor = format!("unix:{},server=on,wait=off", path.display());
    let options = ["--machine", card.machine, "--virtio", card.virtio, "--nic", card.nic];
    let server = Server::start(tool, "timeout=60", &[&options[..], &["--", "-monitor", &monitor]].concat())?;
    let mut monitor = Monitor::connect(&path)?;
    for round in 0..2 {
        let mut answer = server.soak.ask(&format!("GET /bytes/{LONG_ANSWER}/{round}"))?;
        // Nothing more is read while the link goes down: there is much still to come.
        let (length, mut body) = read_head(&mut answer)?;
        let come = body.len();
        body.resize(length, 0);
        monitor.command("set_link net0 off")?;
        let attempt = TcpStream::connect_timeout(&server.soak.address(), Duration::from_millis(500));
        if attempt.is_ok() {
            return Err("the link is down, and a connection is made".to_owned());
        }
        monitor.command("set_link net0 on")?;
        answer.read_exact(&mut body[come..]).map_err(|error| format!("the rest of the answer: {error}"))?;
        if body != soak::bytes(round, 0, LONG_ANSWER as usize) {
            return Err(format!("another answer, of {} bytes", body.len()));
        }
        drop(answer);
        server.soak.upload(100_000, round)?;
    }
    server.end()
}

fn full_ring(tool: &Tool, card: Card) -> Result<(), String> {
    /// Each has 64 KiB to send, together many times what the ring and the buffers behind it hold.
    const CONNECTIONS: u64 = 60;
    const ANSWER: usize = 100_000;
    let valve = Valve::to_interface(tool, TAP)?;
    let (running, soak) = start_at(tool, card, &valve.guest_end())?;
    soak.download(ANSWER as u64, 0)?;
    let mut streams = (0..CONNECTIONS).map(|_| soak.connect()).collect::<Result<Vec<_>, _>>()?;
    valve.shut();
    // The frame that the valve waits for passes still.
    std::thread::sleep(Duration::from_millis(50));
    let before = valve.passed();
    for (number, stream) in (0_u64..).zip(&mut streams) {
        let head = format!("GET /bytes/{ANSWER}/{number} HTTP/1.1\r\n\r\n");
        stream.write_all(head.as_bytes()).map_err(|error| format!("connection {number}: {error}"))?;
    }
    std::thread::sleep(Duration::from_secs(2));
    let meanwhile = valve.passed() - before;
    if meanwhile > 1 {
        return Err(format!("the valve is shut, and {meanwhile} frames have passed"));
    }
    valve.open();
    for (number, stream) in (0_u64..).zip(&mut streams) {
        let answer = read_answer(stream).map_err(|reason| format!("connection {number}: {reason}"))?;
        if answer != soak::bytes(number, 0, ANSWER) {
            return Err(format!("connection {number}: another answer"));
        }
    }
    drop(streams);
    soak.upload(ANSWER as u64, 1)?;
    soak.quit()?;
    running.finish()?.expect_status(0).map(drop)
}
