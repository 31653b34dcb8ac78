//! The transport with a daemon that knows its answers before the questions.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;
use toro_core::SharedRegion;

use super::*;
use crate::call::WaitError;
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

/// Takes the file that a message brought along.
fn file_of(stream: &UnixStream) -> OwnedFd {
    let (mut bytes, mut space) = ([0; 256], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags).expect("a message");
        let files = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        if let Some(file) = files {
            return file;
        }
    }
}

#[test]
fn a_daemon_that_has_left_confirms_nothing_while_it_has_the_memory() {
    let memory = GuestMemory::new(1 << 16).expect("memory");
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("socket");
    let mut place = UnixListener::bind(&path).expect("a socket");
    let accept = |place: &UnixListener| {
        let (mut stream, _) = place.accept().expect("somebody connects");
        let greeting = GREETING.iter().flat_map(|(request, word)| answer(*request, *word)).collect::<Vec<u8>>();
        stream.write_all(&greeting).expect("somebody listens");
        stream
    };
    let configuration = Configuration::Given(vec![0; 8]);
    let options = Options { configuration, ..Options::of(DeviceType::BLOCK) };
    let (mut device, daemon) = std::thread::scope(|scope| {
        let daemon = scope.spawn(|| accept(&place));
        let device = VhostUser::connect(&path, DeviceType::BLOCK, memory, options).expect("a device");
        (device, daemon.join().expect("it does not panic"))
    });
    let region = SharedRegion::new(memory, 4096).expect("room");
    device.set_driver_features(FeatureBits::VERSION_1);
    assert!(device.enable_queue(QueueIndex(0), &rings(&region)).is_ok());
    let call = device.call(QueueIndex(0)).expect("it has one");

    let kept = file_of(&daemon);
    drop((daemon, place));
    let looks = std::iter::repeat_with(|| (std::thread::sleep(PAUSE), device.acknowledge_interrupt()).1);
    assert_eq!(looks.take(10_000).find_map(Result::err), Some(DeviceFault::Gone), "who does not sleep is told, too");
    assert_eq!(call.wait(Duration::from_secs(20)), Err(WaitError::Gone));
    let soon = || Deadline::after(&CLOCK, Duration::from_millis(20));
    assert_eq!(device.reset(soon()), Err(TransportError::TimedOut), "somebody has the memory");
    drop(kept);
    assert_eq!(device.reset(soon()), Err(TransportError::Gone), "there is no other one");
    assert_eq!(device.status().bits(), u8::MAX);

    std::fs::remove_file(&path).expect("it is there");
    place = UnixListener::bind(&path).expect("a socket");
    let _daemon = std::thread::scope(|scope| {
        let daemon = scope.spawn(|| accept(&place));
        assert_eq!(device.reset(Deadline::after(&CLOCK, Duration::from_secs(20))), Ok(()));
        daemon.join().expect("it does not panic")
    });
    assert_eq!((device.status(), device.acknowledge_interrupt().is_ok()), (DeviceStatus::empty(), true));
    assert_eq!(call.wait(Duration::ZERO), Err(WaitError::TimedOut), "it is the interrupt of the new device");
    assert!(device.enable_queue(QueueIndex(0), &rings(&region)).is_ok());
}
