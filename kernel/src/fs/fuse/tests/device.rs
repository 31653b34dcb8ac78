//! A carrier with a model of a server behind it, as obedient, slow or hostile as a test wants it.

use std::boxed::Box;
use std::collections::{BTreeSet, VecDeque};
use std::format;
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;

use fuse_proto::header::{ReplyHeader, RequestHeader};
use fuse_proto::{Errno, Opcode};
use toro_core::driver::fuse::{FuseCompletion, FuseDevice, FuseLimits, FuseRequest, Priority, RequestId};
use toro_core::driver::{Armed, AttachError, DeviceFault, Refusal, Refused};
use toro_core::{Dma, DmaBuf, DmaPool};
use zerocopy::little_endian::{I32, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::memory::Heap;
use super::server::{Reply, Server};

mod order;

/// In which order requests that are there together are answered.
#[derive(Clone, Copy, Default)]
pub enum Order {
    #[default]
    FirstFirst,
    LastFirst,
    /// Picked by a generator with this state.
    Any(u64),
}

type Spoil = Box<dyn FnMut(Opcode, &mut Vec<u8>) + Send>;

/// How the device behaves; tests change it at any time.
#[derive(Default)]
pub struct Behaviour {
    pub order: Order,
    /// How many polls a request takes.
    pub delay: usize,
    /// Requests that are never answered.
    pub swallow: BTreeSet<u32>,
    /// Requests are carried out in the order in which they arrive, whatever the order of their answers.
    pub prompt: bool,
    /// Changes replies, header included, before they are written.
    pub spoil: Option<Spoil>,
    /// Whether memory may be lent to it.
    pub borrows: bool,
    /// How many attempts to reset it fail.
    pub refused_resets: usize,
    /// What the next poll fails with.
    pub fault: Option<DeviceFault>,
    /// What the device says when it is asked whether it is well.
    pub unwell: Option<DeviceFault>,
    /// What resets fail with.
    pub stuck: Option<AttachError>,
    /// Whether the server outlives resets of its device.
    pub survives: bool,
}

pub struct Inner {
    pub server: Server,
    pub behaviour: Behaviour,
    pub limits: FuseLimits,
    /// What the server says of its own accord; `None` for a device that has no way for that.
    pub messages: Option<VecDeque<Vec<u8>>>,
    /// How often the device was reset.
    pub resets: usize,
    /// How often the device was notified.
    pub notifications: usize,
    /// The most ordinary requests that were in flight at once.
    pub most_in_flight: usize,
    /// READs in flight now, and the most there were.
    pub most_reads: usize,
    /// The same of WRITEs.
    pub most_writes: usize,
    in_flight: Vec<InFlight>,
    unpublished: Vec<InFlight>,
    free: VecDeque<u16>,
    polls: usize,
}

struct InFlight {
    id: RequestId,
    request: FuseRequest,
    due: usize,
    /// What the server has answered already.
    answer: Option<Option<Reply>>,
}

/// The test's side.
#[derive(Clone)]
pub struct Model(Arc<Mutex<Inner>>);

/// The client's side.
pub struct ModelDevice {
    model: Model,
    small: DmaPool,
    medium: DmaPool,
    large: DmaPool,
}

impl Model {
    pub fn new(server: Server) -> Self {
        let limits = FuseLimits { in_flight: 32, high_priority_in_flight: 4, max_payload: 256 * 1024 };
        Self(Arc::new(Mutex::new(Inner {
            server,
            behaviour: Behaviour::default(),
            limits,
            messages: None,
            notifications: 0,
            most_in_flight: 0,
            most_reads: 0,
            most_writes: 0,
            resets: 0,
            in_flight: Vec::new(),
            unpublished: Vec::new(),
            free: (0..4096).collect(),
            polls: 0,
        })))
    }

    pub fn device(&self) -> Box<dyn FuseDevice> {
        let pool = |count, size| DmaPool::new(&Heap, count, size).expect("the host has memory");
        Box::new(ModelDevice {
            model: self.clone(),
            small: pool(256, 256),
            medium: pool(16, 64 * 1024),
            large: pool(16, 256 * 1024),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Inner {
    fn opcode(request: &FuseRequest) -> Opcode {
        let (header, _) = RequestHeader::read_from_prefix(&request.request).expect("requests have headers");
        Opcode::from_raw(header.opcode.get()).expect("requests have codes")
    }

    fn accept(&mut self, request: FuseRequest) -> Result<RequestId, Refused<FuseRequest>> {
        let high = request.priority == Priority::High;
        let limit = if high { self.limits.high_priority_in_flight } else { self.limits.in_flight };
        let all = || self.in_flight.iter().chain(&self.unpublished);
        let same = all().filter(|other| (other.request.priority == Priority::High) == high).count();
        if same >= limit {
            return Err(Refused { reason: Refusal::Full, request });
        }
        let opcode = Self::opcode(&request);
        if high != matches!(opcode, Opcode::Forget | Opcode::BatchForget | Opcode::Interrupt) {
            self.server.offences.push(format!("{opcode} on the wrong queue"));
        }
        if high == request.reply.is_some() {
            self.server.offences.push(format!("{opcode} with the wrong buffers"));
        }
        if request.reply.as_deref().is_some_and(|reply| reply.iter().take(16).any(|&byte| byte != 0)) {
            self.server.offences.push(format!("{opcode} with an old reply in its buffer"));
        }
        self.check_order(&request, opcode);
        let id = RequestId(self.free.pop_front().expect("limits are below 4096"));
        self.unpublished.push(InFlight { id, request, due: 0, answer: None });
        let ordinary = all_ordinary(&self.in_flight) + all_ordinary(&self.unpublished);
        self.most_in_flight = self.most_in_flight.max(ordinary);
        let count = |wanted| {
            let requests = self.in_flight.iter().chain(&self.unpublished);
            requests.filter(|other| Self::opcode(&other.request) == wanted).count()
        };
        let (reads, writes) = (count(Opcode::Read), count(Opcode::Write));
        self.most_reads = self.most_reads.max(reads);
        self.most_writes = self.most_writes.max(writes);
        Ok(id)
    }

    fn publish(&mut self) {
        self.notifications += 1;
        let due = self.polls + self.behaviour.delay;
        for mut new in core::mem::take(&mut self.unpublished) {
            new.due = due;
            if self.behaviour.prompt {
                new.answer = Some(self.server.answer(&bytes(&new.request)));
            }
            self.in_flight.push(new);
        }
    }

    fn complete(&mut self) -> Option<FuseCompletion> {
        let ready: Vec<usize> = (0..self.in_flight.len())
            .filter(|&index| {
                let request = &self.in_flight[index];
                let raw = Self::opcode(&request.request).raw();
                request.due <= self.polls && !self.behaviour.swallow.contains(&raw)
            })
            .collect();
        let chosen = match &mut self.behaviour.order {
            Order::FirstFirst => ready.first(),
            Order::LastFirst => ready.last(),
            Order::Any(state) => {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ready.get((*state >> 33) as usize % ready.len().max(1))
            }
        };
        let InFlight { id, mut request, answer, .. } = self.in_flight.remove(*chosen?);
        let opcode = Self::opcode(&request);
        let unique = RequestHeader::read_from_prefix(&request.request).expect("requests have headers").0.unique;
        let mut written = 0;
        if let Some(answer) = answer.unwrap_or_else(|| self.server.answer(&bytes(&request))) {
            let reply = encode(unique, answer);
            written = self.write(opcode, &mut request, reply);
        }
        self.free.push_back(id.0);
        Some(FuseCompletion { id, request, written })
    }

    fn write(&mut self, opcode: Opcode, request: &mut FuseRequest, mut reply: Vec<u8>) -> usize {
        if let Some(spoil) = &mut self.behaviour.spoil {
            spoil(opcode, &mut reply);
        }
        // A device fills the first buffer, then the second, and cannot write past the end of the chain.
        let room = request.reply.as_deref_mut().unwrap_or_default();
        let head = reply.len().min(room.len());
        room[..head].copy_from_slice(&reply[..head]);
        let rest = &reply[head..];
        let room = request.payload.as_deref_mut().unwrap_or_default();
        let tail = rest.len().min(room.len());
        room[..tail].copy_from_slice(&rest[..tail]);
        head + tail
    }
}

/// A device sees one chain, however many buffers it is made of.
fn bytes(request: &FuseRequest) -> Vec<u8> {
    [&request.request, request.data.as_deref().unwrap_or_default()].concat()
}

fn header(request: &FuseRequest) -> RequestHeader {
    RequestHeader::read_from_prefix(&request.request).expect("requests have headers").0
}

fn all_ordinary(requests: &[InFlight]) -> usize {
    requests.iter().filter(|request| request.request.priority == Priority::Normal).count()
}

fn encode(unique: U64, answer: Result<Vec<u8>, Errno>) -> Vec<u8> {
    let (error, payload) = match answer {
        Ok(payload) => (0, payload),
        Err(errno) => (-i32::from(errno.get()), Vec::new()),
    };
    let len = U32::new(16 + payload.len() as u32);
    let header = ReplyHeader { len, error: I32::new(error), unique };
    [header.as_bytes(), &payload].concat()
}

impl FuseDevice for ModelDevice {
    fn tag(&self) -> &[u8] {
        b"model"
    }

    fn limits(&self) -> FuseLimits {
        self.model.lock().limits
    }

    fn buffer(&mut self, size: usize) -> Option<DmaBuf> {
        let pools = [&mut self.small, &mut self.medium, &mut self.large];
        let pool = pools.into_iter().find(|pool| pool.buffer_size() >= size)?;
        let mut buffer = pool.take()?;
        buffer.set_len(size).ok()?;
        Some(buffer)
    }

    fn recycle(&mut self, buffer: DmaBuf) {
        drop(buffer);
    }

    fn lender(&self) -> Option<Dma> {
        self.model.lock().behaviour.borrows.then_some(&Heap as Dma)
    }

    fn submit(&mut self, request: FuseRequest) -> Result<RequestId, Refused<FuseRequest>> {
        self.model.lock().accept(request)
    }

    fn publish(&mut self) {
        self.model.lock().publish();
    }

    fn complete(&mut self) -> Result<Option<FuseCompletion>, DeviceFault> {
        let mut inner = self.model.lock();
        if let Some(fault) = inner.behaviour.fault {
            return Err(fault);
        }
        let completion = inner.complete();
        if completion.is_none() {
            inner.polls += 1;
        }
        Ok(completion)
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        let inner = self.model.lock();
        let has_news = inner.messages.as_ref().is_some_and(|messages| !messages.is_empty());
        let armed = if has_news { Armed::WorkPending } else { Armed::Idle };
        inner.behaviour.fault.map_or(Ok(armed), Err)
    }

    fn has_notifications(&self) -> bool {
        self.model.lock().messages.is_some()
    }

    fn notification(&mut self) -> Result<Option<DmaBuf>, DeviceFault> {
        let next = self.model.lock().messages.as_mut().and_then(VecDeque::pop_front);
        Ok(next.map(|bytes| {
            let mut message = self.buffer(bytes.len()).expect("there are enough");
            message.copy_from_slice(&bytes);
            message
        }))
    }

    fn check(&mut self) -> Result<(), DeviceFault> {
        let inner = self.model.lock();
        inner.behaviour.fault.or(inner.behaviour.unwell).map_or(Ok(()), Err)
    }

    fn reset(&mut self, unfinished: &mut dyn FnMut(RequestId, FuseRequest)) -> Result<(), AttachError> {
        let mut inner = self.model.lock();
        if let Some(error) = inner.behaviour.stuck {
            return Err(error);
        }
        if let Some(left) = inner.behaviour.refused_resets.checked_sub(1) {
            inner.behaviour.refused_resets = left;
            return Err(AttachError::Resources("it was told not to"));
        }
        inner.resets += 1;
        (inner.behaviour.fault, inner.behaviour.unwell) = (None, None);
        let mut back = core::mem::take(&mut inner.in_flight);
        back.append(&mut inner.unpublished);
        if !inner.behaviour.survives {
            inner.server.restart();
        }
        for InFlight { id, request, .. } in back {
            inner.free.push_back(id.0);
            unfinished(id, request);
        }
        Ok(())
    }
}
