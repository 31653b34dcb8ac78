//! [`Peers`]: a device of several queues, on a bus, which says what a script has it say.
//!
//! ```text
//!   driver --> transport --> Device      registers and configuration    configuration changes, a wish for a reset
//!        `---> rings ------> Peers[i]    one for each queue             takes, gives back, lies
//! ```
//!
//! What the stories of targets `virtio_fs` and `virtio_net` have in common: which bus the device is on, and the steps that any
//! device can take.

use std::ops::{Deref, DerefMut};

use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::{FeatureBits, Interrupts, MmioTransport, PciTransport};
use virtio_sim::{Device, MmioModel, PciModel, SimMemory};

use crate::function::messages;
use crate::peer::Peer;
use crate::script::Script;

/// DEVICE_NEEDS_RESET.
const NEEDS_RESET: u8 = 64;

/// The device's sides of its queues, in their order.
#[derive(Debug, Default)]
pub struct Peers(Vec<Peer>);

impl Peers {
    /// Those of the queues that a driver has set up.
    pub fn of(device: &Device, memory: &'static SimMemory) -> Self {
        let state = device.state();
        let features = FeatureBits::from_bits(state.accepted);
        let ready = state.queues.iter().filter(|queue| queue.is_ready);
        let places = ready.map(|queue| (queue.size, [queue.descriptors, queue.available, queue.used]));
        Self(places.map(|(size, places)| Peer::new(memory, size, places, features)).collect())
    }

    /// Only this one.
    pub fn only(peer: Peer) -> Self {
        Self(vec![peer])
    }

    /// The one that a byte says.
    pub fn pick(&mut self, script: &Script<'_>) -> &mut Peer {
        let count = self.0.len();
        &mut self.0[usize::from(script.byte()) % count]
    }

    /// Whether any of them has lied.
    pub fn have_lied(&self) -> bool {
        self.0.iter().any(|peer| peer.is_lenient)
    }
}

impl Deref for Peers {
    type Target = [Peer];

    fn deref(&self) -> &[Peer] {
        &self.0
    }
}

impl DerefMut for Peers {
    fn deref_mut(&mut self) -> &mut [Peer] {
        &mut self.0
    }
}

/// A device behind memory-mapped registers.
pub fn on_mmio(device: Device) -> BoxedTransport {
    Box::new(MmioTransport::new(MmioModel::new(device)).expect("sound registers"))
}

/// A device behind a PCI function with messages.
pub fn on_pci(device: Device) -> BoxedTransport {
    let messages = messages();
    let (config, bars) = PciModel::new(device);
    Box::new(PciTransport::new(&config, &bars, Interrupts::Messages(&messages[..1])).expect("sound registers"))
}

/// Step: a byte of the configuration changes, and the device says so.
pub fn change_configuration(device: &Device, script: &Script<'_>) {
    let (offset, value) = (usize::from(script.byte()), script.byte());
    let mut state = device.state();
    let len = state.config.len().max(1);
    if let Some(byte) = state.config.get_mut(offset % len) {
        *byte = value;
    }
    state.generation = state.generation.wrapping_add(1);
    state.interrupt = 3;
}

/// Step: the device asks for a reset.
pub fn ask_for_reset(device: &Device) {
    let mut state = device.state();
    state.status |= NEEDS_RESET;
    state.interrupt = 3;
}
