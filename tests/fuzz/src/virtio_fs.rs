//! Target `virtio_fs`: a file system device that says what it likes, at any time, under the driver for it, through resets.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | bit 0 the bus, bit 1 EVENT_IDX, bit 2 INDIRECT_DESC, bit 3 NOTIFICATION, bit 4 IN_ORDER, bits 5 and up: size of the queues |
//! | 1 byte | how many queues there are |
//! | 1 byte | length of the configuration, up to 44 bytes, which follow |
//!
//! | step | arguments | what happens |
//! |---|---|---|
//! | 0 | | the end |
//! | 1 | kind, length (2) | a request is submitted: which operation, and with which buffers |
//! | 2, 3, 4 | | publish, complete all, arm |
//! | 5 | | messages of the server are taken, and some of them held |
//! | 6 | | the device is asked whether it is well |
//! | 7 | queue | the device takes what is available |
//! | 8 | queue, length (4) | the device writes its oldest chain, and completes it with that length |
//! | 9 | queue, id (4), length (4) | the device gives back something |
//! | 10 | queue, index (2) | the device shows a used index |
//! | 11 | queue, offset (2), value (8) | the device writes anywhere into a queue's memory |
//! | 12 | offset, value | the configuration changes, and the device says so |
//! | 13 | | the device asks for a reset |
//! | 14 | how | the driver resets the device, which confirms unless `how` is 3 modulo 4 |
//! | 15 | | messages that were held are given back |
//!
//! # What is held
//!
//! - A request is on the queue that is for its kind, and one that is not as it should be is refused.
//! - Each comes back at most once, under its id, with its buffers, and with a length that there was room for.
//! - A fault has a cause, and stays until a reset; a reset that is confirmed hands back all the rest, and one that is not
//!   leaves nothing that could be used.
//! - A message is no longer than the buffers that the device asked for.

use std::collections::{BTreeMap, VecDeque};

use toro_core::DmaBuf;
use toro_core::driver::fuse::{FuseDevice, FuseRequest, Priority, RequestId};
use toro_core::driver::{AttachError, DeviceFault, Refusal};
use virtio_fs::features::NOTIFICATION;
use virtio_fs::{Options, VirtioFs};
use virtio_queue_rt::FeatureBits;
use virtio_queue_rt::attach::BoxedTransport;
use virtio_sim::{Device, SimMemory};

use crate::clock::CLOCK;
use crate::peer::Peer;
use crate::peers::{self, Peers};
use crate::script::Script;

/// Steps of one input at most.
const MOST_STEPS: usize = 384;
/// Rings of all queues, notification buffers, and pools of all sizes.
const MOST_BLOCKS: usize = 64;

/// A driver and its device.
struct Story {
    memory: &'static SimMemory,
    device: Device,
    fs: VirtioFs<BoxedTransport>,
    /// High priority, notifications if there are any, requests.
    peers: Peers,
    in_flight: BTreeMap<u16, Sent>,
    held: VecDeque<DmaBuf>,
    accepted: FeatureBits,
    message_size: usize,
    fault: Option<DeviceFault>,
    next: u64,
    /// Whether the device wrote where it may not, so that what is in buffers may be anything.
    is_spoilt: bool,
    /// Whether the device has asked for a reset.
    is_unwell: bool,
    is_gone: bool,
}

/// What is known of a request in flight.
struct Sent {
    number: u64,
    priority: Priority,
    /// Lengths of its buffers.
    lengths: [Option<usize>; 4],
}

/// Runs an input; says why the driver did not take the device, if so.
pub fn body(input: &[u8], memory: &'static SimMemory) -> Option<AttachError> {
    let script = Script::new(input);
    let head = script.byte();
    let device = device(&script, head);
    let transport = transport(&device, head);
    let options = Options { descriptors: 64, notification_buffers: 4, buffer_bytes: 512 << 10, ..Options::default() };
    let fs = match VirtioFs::new(transport, memory, &CLOCK, &options) {
        Ok(fs) => fs,
        Err(error) => {
            assert_eq!(memory.blocks(), 0, "HD-G-5: a failed attachment left memory");
            return Some(error);
        }
    };
    let mut story = Story {
        memory,
        device,
        fs,
        peers: Peers::default(),
        in_flight: BTreeMap::new(),
        held: VecDeque::new(),
        accepted: FeatureBits::EMPTY,
        message_size: 0,
        fault: None,
        next: 0,
        is_spoilt: false,
        is_unwell: false,
        is_gone: false,
    };
    story.look_at_queues();
    for _ in 0..MOST_STEPS {
        if !story.step(&script) {
            break;
        }
        assert!(story.memory.blocks() <= MOST_BLOCKS, "traffic takes memory");
    }
    None
}

/// The device that the head of an input describes.
fn device(script: &Script<'_>, head: u8) -> Device {
    let mut offered = FeatureBits::VERSION_1.bits();
    let features =
        [(2, FeatureBits::EVENT_IDX), (4, FeatureBits::INDIRECT_DESC), (8, NOTIFICATION), (16, FeatureBits::IN_ORDER)];
    for (bit, feature) in features {
        if head & bit != 0 {
            offered |= feature.bits();
        }
    }
    let size = 4 << (head >> 5);
    let queues = vec![size; usize::from(script.byte() % 7)];
    let len = script.byte() % 45;
    Device::new(26, offered, &queues, script.take(len.into()))
}

/// The bus that it is on.
fn transport(device: &Device, head: u8) -> BoxedTransport {
    let on_bus = if head & 1 == 0 { peers::on_mmio } else { peers::on_pci };
    on_bus(device.clone())
}

impl Story {
    /// The device has been set up: what its queues are now.
    fn look_at_queues(&mut self) {
        let state = self.device.state();
        self.accepted = FeatureBits::from_bits(state.accepted);
        // What is behind the end reads as zeros.
        let size = [40, 41, 42, 43].map(|at| state.config.get(at).copied().unwrap_or(0));
        self.message_size = u32::from_le_bytes(size) as usize;
        drop(state);
        self.peers = Peers::of(&self.device, self.memory);
        assert!(self.peers.len() >= 2, "a queue is missing");
        assert_eq!(self.fs.has_notifications(), self.accepted.contains(NOTIFICATION));
    }

    /// One step; `false` at the end.
    fn step(&mut self, script: &Script<'_>) -> bool {
        match script.byte() % 16 {
            0 => return false,
            1 => self.submit(script),
            2 => self.fs.publish(),
            3 => self.complete(),
            4 => {
                self.noted(|fs| fs.arm().map(drop));
            }
            5 => self.listen(),
            6 => {
                let is_well = self.noted(|fs| fs.check()).is_some();
                assert!(!is_well || !self.is_unwell, "HD-ST-4");
            }
            7 => self.peers.pick(script).take_all(),
            8 => self.answer(script),
            9 => self.peers.pick(script).return_anything(script),
            10 => self.peers.pick(script).show_anything(script),
            11 => {
                self.is_spoilt = true;
                self.peers.pick(script).spoil_anything(script);
            }
            12 => peers::change_configuration(&self.device, script),
            13 => {
                peers::ask_for_reset(&self.device);
                self.is_unwell = true;
            }
            14 => self.reset(script.byte()),
            _ => self.held.drain(..).for_each(|message| self.fs.recycle(message)),
        }
        true
    }

    /// Does something that may find a fault.
    fn noted<V>(&mut self, act: impl FnOnce(&mut VirtioFs<BoxedTransport>) -> Result<V, DeviceFault>) -> Option<V> {
        let result = act(&mut self.fs);
        match (self.fault, &result) {
            (Some(known), Ok(_)) => panic!("a fault went away: {known}"),
            (Some(known), Err(fault)) => assert_eq!(*fault, known, "a fault stays"),
            (None, Err(DeviceFault::NeedsReset)) => assert!(self.is_unwell, "a wish that nobody had"),
            (None, Err(fault)) => {
                assert!(self.peers.have_lied(), "a fault out of nothing: {fault}");
            }
            (None, Ok(_)) => {}
        }
        self.fault = self.fault.or(result.as_ref().err().copied());
        result.ok()
    }

    fn buffer(&mut self, len: usize) -> Option<DmaBuf> {
        let mut buffer = self.fs.buffer(len)?;
        assert_eq!(buffer.len(), len);
        buffer.fill(0);
        Some(buffer)
    }

    /// A request of a kind: bits 0 to 5 the operation, bits 6 and 7 what is wrong with it, if something is.
    fn request(&mut self, kind: u8, len: usize, number: u64) -> Option<FuseRequest> {
        let code = u32::from(kind & 63);
        let mut request = self.buffer(48)?;
        request[4..8].copy_from_slice(&code.to_le_bytes());
        request[40..48].copy_from_slice(&number.to_le_bytes());
        let is_urgent = matches!(code, 2 | 36 | 42);
        let is_on_the_wrong_queue = kind >> 6 == 1;
        let priority = if is_urgent == is_on_the_wrong_queue { Priority::Normal } else { Priority::High };
        let has_reply = (priority == Priority::Normal) != (kind >> 6 == 2);
        if kind >> 6 == 3 {
            request.set_len(len % 40).ok()?;
        }
        let reply = if has_reply { Some(self.buffer(16 + len % 200)?) } else { None };
        let is_bulky = len > 200 && has_reply;
        let data = if is_bulky && len & 1 == 0 { Some(self.buffer(len)?) } else { None };
        let payload = if is_bulky && len & 1 == 1 { Some(self.buffer(len)?) } else { None };
        Some(FuseRequest { priority, request, data, reply, payload })
    }

    fn submit(&mut self, script: &Script<'_>) {
        let (kind, len) = (script.byte(), usize::from(script.word()));
        let number = self.next;
        let Some(request) = self.request(kind, len, number) else { return };
        let (priority, lengths) = (request.priority, lengths(&request));
        match self.fs.submit(request) {
            Ok(id) => {
                assert_eq!(kind >> 6, 0, "FS-2, FS-3: what is wrong was accepted");
                assert_eq!((self.fault, self.is_gone), (None, false), "something was accepted after a fault");
                assert_eq!(id.0 >= 0x8000, priority == Priority::High);
                let known = self.in_flight.insert(id.0, Sent { number, priority, lengths });
                assert!(known.is_none(), "an id is unique among those in flight");
                self.next += 1;
                let limits = self.fs.limits();
                assert!(self.in_flight.len() <= limits.in_flight + limits.high_priority_in_flight);
            }
            Err(refused) => {
                assert_eq!(self::lengths(&refused.request), lengths, "it comes back");
                match refused.reason {
                    Refusal::Invalid => assert_ne!(kind >> 6, 0, "a sound request was refused"),
                    Refusal::Full => assert!(!self.in_flight.is_empty(), "it was full of nothing"),
                    Refusal::Faulted(fault) => {
                        // What a queue has found and nobody has been told.
                        let is_known = self.fault == Some(fault) || self.is_gone;
                        assert!(is_known || self.fault.is_none(), "{fault} in place of {:?}", self.fault);
                    }
                    reason => panic!("refused for no reason that there is: {reason:?}"),
                }
                self.recycle(refused.request);
            }
        }
    }

    fn recycle(&mut self, request: FuseRequest) {
        let FuseRequest { request, data, reply, payload, .. } = request;
        [Some(request), data, reply, payload].into_iter().flatten().for_each(|buffer| self.fs.recycle(buffer));
    }

    /// A request that is back.
    fn check(&mut self, id: RequestId, request: &FuseRequest) {
        let sent = self.in_flight.remove(&id.0).expect("HD-VQ-3: it was in flight, once");
        assert_eq!((request.priority, lengths(request)), (sent.priority, sent.lengths), "its own buffers");
        let number = u64::from_le_bytes(request.request[40..48].try_into().expect("eight bytes"));
        assert!(self.is_spoilt || number == sent.number, "its own buffers");
    }

    fn complete(&mut self) {
        while let Some(Some(done)) = self.noted(|fs| fs.complete()) {
            self.check(done.id, &done.request);
            let room = [&done.request.reply, &done.request.payload].into_iter().flatten();
            assert!(done.written <= room.map(|buffer| buffer.len()).sum(), "HD-VQ-4");
            self.recycle(done.request);
        }
    }

    fn listen(&mut self) {
        while let Some(Some(message)) = self.noted(|fs| fs.notification()) {
            assert!(self.accepted.contains(NOTIFICATION) && message.len() <= self.message_size, "HD-FS-43");
            self.held.push_back(message);
        }
        while self.held.len() > 5 {
            let message = self.held.pop_front().expect("there are more");
            self.fs.recycle(message);
        }
    }

    /// The device writes its oldest chain and completes it.
    fn answer(&mut self, script: &Script<'_>) {
        let peer = self.peers.pick(script);
        let len = script.long();
        if peer.chains.is_empty() {
            peer.take_all();
        }
        let Some(chain) = peer.chains.pop_front() else { return };
        peer.write(&chain, chain.writable().min(4096));
        peer.push(u32::from(chain.head), len, 1);
    }

    fn reset(&mut self, how: u8) {
        if how % 4 == 3 {
            self.device.lie(|lies| lies.never_resets = true);
        }
        let mut back = Vec::new();
        let result = self.fs.reset(&mut |id, request| back.push((id, request)));
        let has_confirmed = !back.is_empty() || (how % 4 != 3 && !self.is_gone);
        for (id, request) in back {
            self.check(id, &request);
            self.recycle(request);
        }
        assert!(self.in_flight.is_empty() || !has_confirmed, "INI-12: something was kept");
        match result {
            Ok(()) => {
                (self.fault, self.is_spoilt, self.is_unwell) = (None, false, false);
                self.look_at_queues();
            }
            Err(_) => {
                self.is_gone = true;
                self.fault = Some(DeviceFault::Gone);
                self.peers.iter_mut().for_each(|peer| peer.is_lenient = true);
                if has_confirmed {
                    // Its queues are gone, and nobody looks at them any more.
                    self.peers = Peers::only(self.nowhere());
                }
            }
        }
    }

    /// A queue that no driver has.
    fn nowhere(&self) -> Peer {
        let block = toro_core::DmaPool::new(self.memory, 1, 4096).expect("memory").take().expect("it has one");
        let at = block.bus_addr().get();
        let mut peer = Peer::new(self.memory, 4, [at, at + 64, at + 128], self.accepted);
        // The device may write there for as long as it likes.
        std::mem::forget(block);
        peer.is_lenient = true;
        peer
    }
}

fn lengths(request: &FuseRequest) -> [Option<usize>; 4] {
    let len = |buffer: &Option<DmaBuf>| buffer.as_ref().map(|buffer| buffer.len());
    [Some(request.request.len()), len(&request.data), len(&request.reply), len(&request.payload)]
}

/// Stories about shares.
pub fn seeds() -> crate::seeds::Seeds {
    // EVENT_IDX, INDIRECT_DESC and NOTIFICATION, queues of 16 descriptors, two for requests.
    const ALL: u8 = 2 | 4 | 8 | 2 << 5;
    let config = |tag: &[u8], queues: u32, message: u32| {
        let mut config = tag.to_vec();
        config.resize(36, 0);
        config.extend(queues.to_le_bytes());
        config.extend(message.to_le_bytes());
        config
    };
    let head = |first: u8, queues: u8, config: &[u8]| [&[first, queues, config.len() as u8][..], config].concat();
    let share = |first: u8| head(first, 4, &config(b"share", 2, 128));
    let submit = |kind: u8, len: u16| [&[1, kind][..], &len.to_le_bytes()].concat();
    let answer = |queue: u8, len: u32| [&[8, queue][..], &len.to_le_bytes()].concat();
    // LOOKUP, READ, WRITE, FORGET, INTERRUPT and BATCH_FORGET, on their way.
    let requests =
        [submit(1, 128), submit(15, 4001), submit(16, 4000), submit(2, 0), submit(36, 0), submit(42, 0), vec![2]];
    let requests = requests.concat();
    let rest = [3, 4, 5, 15, 6];
    let story = |first: u8, parts: &[Vec<u8>]| [&share(first)[..], &requests, &parts.concat(), &rest].concat();
    let answers = |first: u8| {
        let done = |queue: u8| answer(queue, 16);
        // Without notifications there is one queue less in front.
        let requests = if first & 8 == 0 { [1, 2] } else { [2, 3] };
        let [one, two] = requests;
        vec![done(0), done(one), done(two), done(one), done(0), done(0), vec![3, 4], answer(1, 40), vec![5, 15, 4]]
    };
    let obedient = |first: u8| story(first, &[answers(first), vec![requests.clone()], answers(first)].concat());
    let push =
        |queue: u8, id: u32, len: u32| [&[9, queue][..], &id.to_le_bytes(), &len.to_le_bytes(), &[3, 4]].concat();
    let lying = |parts: &[Vec<u8>]| story(ALL, parts);
    let reset = |how: u8| vec![14, how];
    vec![
        ("obedient", obedient(ALL)),
        ("obedient_by_messages", obedient(ALL | 1)),
        ("obedient_and_plain", obedient(3 << 5)),
        ("obedient_in_order", obedient(ALL | 16)),
        (
            "obedient_through_resets",
            story(
                ALL,
                &[answers(ALL), vec![reset(0), requests.clone()], answers(ALL), vec![reset(1), requests.clone()]]
                    .concat(),
            ),
        ),
        ("fs_2", lying(&[submit(2 | 64, 0), submit(2 | 128, 0), submit(36 | 64, 9)])),
        ("fs_3", lying(&[submit(1 | 64, 0), submit(1 | 128, 300), submit(15 | 192, 39)])),
        ("ini_12", lying(&[vec![13, 6, 3], submit(1, 1), reset(0), requests.clone(), answer(2, 16)])),
        ("hd_st_1", lying(&[reset(3), submit(1, 1), vec![3, 4, 5, 6], reset(0)])),
        ("hd_ft_3", lying(&[vec![12, 36, 1], reset(0), requests.clone(), answer(2, 16)])),
        ("hd_ft_4", lying(&[vec![12, 0, b'x'], reset(0), requests.clone()])),
        ("hd_vq_1", lying(&[push(2, 0x1_0000, 16)])),
        ("hd_vq_2", lying(&[push(0, 9, 0)])),
        ("hd_vq_3", lying(&[vec![7, 3], push(3, 0, 16), push(3, 0, 16), reset(0), requests.clone()])),
        ("hd_vq_4", lying(&[answer(2, u32::MAX), answer(1, u32::MAX), vec![3, 5]])),
        ("hd_vq_6", lying(&[vec![10, 2, 99, 0, 3]])),
        ("hd_vq_8", lying(&[[&[11, 2, 0, 0][..], &[0xad; 8]].concat(), answer(2, 16), vec![3], reset(0)])),
        ("hd_vq_14", lying(&[vec![6], reset(0), requests.clone(), reset(2)])),
        ("hd_fs_39", lying(&[answer(0, 16), answer(0, u32::MAX), vec![3]])),
        ("hd_fs_43", lying(&[answer(1, 0), answer(1, u32::MAX), push(1, 77, 1), vec![5]])),
        ("hd_cfg_3", head(ALL, 4, b"share")),
        ("hd_cfg_13", head(ALL, 4, &config(b"", 2, 128))),
        ("hd_cfg_14", [&head(ALL, 4, &config(b"share", u32::MAX, 128))[..], &requests, &rest].concat()),
        ("hd_cfg_14_none", head(ALL, 4, &config(b"share", 0, 128))),
        ("hd_cfg_15", [&head(ALL, 4, &config(b"share", 2, u32::MAX))[..], &requests, &rest].concat()),
        ("hd_qs_1", head(ALL, 1, &config(b"share", 2, 128))),
    ]
}
