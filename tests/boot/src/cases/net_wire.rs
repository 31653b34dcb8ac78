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
//! That tshark would find a mistake is shown, too: one bit of a recording is changed, and one frame is wrong.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::net::{TAP, globals};
use crate::case::Case;
use crate::netns::cable::{Cable, Checksum, Recording, Segment, WRONG};
use crate::netns::{Far, GUEST, GUEST6, HOST, HOST6, TapKind, add_tap, ip, succeed};
use crate::soak;
use crate::tool::Tool;

/// Bytes in each direction, of each family.
const BYTES: usize = 600_000;
/// The longest frame of the wire.
const LONGEST: usize = 1514;

/// Whether the guest leaves some work to its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    It,
    Nothing,
}

/// Whether it is to be shown that tshark would find a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Wanted,
    /// Once is enough.
    Given,
}

/// A card with some of what it could do, and what can be told of that from what it hands over.
#[derive(Clone, Copy, Debug)]
struct Cell {
    name: &'static str,
    options: &'static [&'static str],
    properties: &'static [&'static str],
    segmentation: Leaves,
    checksums: Leaves,
    proof: Proof,
}

const CELLS: [Cell; 6] = [
    Cell {
        name: "everything_is_left_to_the_card",
        options: &["--machine", "q35"],
        properties: &[],
        segmentation: Leaves::It,
        checksums: Leaves::It,
        proof: Proof::Wanted,
    },
    Cell {
        name: "everything_is_left_to_a_legacy_card",
        options: &["--machine", "microvm", "--nic", "virtio-legacy"],
        properties: &[],
        segmentation: Leaves::It,
        checksums: Leaves::It,
        proof: Proof::Given,
    },
    Cell {
        name: "checksums_are_left_to_the_card",
        options: &["--machine", "pc"],
        properties: &["host_tso4=off", "host_tso6=off"],
        segmentation: Leaves::Nothing,
        checksums: Leaves::It,
        proof: Proof::Given,
    },
    Cell {
        name: "nothing_is_left_to_the_card",
        options: &["--machine", "microvm"],
        properties: &["csum=off", "host_tso4=off", "host_tso6=off"],
        segmentation: Leaves::Nothing,
        checksums: Leaves::Nothing,
        proof: Proof::Given,
    },
    // QEMU's e1000 does its work itself, so nothing is left of it behind the card.
    Cell {
        name: "an_e1000_does_the_work",
        options: &["--machine", "pc", "--nic", "e1000"],
        properties: &[],
        segmentation: Leaves::Nothing,
        checksums: Leaves::Nothing,
        proof: Proof::Given,
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
        proof: Proof::Given,
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

    let wire = cable.end().ok_or("no recording")?;
    wire.expect_right()?;
    judge_wire(&wire.segments()?)?;
    judge_card(&Recording::new(card).segments()?, cell)?;
    match cell.proof {
        Proof::Wanted => wrong_bit_is_found(&wire, &file("changed.pcap")),
        Proof::Given => Ok(()),
    }
}

/// Segments are as long as on a wire, their checksums are good, and none is missing.
fn judge_wire(segments: &[Segment]) -> Result<(), String> {
    if let Some(segment) = segments.iter().find(|segment| segment.frame > LONGEST) {
        return Err(format!("the cable is none: {segment:?}"));
    }
    // In each direction at least as many as the bytes fill.
    for source in [GUEST, HOST, GUEST6, HOST6] {
        let source: IpAddr = source.parse().map_err(|_| "not an address")?;
        let is_right = |segment: &&Segment| segment.source == source && segment.checksum == Checksum::Good;
        let bytes: usize = segments.iter().filter(is_right).map(|segment| segment.data).sum();
        if bytes < BYTES {
            return Err(format!("only {bytes} bytes of {source}"));
        }
    }
    Ok(())
}

/// The guest left to the card what the cell says.
fn judge_card(segments: &[Segment], cell: Cell) -> Result<(), String> {
    let guest: IpAddr = GUEST.parse().map_err(|_| "not an address")?;
    let leaves = |is_left: fn(&Segment) -> bool| {
        let is_left = segments.iter().any(|segment| segment.source == guest && is_left(segment));
        if is_left { Leaves::It } else { Leaves::Nothing }
    };
    let segmentation = leaves(|segment| segment.frame > LONGEST);
    let checksums = leaves(|segment| segment.checksum != Checksum::Good);
    if (segmentation, checksums) == (cell.segmentation, cell.checksums) {
        return Ok(());
    }
    Err(format!("the guest leaves of segmentation {segmentation:?}, of checksums {checksums:?}"))
}

/// One bit in the middle of a frame that is full of data makes that frame wrong, and no other.
fn wrong_bit_is_found(wire: &Recording, changed: &Path) -> Result<(), String> {
    let mut bytes = fs::read(wire.file()).map_err(|error| error.to_string())?;
    let (mut place, mut full) = (24, None);
    while let Some(length) = bytes.get(place + 8..place + 12) {
        let length = u32::from_ne_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length == LONGEST {
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
