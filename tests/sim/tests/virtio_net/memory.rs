//! Memory.

use crate::card::*;

#[test]
fn net_1_traffic_writes_no_configuration_and_takes_no_memory_beyond_what_the_interface_was_made_with() {
    // The card fails the test if its configuration is written (NET-1).
    let mut nic = Setup::small(16).nic();
    let blocks = nic.memory.blocks();
    for round in 0..2000 {
        for i in 0..5 {
            nic.deliver(&numbered(round * 5 + i));
        }
        // Half of it is sent on, the rest dropped.
        let mut burst = nic.received();
        burst.pop();
        burst.pop();
        nic.net.transmit(&mut burst).expect("an obedient card");
        assert!(burst.is_empty());
        assert!(nic.fill(0, 2).is_empty());
        assert_eq!(nic.on_the_wire().len(), 5);
        nic.complete(5);
    }
    assert_eq!(nic.memory.blocks(), blocks);
}

#[test]
fn ini_13_what_the_card_may_still_reach_stays_when_the_interface_is_dropped() {
    let mut nic = Setup::small(8).nic();
    let blocks = nic.memory.blocks();
    let given = nic.receive.pop().expect("it is filled");
    let unused_transmit_pool = {
        let buffers = DmaPool::new(nic.memory, 8 + 64, 1526).expect("memory");
        let blocks = nic.memory.blocks() - blocks;
        drop(buffers);
        blocks
    };
    let Nic { memory, net, receive, .. } = nic;
    drop(net);
    // Rings and receive buffers stay; the transmit buffers, none of which the card has, are freed.
    assert_eq!(memory.blocks(), blocks - unused_transmit_pool);
    assert_eq!(receive.write(&given, &[0xff; 1526]), 1526);
}

#[test]
fn ini_13_frames_in_flight_outlive_the_interface() {
    let mut nic = Setup::small(8).nic();
    let blocks = nic.memory.blocks();
    assert!(nic.fill(7, 1).is_empty());
    let Nic { memory, net, mut transmit, .. } = nic;
    drop(net);
    assert_eq!(memory.blocks(), blocks);
    let chain = transmit.pop().expect("it was published");
    assert_eq!(number(&transmit.read(&chain)[HEADER_LEN..]), 7);
}

#[test]
fn a_frame_held_when_the_interface_goes_is_still_whole() {
    let mut nic = Setup::small(8).nic();
    nic.deliver(&numbered(3));
    let frame = nic.received().pop().expect("it arrived");
    drop(nic.net);
    assert_eq!(number(&frame), 3);
    let buffer: DmaBuf = frame.into_buffer();
    assert_eq!(buffer.headroom(), HEADER_LEN);
}
