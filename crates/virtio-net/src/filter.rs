//! [`Wishes`]: what the device shall do, what it was told, and so which command comes next.
//!
//! ```text
//!   wanted   what the owner asked for last
//!   told     what the last command about it said; nothing is known of a device that was told nothing
//! ```
//!
//! Wishes are states and not a list of commands: ten changes while the device is slow are one command. An order remains:
//! what lets more frames in is said first, what lets fewer in last, so that no frame is lost between two commands.
//!
//! # Failure
//!
//! A refused command is not repeated. The owner is promised at least the frames that he asked for: where a table of
//! addresses was refused, the device is asked for all frames to groups and for all others.

use alloc::boxed::Box;

use toro_core::DmaBuf;
use toro_core::driver::net::{MacAddress, ReceiveFilter};

use crate::wire::control;

/// How many addresses of each kind are told to the device. With more it is asked for all.
pub const MOST_ADDRESSES: usize = 64;
/// The longest data of a command: a table of addresses.
pub(crate) const LONGEST_DATA: usize = 4 + 6 * MOST_ADDRESSES;

/// Something that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is on.
    On,
    /// It is off.
    Off,
}

impl From<bool> for Switch {
    fn from(is_on: bool) -> Self {
        if is_on { Self::On } else { Self::Off }
    }
}

/// A command in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    QueuePairs(u16),
    Promiscuous(Switch),
    AllMulticast(Switch),
    Addresses,
    Vlan(u16, Switch),
    Announced,
    Offloads(u64),
}

impl Command {
    /// Its class and its number.
    pub fn code(self) -> [u8; 2] {
        match self {
            Self::QueuePairs(_) => [control::MQ, control::MQ_VQ_PAIRS_SET],
            Self::Promiscuous(_) => [control::RX, control::RX_PROMISC],
            Self::AllMulticast(_) => [control::RX, control::RX_ALLMULTI],
            Self::Addresses => [control::MAC, control::MAC_TABLE_SET],
            Self::Vlan(_, Switch::On) => [control::VLAN, control::VLAN_ADD],
            Self::Vlan(_, Switch::Off) => [control::VLAN, control::VLAN_DEL],
            Self::Announced => [control::ANNOUNCE, control::ANNOUNCE_ACK],
            Self::Offloads(_) => [control::GUEST_OFFLOADS, control::GUEST_OFFLOADS_SET],
        }
    }

    /// How many buffers of data it has.
    pub fn buffers(self) -> usize {
        match self {
            Self::Announced => 0,
            Self::Addresses => 2,
            _ => 1,
        }
    }
}

/// One thing that the device can be told.
#[derive(Clone, Copy, Debug)]
struct Setting<V> {
    wanted: Option<V>,
    told: Option<V>,
    is_underway: bool,
}

impl<V: Copy + PartialEq> Setting<V> {
    const NONE: Self = Self { wanted: None, told: None, is_underway: false };

    fn want(&mut self, value: V) {
        self.wanted = Some(value);
    }

    /// What is to be told now.
    fn due(&self) -> Option<V> {
        self.wanted.filter(|_| !self.is_underway && self.wanted != self.told)
    }

    fn tell(&mut self) {
        (self.told, self.is_underway) = (self.wanted, true);
    }
}

/// Addresses, in a fixed place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Addresses {
    list: [MacAddress; MOST_ADDRESSES],
    count: usize,
}

impl Addresses {
    const NONE: Self = Self { list: [MacAddress([0; 6]); MOST_ADDRESSES], count: 0 };

    /// Takes addresses over, and `more` with them; says whether these are others than before. Too many are as none.
    fn set(&mut self, addresses: &[MacAddress], more: Option<MacAddress>) -> bool {
        let count = addresses.len() + usize::from(more.is_some());
        let mut new = Self::NONE;
        if count <= MOST_ADDRESSES {
            new.count = count;
            for (to, from) in new.list.iter_mut().zip(addresses.iter().copied().chain(more)) {
                *to = from;
            }
        }
        let is_other = *self != new;
        *self = new;
        is_other
    }

    /// Writes them as a table of a command.
    fn write(&self, buffer: &mut DmaBuf) {
        // Buffers for commands hold the longest table.
        let _ = buffer.extend(&(self.count as u32).to_le_bytes());
        for address in &self.list[..self.count] {
            let _ = buffer.extend(&address.0);
        }
    }
}

/// A bit for each VLAN.
#[derive(Debug)]
struct Vlans {
    wanted: [u64; 64],
    told: [u64; 64],
    is_changed: bool,
    is_underway: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wishes {
    promiscuous: Setting<Switch>,
    all_multicast: Setting<Switch>,
    offloads: Setting<u64>,
    unicast: Addresses,
    multicast: Addresses,
    /// Whether the device has to hear of addresses.
    are_addresses_due: bool,
    are_addresses_underway: bool,
    is_announcement_due: bool,
    is_announcement_underway: bool,
    vlans: Option<Box<Vlans>>,
    /// The interface's address, where the device does not know it.
    own: Option<MacAddress>,
}

impl Wishes {
    pub fn new(own: Option<MacAddress>) -> Self {
        Self {
            promiscuous: Setting::NONE,
            all_multicast: Setting::NONE,
            offloads: Setting::NONE,
            unicast: Addresses::NONE,
            multicast: Addresses::NONE,
            are_addresses_due: false,
            are_addresses_underway: false,
            is_announcement_due: false,
            is_announcement_underway: false,
            vlans: None,
            own,
        }
    }

    /// Wants at least these frames.
    pub fn filter(&mut self, filter: &ReceiveFilter<'_>) {
        let is_first = self.promiscuous.wanted.is_none();
        let most = MOST_ADDRESSES - usize::from(self.own.is_some());
        self.promiscuous.want((filter.promiscuous || filter.unicast.len() > most).into());
        self.all_multicast.want((filter.all_multicast || filter.multicast.len() > MOST_ADDRESSES).into());
        let is_other = [self.unicast.set(filter.unicast, self.own), self.multicast.set(filter.multicast, None)];
        self.are_addresses_due |= is_first || is_other.contains(&true);
    }

    /// Wants frames of a VLAN, or none.
    pub fn vlan(&mut self, id: u16, switch: Switch) {
        let vlans = self.vlans.get_or_insert_with(|| {
            Box::new(Vlans { wanted: [0; 64], told: [0; 64], is_changed: false, is_underway: false })
        });
        let (word, bit) = (usize::from(id / 64) % 64, 1 << (id % 64));
        match switch {
            Switch::On => vlans.wanted[word] |= bit,
            Switch::Off => vlans.wanted[word] &= !bit,
        }
        vlans.is_changed = true;
    }

    /// Wants the device to send in just these ways.
    pub fn offloads(&mut self, features: u64) {
        self.offloads.want(features);
    }

    /// Wants the device to know that its wish for an announcement was heard.
    pub fn announced(&mut self) {
        self.is_announcement_due = true;
    }

    /// The next command, which counts as told from here on, if it has no more buffers than these.
    pub fn next(&mut self, buffers: usize) -> Option<Command> {
        let command = self.due().filter(|command| command.buffers() <= buffers)?;
        match command {
            Command::Announced => {
                (self.is_announcement_due, self.is_announcement_underway) = (false, true);
            }
            Command::Promiscuous(_) => self.promiscuous.tell(),
            Command::AllMulticast(_) => self.all_multicast.tell(),
            Command::Offloads(_) => self.offloads.tell(),
            Command::Addresses => (self.are_addresses_due, self.are_addresses_underway) = (false, true),
            Command::Vlan(id, _) => {
                if let Some(vlans) = &mut self.vlans {
                    vlans.told[usize::from(id / 64) % 64] ^= 1 << (id % 64);
                    vlans.is_underway = true;
                }
            }
            Command::QueuePairs(_) => {}
        }
        Some(command)
    }

    fn due(&mut self) -> Option<Command> {
        if self.is_announcement_due && !self.is_announcement_underway {
            return Some(Command::Announced);
        }
        let wider = |setting: &Setting<Switch>| setting.due().filter(|switch| *switch == Switch::On);
        if let Some(switch) = wider(&self.promiscuous) {
            return Some(Command::Promiscuous(switch));
        }
        if let Some(switch) = wider(&self.all_multicast) {
            return Some(Command::AllMulticast(switch));
        }
        if self.are_addresses_due && !self.are_addresses_underway {
            return Some(Command::Addresses);
        }
        if let Some(switch) = self.all_multicast.due() {
            return Some(Command::AllMulticast(switch));
        }
        if let Some(switch) = self.promiscuous.due() {
            return Some(Command::Promiscuous(switch));
        }
        if let Some(features) = self.offloads.due() {
            return Some(Command::Offloads(features));
        }
        let vlans = self.vlans.as_mut().filter(|vlans| vlans.is_changed && !vlans.is_underway)?;
        for (word, (wanted, told)) in vlans.wanted.iter().zip(&vlans.told).enumerate() {
            if wanted != told {
                let bit = (wanted ^ told).trailing_zeros();
                let is_on = wanted >> bit & 1 == 1;
                return Some(Command::Vlan(word as u16 * 64 + bit as u16, is_on.into()));
            }
        }
        vlans.is_changed = false;
        None
    }

    /// Writes the data of a command.
    pub fn write(&self, command: Command, buffers: &mut [Option<DmaBuf>; 2]) {
        let [first, second] = buffers;
        let (Some(first), second) = (first, second) else { return };
        // Buffers for commands hold the longest data.
        let _ = match command {
            Command::QueuePairs(pairs) => first.extend(&pairs.to_le_bytes()),
            Command::Promiscuous(switch) | Command::AllMulticast(switch) => {
                first.extend(&[u8::from(switch == Switch::On)])
            }
            Command::Vlan(id, _) => first.extend(&id.to_le_bytes()),
            Command::Offloads(features) => first.extend(&features.to_le_bytes()),
            Command::Announced => Ok(()),
            Command::Addresses => {
                self.unicast.write(first);
                if let Some(second) = second {
                    self.multicast.write(second);
                }
                Ok(())
            }
        };
    }

    /// Notes how the device answered a command.
    pub fn settle(&mut self, command: Command, is_done: bool) {
        match command {
            Command::QueuePairs(_) => {}
            Command::Announced => self.is_announcement_underway = false,
            Command::Offloads(_) => self.offloads.is_underway = false,
            Command::Vlan(..) => {
                if let Some(vlans) = &mut self.vlans {
                    vlans.is_underway = false;
                }
            }
            Command::Promiscuous(_) => self.promiscuous.is_underway = false,
            Command::AllMulticast(_) => {
                self.all_multicast.is_underway = false;
                if !is_done {
                    self.promiscuous.want(Switch::On);
                }
            }
            Command::Addresses => {
                self.are_addresses_underway = false;
                if !is_done {
                    self.promiscuous.want(Switch::On);
                    self.all_multicast.want(Switch::On);
                }
            }
        }
    }
}
