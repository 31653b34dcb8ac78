//! The network: an Ethernet interface of the host, every card, and much of what a card can do for a stack switched on and off.
//!
//! ```text
//!   client --- tap0, 10.9.0.1 === QEMU --- card --- net-soak, 10.9.0.2
//! ```
//!
//! Every case has a network namespace of its own ([`crate::netns`]). The guest serves streams of which both sides know every byte
//! ([`Soak`]); each combination of card and properties carries one in each direction,
//! over IPv4 and over IPv6. Beside this module are
//! [`super::net_wire`], what is on the wire, [`super::net_soak`], many connections, and [`super::net_trouble`], networks that lose
//! frames, and cards that lose their network.

use std::net::IpAddr;

use crate::case::Case;
use crate::netns::{GUEST, GUEST6, TapKind, add_addresses, add_tap, ip};
use crate::soak::Soak;
use crate::tool::{Running, Tool};

/// The interface that the guest's cable ends in.
pub const TAP: &str = "tap0";
/// Bytes in each direction: many times what a window holds.
const BYTES: u64 = 600_000;

/// A machine, a card, and what is different about it.
#[derive(Clone, Copy, Debug)]
struct Cell {
    name: &'static str,
    /// Options of `run`.
    options: &'static [&'static str],
    /// Properties of the card.
    properties: &'static [&'static str],
    kind: TapKind,
    /// The largest packet that the host sends.
    mtu: u32,
}

const USUAL: Cell = Cell { name: "", options: &[], properties: &[], kind: TapKind::Plain, mtu: 1500 };

const CELLS: [Cell; 13] = [
    Cell { name: "microvm", ..USUAL },
    Cell { name: "microvm_legacy", options: &["--nic", "virtio-legacy"], ..USUAL },
    Cell { name: "pc", options: &["--machine", "pc"], ..USUAL },
    Cell { name: "pc_legacy", options: &["--machine", "pc", "--nic", "virtio-legacy"], ..USUAL },
    Cell { name: "q35_transitional", options: &["--machine", "q35", "--virtio", "transitional"], ..USUAL },
    Cell {
        name: "q35_two_queues_of_which_one_is_used",
        options: &["--machine", "q35"],
        kind: TapKind::MultiQueue,
        ..USUAL
    },
    // Nothing is left to the host.
    Cell {
        name: "pc_without_offloads",
        options: &["--machine", "pc"],
        properties: &[
            "csum=off",
            "guest_csum=off",
            "host_tso4=off",
            "host_tso6=off",
            "guest_tso4=off",
            "guest_tso6=off",
        ],
        ..USUAL
    },
    // Large frames come, but each in one buffer.
    Cell {
        name: "q35_without_merged_buffers",
        options: &["--machine", "q35"],
        properties: &["mrg_rxbuf=off"],
        ..USUAL
    },
    // Checksums are left to the host, segmentation is not.
    Cell {
        name: "q35_with_checksums_only",
        options: &["--machine", "q35"],
        properties: &[
            "host_tso4=off",
            "host_tso6=off",
            "guest_tso4=off",
            "guest_tso6=off",
            "guest_ufo=off",
            "host_ufo=off",
        ],
        ..USUAL
    },
    // As on a network with jumbo frames, of which the guest is told.
    Cell {
        name: "q35_with_jumbo_frames",
        options: &["--machine", "q35"],
        properties: &["host_mtu=9000"],
        mtu: 9000,
        ..USUAL
    },
    // It interrupts by a line.
    Cell { name: "pc_e1000", options: &["--machine", "pc", "--nic", "e1000"], ..USUAL },
    Cell { name: "q35_e1000", options: &["--machine", "q35", "--nic", "e1000"], ..USUAL },
    // As behind a tunnel.
    Cell { name: "microvm_with_small_packets", mtu: 1280, ..USUAL },
];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = CELLS
        .into_iter()
        .map(|cell| {
            Case::new(format!("net::every_byte_passes_on_{}", cell.name), move |tool| bytes_pass(tool, cell)).isolated()
        })
        .collect();
    cases.push(Case::new("net::an_interface_is_made_where_there_is_none", interface_is_made).isolated());
    for machine in super::MACHINES {
        cases.push(Case::new(format!("net::without_a_network_{machine}_boots"), move |tool| no_network(tool, machine)));
    }
    cases
}

/// A guest that runs `net-soak`.
pub struct Server {
    /// The tool that runs it.
    pub running: Running,
    /// Who asks it.
    pub soak: Soak,
}

impl Server {
    /// Starts it at the usual interface with these words for itself and these options of `run`, and waits until it answers.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn start(tool: &Tool, words: &str, options: &[&str]) -> Result<Self, String> {
        let words = format!("ip6={GUEST6}/64 {words}");
        let network = format!("tap,if={TAP}");
        let arguments =
            [&["run", "net-soak", "--timeout", "850", "--net", &network, "--append", &words], options].concat();
        let mut running = tool.start(arguments, &[])?;
        let url = format!("http://{GUEST}:80/");
        running.await_line(|line| (line == url).then_some(()))?;
        let address: IpAddr = GUEST.parse().map_err(|_| "not an address")?;
        Ok(Self { running, soak: Soak::at(address) })
    }

    /// Has it end by itself.
    ///
    /// # Errors
    ///
    /// What happened instead.
    pub fn end(self) -> Result<(), String> {
        self.soak.quit()?;
        self.running.finish()?.expect_status(0).map(drop)
    }
}

/// QEMU's words for properties of all virtio cards.
pub fn globals(properties: &[&str]) -> Vec<String> {
    let words = |property: &&str| ["-global".to_owned(), format!("virtio-net-device.{property}")];
    properties.iter().flat_map(words).collect()
}

fn bytes_pass(tool: &Tool, cell: Cell) -> Result<(), String> {
    add_tap(TAP, cell.kind)?;
    add_addresses(TAP)?;
    ip(&["link", "set", "dev", TAP, "mtu", &cell.mtu.to_string()])?;
    let globals = globals(cell.properties);
    let words = cell.options.iter().copied().chain(["--"]).chain(globals.iter().map(String::as_str));
    let server = Server::start(tool, "", &words.collect::<Vec<_>>())?;
    let by_ipv6 = Soak::at(GUEST6.parse().map_err(|_| "not an address")?);
    for soak in [server.soak, by_ipv6] {
        soak.download(BYTES, 1)?;
        soak.upload(BYTES, 2)?;
    }
    server.end()
}

/// QEMU makes the interface, and it is gone with QEMU.
fn interface_is_made(tool: &Tool) -> Result<(), String> {
    let network = "tap,if=made0,host=192.168.77.1/24,guest=192.168.77.9";
    let mut running = tool.start(["run", "net-soak", "--timeout", "300", "--net", network], &[])?;
    running.await_line(|line| (line == "http://192.168.77.9:80/").then_some(()))?;
    let soak = Soak::at("192.168.77.9".parse().map_err(|_| "not an address")?);
    soak.download(BYTES, 3)?;
    ip(&["link", "show", "dev", "made0"])?;
    soak.quit()?;
    running.finish()?.expect_status(0)?;
    match ip(&["link", "show", "dev", "made0"]) {
        Ok(()) => Err("the interface is still there".to_owned()),
        Err(_) => Ok(()),
    }
}

fn no_network(tool: &Tool, machine: &str) -> Result<(), String> {
    let finished = tool.run(["run", "hello", "--machine", machine, "--net", "none", "--timeout", "120"])?;
    finished.expect_status(0)?.expect_output("hello, world")?;
    if finished.stdout.contains("attached") {
        return Err(format!("a card is there:\n{}", finished.stdout));
    }
    Ok(())
}
