//! [`Desk`]: all that the lock of an [`AsyncQueue`](super::AsyncQueue) protects.
//!
//! ```text
//!   tickets   [0]       [1]       [2]       [3]       [4]       [5]
//!             InFlight  Waiting   Free      Waiting   Done      Detached
//!   waiting     first ---^-------------------^---- last           (doubly linked: who waits may leave)
//!   free                           ^                              (singly linked)
//! ```
//!
//! Nothing here calls code of an executor: wakers that are to be called, or dropped, are handed out.

use core::array;
use core::fmt;
use core::mem;
use core::task::Waker;

use toro_core::driver::{Armed, DeviceFault, Refusal, Refused};

use super::exchange::{ExchangeError, Request};
use super::ticket::{Answer, NONE, Stage};
use super::{Notifier, Ticket, TicketNumber, TicketQueue, TicketStorage};
use crate::queue::{Cell, Done, Payload, SlotStorage};

/// Wakers that are to be called when the desk is unlocked.
pub(super) struct Wakers {
    wakers: [Option<Waker>; Self::MOST],
    len: usize,
}

impl Wakers {
    /// How many there can be, and so how many completions are taken out with the desk locked.
    const MOST: usize = 16;

    pub fn new() -> Self {
        Self { wakers: array::from_fn(|_| None), len: 0 }
    }

    fn is_full(&self) -> bool {
        self.len == Self::MOST
    }

    /// Adds one; there is room for it.
    fn add(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.wakers[self.len] = waker;
            self.len += 1;
        }
    }

    /// Calls all of them.
    pub fn wake(&mut self) {
        for waker in self.wakers[..mem::take(&mut self.len)].iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }
}

/// How far [`Desk::advance`] came.
pub(super) enum Progress {
    /// Until there was nothing more, and the queue will interrupt.
    Armed,
    /// Until no more wakers could be held.
    MoreToTake,
    /// Until the device broke the protocol, just now.
    Failed(DeviceFault),
    /// Nowhere: the device had failed before.
    HasFailed(DeviceFault),
}

pub(super) struct Desk<P, N, H, T, S, E>
where
    P: Payload,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    /// Queue and notifier until the end of service.
    service: Option<(TicketQueue<P, H, T, S>, N)>,
    tickets: E,
    /// First of the free tickets.
    free: u32,
    /// First and last of those who wait for room. Invariant: exactly the tickets in stage `Waiting`.
    first: u32,
    last: u32,
    fault: Option<DeviceFault>,
    cells: core::marker::PhantomData<(P, H, T)>,
}

impl<P, N, H, T, S, E> Desk<P, N, H, T, S, E>
where
    P: Payload,
    N: Notifier,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    pub fn new(mut queue: TicketQueue<P, H, T, S>, notifier: N, mut tickets: E) -> Self {
        let mut free = NONE;
        // As many as can be numbered, which is more than anybody declares.
        for (number, ticket) in (0..NONE).zip(tickets.as_mut()) {
            *ticket = Ticket::free(free);
            free = number;
        }
        // Nothing is in flight, so there is nothing to find: nobody but us makes ticket numbers.
        let _ = queue.arm();
        Self {
            service: Some((queue, notifier)),
            tickets,
            free,
            first: NONE,
            last: NONE,
            fault: None,
            cells: core::marker::PhantomData,
        }
    }

    pub fn fault(&self) -> Option<DeviceFault> {
        self.fault
    }

    pub fn fail(&mut self, fault: DeviceFault) {
        self.fault.get_or_insert(fault);
    }

    pub fn stop(&mut self) -> Option<(TicketQueue<P, H, T, S>, N)> {
        self.service.take()
    }

    /// Takes a request in: submits it, or has it wait behind those who came earlier. Whoever is refused gets his waker
    /// back.
    pub fn enter(
        &mut self,
        request: Request<P, H, T>,
        waker: Waker,
    ) -> Result<TicketNumber, (ExchangeError<P>, Option<Waker>)> {
        if self.service.is_none() {
            return Err((ExchangeError::Stopped(request.payload), Some(waker)));
        }
        let number = match self.fault.map(Refusal::Faulted) {
            Some(reason) => Err(reason),
            None => self.open().ok_or(Refusal::Full),
        };
        let number = match number {
            Ok(number) => number,
            Err(reason) => return Err((refuse(reason, request.payload), Some(waker))),
        };
        self.ticket(number).waker = Some(waker);
        if self.first != NONE || self.room() == 0 {
            self.ticket(number).stage = Stage::Waiting(request);
            self.join_waiting(number);
            return Ok(TicketNumber(number));
        }
        match self.submit(number, request) {
            Ok(()) => {
                self.publish();
                Ok(TicketNumber(number))
            }
            Err(error) => Err((error, self.close(number).waker)),
        }
    }

    /// Says how the exchange with this ticket ended, if it did, and takes the ticket back; otherwise changes who is to
    /// be woken, and hands the former waker out.
    pub fn ask(&mut self, TicketNumber(number): TicketNumber, waker: Waker) -> Result<Answer<P, T>, Option<Waker>> {
        let (fault, is_stopped) = (self.fault, self.service.is_none());
        let ticket = self.ticket(number);
        match &ticket.stage {
            Stage::Done(_) => {}
            Stage::Waiting(_) if is_stopped || fault.is_some() => self.leave_waiting(number),
            Stage::InFlight if fault.is_some() => {
                // The payload is still in the queue, and the ticket with it.
                ticket.stage = Stage::Detached;
                return fault.map(|fault| Err(ExchangeError::Lost(fault))).ok_or(None);
            }
            _ => return Err(ticket.waker.replace(waker)),
        }
        match self.close(number).stage {
            Stage::Done(answer) => Ok(answer),
            Stage::Waiting(request) => Ok(Err(match fault {
                Some(fault) => refuse(Refusal::Faulted(fault), request.payload),
                None => ExchangeError::Stopped(request.payload),
            })),
            // Looked at above.
            _ => Err(None),
        }
    }

    /// Ends the interest in an exchange, and hands out what nobody wants any more.
    pub fn leave(&mut self, TicketNumber(number): TicketNumber) -> Ticket<P, H, T> {
        let ticket = self.ticket(number);
        match ticket.stage {
            Stage::InFlight => {
                let unwanted = Ticket { waker: ticket.waker.take(), ..Ticket::default() };
                ticket.stage = Stage::Detached;
                unwanted
            }
            Stage::Waiting(_) => {
                self.leave_waiting(number);
                self.close(number)
            }
            _ => self.close(number),
        }
    }

    /// Gives a payload to whoever waits for it. Hands out whom to wake, or the payload if nobody does.
    pub fn hand_back(&mut self, TicketNumber(number): TicketNumber, payload: P) -> (Option<Waker>, Option<P>) {
        let ticket = self.tickets.as_mut().get_mut(number as usize);
        match ticket {
            Some(ticket @ Ticket { stage: Stage::InFlight, .. }) => {
                ticket.stage = Stage::Done(Err(ExchangeError::Stopped(payload)));
                (ticket.waker.take(), None)
            }
            Some(Ticket { stage: Stage::Detached, .. }) => {
                self.close(number);
                (None, Some(payload))
            }
            // A ticket of another queue's.
            _ => (None, Some(payload)),
        }
    }

    /// Takes completions out as long as wakers can be held, asks for an interrupt, and submits who waits for room.
    pub fn advance(&mut self, wakers: &mut Wakers) -> Progress {
        if let Some(fault) = self.fault {
            return Progress::HasFailed(fault);
        }
        let mut has_armed = false;
        while !wakers.is_full() {
            let Some((queue, _)) = &mut self.service else { return Progress::Armed };
            match queue.poll() {
                Ok(Some(done)) => {
                    self.finish(done, wakers);
                    has_armed = false;
                }
                // A device that takes back what it showed a moment ago has been asked to interrupt, and is not waited for.
                Ok(None) if has_armed => break,
                Ok(None) if queue.arm() == Armed::Idle => break,
                Ok(None) => has_armed = true,
                Err(fault) => {
                    self.fault = Some(fault);
                    return Progress::Failed(fault);
                }
            }
        }
        while self.first != NONE && self.room() > 0 && !wakers.is_full() {
            let number = self.first;
            self.leave_waiting(number);
            let ticket = self.ticket(number);
            let Stage::Waiting(request) = mem::replace(&mut ticket.stage, Stage::InFlight) else { continue };
            if let Err(error) = self.submit(number, request) {
                let ticket = self.ticket(number);
                ticket.stage = Stage::Done(Err(error));
                wakers.add(ticket.waker.take());
            }
        }
        self.publish();
        if wakers.is_full() { Progress::MoreToTake } else { Progress::Armed }
    }

    /// Takes wakers from the tickets from `first` on; returns where to go on.
    pub fn collect(&mut self, first: usize, wakers: &mut Wakers) -> Option<usize> {
        for (number, ticket) in self.tickets.as_mut().iter_mut().enumerate().skip(first) {
            if wakers.is_full() {
                return Some(number);
            }
            wakers.add(ticket.waker.take());
        }
        None
    }

    /// The ticket with a number that was given out.
    fn ticket(&mut self, number: u32) -> &mut Ticket<P, H, T> {
        &mut self.tickets.as_mut()[number as usize]
    }

    /// Takes a free ticket.
    fn open(&mut self) -> Option<u32> {
        if self.free == NONE {
            if !self.tickets.grow() {
                return None;
            }
            self.free = self.tickets.as_ref().len() as u32 - 1;
        }
        let number = self.free;
        self.free = self.ticket(number).next;
        Some(number)
    }

    /// Takes a ticket back, and hands out what it held.
    fn close(&mut self, number: u32) -> Ticket<P, H, T> {
        let free = mem::replace(&mut self.free, number);
        mem::replace(self.ticket(number), Ticket::free(free))
    }

    /// Puts a ticket at the end of those who wait for room.
    fn join_waiting(&mut self, number: u32) {
        let last = mem::replace(&mut self.last, number);
        let ticket = self.ticket(number);
        (ticket.previous, ticket.next) = (last, NONE);
        match last {
            NONE => self.first = number,
            last => self.ticket(last).next = number,
        }
    }

    /// Takes a ticket out of those who wait for room, wherever it is.
    fn leave_waiting(&mut self, number: u32) {
        let &mut Ticket { previous, next, .. } = self.ticket(number);
        match previous {
            NONE => self.first = next,
            previous => self.ticket(previous).next = next,
        }
        match next {
            NONE => self.last = previous,
            next => self.ticket(next).previous = previous,
        }
    }

    /// How many requests the queue takes now.
    fn room(&self) -> u16 {
        self.service.as_ref().map_or(0, |(queue, _)| queue.room())
    }

    /// Submits a request; there is room for it.
    fn submit(&mut self, number: u32, request: Request<P, H, T>) -> Result<(), ExchangeError<P>> {
        let Request { header, payload, direction, trailer } = request;
        let Some((queue, _)) = &mut self.service else { return Err(ExchangeError::Stopped(payload)) };
        match queue.submit(header, payload, direction, trailer, TicketNumber(number)) {
            Ok(_) => {
                self.ticket(number).stage = Stage::InFlight;
                Ok(())
            }
            Err(Refused { reason, request: (payload, _) }) => Err(refuse(reason, payload)),
        }
    }

    /// Shows the device what was submitted, and notifies it if it wishes.
    fn publish(&mut self) {
        if let Some((queue, notifier)) = &mut self.service {
            let wish = queue.publish();
            notifier.notify(queue, wish);
        }
    }

    /// Gives what the device is done with to whoever waits for it, or to its pool.
    fn finish(&mut self, done: Done<P, TicketNumber, T::Value>, wakers: &mut Wakers) {
        let Done { payload, cookie: TicketNumber(number), token, written, is_overlong, trailer } = done;
        let ticket = self.ticket(number);
        if let Stage::InFlight = ticket.stage {
            ticket.stage = Stage::Done(Ok(Done { payload, cookie: (), token, written, is_overlong, trailer }));
            wakers.add(ticket.waker.take());
        } else {
            self.close(number);
        }
    }
}

fn refuse<P>(reason: Refusal, payload: P) -> ExchangeError<P> {
    ExchangeError::Refused(Refused { reason, request: payload })
}

impl<P, N, H, T, S, E> fmt::Debug for Desk<P, N, H, T, S, E>
where
    P: Payload,
    H: Cell,
    T: Cell,
    S: SlotStorage<P, TicketNumber>,
    E: TicketStorage<P, H, T>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some((queue, _)) => queue.fmt(f)?,
            None => f.write_str("stopped")?,
        }
        let is_used = |ticket: &&Ticket<P, H, T>| !matches!(ticket.stage, Stage::Free);
        let tickets = self.tickets.as_ref();
        write!(f, ", {} of {} tickets in use", tickets.iter().filter(is_used).count(), tickets.len())
    }
}
