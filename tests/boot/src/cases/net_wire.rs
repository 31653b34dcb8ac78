//! What is on the wire: what a card left to the host was left in order, and what it did itself was done right.
//!
//! ```text
//!    near namespace                                             far namespace
//!    guest === tap0 --- bridge --- wire0 === cable === wire1, 10.9.0.1 --- curl
//!          |                                   |
//!          +-- --pcap: as the card hands over  +-- a recording: as a network would see it
//! ```
//!
//! A guest that leaves checksums and segmentation to its card sends long frames with unfinished checksums, and the host would hand
//! them on so. The [cable](crate::netns::cable) makes it finish them, from what the guest said of each frame; a wrong word there
//! gives a wrong checksum, length or cut. tshark looks for any of that in every frame. What is recorded at the card tells whether
//! the guest left work to it at all: otherwise a cell would show nothing.
//!
//! That tshark would find a mistake is shown, too: one bit of the recording is changed, and one frame is wrong.

use std::fs;
use std::path::Path;

use super::net::{TAP, globals};
use crate::case::Case;
use crate::netns::cable::{Cable, Recording, WRONG};
use crate::netns::{Far, GUEST, GUEST6, HOST, HOST6, TapKind, add_tap, ip, succeed};
use crate::soak;
use crate::tool::Tool;

/// Bytes in each direction, of each family.
const BYTES: usize = 600_000;
/// The longest frame of the wire.
const LONGEST: &str = "frame.len > 1514";

/// Whether the guest leaves some work to its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    It,
    Nothing,
}

/// A card with some of what it could do, and what can be told of that from what it hands over.
#[derive(Clone, Copy, Debug)]
struct Cell {
    name: &'static str,
    options: &'static [&'static str],
    properties: &'static [&'static str],
    segmentation: Leaves,
    checksums: Leaves,
}

const CELLS: [Cell; 6] = [
    Cell {
        name: "everything_is_left_to_the_card",
        options: &["--machine", "q35"],
        properties: &[],
        segmentation: Leaves::It,
        checksums: Leaves::It,
    },
    Cell {
        name: "everything_is_left_to_a_legacy_card",
        options: &["--machine", "microvm", "--nic", "virtio-legacy"],
        properties: &[],
        segmentation: Leaves::It,
        checksums: Leaves::It,
    },
    Cell {
        name: "checksums_are_left_to_the_card",
        options: &["--machine", "pc"],
        properties: &["host_tso4=off", "host_tso6=off"],
        segmentation: Leaves::Nothing,
        checksums: Leaves::It,
    },
    Cell {
        name: "nothing_is_left_to_the_card",
        options: &["--machine", "microvm"],
        properties: &["csum=off", "host_tso4=off", "host_tso6=off"],
        segmentation: Leaves::Nothing,
        checksums: Leaves::Nothing,
    },
    // QEMU's e1000 does its work itself, so nothing is left of it behind the card.
    Cell {
        name: "an_e1000_does_the_work",
        options: &["--machine", "pc", "--nic", "e1000"],
        properties: &[],
        segmentation: Leaves::Nothing,
        checksums: Leaves::Nothing,
    },
    Cell {
        name: "nothing_is_left_to_either_side",
        options: &["--machine", "q35", "--virtio", "transitional"],
        properties: &[
            "csum=off",
            "host_tso4=off",
            "host_tso6=off",
            "guest_csum=off",
            "guest_tso4=off",
            "guest_tso6=off",
            "mrg_rxbuf=off",
        ],
        segmentation: Leaves::Nothing,
        checksums: Leaves::Nothing,
    },
];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let right = CELLS.into_iter().map(|cell| {
        let name = format!("net::frames_on_the_wire_are_right_where_{}", cell.name);
        Case::new(name, move |tool| frames_are_right(tool, cell)).isolated()
    });
    right.collect()
}

fn frames_are_right(tool: &Tool, cell: Cell) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = |name: &str| directory.path().join(name);
    let (card, wire) = (file("card.pcap"), file("wire.pcap"));

    add_tap(TAP, TapKind::Plain)?;
    let cable = Cable::between(tool, "wire0", "wire1", &wire)?;
    ip(&["link", "add", "dev", "bridge0", "type", "bridge"])?;
    for port in [TAP, "wire0"] {
        ip(&["link", "set", "dev", port, "master", "bridge0", "up"])?;
    }
    ip(&["link", "set", "dev", "bridge0", "up"])?;
    let far = Far::new()?;
    far.take_interface("wire1")?;

    let network = format!("tap,if={TAP},host=10.9.0.1/24");
    let pcap = card.to_string_lossy();
    let words = format!("ip6={GUEST6}/64");
    let arguments = ["run", "net-soak", "--timeout", "300", "--net", &network, "--pcap", &pcap, "--append", &words];
    let globals = globals(cell.properties);
    let words = arguments.into_iter().chain(cell.options.iter().copied()).chain(["--"]);
    let mut running = tool.start(words.chain(globals.iter().map(String::as_str)), &[])?;
    running.await_line(|line| line.starts_with("listening on ").then_some(()))?;

    let curl = |arguments: &[&str]| {
        let common = ["--silent", "--show-error", "--fail", "--globoff", "--max-time", "120"];
        succeed(far.command("curl").args(common).args(arguments))
    };
    let download = file("download");
    for address in [GUEST.to_owned(), format!("[{GUEST6}]")] {
        let url = format!("http://{address}/bytes/{BYTES}/1");
        curl(&["--output", &download.to_string_lossy(), &url])?;
        if fs::read(&download).map_err(|error| error.to_string())? != soak::bytes(1, 0, BYTES) {
            return Err(format!("{address}: the download is not what was sent"));
        }
        curl(&["--header", "Expect:", "--data-binary", &format!("@{}", download.display()), &url])?;
    }
    curl(&[&format!("http://{GUEST}/quit")])?;
    running.finish()?.expect_status(0)?;

    let wire = cable.end()?.ok_or("no recording")?;
    judge_wire(&wire)?;
    judge_card(&Recording::new(card), cell)?;
    wrong_bit_is_found(&wire, &file("changed.pcap"))
}

/// Every frame is right, and as long as a frame may be.
fn judge_wire(wire: &Recording) -> Result<(), String> {
    wire.expect_right()?;
    let long = wire.frames(LONGEST)?;
    if !long.is_empty() {
        return Err(format!("the cable is none: {} long frames", long.len()));
    }
    // In each direction at least as many frames as the bytes fill.
    let v4 = [GUEST, HOST].map(|address| format!("ip.src == {address}"));
    let v6 = [GUEST6, HOST6].map(|address| format!("ipv6.src == {address}"));
    for source in v4.iter().chain(&v6) {
        let right = wire.frames(&format!("{source} && tcp.checksum.status == \"Good\" && tcp.len > 0"))?;
        if right.len() < BYTES / 1460 {
            return Err(format!("only {} frames of {source}", right.len()));
        }
    }
    Ok(())
}

/// The guest left to the card what the cell says.
fn judge_card(card: &Recording, cell: Cell) -> Result<(), String> {
    let left = |what: &str, filter: &str| {
        let frames = card.frames(&format!("ip.src == {GUEST} && {filter}"))?.len();
        Ok::<_, String>((what.to_owned(), if frames > 0 { Leaves::It } else { Leaves::Nothing }))
    };
    let (what, segmentation) = left("segmentation", LONGEST)?;
    if segmentation != cell.segmentation {
        return Err(format!("{what}: the guest leaves {segmentation:?}"));
    }
    let (what, checksums) = left("checksums", "tcp.checksum.status == \"Bad\"")?;
    if checksums != cell.checksums {
        return Err(format!("{what}: the guest leaves {checksums:?}"));
    }
    Ok(())
}

/// One bit in the middle of a frame that is full of data makes that frame wrong, and no other.
fn wrong_bit_is_found(wire: &Recording, changed: &Path) -> Result<(), String> {
    let mut bytes = fs::read(wire.file()).map_err(|error| error.to_string())?;
    let (mut place, mut full) = (24, None);
    while let Some(length) = bytes.get(place + 8..place + 12) {
        let length = u32::from_ne_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length == 1514 {
            full = Some(place + 16 + length / 2);
        }
        place += 16 + length;
    }
    let bit = full.ok_or("no full frame")?;
    bytes[bit] ^= 1;
    fs::write(changed, bytes).map_err(|error| error.to_string())?;
    match Recording::new(changed).frames(WRONG)?.len() {
        1 => Ok(()),
        number => Err(format!("one bit was changed, and {number} frames are wrong")),
    }
}
