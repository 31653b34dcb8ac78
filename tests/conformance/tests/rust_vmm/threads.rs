//! The device as a second thread that sleeps whenever it may: kicks and interrupts are asked for, suppressed, and
//! never lost.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use toro_core::DmaBuf;
use toro_core::driver::Armed;
use virtio_conformance::exchange::Random;
use virtio_conformance::{DriverSide, Field, OracleDevice, Rig, Shape, rig};
use virtio_queue_rt::Chain;
use virtio_sim::{Device, Kicks};

use crate::{EVENT, INDIRECT};

/// How long a side may sleep before the other is accused of not having woken it.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than the indices can count.
const LAP: u64 = 70_000;

/// How often each side was woken.
#[derive(Debug, Default)]
struct Wakes {
    kicks: u64,
    interrupts: u64,
}

fn serve(mut oracle: OracleDevice, device: &Device, interrupts: &mpsc::Sender<()>, count: u64) -> Wakes {
    let mut random = Random::new(3);
    let mut wakes = Wakes::default();
    let mut answered = 0;
    while answered < count {
        oracle.disable_notification();
        let mut batch: Vec<_> = std::iter::from_fn(|| oracle.pop()).collect();
        if batch.is_empty() {
            if !oracle.enable_notification() {
                assert_eq!(device.wait_for_kick(PATIENCE), Kicks::Arrived, "VQ-15: a kick was lost after {answered}");
                wakes.kicks += 1;
            }
            continue;
        }
        while !batch.is_empty() {
            for _ in 0..1 + random.below(batch.len()) {
                let next = if oracle.is_in_order() { 0 } else { random.below(batch.len()) };
                oracle.answer(batch.remove(next));
                answered += 1;
            }
            if oracle.wants_interrupt() {
                wakes.interrupts += 1;
                // The driver may have seen everything already and be gone.
                let _ = interrupts.send(());
            }
        }
    }
    wakes
}

fn drive<P: Shape, H: Field, T: Field>(driver: &mut DriverSide<P, H, T>, interrupts: &mpsc::Receiver<()>, count: u64) {
    let mut random = Random::new(4);
    while driver.finished() < count {
        for _ in 0..1 + random.below(driver.capacity().into()) {
            if driver.room() > 0 && driver.submitted() < count {
                driver.submit();
            }
        }
        let _ = driver.publish();
        if driver.drain() == 0 && driver.arm() == Armed::Idle && driver.finished() < count {
            let woken = interrupts.recv_timeout(PATIENCE);
            assert!(woken.is_ok(), "VQ-22: an interrupt was lost after {}", driver.finished());
        }
    }
}

fn exchange<P: Shape + Send, H: Field, T: Field>(size: u16, features: u64, count: u64) -> Wakes {
    let Rig { mut driver, oracle, device, memory } = rig::<P, H, T>(size, features, 5);
    let (send, interrupts) = mpsc::channel();
    let wakes = thread::scope(|scope| {
        let device = scope.spawn(|| serve(oracle, &device, &send, count));
        drive(&mut driver, &interrupts, count);
        device.join().expect("the device is content")
    });
    assert_eq!(driver.retire(), 0);
    assert_eq!(memory.blocks(), 0, "all memory came home");
    wakes
}

#[test]
fn vq_15_22_no_wake_up_is_lost_by_flags() {
    let wakes = exchange::<DmaBuf, (), ()>(64, 0, LAP / 2);
    assert!(wakes.kicks < LAP / 2 && wakes.interrupts < LAP / 2, "suppression works: {wakes:?}");
}

#[test]
fn vq_15_22_no_wake_up_is_lost_by_index() {
    let wakes = exchange::<DmaBuf, (), ()>(64, EVENT, LAP);
    assert!(wakes.kicks < LAP && wakes.interrupts < LAP, "suppression works: {wakes:?}");
}

#[test]
fn vq_15_22_no_wake_up_is_lost_with_chains() {
    exchange::<Chain, (), ()>(16, INDIRECT | EVENT, LAP / 4);
    exchange::<Chain, (), ()>(16, INDIRECT, LAP / 4);
}
