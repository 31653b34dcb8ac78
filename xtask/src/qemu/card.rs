//! QEMU's words for a network card: what its cable leads to, the device itself, and the recording of what passes.
//!
//! ```text
//!   -netdev user,id=net0,..     -device virtio-net-pci,netdev=net0,mac=..     -object filter-dump,id=dump0,netdev=net0,file=..
//! ```

use std::path::Path;

use super::{Transport, virtio_device};
use crate::cli::{Nic, VirtioInterface};
use crate::network::{Card, Network, mac};

/// How much of a frame is recorded: all of one that is not segmented yet.
const RECORDED_BYTES: u32 = 128 << 10;

/// The `-netdev` value of card `number`. User-mode networks differ in their third byte, so that a guest can tell which way to
/// send.
pub fn network(number: usize, card: &Card) -> String {
    match &card.network {
        Network::User { forward } => {
            let forward =
                forward.map_or(String::new(), |port| format!(",hostfwd=tcp:127.0.0.1:{}-:{}", port.host, port.guest));
            format!("user,id=net{number},net=10.0.{}.0/24{forward}", 2 + number)
        }
        Network::Tap { interface, script, queues } => {
            let script = script.as_deref().map_or("no".to_owned(), name_of_file);
            let queues = if *queues > 1 { format!(",queues={queues}") } else { String::new() };
            format!("tap,id=net{number},ifname={interface},script={script},downscript=no,vhost=off{queues}")
        }
    }
}

/// The `-device` value of card `number`.
pub fn device(number: usize, card: &Card, nic: Nic, transport: Transport, virtio: VirtioInterface) -> String {
    let mac = mac(number).map(|byte| format!("{byte:02x}")).join(":");
    let mut properties = format!("netdev=net{number},mac={mac}");
    let interface = match nic {
        Nic::E1000 => return format!("e1000,{properties},romfile="),
        Nic::Virtio => virtio,
        Nic::VirtioLegacy => VirtioInterface::Legacy,
    };
    // Over PCI: a vector for each queue, one for the control queue and one for the configuration.
    let mut pci_only = ",romfile=".to_owned();
    if let Network::Tap { queues: queues @ 2.., .. } = card.network {
        properties.push_str(",mq=on");
        pci_only.push_str(&format!(",vectors={}", 2 * u32::from(queues) + 2));
    }
    virtio_device("virtio-net", transport, interface, &properties, &pci_only)
}

/// The `-object` value that records card `number` in `file`.
pub fn recording(number: usize, file: &Path) -> String {
    format!("filter-dump,id=dump{number},netdev=net{number},maxlen={RECORDED_BYTES},file={}", name_of_file(file))
}

/// The name of a file as a value among others.
fn name_of_file(file: &Path) -> String {
    file.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::PortForward;

    const TAP: Network = Network::Tap { interface: String::new(), script: None, queues: 1 };

    fn modern(card: &Card, nic: Nic, transport: Transport) -> String {
        device(0, card, nic, transport, VirtioInterface::Modern)
    }

    #[test]
    fn port_is_forwarded_from_the_loopback_address_only() {
        assert_eq!(network(0, &Card::user(None)), "user,id=net0,net=10.0.2.0/24");
        let card = Card::user(Some(PortForward { host: 8080, guest: 80 }));
        assert_eq!(network(0, &card), "user,id=net0,net=10.0.2.0/24,hostfwd=tcp:127.0.0.1:8080-:80");
    }

    #[test]
    fn each_card_has_an_address_and_a_network_of_its_own() {
        let card = Card::user(None);
        for (number, (net, mac)) in [("10.0.2.0", "56"), ("10.0.3.0", "57"), ("10.0.4.0", "58")].iter().enumerate() {
            assert_eq!(network(number, &card), format!("user,id=net{number},net={net}/24"));
            for transport in [Transport::Pci, Transport::Mmio] {
                let device = device(number, &card, Nic::Virtio, transport, VirtioInterface::Modern);
                assert!(device.contains(&format!(",netdev=net{number},mac=52:54:00:12:34:{mac}")), "{device}");
            }
        }
    }

    #[test]
    fn a_tap_interface_is_used_as_it_is_or_made_with_a_script() {
        let network = |script: Option<&str>| {
            let network = Network::Tap { interface: "t0".to_owned(), script: script.map(Into::into), queues: 1 };
            super::network(0, &Card { network, recording: None })
        };
        assert_eq!(network(None), "tap,id=net0,ifname=t0,script=no,downscript=no,vhost=off");
        assert_eq!(network(Some("/a,b/up")), "tap,id=net0,ifname=t0,script=/a,,b/up,downscript=no,vhost=off");
    }

    #[test]
    fn several_queues_are_a_matter_of_both_sides() {
        let network = Network::Tap { interface: "t0".to_owned(), script: None, queues: 3 };
        let card = Card { network, recording: None };
        assert!(super::network(0, &card).ends_with(",queues=3"));
        let common = "netdev=net0,mac=52:54:00:12:34:56,mq=on";
        let pci = format!("virtio-net-pci,disable-legacy=on,{common},romfile=,vectors=8");
        assert_eq!(modern(&card, Nic::Virtio, Transport::Pci), pci);
        assert_eq!(modern(&card, Nic::Virtio, Transport::Mmio), format!("virtio-net-device,{common}"));
    }

    #[test]
    fn cards_are_of_the_kind_that_was_asked_for() {
        let card = Card { network: TAP, recording: None };
        for (nic, start) in [
            (Nic::Virtio, "virtio-net-pci,disable-legacy=on,netdev=net0,"),
            (Nic::VirtioLegacy, "virtio-net-pci,disable-legacy=off,disable-modern=on,netdev=net0,"),
            (Nic::E1000, "e1000,netdev=net0,"),
        ] {
            let device = modern(&card, nic, Transport::Pci);
            assert!(device.starts_with(start) && device.ends_with(",romfile="), "{device}");
        }
    }

    #[test]
    fn frames_are_recorded_whole() {
        let recording = recording(1, Path::new("/a,b"));
        assert_eq!(recording, "filter-dump,id=dump1,netdev=net1,maxlen=131072,file=/a,,b");
    }
}
