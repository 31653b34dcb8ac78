//! `virtio-net` over `virtio-vhost-user`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use toro_core::driver::net::{Burst, Frame, NetDevice};
use virtio_net::VirtioNet;
use virtio_queue_rt::DeviceType;
use virtio_vhost_user::{CLOCK, Configuration, GuestMemory, Options, VhostUser};

use super::Load;

/// Memory for rings, their tables, and buffers.
const MEMORY: usize = 16 << 20;
/// Frames in a burst, as testpmd has them.
const BATCH: usize = 32;
/// Bytes in a frame.
const FRAME: usize = 64;
/// How long no frame may pass.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is transmitted: a frame to everyone, of a type for experiments (IEEE 802), and nothing in it.
const TEMPLATE: [u8; FRAME] = {
    let mut bytes = [0; FRAME];
    let mut i = 0;
    while i < 6 {
        bytes[i] = 0xff;
        i += 1;
    }
    (bytes[6], bytes[11], bytes[12], bytes[13]) = (0x02, 0x01, 0x88, 0xb5);
    bytes
};

/// An interface with one queue pair.
pub struct Ours {
    net: VirtioNet<VhostUser>,
}

impl Ours {
    /// Connects.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn new(socket: &Path) -> Result<Self> {
        let memory = GuestMemory::new(MEMORY)?;
        // The device has no configuration.
        let configuration = Configuration::Given(vec![0; 12]);
        let options = Options { configuration, ..Options::of(DeviceType::NETWORK) };
        let transport = VhostUser::connect(socket, DeviceType::NETWORK, memory, options)?;
        let net = VirtioNet::new(transport, memory, &CLOCK, &virtio_net::Options::default());
        Ok(Self { net: net.map_err(|error| anyhow!("{error}"))? })
    }

    /// Moves frames while `goes_on` says so of how many have passed; says how many they were.
    ///
    /// # Errors
    ///
    /// The device breaks the protocol, or no frame passes for long.
    pub fn drive(&mut self, load: Load, goes_on: impl Fn(u64) -> bool) -> Result<u64> {
        let (mut incoming, mut outgoing) = (Burst::new(), Burst::new());
        let mut meter = Meter::default();
        if load == Load::Loop {
            self.fill(&mut outgoing);
        }
        while goes_on(meter.passed) {
            let before = outgoing.len();
            match load {
                Load::Transmit => {
                    self.fill(&mut outgoing);
                    let waiting = outgoing.len();
                    self.net.transmit(&mut outgoing)?;
                    meter.note(waiting - outgoing.len())?;
                }
                Load::Receive => {
                    self.net.receive(&mut incoming)?;
                    meter.note(incoming.len())?;
                    while let Some(frame) = incoming.pop() {
                        drop(frame);
                    }
                }
                Load::Loop => {
                    self.net.receive(&mut incoming)?;
                    meter.note(incoming.len())?;
                    while outgoing.room() > 0
                        && let Some(frame) = incoming.pop()
                    {
                        let _ = outgoing.push(frame);
                    }
                    if !outgoing.is_empty() || before > 0 {
                        self.net.transmit(&mut outgoing)?;
                    }
                }
            }
        }
        Ok(meter.passed)
    }

    fn fill(&mut self, outgoing: &mut Burst<Frame>) {
        while outgoing.len() < BATCH
            && let Some(mut frame) = self.net.frame(FRAME)
            && frame.set_len(FRAME).is_ok()
        {
            frame.copy_from_slice(&TEMPLATE);
            let _ = outgoing.push(frame);
        }
    }
}

/// Counts, and notices a standstill.
#[derive(Default)]
struct Meter {
    passed: u64,
    looks: u32,
    still_since: Option<Instant>,
}

impl Meter {
    #[inline]
    fn note(&mut self, count: usize) -> Result<()> {
        if count > 0 {
            self.passed += count as u64;
            self.still_since = None;
            return Ok(());
        }
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(1 << 16) {
            let waited = self.still_since.get_or_insert_with(Instant::now).elapsed();
            ensure!(waited < PATIENCE, "no frame has passed for {PATIENCE:?}");
        }
        Ok(())
    }
}
