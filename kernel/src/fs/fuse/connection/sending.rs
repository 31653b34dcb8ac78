//! From an operation to a request that the device has: buffers for it, its place among the device's requests, and its slot.
//!
//! Nothing here tells the device that there is something new; the next [`poll`](Connection::poll) does, once for all.

use alloc::rc::Rc;

use fuse_proto::{Caller, EncodeError, Errno, Operation, Request, Unique};
use toro_core::DmaBuf;
use toro_core::driver::Refusal;
use toro_core::driver::fuse::{FuseRequest, Priority, RequestId};

use super::Connection;
use super::slots::{Keep, Late, Phase, Slot, Waiter};
use super::ticket::Ticket;
use crate::fs::scheduler::Wake;

/// Any request, to be encoded: what is done with all of them is compiled once.
pub(super) trait AnyRequest {
    /// See [`Request::data_len`].
    fn data_len(&self) -> usize;

    /// See [`Request::request_len`].
    fn len(&self) -> Result<usize, EncodeError>;

    /// See [`Request::encode`].
    fn encode(&self, unique: Unique, buffer: &mut [u8]) -> Result<usize, EncodeError>;
}

impl<R: Request> AnyRequest for R {
    fn data_len(&self) -> usize {
        Request::data_len(self)
    }

    fn len(&self) -> Result<usize, EncodeError> {
        self.request_len()
    }

    fn encode(&self, unique: Unique, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        Request::encode(self, unique, Caller::SUPERUSER, buffer)
    }
}

impl Connection {
    /// Sends an operation and waits for its answer, of which `use_reply` makes the result.
    ///
    /// # Errors
    ///
    /// The server's, EIO for a malformed answer (what it owes is paid), and those of [`submit`](Self::submit).
    pub fn call<O: Operation, T>(
        self: &Rc<Self>,
        operation: &O,
        late: Late,
        keep: Keep,
        use_reply: impl FnOnce(O::Reply<'_>) -> T,
    ) -> Result<T, Errno> {
        let answer = self.submit(operation, None, late, keep)?.wait()?;
        let result = operation.decode(answer.unique, answer.reply()).map(use_reply);
        self.recycle(answer.buffers);
        result.map_err(|error| self.judge(error))
    }

    /// Sends an operation; `payload` is where bulk data of its reply goes, as long as the room for it. Waits
    /// while the device has no room for the request.
    ///
    /// # Errors
    ///
    /// ENOMEM, ETIMEDOUT, EINVAL for what cannot be expressed, EIO or ENOTCONN on a closed connection.
    pub fn submit<O: Operation>(
        self: &Rc<Self>,
        operation: &O,
        payload: Option<DmaBuf>,
        late: Late,
        keep: Keep,
    ) -> Result<Ticket, Errno> {
        let (unique, request) = self.prepare(operation, None, payload)?;
        self.submit_prepared(unique, request, late, keep)
    }

    /// Like [`submit`](Self::submit), for an operation whose data goes to the server in a buffer of its own.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn submit_data<O: Operation>(
        self: &Rc<Self>,
        operation: &O,
        data: DmaBuf,
        late: Late,
        keep: Keep,
    ) -> Result<Ticket, Errno> {
        let (unique, request) = self.prepare(operation, Some(data), None)?;
        self.submit_prepared(unique, request, late, keep)
    }

    fn submit_prepared(
        self: &Rc<Self>,
        unique: Unique,
        mut request: FuseRequest,
        late: Late,
        keep: Keep,
    ) -> Result<Ticket, Errno> {
        let deadline = self.deadline();
        loop {
            match self.offer(request) {
                Ok(id) => return Ok(self.ticket(id, unique, late, keep)),
                Err((errno, refused)) => {
                    request = refused;
                    if errno != Errno::EAGAIN || self.room.wait_until(deadline) == Wake::TimedOut {
                        self.recycle(request);
                        return Err(if errno == Errno::EAGAIN { self.waited_in_vain() } else { errno });
                    }
                }
            }
        }
    }

    /// Like [`submit`](Self::submit), but `None` instead of waiting for room, and for every failure.
    pub fn try_submit<O: Operation>(
        self: &Rc<Self>,
        operation: &O,
        payload: Option<DmaBuf>,
        late: Late,
        keep: Keep,
    ) -> Option<Ticket> {
        let (unique, request) = self.prepare(operation, None, payload).ok()?;
        match self.offer(request) {
            Ok(id) => Some(self.ticket(id, unique, late, keep)),
            Err((_, request)) => {
                self.recycle(request);
                None
            }
        }
    }

    /// Encodes an operation into fresh buffers.
    fn prepare<O: Operation>(
        &self,
        operation: &O,
        data: Option<DmaBuf>,
        payload: Option<DmaBuf>,
    ) -> Result<(Unique, FuseRequest), Errno> {
        self.prepare_any(operation, operation.reply_capacity(), data, payload)
    }

    fn prepare_any(
        &self,
        operation: &dyn AnyRequest,
        reply_capacity: usize,
        data: Option<DmaBuf>,
        payload: Option<DmaBuf>,
    ) -> Result<(Unique, FuseRequest), Errno> {
        if data.as_ref().map_or(0, |data| data.len()) != operation.data_len() {
            return Err(Errno::EINVAL);
        }
        let (unique, request) = self.encode(operation)?;
        let room = reply_capacity - payload.as_ref().map_or(0, |payload| payload.len());
        let Some(mut reply) = self.buffer(room) else {
            self.device.borrow_mut().recycle(request);
            return Err(Errno::ENOMEM);
        };
        // A reply that was never written must not look like the last one that was (FU-FR-8).
        reply.fill(0);
        let priority = Priority::Normal;
        Ok((unique, FuseRequest { priority, request, data, reply: Some(reply), payload }))
    }

    pub(super) fn encode(&self, request: &dyn AnyRequest) -> Result<(Unique, DmaBuf), Errno> {
        let length = request.len().map_err(|_| Errno::EINVAL)?;
        let mut buffer = self.buffer(length).ok_or(Errno::ENOMEM)?;
        let unique = self.state.borrow_mut().uniques.allocate();
        match request.encode(unique, &mut buffer) {
            Ok(_) => Ok((unique, buffer)),
            Err(_) => {
                self.device.borrow_mut().recycle(buffer);
                Err(Errno::EINVAL)
            }
        }
    }

    /// Gives a request to the device; EAGAIN says that it has no room now.
    pub(super) fn offer(&self, request: FuseRequest) -> Result<RequestId, (Errno, FuseRequest)> {
        if let Some(reason) = self.state.borrow().closed {
            return Err((reason, request));
        }
        let refused = match self.device.borrow_mut().submit(request) {
            Ok(id) => return Ok(id),
            Err(refused) => refused,
        };
        let errno = match refused.reason {
            Refusal::Full => Errno::EAGAIN,
            Refusal::Faulted(fault) => {
                self.fail(fault);
                Errno::EIO
            }
            _ => Errno::EINVAL,
        };
        Err((errno, refused.request))
    }

    fn ticket(self: &Rc<Self>, id: RequestId, unique: Unique, late: Late, keep: Keep) -> Ticket {
        let slot = self.enter(id, Phase::InFlight { unique, late, keep, waiter: Waiter::Present });
        self.wanted.set(self.wanted.get() + 1);
        Ticket { connection: Rc::clone(self), slot, waits: true }
    }

    /// Gives a request that the device has accepted a slot.
    pub(super) fn enter(&self, id: RequestId, phase: Phase) -> usize {
        let mut state = self.state.borrow_mut();
        let index = state.free.pop().unwrap_or(state.slots.len());
        match state.slots.get_mut(index) {
            Some(slot) => slot.phase = phase,
            None => state.slots.push(Slot { phase, event: self.scheduler.event() }),
        }
        state.by_request.insert(id, index);
        state.unpublished = true;
        self.in_flight.set(self.in_flight.get() + 1);
        index
    }
}
