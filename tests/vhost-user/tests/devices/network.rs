//! virtio-net against DPDK's testpmd, which sends every frame back.

use toro_core::driver::Armed;
use toro_core::driver::net::{Burst, Frame, MacAddress, NetDevice};
use vhost_user_tests::{Forwarding, PATIENCE, Testpmd};
use virtio_net::VirtioNet;
use virtio_queue_rt::{DeviceType, QueueIndex};
use virtio_vhost_user::{CLOCK, Call, Configuration, GuestMemory, Options, VhostUser};

/// How many frames go there and back.
const FRAMES: u32 = 5000;
/// How many are under way at once.
const MOST_IN_FLIGHT: u32 = 100;
/// Where a frame's number is, behind the Ethernet header.
const NUMBER: std::ops::Range<usize> = 14..18;

/// The length of a frame: all that Ethernet has, in turn.
fn length(number: u32) -> usize {
    60 + (number as usize * 37) % 1455
}

fn fill(frame: &mut Frame, number: u32) {
    frame.set_len(length(number)).expect("a frame is as long as Ethernet's");
    for (place, byte) in frame.iter_mut().enumerate() {
        *byte = (place as u32).wrapping_mul(31).wrapping_add(number) as u8;
    }
    frame[..6].fill(0xff);
    frame[NUMBER].copy_from_slice(&number.to_le_bytes());
}

#[test]
fn five_thousand_frames_come_back_in_order() {
    let device = Testpmd::device(Forwarding::Return, 0);
    let memory = GuestMemory::new(8 << 20).expect("memory");
    // It has no configuration.
    let configuration = Configuration::Given(vec![0; 12]);
    let options = Options { patience: PATIENCE, configuration, ..Options::of(DeviceType::NETWORK) };
    let transport = VhostUser::connect(device.socket(), DeviceType::NETWORK, memory, options).expect("a device");
    let calls: Vec<_> = (0..2).filter_map(|queue| transport.call(QueueIndex(queue))).collect();
    let mut net = VirtioNet::new(transport, memory, &CLOCK, &virtio_net::Options::default()).expect("an interface");
    assert!(net.mac() != MacAddress([0; 6]));

    let (mut sent, mut back) = (0, 0);
    let (mut outgoing, mut incoming) = (Burst::new(), Burst::new());
    let mut expected = net.frame(1514).expect("a frame to compare with");
    while back < FRAMES {
        while sent < FRAMES
            && sent - back < MOST_IN_FLIGHT
            && outgoing.room() > 0
            && let Some(mut frame) = net.frame(length(sent))
        {
            fill(&mut frame, sent);
            outgoing.push(frame).expect("there is room");
            sent += 1;
        }
        net.transmit(&mut outgoing).expect("the device keeps to the protocol");
        net.receive(&mut incoming).expect("the device keeps to the protocol");
        let before = back;
        while let Some(frame) = incoming.pop() {
            fill(&mut expected, back);
            assert!(*frame == *expected, "frame {back} has number {:?} and {} bytes", &frame[NUMBER], frame.len());
            back += 1;
        }
        if back == before && outgoing.is_empty() && net.arm().expect("it works") == Armed::Idle {
            Call::wait_any(&calls, PATIENCE).expect("a frame comes back");
        }
    }
    assert_eq!(net.counters(), virtio_net::Counters::default());
}
