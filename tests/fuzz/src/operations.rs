//! Target `operations`: everything that can be done with a queue, in any order.
//!
//! The input is decoded by `arbitrary` into a set-up and a list of steps. The driver's steps are the verbs of the queue
//! and the ways in which it can end: a reset of the device, of the queue alone, or being dropped. The device obeys
//! step by step, or lies; a reset makes it honest again, with other features, another size, another interface.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, AtomicU64};

use arbitrary::{Arbitrary, Unstructured};
use toro_core::DmaBuf;
use virtio_queue_rt::transport::{Interface, QueueSizing};
use virtio_queue_rt::{Chain, FeatureBits};
use virtio_sim::SimMemory;

use crate::bench::{Bench, Wish};
use crate::kinds::{Load, Mark};
use crate::wires::Wires;

/// Steps of one input at most.
const MOST_STEPS: usize = 512;
/// Initialisations of one input at most.
const MOST_LIVES: usize = 8;

/// What a device is, from one reset to the next.
#[derive(Arbitrary, Debug, Clone, Copy)]
struct Setup {
    interface: Kind,
    /// Bits 0 to 7: ring features offered, in the order of [`FEATURES`].
    offered: u8,
    /// The same: what the driver does not want.
    dropped: u8,
    /// What the device says; most are no power of two.
    queue_size: u16,
    /// At most so many descriptors, as a power of two.
    most: u8,
    payload: Payload,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Kind {
    Modern,
    LegacyMmio,
    LegacyPci,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Payload {
    Buffer,
    BufferInCells,
    MaybeBuffer,
    MaybeBufferInCells,
    Chain,
    ChainInCells,
    ChainWithStatus,
}

const FEATURES: [FeatureBits; 8] = [
    FeatureBits::EVENT_IDX,
    FeatureBits::INDIRECT_DESC,
    FeatureBits::IN_ORDER,
    FeatureBits::RING_RESET,
    FeatureBits::NOTIFICATION_DATA,
    FeatureBits::ANY_LAYOUT,
    FeatureBits::ACCESS_PLATFORM,
    FeatureBits::ORDER_PLATFORM,
];

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Step {
    Submit { readable: [u8; 2], writable: [u8; 2], headroom: u8 },
    SubmitMany { count: u8, readable: u8, writable: u8 },
    Publish,
    Poll,
    Drain,
    Arm,
    Take,
    Complete { which: u8, written: u8 },
    CompleteAll { written: u8 },
    Suppress { flags: u16 },
    Expect { event: u16 },
    ExpectNext,
    Smudge { which: u8, offset: u8, value: u8 },
    Lie(Lie),
    ResetQueue { most: u8, confirms: bool },
    ResetDevice(Setup),
    Abandon(Setup),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Lie {
    /// Gives back an id that may be anything.
    Id { id: u32, len: u32, batch: u8 },
    /// Gives back a slot that may not be in flight.
    Slot { slot: u8, len: u32 },
    /// Uses a chain, and says another length.
    Len { which: u8, len: u32 },
    /// Moves the used index.
    Index { by: i16 },
    /// Rewrites a used element.
    Element { position: u16, id: u16, len: u32 },
    /// Writes anywhere into the queue's memory.
    Write { offset: u16, value: u64 },
}

/// How a life ended.
enum End {
    /// No steps are left.
    Over,
    /// The device is now this.
    Reborn(Setup),
}

/// Runs an input.
pub fn body(input: &[u8], memory: &'static SimMemory) {
    let mut steps = Unstructured::new(input);
    let Ok(mut setup) = Setup::arbitrary(&mut steps) else { return };
    let mut left = MOST_STEPS;
    for _ in 0..MOST_LIVES {
        let next = match setup.payload {
            Payload::Buffer => life::<DmaBuf, (), ()>(setup, memory, &mut steps, &mut left),
            Payload::BufferInCells => life::<DmaBuf, [AtomicU64; 2], AtomicU8>(setup, memory, &mut steps, &mut left),
            Payload::MaybeBuffer => life::<Option<DmaBuf>, AtomicU8, ()>(setup, memory, &mut steps, &mut left),
            Payload::MaybeBufferInCells => {
                life::<Option<DmaBuf>, [AtomicU64; 2], AtomicU8>(setup, memory, &mut steps, &mut left)
            }
            Payload::Chain => life::<Chain, (), ()>(setup, memory, &mut steps, &mut left),
            Payload::ChainInCells => life::<Chain, [AtomicU64; 2], AtomicU8>(setup, memory, &mut steps, &mut left),
            Payload::ChainWithStatus => life::<Chain, (), [AtomicU64; 2]>(setup, memory, &mut steps, &mut left),
        };
        match next {
            End::Over => return,
            End::Reborn(other) => setup = other,
        }
    }
}

fn some(bits: u8) -> FeatureBits {
    let chosen = FEATURES.iter().enumerate().filter(|(bit, _)| bits & 1 << bit != 0);
    chosen.fold(FeatureBits::EMPTY, |set, (_, feature)| set | *feature)
}

fn wires(setup: Setup) -> Wires {
    let interface = match setup.interface {
        Kind::Modern => Interface::Modern,
        Kind::LegacyMmio => Interface::Legacy { queue_align: 4096, sizing: QueueSizing::Chosen },
        Kind::LegacyPci => Interface::Legacy { queue_align: 4096, sizing: QueueSizing::Fixed },
    };
    let version = if interface == Interface::Modern { FeatureBits::VERSION_1 } else { FeatureBits::EMPTY };
    // Sizes up to 256 show everything that larger ones do, except for being refused.
    let queue_size = if setup.queue_size.is_multiple_of(16) { setup.queue_size % 2048 } else { setup.queue_size % 256 };
    Wires::new(interface, some(setup.offered) | version, queue_size)
}

fn most(exponent: u8) -> u16 {
    1 << (exponent % 16)
}

/// From one initialisation to the next.
fn life<P: Load, H: Mark, T: Mark>(
    setup: Setup,
    memory: &'static SimMemory,
    steps: &mut Unstructured<'_>,
    left: &mut usize,
) -> End {
    let Some(mut bench) = Bench::<P, H, T>::new(memory, wires(setup), most(setup.most), some(setup.dropped)) else {
        return End::Over;
    };
    while *left > 0 && !steps.is_empty() {
        *left -= 1;
        let Ok(step) = Step::arbitrary(steps) else { break };
        match step {
            Step::Submit { readable, writable, headroom } => bench.submit(Wish { readable, writable, headroom }),
            Step::SubmitMany { count, readable, writable } => {
                let wish = Wish { readable: [readable, 0], writable: [writable, 0], headroom: 0 };
                (0..count % 32).for_each(|_| bench.submit(wish));
            }
            Step::Publish => bench.publish(),
            Step::Poll => bench.poll(),
            Step::Drain => bench.drain(),
            Step::Arm => bench.arm(),
            Step::Take => bench.take_all(),
            Step::Complete { which, written } => bench.complete(which.into(), written.into()),
            Step::CompleteAll { written } => {
                while !bench.peer().chains.is_empty() {
                    bench.complete(0, written.into());
                }
            }
            Step::Suppress { flags } => bench.peer().set_flags(flags),
            Step::Expect { event } => bench.peer().set_avail_event(event),
            Step::ExpectNext => bench.expect_next(),
            Step::Smudge { which, offset, value } => bench.smudge(which.into(), offset, value),
            Step::Lie(lie) => tell(&mut bench, lie),
            Step::ResetQueue { most: exponent, confirms } => match bench.reset_queue(most(exponent), confirms) {
                Some(other) => bench = other,
                None => return End::Over,
            },
            Step::ResetDevice(other) => {
                bench.end();
                return End::Reborn(other);
            }
            Step::Abandon(other) => {
                bench.abandon();
                return End::Reborn(other);
            }
        }
        bench.check();
    }
    bench.end();
    End::Over
}

fn tell<P: Load, H: Mark, T: Mark>(bench: &mut Bench<P, H, T>, lie: Lie) {
    let peer = bench.lie();
    match lie {
        Lie::Id { id, len, batch } => peer.push(id, len, batch.into()),
        Lie::Slot { slot, len } => peer.push(slot.into(), len, 1),
        Lie::Len { which, len } => {
            let which = usize::from(which) % peer.chains.len().max(1);
            if let Some(chain) = peer.chains.remove(which) {
                peer.push(chain.head.into(), len, 1);
            }
        }
        Lie::Index { by } => peer.show(peer.used_index().wrapping_add_signed(by)),
        Lie::Element { position, id, len } => peer.write_used(position, id.into(), len),
        Lie::Write { offset, value } => peer.spoil(offset.into(), value),
    }
}
