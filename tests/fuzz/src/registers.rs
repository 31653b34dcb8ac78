//! Target `registers`: a device that answers register reads with lies, over every interface.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | interface: MMIO 2, MMIO 1, PCI modern, PCI legacy, and how PCI interrupts |
//! | byte 1 | what the device offers, as in `OFFERS` |
//! | byte 2 | the largest queue, as a power of two, and one less where bit 7 is set |
//! | byte 3 | at most so many descriptors, as a power of two |
//!
//! Then lies and steps come from the same stream, in the order in which they are asked for. After the end of the input,
//! and after whatever went wrong, the device obeys: then it has to work.

use toro_core::driver::DeviceFault;
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::transport::{Interrupts, TransitionalMmio, TransitionalPci};
use virtio_queue_rt::{
    Direction, FeatureBits, InitError, QueueIndex, Reset, Running, Transport, TransportError, Virtqueue,
};
use virtio_sim::SimMemory;

use crate::chip::{Chip, Layout};
use crate::clock::CLOCK;
use crate::function::{Function, messages};
use crate::peer::Peer;
use crate::script::Script;

/// Steps of one input at most.
const MOST_STEPS: usize = 64;

/// What a device may offer besides VERSION_1, by the bits of a byte.
const OFFERS: [FeatureBits; 8] = [
    FeatureBits::EVENT_IDX,
    FeatureBits::INDIRECT_DESC,
    FeatureBits::IN_ORDER,
    FeatureBits::RING_RESET,
    FeatureBits::NOTIFICATION_DATA,
    FeatureBits::NOTIF_CONFIG_DATA,
    FeatureBits::ANY_LAYOUT,
    FeatureBits::bit(5),
];

/// What the driver knows of the device type's features.
const KNOWN: FeatureBits = FeatureBits::from_bits(0x60);

type Queue = Virtqueue<DmaBuf, u32>;
type AnyTransport<'a> = Box<dyn Transport + 'a>;

/// Runs an input; says why the device could not be used while it lied, if so.
pub fn body(input: &[u8], memory: &'static SimMemory) -> Option<InitError> {
    let script = Script::new(input);
    let [bus, offers, max, most] = script.bytes();
    let bus = bus % 8;
    let layout = match bus {
        0 => Layout::Mmio { version: 2 },
        1 => Layout::Mmio { version: 1 },
        2..=4 => Layout::Bar,
        _ => Layout::Ports { has_messages: bus == 5 },
    };
    let chip = Chip::new(layout, script, memory, 4);
    let is_modern = matches!(layout, Layout::Mmio { version: 2 } | Layout::Bar);
    {
        let mut state = chip.state();
        let offered = OFFERS.iter().enumerate().filter(|(bit, _)| offers & 1 << bit != 0);
        let version = if is_modern { FeatureBits::VERSION_1 } else { FeatureBits::EMPTY };
        state.offered = offered.fold(version, |set, (_, feature)| set | *feature).bits();
        state.queue_max = (1_u16 << (max % 16)) - u16::from(max >> 7);
        state.config = (0..40).collect();
    }
    // While it lies, anything may be refused, and what is not has to hold.
    let lying = open(&chip, layout, bus).map_err(InitError::from);
    let refused = lying.and_then(|transport| life(transport, &chip, memory, 1 << (most % 10))).err();
    // When it does not, nothing may be left over from before.
    chip.obey();
    works(open(&chip, layout, bus).expect("an obedient device"), &chip, memory);
    refused
}

/// Finds the device on its bus.
fn open<'a>(chip: &Chip<'a>, layout: Layout, bus: u8) -> Result<AnyTransport<'a>, TransportError> {
    let messages = messages();
    let interrupts = match bus {
        2 | 5 => Interrupts::Messages(&messages),
        3 | 6 => Interrupts::Line,
        _ => Interrupts::Polled,
    };
    let bar = Some(chip.through(Layout::Bar));
    Ok(match layout {
        Layout::Mmio { .. } => Box::new(TransitionalMmio::new(chip.clone())?),
        Layout::Bar => {
            Box::new(TransitionalPci::new(&Function::honest(0x1044), &[None, None, None, None, bar, None], interrupts)?)
        }
        Layout::Ports { .. } => {
            let bars = [Some(chip.clone()), None, None, None, bar, None];
            Box::new(TransitionalPci::new(&Function::honest(0x1005), &bars, interrupts)?)
        }
    })
}

/// The device's side of a queue, where the driver has told it one.
fn peer(chip: &Chip<'_>, index: usize, memory: &'static SimMemory, features: FeatureBits) -> Option<Peer> {
    let state = chip.state();
    let queue = state.queues.get(index).filter(|queue| queue.parts != [0; 3])?;
    Some(Peer::new(memory, queue.size, queue.parts, features))
}

/// From initialisation to the end, with a device that may lie at any time.
fn life(transport: AnyTransport<'_>, chip: &Chip<'_>, memory: &'static SimMemory, most: u16) -> Result<(), InitError> {
    let reset = Reset::new(transport, &CLOCK)?;
    reset.config(|registers| (registers.read32(0), registers.read16(6)))?;
    let mut negotiated = reset.negotiate(KNOWN, FeatureBits::EMPTY, |accepted| accepted)?;
    let mut queues: Vec<Queue> = Vec::new();
    for index in [QueueIndex(0), QueueIndex(2)] {
        match negotiated.queue(index, most, memory) {
            Ok(queue) => queues.push(queue),
            Err(error) => {
                if let Ok((_, proof)) = negotiated.abandon(&CLOCK) {
                    for queue in queues {
                        assert!(queue.retire(&proof, |_, _| panic!("nothing was submitted")).is_ok());
                    }
                }
                return Err(error);
            }
        }
    }
    let mut running = negotiated.run();
    let features = running.features();
    let mut pool = DmaPool::new(memory, 16, 64)?;
    let mut peers = [peer(chip, 0, memory, features), peer(chip, 2, memory, features)];
    // What the driver's tables hold is checked by the targets for queues.
    peers.iter_mut().flatten().for_each(|peer| peer.is_lenient = true);
    for _ in 0..MOST_STEPS {
        let [step, which] = chip.state().script.bytes();
        let index = usize::from(which) % queues.len().max(1);
        let Some(queue) = queues.get_mut(index) else { break };
        match step % 12 {
            0 => break,
            1 => submit(queue, &mut pool),
            2 => {
                let before = chip.state().kicks;
                let wish = queue.publish();
                running.notify(queue, wish);
                let kicks = chip.state().kicks - before;
                assert_eq!(kicks, u32::from(wish == virtio_queue_rt::Notify::Needed), "a kick is one store");
            }
            3 => _ = queue.poll(),
            4 => _ = queue.drain(drop),
            5 => _ = queue.arm(),
            6 => match running.acknowledge_interrupt() {
                Ok(_) => {}
                Err(fault) => assert_eq!(fault, DeviceFault::Gone),
            },
            7 => _ = running.check(),
            8 => _ = running.config(|registers| (registers.read8(which.into()), registers.read32(36))),
            9 => {
                if let Some(region) = running.shared_memory(which) {
                    assert!(region.len > 0 && region.address.checked_add(region.len).is_some(), "{region:?}");
                }
            }
            10 => {
                let queue = queues.remove(index);
                renew(&mut running, queue, &mut queues, most, memory);
                // Either way the device has forgotten where it was.
                peers = [None, None];
            }
            _ => {
                if let Some(peer) = &mut peers[index % 2] {
                    peer.take_all();
                    if let Some(chain) = peer.chains.pop_front() {
                        peer.push(chain.head.into(), which.into(), 1);
                    }
                }
            }
        }
    }
    end(running, queues, &mut pool, chip)
}

fn submit(queue: &mut Queue, pool: &mut DmaPool) {
    let Some(mut buffer) = pool.take() else { return };
    buffer.set_len(16).expect("16 of 64");
    let _ = queue.submit((), buffer, Direction::FromDevice, (), 0);
}

/// Resets a queue alone and makes another in its place.
fn renew(
    running: &mut Running<AnyTransport<'_>>,
    queue: Queue,
    queues: &mut Vec<Queue>,
    most: u16,
    memory: &'static SimMemory,
) {
    let (index, in_flight) = (queue.index(), queue.len());
    let mut count = 0;
    match running.reset_queue(queue, &CLOCK, |_, _| count += 1) {
        Ok(()) => {
            assert!(running.features().contains(FeatureBits::RING_RESET));
            assert_eq!(count, in_flight, "requests did not come back");
            queues.extend(running.queue(index, most, memory));
        }
        Err((queue, _)) => {
            assert_eq!((count, queue.len()), (0, in_flight), "requests were given up");
            queues.push(queue);
        }
    }
}

/// Takes the device out of service. One that does not confirm keeps its memory until it does.
fn end(
    running: Running<AnyTransport<'_>>,
    queues: Vec<Queue>,
    pool: &mut DmaPool,
    chip: &Chip<'_>,
) -> Result<(), InitError> {
    let (proof, outcome) = match running.quiesce(&CLOCK) {
        Ok((_, proof)) => (proof, Ok(())),
        Err((running, error)) => {
            chip.obey();
            let (_, proof) = running.quiesce(&CLOCK).expect("an obedient device");
            (proof, Err(error.into()))
        }
    };
    assert_eq!(chip.state().told_status, 0, "a proof without the device's word");
    for queue in queues {
        let (in_flight, mut count) = (queue.len(), 0);
        assert!(queue.retire(&proof, |_, _| count += 1).is_ok(), "a proof for this device");
        assert_eq!(count, in_flight, "requests did not come back");
    }
    assert_eq!(pool.available(), pool.count(), "buffers that did not come home");
    outcome
}

/// An obedient device does what it is for.
fn works(transport: AnyTransport<'_>, chip: &Chip<'_>, memory: &'static SimMemory) {
    let reset = Reset::new(transport, &CLOCK).expect("it resets");
    let mut negotiated = reset.negotiate(KNOWN, FeatureBits::EMPTY, |accepted| accepted).expect("it accepts");
    let mut queue: Queue = negotiated.queue(QueueIndex(1), 4, memory).expect("it has one");
    let running = negotiated.run();
    let mut pool = DmaPool::new(memory, 1, 64).expect("memory");
    let mut peer = peer(chip, 1, memory, running.features()).expect("the queue was started");
    submit(&mut queue, &mut pool);
    let wish = queue.publish();
    running.notify(&queue, wish);
    peer.take_all();
    let chain = peer.chains.pop_front().expect("it was published");
    peer.write(&chain, 16);
    peer.push(chain.head.into(), 16, 1);
    let done = queue.poll().expect("an obedient device").expect("it completed");
    assert_eq!(done.written, 16);
    drop(done);
    running.check().expect("it is well");
    running.acknowledge_interrupt().expect("it is there");
    end(running, vec![queue], &mut pool, chip).expect("it resets");
}
