//! `virtio-drivers`, whose queue is given slices and wants the same slices back.
//!
//! The device completes in order, so the slices of the n-th completion are those of the n-th request, which is all
//! that the caller keeps. The platform's `share` and `unshare` do nothing: nothing is copied. The crate has its default
//! feature `alloc`, without which it has no tables.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use anyhow::{Result, anyhow};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use super::contender::{BUFFER, Contender, Events, HEADER, Reaped, Shape, UNTOUCHED};
use super::device::{RingPointers, SIZE};

/// The heap, under physical addresses that are pointers. `N`, the number of descriptors per operation, makes the queue a
/// type of its own for each shape, as in a program with one driver: its functions then have one caller and can be
/// inlined there.
struct Heap<const N: usize>;

fn layout(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).expect("a few pages")
}

// SAFETY: zeroed, aligned, exclusive memory of the system allocator; buffers are shared where they are.
unsafe impl<const N: usize> Hal for Heap<N> {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: the size is not zero: a queue has at least one page.
        let pages = NonNull::new(unsafe { alloc_zeroed(layout(pages)) }).expect("memory");
        (pages.as_ptr().expose_provenance() as u64, pages)
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(memory.as_ptr(), layout(pages)) };
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("there are no registers")
    }

    #[inline]
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr().expose_provenance() as u64
    }

    #[inline]
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// Remembers where the rings are.
#[derive(Default)]
struct Registers {
    rings: RingPointers,
}

impl Transport for Registers {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }
    fn read_device_features(&mut self) -> u64 {
        0
    }
    fn write_driver_features(&mut self, _: u64) {}
    fn max_queue_size(&mut self, _: u16) -> u32 {
        u32::from(SIZE)
    }
    fn notify(&mut self, _: u16) {}
    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::empty()
    }
    fn set_status(&mut self, _: DeviceStatus) {}
    fn set_guest_page_size(&mut self, _: u32) {}
    fn requires_legacy_layout(&self) -> bool {
        false
    }
    fn queue_set(&mut self, _: u16, _: u32, descriptors: PhysAddr, available: PhysAddr, used: PhysAddr) {
        self.rings = RingPointers { descriptors, available, used };
    }
    fn queue_unset(&mut self, _: u16) {}
    fn queue_used(&mut self, _: u16) -> bool {
        false
    }
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }
    fn read_config_generation(&self) -> u32 {
        0
    }
    fn read_config_space<V: zerocopy::FromBytes + zerocopy::IntoBytes>(&self, _: usize) -> virtio_drivers::Result<V> {
        Err(virtio_drivers::Error::ConfigSpaceMissing)
    }
    fn write_config_space<V: zerocopy::IntoBytes + zerocopy::Immutable>(
        &mut self,
        _: usize,
        _: V,
    ) -> virtio_drivers::Result<()> {
        Err(virtio_drivers::Error::ConfigSpaceMissing)
    }
}

struct Queue<const N: usize> {
    queue: VirtQueue<Heap<N>, { SIZE as usize }>,
    rings: RingPointers,
    /// Requests and completions so far; both go through the buffers in order.
    sent: u8,
    reaped: u8,
}

impl<const N: usize> Queue<N> {
    fn new(shape: Shape, events: Events) -> Result<Self> {
        let mut registers = Registers::default();
        let queue = VirtQueue::new(&mut registers, 0, shape == Shape::Table, events == Events::On);
        let mut queue = queue.map_err(|error| anyhow!("{error}"))?;
        queue.set_dev_notify(false);
        Ok(Self { queue, rings: registers.rings, sent: 0, reaped: 0 })
    }
}

/// One buffer per operation.
pub struct Buffers {
    queue: Queue<1>,
    buffers: Box<[[u8; BUFFER]; SIZE as usize]>,
}

impl Buffers {
    /// Sets a queue up.
    ///
    /// # Errors
    ///
    /// The crate refuses.
    pub fn new(events: Events) -> Result<Self> {
        Ok(Self { queue: Queue::new(Shape::Buffer, events)?, buffers: Box::new([[0; BUFFER]; SIZE as usize]) })
    }
}

impl Contender for Buffers {
    fn rings(&self) -> RingPointers {
        self.queue.rings
    }

    #[inline(always)]
    fn send(&mut self, batch: u32) -> u32 {
        let Queue { queue, sent, .. } = &mut self.queue;
        for _ in 0..batch {
            let buffer = &mut self.buffers[usize::from(*sent)];
            // SAFETY: the buffer is not touched before `reap` has it back.
            let added = unsafe { queue.add(&[], &mut [buffer]) };
            *sent = sent.wrapping_add(u8::from(added.is_ok()));
        }
        u32::from(queue.should_notify())
    }

    #[inline(always)]
    fn reap(&mut self) -> Reaped {
        let Queue { queue, reaped, .. } = &mut self.queue;
        let mut all = Reaped::default();
        while let Some(token) = queue.peek_used() {
            let buffer = &mut self.buffers[usize::from(*reaped)];
            // SAFETY: completions are in order, so this is the buffer that was sent with this token.
            let Ok(bytes) = (unsafe { queue.pop_used(token, &[], &mut [buffer]) }) else { break };
            all.bytes = all.bytes.wrapping_add(bytes);
            *reaped = reaped.wrapping_add(1);
            all.count += 1;
        }
        all
    }
}

struct Request {
    header: [u64; 2],
    buffer: [u8; BUFFER],
    status: u8,
}

/// Header, buffer, status, in a table or not. A table is allocated for each request, and freed.
pub struct Requests {
    queue: Queue<3>,
    requests: Box<[Request; SIZE as usize]>,
}

/// The bytes of a header.
#[inline]
fn bytes(header: &[u64; 2]) -> &[u8] {
    zerocopy::IntoBytes::as_bytes(header)
}

impl Requests {
    /// Sets a queue up.
    ///
    /// # Errors
    ///
    /// The crate refuses.
    pub fn new(shape: Shape, events: Events) -> Result<Self> {
        let request = || Request { header: [0; 2], buffer: [0; BUFFER], status: 0 };
        Ok(Self { queue: Queue::new(shape, events)?, requests: Box::new(std::array::from_fn(|_| request())) })
    }
}

impl Contender for Requests {
    fn rings(&self) -> RingPointers {
        self.queue.rings
    }

    #[inline(always)]
    fn send(&mut self, batch: u32) -> u32 {
        let Queue { queue, sent, .. } = &mut self.queue;
        for _ in 0..batch {
            let Request { header, buffer, status } = &mut self.requests[usize::from(*sent)];
            *header = HEADER;
            *status = UNTOUCHED;
            let outputs: &mut [&mut [u8]] = &mut [buffer, std::slice::from_mut(status)];
            // SAFETY: nothing of the request is touched before `reap` has it back.
            let added = unsafe { queue.add(&[bytes(header)], outputs) };
            *sent = sent.wrapping_add(u8::from(added.is_ok()));
        }
        u32::from(queue.should_notify())
    }

    #[inline(always)]
    fn reap(&mut self) -> Reaped {
        let Queue { queue, reaped, .. } = &mut self.queue;
        let mut all = Reaped::default();
        while let Some(token) = queue.peek_used() {
            let Request { header, buffer, status } = &mut self.requests[usize::from(*reaped)];
            let outputs: &mut [&mut [u8]] = &mut [buffer, std::slice::from_mut(status)];
            // SAFETY: completions are in order, so this is the request that was sent with this token.
            let Ok(bytes) = (unsafe { queue.pop_used(token, &[bytes(header)], outputs) }) else { break };
            all.bytes = all.bytes.wrapping_add(bytes);
            all.status += u32::from(*status);
            *reaped = reaped.wrapping_add(1);
            all.count += 1;
        }
        all
    }
}
