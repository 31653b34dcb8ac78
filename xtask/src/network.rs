//! The guest's network: what `--net`, `--nic` and `--pcap` say, and what QEMU is told of it.
//!
//! ```text
//!   --net user                          QEMU's own: DHCP, a way out, ports of 127.0.0.1 that lead in (--port)
//!   --net tap[,if=NAME][,host=ADDRESS/PREFIX][,guest=ADDRESS[/PREFIX]|,guest=dhcp][,queues=N]
//!                                       an Ethernet interface of the host: every protocol, every offload ([`tap`])
//!   --net none                          no card at all
//! ```
//!
//! # Cards
//!
//! | `--nic` | device | pc, q35 | microvm |
//! |---|---|---|---|
//! | `virtio` | virtio-net with the interface of `--virtio`, which is the modern one | yes | yes |
//! | `virtio-legacy` | virtio-net with the legacy interface | yes | all virtio devices are legacy then |
//! | `e1000` | Intel's 82540EM, a PCI card | yes | no |
//!
//! # Recordings
//!
//! `--pcap` is QEMU's `filter-dump`: what passes between card and network, in both directions, as the card hands it over. A
//! card that leaves segmentation or checksums to the host hands over what is not segmented or summed up yet, so a recording
//! has frames of up to 64 KiB and checksums that a reader calls wrong. With `csum=off,host_tso4=off` and so on as properties
//! of the device (`-- -global virtio-net-pci.csum=off`), or on the far side of the host, they are as on a wire.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::cli::{Machine, Nic, PortForward, VirtioInterface};
use crate::exit::Failure;
use crate::ports::HeldPorts;

mod recording;
pub mod tap;

use tap::{Tap, TapOption};

/// The value of `--net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkOption {
    /// QEMU's user-mode network.
    User,
    /// A tap interface of the host.
    Tap(TapOption),
    /// No network.
    None,
}

impl FromStr for NetworkOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, words) = match text.split_once(',') {
            Some((kind, words)) => (kind, Some(words)),
            None => (text, None),
        };
        match (kind, words) {
            ("user", None) => Ok(Self::User),
            ("none", None) => Ok(Self::None),
            ("tap", words) => words.map_or(Ok(TapOption::default()), str::parse).map(Self::Tap),
            ("user" | "none", Some(words)) => Err(format!("`{kind}` takes no words, but has `{words}`")),
            _ => Err(format!("`{kind}`: expected user, tap or none")),
        }
    }
}

/// What the user asks for in all.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// `--net`
    pub network: &'a NetworkOption,
    /// `--nic`
    pub nic: Nic,
    /// `--nics`, where it was given
    pub cards: Option<u8>,
    /// `--port`, where it was given
    pub port: Option<PortForward>,
    /// `--pcap`
    pub recording: Option<&'a Path>,
    /// `--machine`
    pub machine: Machine,
    /// `--cpus`
    pub cpus: u16,
}

/// A network card, and what it is plugged into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What is at the other end of its cable.
    pub network: Network,
    /// Where its frames are recorded.
    pub recording: Option<PathBuf>,
}

/// What a card is plugged into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// A user-mode network of its own.
    User {
        /// A port of 127.0.0.1 that leads to one of the guest's, through this card.
        forward: Option<PortForward>,
    },
    /// A tap interface.
    Tap {
        /// Its name.
        interface: String,
        /// The program that QEMU runs when it has made the interface; none for one that is there.
        script: Option<PathBuf>,
        /// How many queue pairs the card has.
        queues: u16,
    },
}

impl Card {
    /// A card on a user-mode network, not recorded.
    pub const fn user(forward: Option<PortForward>) -> Self {
        Self { network: Network::User { forward }, recording: None }
    }
}

/// What was decided about the network. A tap interface's number is held as long as this lives.
#[derive(Debug)]
pub struct Plan {
    /// The cards.
    pub cards: Vec<Card>,
    /// Words for the guest's command line, before the user's.
    pub words: String,
    /// Where the guest will answer HTTP requests, if it does.
    pub web: Vec<SocketAddr>,
    tap: Option<Tap>,
}

impl Plan {
    /// Whether the tap interface has to be looked at, by [`complete`](Self::complete), with the program `ip`.
    pub fn needs_iproute(&self) -> bool {
        self.tap.is_some()
    }

    /// Decides what depends on the interfaces of this host. `ip` must be there.
    ///
    /// # Errors
    ///
    /// An input failure where an interface is not as it has to be.
    pub fn complete(&mut self, wish: &Wish<'_>, http_port: Option<u16>, scratch: &Path) -> Result<(), Failure> {
        let Some(tap) = &mut self.tap else { return Ok(()) };
        let link = tap.choose(wish, scratch)?;
        self.words = link.guest.map_or(String::new(), |guest| match guest.gateway {
            Some(gateway) => format!("ip={}/{},gw={gateway}", guest.address, guest.prefix),
            None => format!("ip={}/{}", guest.address, guest.prefix),
        });
        self.web = http_port.zip(link.guest).map(|(port, guest)| (guest.address, port).into()).into_iter().collect();
        let network = Network::Tap { interface: link.interface, script: link.script, queues: link.queues };
        self.cards = vec![Card { network, recording: recording(wish, 0) }];
        Ok(())
    }
}

/// The Ethernet address of card `number`.
pub fn mac(number: usize) -> recording::Mac {
    [0x52, 0x54, 0x00, 0x12, 0x34, 0x56_u8.wrapping_add(number as u8)]
}

/// Brings recordings into order once QEMU has ended.
///
/// # Errors
///
/// A machine failure where a file cannot be read or written.
pub fn tidy_recordings(cards: &[Card]) -> Result<(), Failure> {
    for (number, card) in cards.iter().enumerate() {
        if let Some(file) = &card.recording {
            recording::tidy(file, mac(number))
                .map_err(|error| Failure::machine(format!("the recording {}: {error}", file.display())))?;
        }
    }
    Ok(())
}

/// How many cards there will be.
pub fn number_of_cards(wish: &Wish<'_>) -> u8 {
    match wish.network {
        NetworkOption::None => 0,
        NetworkOption::User | NetworkOption::Tap(_) => wish.cards.unwrap_or(1),
    }
}

/// The interface of the machine's virtio devices, given that of `--virtio`.
pub fn interface_of_devices(machine: Machine, nic: Nic, virtio: VirtioInterface) -> VirtioInterface {
    match (machine, nic) {
        // Over MMIO they all have the same.
        (Machine::Microvm, Nic::VirtioLegacy) => VirtioInterface::Legacy,
        _ => virtio,
    }
}

/// Checks the wish, as far as that is possible without programs that may have to be installed, and takes what it needs.
///
/// # Errors
///
/// An input failure of one line that says what to do instead.
pub fn plan(wish: &Wish<'_>, http_port: Option<u16>, ports: &mut HeldPorts) -> Result<Plan, Failure> {
    check_combination(wish)?;
    let mut plan = Plan { cards: Vec::new(), words: String::new(), web: Vec::new(), tap: None };
    match wish.network {
        NetworkOption::None => {}
        NetworkOption::Tap(option) => plan.tap = Some(Tap::check(option)?),
        NetworkOption::User => {
            for (number, forward) in
                choose_forwards(number_of_cards(wish), wish.port, http_port, ports)?.into_iter().enumerate()
            {
                plan.web.extend(forward.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port.host))));
                plan.cards.push(Card { recording: recording(wish, number), ..Card::user(forward) });
            }
        }
    }
    for number in 0..usize::from(number_of_cards(wish)) {
        if let Some(file) = recording(wish, number) {
            // As QEMU will do it, when it is too late for a word of explanation.
            File::create(&file)
                .map_err(|error| Failure::input(format!("cannot write the recording {}: {error}", file.display())))?;
        }
    }
    Ok(plan)
}

/// Refuses what cannot be together.
fn check_combination(wish: &Wish<'_>) -> Result<(), Failure> {
    let refuse = |reason: &str| Err(Failure::input(reason));
    let cards = number_of_cards(wish);
    if !wish.nic.is_virtio() && wish.machine == Machine::Microvm && cards > 0 {
        return refuse("e1000 is a PCI card and microvm has no PCI: use --machine pc or q35, or --nic virtio");
    }
    match wish.network {
        NetworkOption::None if wish.cards.is_some_and(|cards| cards > 0) => {
            refuse("--net none leaves no card: leave out --nics")
        }
        NetworkOption::Tap(_) if cards != 1 => refuse("a tap interface is for one card: leave out --nics"),
        NetworkOption::Tap(_) if wish.port.is_some() => refuse(
            "--port belongs to --net user: over a tap interface all ports are reached at the guest's own address",
        ),
        NetworkOption::Tap(TapOption { queues: Some(2..), .. }) if !wish.nic.is_virtio() => {
            refuse("e1000 has one queue: leave out queues=, or use --nic virtio")
        }
        NetworkOption::Tap(TapOption { queues: Some(2..), .. }) if wish.recording.is_some() => {
            refuse("QEMU records cards of one queue only: leave out queues= or --pcap")
        }
        _ if cards == 0 && wish.port.is_some() => refuse("--port leads to a card, and there is none"),
        _ if cards == 0 && wish.recording.is_some() => refuse("--pcap records a card, and there is none"),
        _ => Ok(()),
    }
}

/// The file for the frames of card `number`: as the user says for the first, with the number behind it for others.
fn recording(wish: &Wish<'_>, number: usize) -> Option<PathBuf> {
    let file = wish.recording?;
    Some(match number {
        0 => file.to_owned(),
        _ => {
            let mut name: OsString = file.into();
            name.push(format!(".{number}"));
            name.into()
        }
    })
}

/// The forwarding of each of `count` cards: what the user asked for, or the usual one for an application that serves HTTP.
/// The card after one whose port of the host was given takes the next port; port 0 is a free one for each.
fn choose_forwards(
    count: u8,
    asked: Option<PortForward>,
    http_port: Option<u16>,
    ports: &mut HeldPorts,
) -> Result<Vec<Option<PortForward>>, Failure> {
    let usual = http_port.map(|guest| PortForward { guest, ..PortForward::default() });
    let Some(PortForward { host, guest }) = asked.or(usual) else {
        return Ok(vec![None; count.into()]);
    };
    let forward = |number: u8| {
        let host = match host {
            0 => 0,
            first => first.checked_add(number.into()).ok_or_else(|| {
                Failure::input(format!("there are no {count} ports from {first} on, one for each network card"))
            })?,
        };
        Ok(Some(PortForward { host: ports.take(host)?, guest }))
    };
    (0..count).map(forward).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::FailureKind;

    const WISH: Wish<'static> = Wish {
        network: &NetworkOption::User,
        nic: Nic::Virtio,
        cards: None,
        port: None,
        recording: None,
        machine: Machine::Q35,
        cpus: 1,
    };

    fn plan_of(wish: &Wish<'_>) -> Result<Plan, Failure> {
        plan(wish, None, &mut HeldPorts::default())
    }

    fn hosts(count: u8, asked: PortForward, ports: &mut HeldPorts) -> Result<Vec<u16>, Failure> {
        let forwards = choose_forwards(count, Some(asked), Some(80), ports)?;
        assert!(forwards.iter().all(|forward| forward.unwrap().guest == asked.guest));
        Ok(forwards.iter().map(|forward| forward.unwrap().host).collect())
    }

    #[test]
    fn the_documented_forms_are_understood() {
        assert_eq!("user".parse(), Ok(NetworkOption::User));
        assert_eq!("none".parse(), Ok(NetworkOption::None));
        assert_eq!("tap".parse(), Ok(NetworkOption::Tap(TapOption::default())));
        for (word, part) in [("bridge", "user, tap or none"), ("user,if=a", "takes no words"), ("tap,if", "if=")] {
            let error = word.parse::<NetworkOption>().unwrap_err();
            assert!(error.contains(part), "{word}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_together_is_refused() {
        let tap = NetworkOption::Tap(TapOption::default());
        let two_queues = NetworkOption::Tap(TapOption { queues: Some(2), ..TapOption::default() });
        let port = Some(PortForward::default());
        let recording = Some(Path::new("/no/such/directory/file"));
        for (wish, part) in [
            (Wish { nic: Nic::E1000, machine: Machine::Microvm, ..WISH }, "no PCI"),
            (Wish { network: &NetworkOption::None, cards: Some(1), ..WISH }, "--nics"),
            (Wish { network: &NetworkOption::None, port, ..WISH }, "--port"),
            (Wish { network: &NetworkOption::None, recording, ..WISH }, "--pcap"),
            (Wish { cards: Some(0), recording, ..WISH }, "--pcap"),
            (Wish { network: &tap, cards: Some(2), ..WISH }, "--nics"),
            (Wish { network: &tap, port, ..WISH }, "--port"),
            (Wish { network: &two_queues, nic: Nic::E1000, ..WISH }, "one queue"),
            (Wish { network: &two_queues, recording, ..WISH }, "one queue"),
            (Wish { recording, ..WISH }, "/no/such/directory/file"),
        ] {
            let failure = plan_of(&wish).unwrap_err();
            assert_eq!(failure.kind(), FailureKind::Input);
            assert!(failure.to_string().contains(part), "{part}: {failure}");
        }
    }

    #[test]
    fn without_a_network_there_is_no_card() {
        let plan = plan_of(&Wish { network: &NetworkOption::None, machine: Machine::Microvm, nic: Nic::E1000, ..WISH });
        assert_eq!(plan.unwrap().cards, []);
    }

    #[test]
    fn each_card_has_a_recording_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.pcap");
        let plan = plan_of(&Wish { cards: Some(2), recording: Some(&file), ..WISH }).unwrap();
        let second = directory.path().join("a.pcap.1");
        assert_eq!([&plan.cards[0].recording, &plan.cards[1].recording], [&Some(file.clone()), &Some(second.clone())]);
        assert!(file.is_file() && second.is_file());
    }

    #[test]
    fn a_legacy_card_makes_all_of_a_microvm_legacy() {
        use VirtioInterface::{Legacy, Modern};
        assert_eq!(interface_of_devices(Machine::Microvm, Nic::VirtioLegacy, Modern), Legacy);
        assert_eq!(interface_of_devices(Machine::Pc, Nic::VirtioLegacy, Modern), Modern);
        assert_eq!(interface_of_devices(Machine::Microvm, Nic::Virtio, Modern), Modern);
    }

    #[test]
    fn port_zero_becomes_a_free_port_for_each_card() {
        let mut hosts = hosts(3, PortForward { host: 0, guest: 81 }, &mut HeldPorts::default()).unwrap();
        hosts.sort_unstable();
        hosts.dedup();
        assert!(hosts.len() == 3 && hosts[0] != 0);
    }

    #[test]
    fn further_cards_take_the_ports_that_follow() {
        // Another process may have one of three ports in a row; not of every three.
        let found = (20_000..30_000).step_by(3).find_map(|host| {
            let hosts = hosts(3, PortForward { host, guest: 81 }, &mut HeldPorts::default()).ok()?;
            Some((host, hosts))
        });
        let (host, hosts) = found.unwrap();
        assert_eq!(hosts, [host, host + 1, host + 2]);

        let mut ports = HeldPorts::default();
        ports.take(host + 1).unwrap();
        let failure = self::hosts(3, PortForward { host, guest: 81 }, &mut ports).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Input);
        assert!(failure.to_string().contains(&format!("port {} ", host + 1)));
    }

    #[test]
    fn ports_end_at_65535() {
        let mut ports = HeldPorts::default();
        let failure = hosts(3, PortForward { host: 65_534, guest: 80 }, &mut ports).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Input);
    }

    #[test]
    fn application_without_http_gets_no_forwarding_unless_asked() {
        assert_eq!(choose_forwards(2, None, None, &mut HeldPorts::default()), Ok(vec![None; 2]));
    }
}
