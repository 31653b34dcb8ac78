//! [`Company`]: how the stacks that share a device and its address reach each other, over cores.
//!
//! ```text
//!   core 0: pair 0, stack 0            core 1: pair 1, stack 1
//!     letters  <----------------------   a frame that is for stack 0, or for nobody here
//!     addresses, an ARP reply -------->  letters
//! ```
//!
//! What arrives at one stack and concerns others, as [`share`](super::share) decides, is carried in letters: each stack
//! has a mailbox, which its poller empties, and whose core is interrupted only if it sleeps. Nothing is locked and
//! nobody waits. A stack that does not come to read loses what is beyond [`MOST_LETTERS`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use toro_core::Instant;
use toro_core::driver::net::{Frame, MacAddress};
use toro_sync::Mailbox;

use super::configuration::Configuration;
use super::share::{Search, Seat, Stray};
use super::signal::Signal;
use super::stack::Stack;
use crate::core::CoreId;
use crate::sched;

/// Letters that wait for one stack; more are thrown away, as a network does with frames.
const MOST_LETTERS: usize = 512;

enum Letter {
    /// It is yours.
    Deliver(Frame),
    /// Is it yours?
    Lost(Search, Frame),
    /// Everybody should hear of it.
    News(Arc<[u8]>),
    /// The stack with this number needs these groups.
    Groups(u16, Vec<MacAddress>),
    /// These are our addresses now.
    Configuration(Arc<Configuration>),
}

struct Member {
    core: CoreId,
    letters: Mailbox<Letter>,
    /// How many letters wait, about.
    waiting: AtomicUsize,
}

/// The stacks that share an address.
#[derive(Clone)]
pub(super) struct Group(Arc<[Member]>);

impl Group {
    /// A group with a stack on each of these cores.
    pub(super) fn new(cores: impl Iterator<Item = CoreId>) -> Self {
        Self(cores.map(|core| Member { core, letters: Mailbox::new(), waiting: AtomicUsize::new(0) }).collect())
    }

    /// What the stack on `seat` has of it.
    pub(super) fn join(self, seat: Seat) -> Company {
        Company { group: self, seat }
    }
}

/// A stack's place in its group.
pub(super) struct Company {
    group: Group,
    seat: Seat,
}

impl Company {
    fn me(&self) -> &Member {
        &self.group.0[usize::from(self.seat.index())]
    }

    fn post(&self, seat: u16, letter: Letter) {
        let Some(member) = self.group.0.get(usize::from(seat)) else { return };
        if member.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_LETTERS {
            member.waiting.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        member.letters.push(letter);
        sched::nudge(member.core.index());
    }

    fn others(&self) -> impl Iterator<Item = u16> + use<> {
        let me = self.seat.index();
        (0..self.seat.of().get()).filter(move |&seat| seat != me)
    }

    /// Whether another stack of the group finds the addresses.
    pub(super) fn is_told(&self) -> bool {
        self.seat.index() != 0
    }

    /// Whether there are letters.
    pub(super) fn has_letters(&self) -> bool {
        !self.me().letters.is_empty()
    }

    /// Reads the letters.
    pub(super) fn read<S: Signal>(&self, stack: &mut Stack<S>, now: Instant) {
        for letter in self.me().letters.take_all() {
            self.me().waiting.fetch_sub(1, Ordering::Relaxed);
            match letter {
                Letter::Deliver(frame) => stack.deliver(now, frame),
                Letter::Lost(search, frame) => {
                    if let Err(frame) = stack.claim(now, frame) {
                        self.pass_on(search, frame);
                    }
                }
                Letter::News(bytes) => stack.overhear(now, &bytes),
                Letter::Groups(seat, groups) => stack.set_groups_of(seat, groups),
                Letter::Configuration(configuration) => stack.set_configuration(&configuration),
            }
        }
    }

    /// Sends what has arrived at `stack` and concerns others, and which groups it needs.
    pub(super) fn send_strays<S: Signal>(&self, stack: &mut Stack<S>) {
        if let Some(groups) = stack.take_groups() {
            self.post(0, Letter::Groups(self.seat.index(), groups));
        }
        while let Some(stray) = stack.take_stray() {
            match stray {
                Stray::Lease(frame) => self.post(0, Letter::Deliver(frame)),
                Stray::Lost(search, frame) => self.pass_on(search, frame),
                Stray::News(bytes) => self.spread(&bytes.into()),
            }
        }
    }

    fn spread(&self, bytes: &Arc<[u8]>) {
        self.others().for_each(|seat| self.post(seat, Letter::News(Arc::clone(bytes))));
    }

    fn pass_on(&self, mut search: Search, frame: Frame) {
        match search.next() {
            Some(seat) => self.post(seat, Letter::Lost(search, frame)),
            None => self.post(search.origin(), Letter::Deliver(frame)),
        }
    }

    /// Tells the others what this stack is configured with.
    pub(super) fn tell_configuration(&self, configuration: &Configuration) {
        let configuration = Arc::new(configuration.clone());
        self.others().for_each(|seat| self.post(seat, Letter::Configuration(Arc::clone(&configuration))));
    }
}

/// What a stack has of its group, if it is in one.
pub(super) type Place = Option<Box<Company>>;
