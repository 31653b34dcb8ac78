//! [`VhostUser`]: a device that is another process.
//!
//! ```text
//!   what a driver does                  what the daemon is told
//!   VhostUser::connect                  GET_FEATURES, SET_OWNER, protocol features, GET_QUEUE_NUM, GET_CONFIG
//!   reset                               GET_VRING_BASE of each queue that it has
//!   set_driver_features                 SET_FEATURES, SET_MEM_TABLE
//!   enable_queue                        SET_VRING_NUM, _BASE, _ADDR, _CALL, _KICK
//!   set_status(DRIVER_OK)               SET_VRING_ENABLE of each queue
//!   notify                              nothing: it adds to a counter in the kernel that the daemon waits for
//! ```
//!
//! There is no status register: it is kept here. What a register could not refuse, such as the features, the daemon can,
//! and then the status says so.
//!
//! # When memory is free again
//!
//! A reset is confirmed when the daemon has stopped every queue, each of which it answers with how many requests it took,
//! *and* has put as many into the used ring: some answer while they still work on what they took.
//!
//! A daemon that died, closed the connection, or was silent for too long is a device that was pulled out: everything says
//! that it is gone, the next notification included, and its reset is that another daemon is in its place, on the same
//! path, which is told everything anew. How that gives the memory back is in [`replacing`].

mod greeting;
mod replacing;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, write};
use toro_core::driver::DeviceFault;
use toro_core::{Deadline, Registers};
use virtio_queue_rt::transport::{
    DeviceType, Doorbell, Interface, InterruptStatus, QueueIndex, RingAddresses, SharedMemory, Signalling,
};
use virtio_queue_rt::{DeviceStatus, FeatureBits, Transport, TransportError};

use self::greeting::{Greeted, greet, open, system};
use self::replacing::Place;
use crate::call::Call;
use crate::config::ConfigSpace;
use crate::connection::{Connection, Failure};
use crate::memory::{GUEST_BASE, GuestMemory};
use crate::options::{Configuration, ConnectError, Options};
use crate::wire::{Message, PAYLOAD, PROTOCOL_FEATURES, Request};

/// How long to wait before the next attempt to connect, or to look at a ring.
const PAUSE: Duration = Duration::from_millis(1);

/// A device behind a socket.
pub struct VhostUser {
    device_type: DeviceType,
    place: Place,
    connection: Arc<Connection>,
    memory: &'static GuestMemory,
    config: ConfigSpace,
    queues: Vec<Queue>,
    queue_size: u16,
    patience: Duration,
    /// What the daemon offers, its protocol features among it.
    offered: u64,
    hidden: FeatureBits,
    added: FeatureBits,
    status: DeviceStatus,
    are_features_refused: bool,
    /// Whether a daemon was given the memory since there was last proof that nobody has it.
    knows_memory: bool,
}

/// A queue, and the two counters through which the sides wake each other. They stay the same in every initialisation.
struct Queue {
    kick: OwnedFd,
    call: Arc<OwnedFd>,
    /// Where its used index is, from the start of the memory, while the daemon has it.
    used_index: Option<u64>,
}

impl Queue {
    fn new() -> Result<Self, Errno> {
        let counter = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self { kick: counter()?, call: Arc::new(counter()?), used_index: None })
    }
}

impl VhostUser {
    /// Connects to the daemon that listens, or soon will, at `path`. All that its drivers give it lies in `memory`.
    ///
    /// # Errors
    ///
    /// Nobody accepts within the patience of the options, or what does is not a usable device.
    pub fn connect(
        path: impl AsRef<Path>,
        device_type: DeviceType,
        memory: &'static GuestMemory,
        options: Options,
    ) -> Result<Self, ConnectError> {
        let (path, until) = (path.as_ref(), Instant::now() + options.patience);
        let connection = Arc::new(Connection::new(open(path, until)?));
        let Greeted { offered, queues, has_config } = greet(&connection, device_type, options.queues, until)?;
        let queues = (0..queues).map(|_| Queue::new()).collect::<Result<_, _>>().map_err(system)?;
        let config = match options.configuration {
            Configuration::Given(bytes) => ConfigSpace::given(bytes),
            Configuration::Device { len } if has_config && usize::from(len) <= PAYLOAD - 12 => {
                let config = ConfigSpace::of_device(connection.clone(), len.into(), options.patience);
                config.map_err(|failure| match failure {
                    Failure::Refused => ConnectError::NoConfiguration,
                    Failure::Over(error) => ConnectError::Device(error),
                })?
            }
            Configuration::Device { .. } => return Err(ConnectError::NoConfiguration),
        };
        Ok(Self {
            device_type,
            place: Place { path: path.into(), queues: options.queues },
            connection,
            memory,
            config,
            queues,
            queue_size: options.queue_size,
            patience: options.patience,
            offered,
            hidden: options.hidden,
            added: options.added,
            status: DeviceStatus::empty(),
            are_features_refused: false,
            knows_memory: false,
        })
    }

    /// The interrupt of a queue; `None` if there is no such queue. It stays the same when the device is reset, also if that
    /// took another daemon.
    pub fn call(&self, queue: QueueIndex) -> Option<Call> {
        let queue = self.queues.get(usize::from(queue.0))?;
        Some(Call::new(queue.call.clone(), self.connection.clone()))
    }

    /// How many queues the device has.
    pub fn queues(&self) -> u16 {
        self.queues.len() as u16
    }

    fn tell(&self, message: &Message<'_>) -> Result<(), Failure> {
        self.connection.tell(message, Instant::now() + self.patience)
    }

    /// Tells the daemon what was agreed, and where memory is.
    fn agree(&mut self, accepted: FeatureBits) -> Result<(), Failure> {
        let features = accepted.bits() & self.offered | PROTOCOL_FEATURES;
        self.tell(&Message::new(Request::SetFeatures).wide(features))?;
        let (guest, size, user) = (GUEST_BASE, self.memory.size() as u64, self.memory.user_base());
        // One region, and the offset of its first byte in the file.
        let table = Message::new(Request::SetMemTable).word(1).word(0).wide(guest).wide(size).wide(user).wide(0);
        // From the message on, the daemon alone has this opening of the file.
        let opening = self.memory.open().map_err(|_| Failure::Refused)?;
        self.knows_memory = true;
        self.tell(&table.file(opening.as_fd()))
    }

    /// Tells the daemon where a queue is.
    fn hand_over(&self, index: u32, queue: &Queue, rings: &RingAddresses, offsets: [u64; 3]) -> Result<(), Failure> {
        let [descriptors, available, used] = offsets.map(|offset| self.memory.user_base() + offset);
        self.tell(&Message::new(Request::SetVringNum).word(index).word(rings.size.into()))?;
        self.tell(&Message::new(Request::SetVringBase).word(index).word(0))?;
        let addresses = Message::new(Request::SetVringAddr).word(index).word(0);
        // The order of the protocol; the last one is for a log of changes, which nobody keeps.
        self.tell(&addresses.wide(descriptors).wide(used).wide(available).wide(0))?;
        // The call before the kick, which starts the queue: whatever is completed then is heard of.
        self.tell(&Message::new(Request::SetVringCall).wide(index.into()).file(queue.call.as_fd()))?;
        self.tell(&Message::new(Request::SetVringKick).wide(index.into()).file(queue.kick.as_fd()))
    }

    /// Stops all queues.
    fn stop_all(&mut self, until: Instant) -> Result<(), TransportError> {
        for index in 0..self.queues.len() {
            if let Some(used_index) = self.queues[index].used_index {
                self.stop(index, used_index, until)?;
                self.queues[index].used_index = None;
            }
        }
        // A device that was told of nothing has nothing to confirm, but it has to be there.
        self.connection.link().check()
    }

    /// Stops a queue, and waits until nothing of it is being worked on.
    fn stop(&self, index: usize, used_index: u64, until: Instant) -> Result<(), TransportError> {
        let message = Message::new(Request::GetVringBase).word(index as u32).word(0);
        let answer = self.connection.ask(&message, until).map_err(|failure| match failure {
            Failure::Over(error) => error,
            Failure::Refused => TransportError::TimedOut,
        })?;
        let Some((_, [low, high, ..])) = answer.split_first_chunk::<4>() else {
            return Err(self.connection.link().hung_up());
        };
        let taken = u16::from_ne_bytes([*low, *high]);
        // Twice the same: it may be read while it is written.
        let mut agreeing = 0;
        loop {
            let used = self.memory.read_word(used_index).map_err(|_| TransportError::Gone)?;
            agreeing = if used == taken { agreeing + 1 } else { 0 };
            if agreeing == 2 {
                return Ok(());
            }
            if agreeing == 0 {
                self.connection.link().check()?;
                if Instant::now() >= until {
                    return Err(TransportError::TimedOut);
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
}

impl Transport for VhostUser {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn interface(&self) -> Interface {
        Interface::Modern
    }

    /// Those that are about the rings themselves: there is no platform to ask for addresses, a notification says nothing,
    /// and queues are not reset one by one.
    fn ring_features(&self) -> FeatureBits {
        FeatureBits::VERSION_1 | FeatureBits::INDIRECT_DESC | FeatureBits::EVENT_IDX | FeatureBits::IN_ORDER
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        let until = Instant::now() + deadline.remaining();
        match self.stop_all(until) {
            Ok(()) => {}
            // It has ended by now, or long ago; a daemon that was silent just now took all the time there was.
            Err(_) if self.connection.link().ended().is_some() => self.replace(until)?,
            Err(error) => return Err(error),
        }
        self.status = DeviceStatus::empty();
        self.are_features_refused = false;
        Ok(())
    }

    fn status(&self) -> DeviceStatus {
        if self.connection.link().check().is_err() {
            return DeviceStatus::from_bits_retain(u8::MAX);
        }
        match self.are_features_refused {
            true => self.status & !DeviceStatus::FEATURES_OK,
            false => self.status,
        }
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let starts = status.contains(DeviceStatus::DRIVER_OK) && !self.status.contains(DeviceStatus::DRIVER_OK);
        self.status = status;
        if !starts {
            return;
        }
        for (index, _) in self.queues.iter().enumerate().filter(|(_, queue)| queue.used_index.is_some()) {
            let enable = Message::new(Request::SetVringEnable).word(index as u32).word(1);
            // One that does not want to start needs a reset, as the standard has it for what went wrong by now.
            if self.tell(&enable).is_err() {
                self.status |= DeviceStatus::DEVICE_NEEDS_RESET;
            }
        }
    }

    fn device_features(&mut self) -> FeatureBits {
        let offered = FeatureBits::from_bits(self.offered & !PROTOCOL_FEATURES);
        (offered | self.added) & !self.hidden
    }

    fn set_driver_features(&mut self, accepted: FeatureBits) {
        self.are_features_refused = self.agree(accepted).is_err();
    }

    fn max_queue_size(&mut self, queue: QueueIndex) -> u16 {
        if queue.0 < self.queues() { self.queue_size } else { 0 }
    }

    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
        let Some(entry) = self.queues.get(usize::from(queue.0)) else {
            return Err(TransportError::NoSuchQueue(queue));
        };
        if entry.used_index.is_some() {
            return Err(TransportError::QueueRefused(queue));
        }
        let size = usize::from(rings.size);
        let parts = [(rings.descriptors, 16 * size), (rings.available, 6 + 2 * size), (rings.used, 6 + 8 * size)];
        let [Some(descriptors), Some(available), Some(used)] = parts.map(|(at, len)| self.memory.offset_of(at, len))
        else {
            // Not memory that the daemon has: it is not told.
            return Err(TransportError::NoSuchQueue(queue));
        };
        let handed_over = self.hand_over(queue.0.into(), entry, rings, [descriptors, available, used]);
        // It may know some of it now, whatever it says.
        self.queues[usize::from(queue.0)].used_index = Some(used + 2);
        match handed_over {
            Ok(()) => Ok(Doorbell::new(queue, 0)),
            Err(Failure::Refused) => Err(TransportError::QueueRefused(queue)),
            Err(Failure::Over(error)) => Err(error),
        }
    }

    /// Queues are not reset one by one: see [`ring_features`](Transport::ring_features).
    fn reset_queue(&mut self, _: QueueIndex, _: Deadline) -> Result<(), TransportError> {
        Err(TransportError::NotNegotiated(FeatureBits::RING_RESET))
    }

    #[inline]
    fn notify(&self, doorbell: Doorbell, _: u16) {
        if let Some(queue) = self.queues.get(usize::from(doorbell.queue().0)) {
            // It can fail only if the counter is full, and then the daemon has not looked since long ago.
            let _ = write(&queue.kick, &1_u64.to_ne_bytes());
        }
    }

    /// Nothing says that the configuration changed: that would take a socket of the daemon's own.
    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        match self.connection.link().check_now_and_then() {
            Ok(()) => Ok(InterruptStatus { queues: true, configuration: false }),
            Err(_) => Err(DeviceFault::Gone),
        }
    }

    fn signalling(&self) -> Signalling {
        Signalling::Messages(self.queues())
    }

    fn config(&self) -> &dyn Registers {
        &self.config
    }

    fn config_generation(&self) -> Option<u32> {
        Some(self.config.generation())
    }

    fn shared_memory(&self, _: u8) -> Option<SharedMemory> {
        None
    }
}

impl fmt::Debug for VhostUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VhostUser({:?}, {} queues)", self.device_type, self.queues.len())
    }
}

#[cfg(test)]
mod tests;
