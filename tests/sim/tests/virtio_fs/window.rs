//! The DAX window.

use std::cell::{Cell, RefCell};

use toro_core::Registers;
use virtio_fs::DaxWindow;
use virtio_fs::window::{Access, RegisterMemory, Vanished, WindowError, WindowMemory};
use virtio_queue_rt::transport::SharedMemory;
use virtio_queue_rt::{Interrupts, PciTransport};
use virtio_sim::PciModel;
use virtio_sim::pci::shared_memory;

use crate::common::transports::message;
use crate::share::*;

/// Memory of which pages can be taken away, and that knows which bytes were touched.
struct Pages {
    bytes: RefCell<Vec<u8>>,
    /// From here on nothing is there.
    end: Cell<u64>,
    touched: Cell<(u64, u64)>,
}

impl Pages {
    fn new(len: usize) -> Self {
        let bytes = (0..len).map(|i| (i % 251) as u8).collect();
        Self { bytes: RefCell::new(bytes), end: Cell::new(len as u64), touched: Cell::new((u64::MAX, 0)) }
    }

    fn touch(&self, offset: u64, len: usize) -> Result<std::ops::Range<usize>, Vanished> {
        let end = offset + len as u64;
        assert!(end <= self.len(), "HD-FS-44: beyond the window");
        let (first, last) = self.touched.get();
        self.touched.set((first.min(offset), last.max(end)));
        if end > self.end.get() { Err(Vanished) } else { Ok(offset as usize..end as usize) }
    }
}

impl WindowMemory for Pages {
    fn len(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Vanished> {
        let range = self.touch(offset, out.len())?;
        out.copy_from_slice(&self.bytes.borrow()[range]);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Vanished> {
        let range = self.touch(offset, bytes.len())?;
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
        Ok(())
    }
}

#[test]
fn fs_7_most_devices_have_no_window() {
    for bus in BUSES {
        let share = Setup { bus, ..Setup::default() }.share();
        assert_eq!(share.fs.window_memory(), None);
    }
}

#[test]
fn the_window_is_region_0_of_a_register_block() {
    let share = Setup::default().share();
    share.device.state().shared_memory = vec![(1, 0x1000, 0x2000), (0, 0x8000_0000, 0x20_0000_0000)];
    assert_eq!(share.fs.window_memory(), SharedMemory::new(0x20_0000_0000, 0x8000_0000));
    for (len, address) in [(0, 0x1000), (u64::MAX, 0x1000), (0x1000, u64::MAX), (u64::MAX - 1, 0x1000), (0x1000, 0x10)]
    {
        share.device.state().shared_memory = vec![(0, len, address)];
        assert_eq!(share.fs.window_memory(), None, "HD-MIO-2: {len:#x} at {address:#x}");
    }
}

#[test]
fn the_window_is_region_0_of_a_function() {
    // BAR 0 is memory of 16 KiB at 0x8000_0000, as its sizing says.
    for (id, offset, len, found) in [
        (0, 0x1000_u64, 0x2000_u64, SharedMemory::new(0x8000_1000, 0x2000)),
        (1, 0x1000, 0x2000, None),
        (0, 0x1000, 0x4000, None),
        (0, u64::MAX, 2, None),
        (0, 0, 0, None),
    ] {
        let memory = SimMemory::leak();
        let device = Device::new(26, VERSION_1 | EVENT_IDX, &[64, 64], &config(b"share", 1));
        let (space, bars) = PciModel::new(device);
        space.set_bar(0, 0x8000_0000, 0xffff_c000);
        space.add(&shared_memory(0, id, offset, len));
        let messages = [message()];
        let transport = PciTransport::new(&space, &bars, Interrupts::Messages(&messages)).expect("a sound device");
        let fs = VirtioFs::new(transport, memory, &CLOCK, &Options::default()).expect("a sound device");
        assert_eq!(fs.window_memory(), found, "HD-PCI-17: region {id}, {len:#x} at {offset:#x}");
    }
}

#[test]
fn ranges_are_whole_granules_and_never_overlap() {
    let pages = Pages::new(64 << 10);
    let mut window = DaxWindow::new(&pages, 12).expect("sixteen granules");
    assert_eq!((window.granule(), window.len(), window.free()), (4096, 64 << 10, 64 << 10));
    let mut ranges: Vec<_> = [1, 4096, 4097, 16 << 10].map(|len| window.allocate(len).expect("there is room")).into();
    assert_eq!(ranges.iter().map(|range| range.len()).collect::<Vec<_>>(), [4096, 4096, 8192, 16 << 10]);
    for range in &ranges {
        assert!(range.offset().is_multiple_of(4096) && !range.is_empty());
        let overlaps = |other: &&virtio_fs::window::WindowRange| {
            other.offset() < range.offset() + range.len() && range.offset() < other.offset() + other.len()
        };
        assert_eq!(ranges.iter().filter(overlaps).count(), 1, "itself");
    }
    for impossible in [0, (32 << 10) + 1, u64::MAX] {
        assert!(window.allocate(impossible).is_none(), "{impossible}");
    }
    while let Some(range) = ranges.pop() {
        window.release(range).expect("its own");
    }
    assert_eq!(window.free(), 64 << 10);
    let whole = window.allocate(64 << 10).expect("in one piece again");
    assert_eq!((whole.offset(), window.free()), (0, 0));
}

#[test]
fn fs_8_hd_fs_44_nothing_but_what_is_mapped_is_touched() {
    let pages = Pages::new(64 << 10);
    let mut window = DaxWindow::new(&pages, 12).expect("sixteen granules");
    let _first = window.allocate(4096).expect("there is room");
    let range = window.allocate(8192).expect("there is room");
    let mapping = window.mapped(range, 6000, Access::ReadWrite).expect("it is that long");
    assert_eq!((mapping.offset(), mapping.len(), mapping.is_empty()), (4096, 6000, false));
    let mut out = [0; 6000];
    window.read(&mapping, 0, &mut out).expect("all of it");
    assert!(out.iter().enumerate().all(|(i, &byte)| byte == ((4096 + i) % 251) as u8));
    window.write(&mapping, 5996, b"last").expect("its last bytes");
    for (offset, len) in [(0, 6001), (6000, 1), (5999, 2), (u64::MAX, 1), (u64::MAX, 0), (1 << 40, 1)] {
        let mut out = vec![0; len];
        assert_eq!(window.read(&mapping, offset, &mut out), Err(WindowError::Outside), "{len} at {offset}");
        assert_eq!(window.write(&mapping, offset, &out), Err(WindowError::Outside), "{len} at {offset}");
    }
    assert_eq!(pages.touched.get(), (4096, 10_096));
    let range = window.unmapped(mapping);
    let range = window.mapped(range, 8193, Access::Read).expect_err("longer than the range");
    let mapping = window.mapped(range, 8192, Access::Read).expect("it is that long");
    assert_eq!(window.write(&mapping, 0, b"x"), Err(WindowError::ReadOnly));
    window.read(&mapping, 5996, &mut out[..4]).expect("it is mapped");
    assert_eq!(&out[..4], b"last");
}

#[test]
fn hd_fs_45_pages_that_vanish_are_an_error() {
    let pages = Pages::new(64 << 10);
    let mut window = DaxWindow::new(&pages, 12).expect("sixteen granules");
    let range = window.allocate(16 << 10).expect("there is room");
    let mapping = window.mapped(range, 16 << 10, Access::ReadWrite).expect("it is that long");
    pages.end.set(8192);
    let mut out = [0; 16];
    assert_eq!(window.read(&mapping, 8190, &mut out), Err(WindowError::Vanished));
    assert_eq!(window.write(&mapping, 12_000, &out), Err(WindowError::Vanished));
    assert_eq!(window.read(&mapping, 8176, &mut out), Ok(()));
}

#[test]
fn after_a_reset_mappings_of_before_are_void() {
    let pages = Pages::new(64 << 10);
    let mut window = DaxWindow::new(&pages, 12).expect("sixteen granules");
    let (range, other) = (window.allocate(1).expect("room"), window.allocate(1).expect("room"));
    let mapping = window.mapped(range, 100, Access::ReadWrite).expect("it is that long");
    window.clear();
    assert_eq!(window.free(), 64 << 10);
    assert_eq!(window.read(&mapping, 0, &mut [0]), Err(WindowError::Outside));
    assert_eq!(window.write(&mapping, 0, &[0]), Err(WindowError::Outside));
    let other = window.mapped(other, 1, Access::Read).expect_err("it is of before");
    drop(window.release(other).expect_err("it is of before"));
    drop(window.release(window.unmapped(mapping)).expect_err("it is of before"));
    assert_eq!((window.free(), pages.touched.get()), (64 << 10, (u64::MAX, 0)));
    // Likewise what is another window's.
    let mut neighbour = DaxWindow::new(&pages, 12).expect("sixteen granules");
    let foreign = neighbour.allocate(1).expect("room");
    drop(window.release(foreign).expect_err("it is the neighbour's"));
}

#[test]
fn fs_7_granules_that_cannot_be_are_no_window() {
    for (len, alignment, is_there) in [
        (4096, 12, true),
        (4095, 12, false),
        (0, 0, false),
        (10_000, 12, true),
        (4096, 31, false),
        (4096, u32::MAX, false),
    ] {
        let pages = Pages::new(len);
        let window = DaxWindow::new(&pages, alignment);
        assert_eq!(window.is_some(), is_there, "{len} bytes by {alignment}");
        assert!(window.is_none_or(|window| window.len() <= len as u64 && window.len().is_multiple_of(4096)));
    }
}

/// Memory that is reached in words, each aligned.
struct Words(RefCell<Vec<u8>>);

impl Words {
    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        assert!(at.is_multiple_of(N));
        self.0.borrow()[at..at + N].try_into().expect("so many bytes")
    }

    fn set(&self, at: usize, bytes: &[u8]) {
        assert!(at.is_multiple_of(bytes.len()));
        self.0.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

impl Registers for Words {
    fn len(&self) -> usize {
        self.0.borrow().len()
    }
    fn read8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.get(at))
    }
    fn read16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.get(at))
    }
    fn read32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.get(at))
    }
    fn write8(&self, at: usize, value: u8) {
        self.set(at, &value.to_le_bytes());
    }
    fn write16(&self, at: usize, value: u16) {
        self.set(at, &value.to_le_bytes());
    }
    fn write32(&self, at: usize, value: u32) {
        self.set(at, &value.to_le_bytes());
    }
}

#[test]
fn words_and_what_is_left_of_them_are_copied_alike() {
    let original: Vec<u8> = (1..=64).collect();
    for start in 0..12 {
        for len in 0..20 {
            let memory = RegisterMemory(Words(RefCell::new(original.clone())));
            let mut out = vec![0; len];
            memory.read(start, &mut out).expect("nothing vanishes");
            let range = start as usize..start as usize + len;
            assert_eq!(out, original[range.clone()], "{len} at {start}");
            memory.write(start, &vec![0xEE; len]).expect("nothing vanishes");
            let mut expected = original.clone();
            expected[range].fill(0xEE);
            assert_eq!(*memory.0.0.borrow(), expected, "{len} at {start}");
        }
    }
}
