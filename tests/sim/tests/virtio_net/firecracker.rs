//! Cards of Firecracker: registers that pass over nothing, two queues of 256, no control queue, no status, and every offload
//! there is.

use crate::card::*;

/// What a card offers there.
const OFFERED: u64 = EVENT_IDX
    | features::CSUM.bits()
    | features::GUEST_CSUM.bits()
    | features::MAC.bits()
    | features::GUEST_TSO4.bits()
    | features::GUEST_TSO6.bits()
    | features::HOST_TSO4.bits()
    | features::HOST_TSO6.bits()
    | features::MRG_RXBUF.bits()
    | UFO;
/// GUEST_UFO and HOST_UFO.
const UFO: u64 = 1 << 10 | 1 << 14;
/// The least that a receive buffer may hold if none are merged.
const LEAST: u32 = 1526;

fn setup(offered: u64) -> Setup {
    let config = if offered & features::MTU.bits() != 0 { config(MAC, 0, 1400) } else { MAC.to_vec() };
    Setup { bus: Bus::Strict, features: offered, config, sizes: [256, 256, 0], ..Setup::default() }
}

/// All kinds of cards: as it comes, with a unit of its own, without an address, without merged buffers.
fn offers() -> [u64; 5] {
    [
        OFFERED,
        OFFERED | features::MTU.bits(),
        OFFERED & !features::MAC.bits(),
        OFFERED & !features::MRG_RXBUF.bits(),
        OFFERED & !EVENT_IDX,
    ]
}

/// Frames in both directions, more than once round the rings.
fn live(nic: &mut Nic) {
    for round in 0..if cfg!(miri) { 2 } else { 40 } {
        for number in 0..BURST {
            nic.deliver(&numbered(round * BURST + number));
        }
        // Firecracker interrupts without EVENT_IDX, whatever the driver says.
        nic.device.state().interrupt |= 1;
        let frames = drained(&mut nic.received());
        assert_eq!(
            frames.iter().map(|frame| number(frame)).collect::<Vec<_>>(),
            (round * BURST..(round + 1) * BURST).collect::<Vec<_>>()
        );
        drop(frames);
        assert!(nic.fill(round * BURST, BURST).is_empty());
        assert_eq!(nic.on_the_wire().len(), BURST);
        nic.complete(BURST);
        assert!(nic.net.arm().is_ok());
    }
    assert_eq!(nic.net.counters(), Counters::default());
}

#[test]
fn ini_1_net_16_17_a_card_of_firecracker_lives() {
    for offered in offers() {
        let mut nic = setup(offered).nic();
        let accepted = nic.device.state().accepted;
        assert_eq!(accepted & UFO, 0, "datagrams are not cut");
        let merges = offered & features::MRG_RXBUF.bits() != 0;
        assert_eq!(accepted & features::GUEST_TSO4.bits() != 0, merges, "long segments come in merged buffers only");
        assert_eq!(nic.net.mac().0 == MAC, offered & features::MAC.bits() != 0);
        let waiting: Vec<_> = std::iter::from_fn(|| nic.receive.pop()).collect();
        assert!(
            waiting.iter().all(|chain| chain.len() == 1 && (merges || chain.writable_len() >= LEAST)),
            "{offered:#x}"
        );
        // The card has them all now, and uses them in their order.
        for chain in &waiting {
            nic.receive.push(u32::from(chain.head), 0);
        }
        assert!(nic.received().is_empty());

        let mut nic = setup(offered).nic();
        live(&mut nic);
        assert_eq!(nic.device.state().status_writes, [0, 1, 3, 11, 15]);
    }
}

#[test]
fn a_long_segment_comes_in_merged_buffers() {
    let mut nic = setup(OFFERED).nic();
    let header = Header { num_buffers: 0.into(), ..long() };
    let packet: Vec<u8> = (0..40_000).map(|i| (i % 251) as u8).collect();
    assert!(nic.deliver_merged(header, &packet, None) > 1);
    let frames = drained(&mut nic.received());
    assert_eq!(frames.iter().flat_map(|frame| frame.to_vec()).collect::<Vec<_>>(), packet);
    live(&mut nic);
}

/// An honest card's header of a long segment over IPv4.
fn long() -> Header {
    let mut bytes = [0; HEADER_LEN];
    bytes[..10].copy_from_slice(&[flags::NEEDS_CSUM, gso::TCPV4, 54, 0, 0xb4, 5, 34, 0, 16, 0]);
    Header::read_from_bytes(&bytes).expect("as long as it is")
}

#[test]
fn a_card_is_taken_into_service_again_after_a_reset() {
    let memory = SimMemory::leak();
    let (device, first) = setup(OFFERED).attach_with(memory);
    live(&mut first.expect("a sound card"));
    for _ in 0..2 {
        // As a guest that has been started anew on the same device.
        let net = VirtioNet::new(transport(&device, Bus::Strict), memory, &CLOCK, &Options::default());
        let negotiated = device.state().accepted;
        let [receive, transmit] = [0, 1].map(|i| DeviceQueue::negotiated(memory, device.queue(i), negotiated));
        let net = net.expect("a sound card");
        live(&mut Nic { memory, device: device.clone(), net, receive, transmit, control: None, sent: VecDeque::new() });
    }
    assert_eq!(device.state().status_writes, [[0, 1, 3, 11, 15]; 3].concat());
}
