//! Target `used_ring`: a queue whose device writes what it likes.
//!
//! The input is a head and then steps of a byte and its arguments; at its end the device is reset and everything has to
//! come home.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | bit 0 EVENT_IDX, bit 1 INDIRECT_DESC, bit 2 IN_ORDER, bits 3 and up: size of the queue, 2 to 256 |
//! | byte 1 | what requests are made of: one buffer, a block request, a chain |
//!
//! | step | arguments | what happens |
//! |---|---|---|
//! | 0 | | the end |
//! | 1 | five bytes | a request is submitted: lengths of buffers to read, to write, headroom |
//! | 2 | | publish |
//! | 3, 4, 5 | | poll, drain, arm |
//! | 6 | | the device takes what is available |
//! | 7 | which, length | the device uses a chain |
//! | 8 | id (4), length (4) | the device gives back something |
//! | 9 | index (2) | the device shows a used index |
//! | 10 | position (2), id (4), length (4) | the device writes a used element |
//! | 11 | flags (2) | the device writes the used ring's flags |
//! | 12 | index (2) | the device writes `avail_event` |
//! | 13 | offset (2), value (8) | the device writes anywhere into the queue's memory |
//! | 14 | which, offset, value | the device writes into a buffer that it may write |
//! | 15 | which, length (4) | the device uses a chain and lies about the length |
//!
//! Other values are these again, modulo 16.

use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::DmaBuf;
use toro_core::driver::DeviceFault;
use virtio_queue_rt::transport::Interface;
use virtio_queue_rt::{Chain, FeatureBits};
use virtio_sim::SimMemory;

use crate::bench::{Bench, Wish};
use crate::kinds::{Load, Mark};
use crate::script::Script;
use crate::wires::Wires;

/// Steps of one input at most.
const MOST_STEPS: usize = 512;

/// Runs an input; gives the fault that the queue ended with.
pub fn body(input: &[u8], memory: &'static SimMemory) -> Option<DeviceFault> {
    let script = Script::new(input);
    let (head, kind) = (script.byte(), script.below(3));
    let mut offered = FeatureBits::VERSION_1;
    for (bit, feature) in [FeatureBits::EVENT_IDX, FeatureBits::INDIRECT_DESC, FeatureBits::IN_ORDER].iter().enumerate()
    {
        if head & 1 << bit != 0 {
            offered |= *feature;
        }
    }
    let size = 2 << ((head >> 3) % 8);
    let wires = Wires::new(Interface::Modern, offered, size);
    match kind {
        0 => story::<DmaBuf, (), ()>(&script, memory, wires),
        1 => story::<Option<DmaBuf>, [AtomicU64; 2], AtomicU8>(&script, memory, wires),
        _ => story::<Chain, (), ()>(&script, memory, wires),
    }
}

fn story<P: Load, H: Mark, T: Mark>(
    script: &Script<'_>,
    memory: &'static SimMemory,
    wires: Wires,
) -> Option<DeviceFault> {
    let mut bench = Bench::<P, H, T>::new(memory, wires, u16::MAX, FeatureBits::EMPTY)?;
    for _ in 0..MOST_STEPS {
        match script.byte() % 16 {
            0 => break,
            1 => {
                let [r0, r1, w0, w1, headroom] = script.bytes();
                bench.submit(Wish { readable: [r0, r1], writable: [w0, w1], headroom });
            }
            2 => bench.publish(),
            3 => bench.poll(),
            4 => bench.drain(),
            5 => bench.arm(),
            6 => bench.take_all(),
            7 => bench.complete(script.byte().into(), script.byte().into()),
            8 => bench.lie().return_anything(script),
            9 => bench.lie().show_anything(script),
            10 => {
                let (position, id, len) = (script.word(), script.long(), script.long());
                bench.lie().write_used(position, id, len);
            }
            11 => bench.peer().set_flags(script.word()),
            12 => bench.peer().set_avail_event(script.word()),
            13 => bench.lie().spoil_anything(script),
            14 => bench.smudge(script.byte().into(), script.byte(), script.byte()),
            _ => {
                let (which, len) = (script.byte(), script.long());
                let peer = bench.lie();
                let which = usize::from(which) % peer.chains.len().max(1);
                if let Some(chain) = peer.chains.remove(which) {
                    peer.push(chain.head.into(), len, 1);
                }
            }
        }
        bench.check();
    }
    let fault = bench.fault();
    bench.end();
    fault
}
