//! Lies in the used ring.

use crate::card::*;

/// The fault is the answer of everything from now on, and nothing panics.
fn is_dead(nic: &mut Nic, fault: DeviceFault) {
    assert_eq!(nic.net.arm(), Err(fault));
    let frames = std::iter::from_fn(|| nic.net.frame(60)).take(BURST).count();
    assert!(frames <= BURST);
    assert_eq!(nic.net.arm(), Err(fault));
    let _ = (nic.net.link(), nic.net.mac(), nic.net.counters(), format!("{:?}", nic.net));
}

type Lie = fn(&mut DeviceQueue, u32);

/// Each lie, and the fault it is found out by. Eight requests are in flight, one of them `head`.
fn lies(head: u32) -> Vec<(Lie, DeviceFault)> {
    vec![
        (|queue, _| queue.push(8, 100), DeviceFault::UsedIdOutOfRange { id: 8 }),
        (|queue, head| queue.push(0x1_0000 | head, 100), DeviceFault::UsedIdOutOfRange { id: 0x1_0000 | head }),
        (
            |queue, head| {
                queue.push(head, 100);
                queue.push(head, 100);
            },
            DeviceFault::UsedIdNotInFlight { id: head },
        ),
        (|queue, _| queue.show_used_index(9), DeviceFault::UsedIndexJump { advance: 9, in_flight: 8 }),
        (|queue, _| queue.show_used_index(0xffff), DeviceFault::UsedIndexJump { advance: 0xffff, in_flight: 8 }),
    ]
}

#[test]
fn hd_vq_1_3_6_7_lies_in_the_receive_queue_are_faults() {
    for bus in BUSES {
        for i in 0..5 {
            let mut nic = Setup { bus, ..Setup::small(8) }.nic();
            let chain = nic.receive.pop().expect("it is filled");
            let head = u32::from(chain.head);
            let (lie, fault) = lies(head)[i];
            lie(&mut nic.receive, head);
            let mut burst = Burst::new();
            assert_eq!(nic.net.receive(&mut burst), Err(fault));
            // What was completed properly before the lie is still delivered.
            assert_eq!(burst.len(), usize::from(i == 2));
            assert_eq!(nic.net.receive(&mut burst), Err(fault));
            is_dead(&mut nic, fault);
        }
    }
}

#[test]
fn hd_vq_1_3_6_7_lies_in_the_transmit_queue_are_faults_and_frames_stay_in_the_burst() {
    for bus in BUSES {
        for i in 0..5 {
            let mut nic = Setup { bus, ..Setup::small(8) }.nic();
            assert!(nic.fill(0, 8).is_empty());
            nic.on_the_wire();
            let head = u32::from(nic.sent[0].head);
            let (lie, fault) = lies(head)[i];
            lie(&mut nic.transmit, head);
            let mut burst = Burst::new();
            for i in 0..3 {
                let frame = nic.frame(&numbered(i));
                burst.push(frame).expect("there is room");
            }
            assert_eq!(nic.net.transmit(&mut burst), Err(fault));
            assert_eq!(burst.len(), 3, "not sent, not lost");
            assert_eq!(nic.net.transmit(&mut burst), Err(fault));
            assert_eq!(nic.net.transmit(&mut Burst::new()), Err(fault), "also without anything to send");
            is_dead(&mut nic, fault);
        }
    }
}

#[test]
fn a_fault_found_while_looking_for_a_frame_is_reported_by_arm() {
    let options = Options { receive_spare: 0, ..Options::default() };
    let mut nic = Setup { options, ..Setup::small(8) }.nic();
    assert!(nic.fill(0, 8).is_empty());
    nic.transmit.push(99, 0);
    assert!(nic.net.frame(60).is_none());
    assert_eq!(nic.net.arm(), Err(DeviceFault::UsedIdOutOfRange { id: 99 }));
}

#[test]
fn a_fault_found_while_arming_is_reported_by_arm() {
    let mut nic = Setup::small(8).nic();
    assert_eq!(nic.fill(0, 10).len(), 2);
    nic.transmit.push(99, 0);
    assert_eq!(nic.net.arm(), Err(DeviceFault::UsedIdOutOfRange { id: 99 }));
}
