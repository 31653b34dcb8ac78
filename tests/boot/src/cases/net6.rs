//! IPv6: addresses from the command line and from routers, and everything at them.
//!
//! ```text
//!   client, router --- tap0, fd00:9::1 === QEMU --- card --- net-soak, fd00:9::2 or what the router offers
//! ```

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;

use super::net::TAP;
use crate::case::Case;
use crate::netns::{GUEST6, TapKind, add_addresses, add_tap, icmpv6, ip, succeed};
use crate::soak::Soak;
use crate::tool::{Running, Tool};

/// Bytes in each direction.
const BYTES: u64 = 600_000;
/// The network that the router offers.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xa, 0, 1, 0, 0, 0, 0);
/// The router's address in it.
const ROUTER: &str = "fd00:a:0:1::1";
/// Connections to a card with two queue pairs.
const CONNECTIONS: usize = 40;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let machines = [
        ("microvm", &[][..]),
        ("q35", &["--machine", "q35"][..]),
        ("pc_legacy", &["--machine", "pc", "--nic", "virtio-legacy"]),
    ];
    let mut cases: Vec<_> = machines
        .into_iter()
        .map(|(name, options)| {
            let name = format!("net6::every_byte_passes_at_a_given_address_on_{name}");
            Case::new(name, move |tool| given_address(tool, options)).isolated()
        })
        .collect();
    cases.extend([
        Case::new("net6::a_router_on_the_link_gives_an_address", router_gives_address).isolated(),
        Case::new("net6::each_queue_pair_of_a_card_answers", queue_pairs).isolated(),
        Case::new("net6::qemus_own_router_gives_an_address", user_network),
    ]);
    cases
}

/// Starts `net-soak` with these options of `run`, which say more about the network.
fn start(tool: &Tool, options: &[&str]) -> Result<Running, String> {
    tool.start([&["run", "net-soak", "--timeout", "800"], options].concat(), &[])
}

/// Every byte in both directions, and pings up to the longest that a frame carries.
fn use_it(address: Ipv6Addr) -> Result<Soak, String> {
    let soak = Soak::at(IpAddr::V6(address));
    soak.download(BYTES, 1)?;
    soak.upload(BYTES, 2)?;
    for len in [0, 1, 56, 1452] {
        icmpv6::ping(address, len)?;
    }
    Ok(soak)
}

fn given_address(tool: &Tool, options: &[&str]) -> Result<(), String> {
    add_tap(TAP, TapKind::Plain)?;
    add_addresses(TAP)?;
    let words = format!("ip6={GUEST6}/64");
    let network = format!("tap,if={TAP}");
    let mut running = start(tool, &[&["--net", &network, "--append", &words], options].concat())?;
    running.await_line(|line| line.starts_with("listening on ").then_some(()))?;
    let soak = use_it(GUEST6.parse().map_err(|_| "not an address")?)?;
    let url = format!("http://[{GUEST6}]/bytes/100000/5");
    let fetched = succeed(Command::new("curl").args([
        "-sS",
        "-g",
        "-m",
        "60",
        "-o",
        "/dev/null",
        "-w",
        "%{size_download}",
        &url,
    ]))?;
    if fetched != "100000" {
        return Err(format!("curl fetched {fetched} bytes"));
    }
    soak.quit()?;
    running.finish()?.expect_status(0).map(drop)
}

fn router_gives_address(tool: &Tool) -> Result<(), String> {
    add_tap(TAP, TapKind::Plain)?;
    add_addresses(TAP)?;
    ip(&["address", "add", "fe80::1/64", "dev", TAP, "nodad"])?;
    ip(&["address", "add", &format!("{ROUTER}/64"), "dev", TAP, "nodad"])?;
    let mut running = start(tool, &["--net", &format!("tap,if={TAP}")])?;
    running.await_line(|line| line.starts_with("listening on ").then_some(()))?;
    icmpv6::advertise(TAP, PREFIX, Ipv6Addr::new(0xfd00, 0xa, 0, 1, 0, 0, 0, 0x53))?;
    let address = running.await_line(|line| address_in(line, PREFIX))?;
    let soak = use_it(address)?;
    soak.quit()?;
    running.finish()?.expect_status(0).map(drop)
}

/// The address that a line of the kernel's log names, if it is in the network.
fn address_in(line: &str, prefix: Ipv6Addr) -> Option<Ipv6Addr> {
    let (_, address) = line.split_once("net: the address is ")?;
    let address: Ipv6Addr = address.trim().parse().ok()?;
    (address.octets()[..8] == prefix.octets()[..8]).then_some(address)
}

/// Stacks that share a card: the host steers connections to queues, and neighbours' words to any.
fn queue_pairs(tool: &Tool) -> Result<(), String> {
    add_tap(TAP, TapKind::MultiQueue)?;
    add_addresses(TAP)?;
    let words = format!("ip6={GUEST6}/64 test=answer connections={}", CONNECTIONS + 1);
    let network = format!("tap,if={TAP},queues=2");
    let options = [
        "run",
        "kernel-tests",
        "--machine",
        "q35",
        "--cpus",
        "2",
        "--timeout",
        "300",
        "--net",
        &network,
        "--append",
        &words,
    ];
    let mut running = tool.start(options, &[])?;
    running.await_line(|line| line.starts_with("answering on 2 cores").then_some(()))?;
    // It may still make sure of its address.
    icmpv6::ping(GUEST6.parse().map_err(|_| "not an address")?, 56)?;
    let url = format!("http://[{GUEST6}]/");
    let mut answers = Vec::new();
    while answers.len() <= CONNECTIONS && running.is_running() {
        answers.push(succeed(Command::new("curl").args(["-sS", "-g", "-m", "60", &url]))?);
    }
    running.finish()?.expect_status(0)?;
    let of = |core: usize| answers.iter().filter(|answer| **answer == format!("core {core}\n")).count();
    if of(0) > 0 && of(1) > 0 && of(0) + of(1) == answers.len() { Ok(()) } else { Err(format!("answers {answers:?}")) }
}

/// QEMU's user network has a router that announces `fec0::/64`.
fn user_network(tool: &Tool) -> Result<(), String> {
    let mut running = start(tool, &["--net", "user", "--port", "0:80"])?;
    // The guest may have its address before the tool knows that it answers, or later.
    let (url, has_address) = (RefCell::new(None), Cell::new(false));
    let url = running.await_line(|line| {
        has_address.set(has_address.get() || address_in(line, Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0)).is_some());
        if line.starts_with("http://") {
            *url.borrow_mut() = Some(line.to_owned());
        }
        url.borrow().clone().filter(|_| has_address.get())
    })?;
    succeed(Command::new("curl").args(["-sS", "-m", "60", &format!("{}quit", url.trim())]))?;
    running.finish()?.expect_status(0).map(drop)
}
