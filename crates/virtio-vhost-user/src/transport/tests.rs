//! The transport with a daemon that knows its answers before the questions.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;
use toro_core::SharedRegion;

use super::*;
use crate::clock::CLOCK;

/// A device, and the end of its daemon, which knows its answers before the questions.
fn device(memory: &'static GuestMemory, answers: &[(Request, u64)]) -> (VhostUser, UnixStream) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let bytes: Vec<u8> = answers.iter().flat_map(|(request, word)| answer(*request, *word)).collect();
    let daemon = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        stream.write_all(&bytes).expect("somebody listens");
        stream
    });
    let configuration = Configuration::Given(vec![0; 8]);
    let options = Options { configuration, ..Options::of(DeviceType::BLOCK) };
    let device = VhostUser::connect(path, DeviceType::BLOCK, memory, options).expect("a device");
    (device, daemon.join().expect("it does not panic"))
}

fn answer(request: Request, word: u64) -> Vec<u8> {
    let header = [request as u32, 5, 8];
    header.iter().flat_map(|word| word.to_ne_bytes()).chain(word.to_ne_bytes()).collect()
}

fn rings(region: &SharedRegion) -> RingAddresses {
    let [descriptors, available, used] = [0, 64, 128].map(|offset| region.bus_addr(offset));
    RingAddresses { size: 4, descriptors, available, used }
}

const GREETING: [(Request, u64); 2] =
    [(Request::GetFeatures, PROTOCOL_FEATURES | 1 << 32), (Request::GetProtocolFeatures, 0)];

#[test]
fn a_reset_is_confirmed_by_the_used_ring_and_can_be_asked_for_again() {
    let memory = GuestMemory::new(1 << 16).expect("memory");
    // It has taken one request whenever it is asked. The upper word is the number, on this machine.
    let taken = u64::from_ne_bytes([0, 0, 0, 0, 1, 0, 0, 0]);
    let stopped = (Request::GetVringBase, taken);
    let (mut device, _daemon) = device(memory, &[GREETING[0], GREETING[1], stopped, stopped]);
    let region = SharedRegion::new(memory, 4096).expect("room");
    device.set_driver_features(FeatureBits::VERSION_1);
    let doorbell = device.enable_queue(QueueIndex(0), &rings(&region)).expect("it does not refuse");
    assert_eq!(doorbell.queue(), QueueIndex(0));
    let again = device.enable_queue(QueueIndex(0), &rings(&region));
    assert_eq!(again, Err(TransportError::QueueRefused(QueueIndex(0))));

    let at_once = || Deadline::after(&CLOCK, Duration::ZERO);
    assert_eq!(device.reset(at_once()), Err(TransportError::TimedOut), "it still works on one");
    region.at::<AtomicU16>(65).store(1_u16.to_le(), Ordering::Relaxed);
    assert_eq!(device.reset(at_once()), Ok(()));
    assert!(device.enable_queue(QueueIndex(0), &rings(&region)).is_ok());
}

#[test]
fn rings_in_memory_that_the_daemon_does_not_have_are_not_shown_to_it() {
    let [memory, other] = [1 << 16, 1 << 20].map(|size| GuestMemory::new(size).expect("memory"));
    let (mut device, _daemon) = device(memory, &GREETING);
    let _below = SharedRegion::new(other, 1 << 16).expect("room");
    let beyond = SharedRegion::new(other, 4096).expect("room");
    let refused = device.enable_queue(QueueIndex(0), &rings(&beyond));
    assert_eq!(refused, Err(TransportError::NoSuchQueue(QueueIndex(0))));
    assert_eq!(device.reset(Deadline::after(&CLOCK, Duration::ZERO)), Ok(()), "it was told of nothing");
}

#[test]
fn features_that_are_hidden_or_added_are_between_the_caller_and_the_driver() {
    let memory = GuestMemory::new(1 << 16).expect("memory");
    let (mut device, daemon) = device(memory, &GREETING);
    (device.hidden, device.added) = (FeatureBits::VERSION_1, FeatureBits::bit(5));
    assert_eq!(device.device_features(), FeatureBits::bit(5));
    assert_eq!((device.status(), device.queues()), (DeviceStatus::empty(), 1));
    drop(daemon);
    assert_eq!(device.status().bits(), u8::MAX, "as of a bus on which nobody is");
}
