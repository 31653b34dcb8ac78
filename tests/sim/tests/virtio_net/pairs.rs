//! Several queue pairs: a card with a control queue, which answers from a thread of its own, as it likes.

mod control;
mod count;
mod traffic;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use toro_core::{Clock, Instant};
use virtio_net::QueuePair;
use virtio_queue_rt::{Interrupts, PciTransport};
use virtio_sim::pci::Vectors;
use virtio_sim::{MmioModel, PciModel};

use crate::card::*;
use crate::common::transports::message;

const CTRL_VQ: u64 = 1 << 17;
const MQ: u64 = 1 << 22;
const NO_VECTOR: u16 = 0xffff;

type Pairs = Result<Vec<QueuePair<BoxedTransport>>, AttachError>;

/// A clock on which each look takes 10 µs and lets the card's thread go on: patience is then a number of looks, which
/// is enough under Miri, too.
struct PatientClock(AtomicU64);

static PATIENCE: PatientClock = PatientClock(AtomicU64::new(0));

impl Clock for PatientClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.fetch_add(10_000, Ordering::Relaxed))
    }

    fn relax(&self) {
        thread::yield_now();
    }
}

/// How the card answers the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// With this byte.
    Ack(u8),
    /// It completes the command and writes nothing, but claims to have.
    Unwritten,
    /// It completes another command.
    OtherId,
    /// It completes more commands than there are.
    TooMany,
}

/// What the card found when the command came.
#[derive(Debug)]
struct Command {
    bytes: Vec<u8>,
    /// The available index of each queue that was set up.
    available: Vec<u16>,
}

/// A card with several queue pairs.
struct Card {
    device: Device,
    memory: &'static SimMemory,
    /// The number of its control queue.
    control: usize,
    reply: Option<Reply>,
    /// How many messages the platform has; none: it polls.
    messages: usize,
    clock: &'static dyn Clock,
}

impl Card {
    /// An obedient one with so many pairs.
    fn new(pairs: usize) -> Self {
        Self::with_sizes(pairs as u16, &vec![16; 2 * pairs + 1])
    }

    /// One that claims to have `max` pairs, and has queues of these sizes.
    fn with_sizes(max: u16, sizes: &[u16]) -> Self {
        let mut config = config(MAC, 1, 1500);
        config[8..10].copy_from_slice(&max.to_le_bytes());
        let offered = VERSION_1 | EVENT_IDX | features::KNOWN.bits() | CTRL_VQ | MQ;
        Self {
            device: Device::new(1, offered, sizes, &config),
            memory: SimMemory::leak(),
            control: 2 * usize::from(max.max(1)),
            reply: Some(Reply::Ack(0)),
            messages: 4,
            clock: &PATIENCE,
        }
    }

    fn replying(self, reply: Reply) -> Self {
        Self { reply: Some(reply), ..self }
    }

    /// One that never answers, under a clock that makes short work of waiting.
    fn silent(self) -> Self {
        Self { reply: None, clock: &HASTE, ..self }
    }

    fn transport(&self) -> BoxedTransport {
        let (config, bars) = PciModel::modern(self.device.clone(), Vectors::Some(4));
        let messages = vec![message(); self.messages];
        let interrupts = Interrupts::Assigned { messages: &messages, of_queue: |queue| queue.0 / 2 };
        Box::new(PciTransport::new(&config, &bars, interrupts).expect("a sound device"))
    }

    /// Takes it into service for so many owners; what came of it, and the command, if there was one.
    fn divide(&self, owners: u16) -> (Pairs, Option<Command>) {
        let transport = self.transport();
        let over = Arc::new(AtomicBool::new(false));
        let answering = self.reply.map(|reply| {
            let (device, memory, control, over) = (self.device.clone(), self.memory, self.control, over.clone());
            thread::spawn(move || answer(&device, memory, control, reply, &over))
        });
        let owners = NonZeroU16::new(owners).expect("somebody owns it");
        let pairs = VirtioNet::divide(transport, self.memory, self.clock, &Options::default(), owners);
        over.store(true, Ordering::Relaxed);
        (pairs, answering.and_then(|answering| answering.join().expect("an obedient driver")))
    }

    /// The same where it works.
    fn pairs(&self, owners: u16) -> (Vec<QueuePair<BoxedTransport>>, Option<Command>) {
        let (pairs, command) = self.divide(owners);
        (pairs.expect("a card that can be used"), command)
    }

    /// The card's side of a queue, from its beginning.
    fn queue(&self, index: usize) -> DeviceQueue {
        DeviceQueue::new(self.memory, self.device.queue(index), true)
    }

    /// It is used with one pair, and was not asked for more at last.
    fn is_used_with_one_pair(&self) {
        let (pairs, _) = self.pairs(3);
        assert_eq!(pairs.len(), 1);
        let state = self.device.state();
        assert_eq!(state.accepted & (CTRL_VQ | MQ), 0);
        let ready: Vec<_> = state.queues.iter().map(|queue| queue.is_ready).collect();
        assert!(ready[..2] == [true; 2] && !ready[2..].contains(&true), "{ready:?}");
    }
}

/// The card's side of the control queue: answers the first command, or none if it is over before.
fn answer(
    device: &Device,
    memory: &'static SimMemory,
    control: usize,
    reply: Reply,
    over: &AtomicBool,
) -> Option<Command> {
    while !device.state().doorbells.contains(&(control as u32)) {
        if over.load(Ordering::Relaxed) {
            return None;
        }
        thread::yield_now();
    }
    let queues = device.state().queues.clone();
    let view = |index: usize| DeviceQueue::new(memory, queues[index], true);
    let mut queue = view(control);
    let chain = queue.pop().expect("it was kicked");
    assert_eq!((chain.readable_len(), chain.writable_len()), (4, 1), "command and answer");
    let set_up = (0..control).filter(|&index| queues[index].is_ready);
    let available = set_up.map(|index| view(index).available_index(Ordering::Acquire)).collect();
    let command = Command { bytes: queue.read(&chain), available };
    match reply {
        Reply::Ack(byte) => {
            let written = queue.write(&chain, &[byte]);
            queue.push(u32::from(chain.head), written);
        }
        Reply::Unwritten => queue.push(u32::from(chain.head), 1),
        Reply::OtherId => queue.push(u32::from(chain.head) + 1, 1),
        Reply::TooMany => queue.show_used_index(2),
    }
    Some(command)
}
