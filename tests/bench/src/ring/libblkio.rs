//! `virtio-driver`: the virtqueue that libblkio uses.
//!
//! Its queue wants a translator of addresses, whose result type cannot be named outside of the crate. The one of its
//! vhost-user transport is the identity, so a back-end that says just enough to be connected to is played here; the
//! queue is then the crate's own, unchanged.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result};
use virtio_driver::virtqueue::{Virtqueue, VirtqueueLayout};
use virtio_driver::{IovaTranslator, Le16, VhostUser, VirtioFeatureFlags, VirtioTransport, iovec};

use super::contender::{BUFFER, Contender, Events, HEADER, Reaped, UNTOUCHED};
use super::device::{RingPointers, SIZE};
use crate::scratch::Scratch;

const VERSION_1: u64 = 1 << 32;
const PROTOCOL_FEATURES: u64 = 1 << 30;
/// REPLY_ACK, CONFIG and CONFIGURE_MEM_SLOTS, without which the crate does not connect.
const PROTOCOL: u64 = 1 << 3 | 1 << 9 | 1 << 15;

/// Answers the questions of a front-end that connects: features, protocol features, memory slots.
fn back_end(mut stream: UnixStream) {
    let mut header = [0; 12];
    while stream.read_exact(&mut header).is_ok() {
        let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (request, size) = (word(0), word(8) as usize);
        let mut payload = vec![0; size];
        if stream.read_exact(&mut payload).is_err() {
            return;
        }
        let answer: u64 = match request {
            1 => VERSION_1 | PROTOCOL_FEATURES,
            15 => PROTOCOL,
            36 => 8,
            _ => continue,
        };
        let mut reply = Vec::with_capacity(20);
        for word in [request, 1 | 1 << 2, 8] {
            reply.extend_from_slice(&word.to_ne_bytes());
        }
        reply.extend_from_slice(&answer.to_ne_bytes());
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

/// The crate's translator from addresses to themselves.
fn identity() -> Result<Box<dyn IovaTranslator>> {
    // One directory per process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let scratch = Scratch::new()?;
    let path = scratch.path().join("vhost-user");
    let listener = UnixListener::bind(&path)?;
    let back_end = thread::spawn(move || listener.accept().map(|(stream, _)| back_end(stream)));
    let transport = VhostUser::<Le16, ()>::new(path.to_str().context("a path of characters")?, VERSION_1)?;
    let translator = VirtioTransport::iova_translator(&transport);
    drop(transport);
    back_end.join().ok().context("the vhost-user back-end")??;
    Ok(translator)
}

/// What lies beside the rings for each request; nothing of it for plain buffers.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Request {
    header: [u64; 2],
    status: u8,
}

/// A queue and its buffers.
pub struct Libblkio<R: Copy> {
    queue: Virtqueue<'static, R>,
    buffers: Box<[[u8; BUFFER]; SIZE as usize]>,
    next: u8,
}

// SAFETY: the queue is `Send`; the rest is plain memory.
unsafe impl<R: Copy> Send for Libblkio<R> {}

/// One buffer per operation.
pub type Buffers = Libblkio<()>;
/// Header, buffer, status.
pub type Requests = Libblkio<Request>;

impl<R: Copy> Libblkio<R> {
    /// Sets a queue up.
    ///
    /// # Errors
    ///
    /// The crate refuses.
    pub fn new(events: Events) -> Result<Self> {
        let mut features = VirtioFeatureFlags::VERSION_1;
        features.set(VirtioFeatureFlags::RING_EVENT_IDX, events == Events::On);
        let layout = VirtqueueLayout::new::<R>(1, usize::from(SIZE), features)?;
        // Pages, as the crate's transports provide.
        let pages = layout.end_offset.div_ceil(size_of::<Page>());
        let pages: &'static mut [Page] = Box::leak(vec![Page([0; 4096]); pages].into_boxed_slice());
        let memory = pages.as_flattened_mut_bytes();
        let mut queue = Virtqueue::new(identity()?, memory, SIZE, features)?;
        queue.set_used_notif_enabled(false);
        Ok(Self { queue, buffers: Box::new([[0; BUFFER]; SIZE as usize]), next: 0 })
    }

    fn pointers(&self) -> RingPointers {
        let address = |pointer: *const u8| pointer.expose_provenance() as u64;
        RingPointers {
            descriptors: address(self.queue.desc_table_ptr()),
            available: address(self.queue.driver_area_ptr()),
            used: address(self.queue.device_area_ptr()),
        }
    }
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

trait Bytes {
    fn as_flattened_mut_bytes(&mut self) -> &mut [u8];
}

impl Bytes for [Page] {
    fn as_flattened_mut_bytes(&mut self) -> &mut [u8] {
        let len = size_of_val(self);
        // SAFETY: pages are bytes without padding, `len` of them.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast::<u8>(), len) }
    }
}

fn vector<B>(bytes: *mut B, len: usize) -> iovec {
    iovec { iov_base: bytes.cast(), iov_len: len }
}

impl Contender for Buffers {
    fn rings(&self) -> RingPointers {
        self.pointers()
    }

    #[inline(always)]
    fn send(&mut self, batch: u32) -> u32 {
        for _ in 0..batch {
            let buffer = &mut self.buffers[usize::from(self.next)];
            let added = self.queue.add_request(|(), add| add(vector(buffer, BUFFER), true));
            self.next = self.next.wrapping_add(u8::from(added.is_ok()));
        }
        u32::from(self.queue.avail_notif_needed())
    }

    #[inline(always)]
    fn reap(&mut self) -> Reaped {
        Reaped { count: self.queue.completions().count() as u32, ..Reaped::default() }
    }
}

impl Contender for Requests {
    fn rings(&self) -> RingPointers {
        self.pointers()
    }

    #[inline(always)]
    fn send(&mut self, batch: u32) -> u32 {
        for _ in 0..batch {
            let buffer = &mut self.buffers[usize::from(self.next)];
            let added = self.queue.add_request(|request, add| {
                *request = Request { header: HEADER, status: UNTOUCHED };
                add(vector(&raw mut request.header, 16), false)?;
                add(vector(buffer, BUFFER), true)?;
                add(vector(&raw mut request.status, 1), true)
            });
            self.next = self.next.wrapping_add(u8::from(added.is_ok()));
        }
        u32::from(self.queue.avail_notif_needed())
    }

    #[inline(always)]
    fn reap(&mut self) -> Reaped {
        let mut reaped = Reaped::default();
        for done in self.queue.completions() {
            reaped.count += 1;
            reaped.status += u32::from(done.req.status);
        }
        reaped
    }
}
