//! Several cores over a model of memory: the real frame allocator, in a piece of the host's memory.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU8;
use std::sync::{Barrier, Mutex, mpsc};

use proptest::prelude::*;

use super::class::{Class, LARGE, Route, SMALL};
use super::local::LocalHeap;
use super::machine::Machine;
use super::owner::{GRANULE, OwnerTable};
use super::remote::Inbox;
use super::slab::Slab;
use super::small::SPARE_BYTES;
use crate::mm::PAGE_SIZE;
use crate::mm::frame::FrameAllocator;
use crate::mm::memory_map::{Entry, MemoryMap};

const CORES: usize = 3;

/// The memory of a machine and what its cores share.
struct Model {
    memory: NonNull<u8>,
    layout: Layout,
    frames: Mutex<FrameAllocator<'static>>,
    owners: OwnerTable,
    inboxes: [Inbox; CORES],
}

// SAFETY: the memory is handed out by the frame allocator, behind its lock.
unsafe impl Sync for Model {}

impl Model {
    /// A machine with so much memory, a multiple of the granule.
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, GRANULE).unwrap();
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap();
        let start = memory.addr().get();
        let entry = Entry { address: start as u64, size: size as u64, kind: 1 };
        let map = MemoryMap::from_entries([entry].into_iter());
        let bitmap = Vec::leak(vec![0; FrameAllocator::words_needed(&map)]);
        let owners = OwnerTable::new();
        let entries = (0..OwnerTable::entries_for(start, start + size)).map(|_| AtomicU8::new(0)).collect();
        owners.initialise(start, Vec::leak(entries));
        let inboxes = [const { Inbox::new() }; CORES];
        Self { memory, layout, frames: Mutex::new(FrameAllocator::new(&map, bitmap)), owners, inboxes }
    }

    fn free_memory(&self) -> usize {
        self.frames.lock().unwrap().free_frames() * PAGE_SIZE as usize
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { std::alloc::dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// The machine as one core sees it.
#[derive(Clone, Copy)]
struct Seat<'a> {
    model: &'a Model,
    core: u8,
}

// SAFETY: the frame allocator gives no frame to two; tests make one seat for each core's heap.
unsafe impl Machine for Seat<'_> {
    fn allocate_frames(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let page = PAGE_SIZE as usize;
        let address = self.model.frames.lock().unwrap().allocate(size.div_ceil(page), align.div_ceil(page))?;
        NonNull::new(self.model.memory.as_ptr().with_addr(address as usize))
    }

    unsafe fn free_frames(&self, start: NonNull<u8>, size: usize) {
        self.model.frames.lock().unwrap().free(start.addr().get() as u64, size.div_ceil(PAGE_SIZE as usize));
    }

    unsafe fn resize_frames(&self, start: NonNull<u8>, old_size: usize, new_size: usize) -> bool {
        let [old, new] = [old_size, new_size].map(|size| size.div_ceil(PAGE_SIZE as usize));
        let end = |count: usize| start.addr().get() as u64 + count as u64 * PAGE_SIZE;
        let mut frames = self.model.frames.lock().unwrap();
        if new > old {
            return frames.extend(end(old), new - old);
        }
        if new < old {
            frames.free(end(new), old - new);
        }
        true
    }

    fn free_memory(&self) -> usize {
        self.model.free_memory()
    }

    fn core(&self) -> u8 {
        self.core
    }

    fn owners(&self) -> &OwnerTable {
        &self.model.owners
    }

    fn inbox(&self, core: u8) -> &Inbox {
        &self.model.inboxes[usize::from(core)]
    }
}

/// A core with its heap, and the calls of the allocator as safe functions on [`Block`]s.
struct Core<'a> {
    heap: LocalHeap,
    seat: Seat<'a>,
}

/// A live block. Its first and last bytes are `mark`.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
    mark: u8,
}

// SAFETY: a block is memory that belongs to whoever has this.
unsafe impl Send for Block {}

/// How much of each end of a block carries the mark.
const MARKED: usize = if cfg!(miri) { 9 } else { 40 };

impl Block {
    /// Marks the block's ends.
    fn paint(&self) {
        let length = self.layout.size().min(MARKED);
        // SAFETY: the block is live and at least that long.
        unsafe { self.start.write_bytes(self.mark, length) };
        // SAFETY: as above.
        let end = unsafe { self.start.add(self.layout.size() - length) };
        // SAFETY: as above.
        unsafe { end.write_bytes(self.mark, length) };
    }

    fn check(&self, part: Range<usize>) {
        for offset in part {
            // SAFETY: within the live block.
            let byte = unsafe { self.start.add(offset) };
            // SAFETY: the ends of a block are initialised.
            let byte = unsafe { byte.read() };
            assert_eq!(byte, self.mark, "byte {offset} of {:?} has changed", self.layout);
        }
    }

    fn check_both_ends(&self) {
        let (size, length) = (self.layout.size(), self.layout.size().min(MARKED));
        self.check(0..length);
        self.check(size - length..size);
    }
}

impl<'a> Core<'a> {
    fn new(model: &'a Model, core: u8) -> Self {
        Self { heap: LocalHeap::new(), seat: Seat { model, core } }
    }

    fn all(model: &'a Model) -> Vec<Self> {
        (0..CORES as u8).map(|core| Self::new(model, core)).collect()
    }

    fn allocate(&self, size: usize, align: usize, mark: u8) -> Option<Block> {
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: no test asks for nothing.
        let start = unsafe { self.heap.allocate(layout, &self.seat) }?;
        assert!(start.addr().get().is_multiple_of(align), "{start:p} is not aligned to {align}");
        let memory = self.seat.model.memory.addr().get();
        assert!(start.addr().get() >= memory);
        assert!(start.addr().get() + size <= memory + self.seat.model.layout.size());
        let block = Block { start, layout, mark };
        block.paint();
        Some(block)
    }

    fn free(&self, block: Block) {
        block.check_both_ends();
        // SAFETY: live, and given up by value.
        unsafe { self.heap.free(block.start, block.layout, &self.seat) };
    }

    /// Resizes; gives the block back as it was where memory has run out.
    fn resize(&self, block: Block, new_size: usize) -> Result<Block, Block> {
        let (old_size, align) = (block.layout.size(), block.layout.align());
        // SAFETY: live, and given up by value.
        let Some(start) = (unsafe { self.heap.resize(block.start, block.layout, new_size, &self.seat) }) else {
            return Err(block);
        };
        assert!(start.addr().get().is_multiple_of(align));
        let resized = Block { start, layout: Layout::from_size_align(new_size, align).unwrap(), ..block };
        resized.check(0..old_size.min(new_size).min(MARKED));
        resized.paint();
        Ok(resized)
    }

    fn collect(&self) {
        self.heap.collect(&self.seat);
    }

    fn release(&self) {
        self.heap.release(&self.seat);
    }
}

/// A random number below `bound`.
fn random(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*state >> 33) as usize % bound
}

/// A size of every route, small ones more often.
fn random_size(state: &mut u64) -> usize {
    1 + match random(state, 16) {
        0..12 => random(state, SMALL),
        12..15 => random(state, 20_000),
        _ => random(state, 2 * LARGE),
    }
}

/// All of them are free: everything but the pools' extents is back.
fn assert_all_is_back(model: &Model, cores: &[Core<'_>]) {
    cores.iter().for_each(Core::collect);
    let allocated: Vec<usize> = cores.iter().map(|core| core.heap.allocated()).collect();
    assert_eq!(allocated, [0; CORES]);
    cores.iter().for_each(Core::release);
    let pools: usize = cores.iter().map(|core| core.heap.pool_size()).sum();
    assert_eq!(model.free_memory() + pools, model.layout.size());
}

#[test]
fn blocks_of_a_slab_fill_it_and_do_not_overlap() {
    let model = Model::new(GRANULE);
    let core = Core::new(&model, 0);
    for class in Class::all().skip(if cfg!(miri) { 7 } else { 0 }) {
        let count = Slab::capacity(class);
        assert!(
            count >= 15 && count * class.size() * 16 >= class.slab_size() * 15 - 16 * size_of::<Slab>(),
            "{class:?}"
        );
        let blocks: Vec<Block> = (0..count).map(|_| core.allocate(class.size(), 16, 1).unwrap()).collect();
        let mut starts: Vec<usize> = blocks.iter().map(|block| block.start.addr().get()).collect();
        starts.sort();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= class.size()), "{class:?}");
        assert_eq!(starts[0] / class.slab_size(), (starts[count - 1] + class.size() - 1) / class.slab_size());
        assert_eq!(core.heap.allocated(), count * class.size());
        blocks.into_iter().for_each(|block| core.free(block));
        core.release();
        assert_eq!(model.free_memory(), model.layout.size(), "{class:?}");
    }
}

#[test]
fn what_is_freed_last_is_allocated_first() {
    let model = Model::new(GRANULE);
    let core = Core::new(&model, 0);
    let [first, second] = [1, 2].map(|mark| core.allocate(64, 8, mark).unwrap());
    let addresses = [second.start, first.start];
    core.free(first);
    core.free(second);
    assert_eq!([1, 2].map(|mark| core.allocate(64, 8, mark).unwrap().start), addresses);
}

#[test]
fn a_core_hoards_no_more_than_its_spares_and_a_slab_of_each_class() {
    let model = Model::new(64 * GRANULE);
    let core = Core::new(&model, 0);
    for size in [16, 64, 256, 1024] {
        let count = if cfg!(miri) { 40 } else { 500_000 / size };
        let blocks: Vec<Block> = (0..count).map(|_| core.allocate(size, 8, 3).unwrap()).collect();
        blocks.into_iter().for_each(|block| core.free(block));
        let hoard = model.layout.size() - model.free_memory();
        assert!(hoard <= 2 * SPARE_BYTES + 4 * 16 * 1024, "{hoard} after blocks of {size}");
    }
}

#[test]
fn one_block_taken_and_given_back_moves_no_slab() {
    let model = Model::new(GRANULE);
    let core = Core::new(&model, 0);
    // At every fill of a slab, the one where it is full included.
    for kept in 0..2 * Slab::capacity(Class::holding(256)) {
        core.allocate(256, 8, kept as u8).unwrap();
        let block = core.allocate(256, 8, 0).unwrap();
        let (address, free) = (block.start, model.free_memory());
        core.free(block);
        for _ in 0..3 {
            let block = core.allocate(256, 8, 0).unwrap();
            assert_eq!((block.start, model.free_memory()), (address, free));
            core.free(block);
        }
    }
}

#[test]
fn blocks_that_another_core_frees_come_home_when_collected() {
    let model = Model::new(64 * GRANULE);
    let cores = Core::all(&model);
    let mut sum = 0;
    for size in [1, 16, 17, 100, SMALL, SMALL + 1, 5000, LARGE - 1] {
        let block = cores[0].allocate(size, 8, 9).unwrap();
        sum = cores[0].heap.allocated();
        cores[1].free(block);
        assert_eq!(cores[0].heap.allocated(), sum, "not home yet");
    }
    assert!(sum > 0 && cores[1].heap.allocated() == 0);
    assert_all_is_back(&model, &cores);
}

#[test]
fn a_core_that_runs_dry_uses_what_others_gave_back() {
    let model = Model::new(64 * GRANULE);
    let cores = Core::all(&model);
    for size in [if cfg!(miri) { 256 } else { 48 }, 1000, 3000] {
        // All of a slab, or of an extent, so that the core would need another.
        let mut blocks = Vec::new();
        let mut free = None;
        while free.is_none_or(|free| free == model.free_memory()) {
            blocks.push(cores[0].allocate(size, 8, 9).unwrap());
            free = free.or(Some(model.free_memory()));
        }
        let free = model.free_memory();
        let last = blocks.pop().unwrap();
        let count = blocks.len();
        blocks.into_iter().for_each(|block| cores[1].free(block));
        let blocks: Vec<Block> = (0..count).map(|_| cores[0].allocate(size, 8, 9).unwrap()).collect();
        assert_eq!(model.free_memory(), free, "more memory than before for blocks of {size}");
        blocks.into_iter().chain([last]).for_each(|block| cores[2].free(block));
        cores[0].collect();
    }
    assert_all_is_back(&model, &cores);
}

#[test]
fn a_block_of_another_core_is_resized_by_moving_it_here() {
    let model = Model::new(64 * GRANULE);
    let cores = Core::all(&model);
    for (size, new_size) in [(40, 4000), (4000, 40), (4000, 4100), (4100, 4000), (100, 200), (200, 2 * LARGE)] {
        let block = cores[0].allocate(size, 8, 5).unwrap();
        let resized = cores[1].resize(block, new_size).ok().unwrap();
        cores[0].collect();
        assert_eq!(cores[0].heap.allocated(), 0, "{size} to {new_size}");
        assert_eq!(cores[1].heap.allocated() == 0, new_size >= LARGE, "{size} to {new_size}");
        cores[1].free(resized);
    }
    assert_all_is_back(&model, &cores);
}

#[test]
fn resizing_stays_in_place_within_a_class_in_the_pool_and_in_frames() {
    let model = Model::new(64 * GRANULE);
    let core = Core::new(&model, 0);
    for (size, new_size) in [(33, 48), (48, 33), (5000, 9000), (9000, 5000), (LARGE, 4 * LARGE), (4 * LARGE, LARGE)] {
        let block = core.allocate(size, 8, 5).unwrap();
        let start = block.start;
        let resized = core.resize(block, new_size).ok().unwrap();
        assert_eq!(resized.start, start, "{size} to {new_size}");
        core.free(resized);
        assert_eq!(core.heap.allocated(), 0);
    }
}

#[test]
fn a_machine_without_memory_answers_so_and_goes_on_when_some_is_free_again() {
    let small = if cfg!(miri) { 1024 } else { 16 };
    for (size, memory) in [(small, 3), (1024, 3), (3000, 3), (100_000, 5), (LARGE, 5)] {
        let model = Model::new(memory * GRANULE);
        let core = Core::new(&model, 0);
        let fill = || -> Vec<Block> { std::iter::from_fn(|| core.allocate(size, 8, 7)).collect() };
        let blocks = fill();
        assert!(blocks.len() * size * 3 >= memory * GRANULE, "only {} blocks of {size}", blocks.len());
        let count = blocks.len();
        blocks.into_iter().for_each(|block| core.free(block));
        // What is in reserve for one size can be had for another.
        if size <= SMALL {
            core.free(core.allocate(memory * GRANULE - GRANULE / 2, 8, 7).unwrap());
        }
        let blocks = fill();
        assert_eq!(blocks.len(), count, "blocks of {size}");
        blocks.into_iter().for_each(|block| core.free(block));
    }
}

#[test]
fn what_is_in_reserve_for_one_class_is_had_for_another_and_for_the_pool() {
    for size in [16, 3000] {
        let model = Model::new(4 * GRANULE);
        let core = Core::new(&model, 0);
        let count = 5 * Slab::capacity(Class::holding(1024));
        let blocks: Vec<Block> = (0..count).map(|_| core.allocate(1024, 8, 1).unwrap()).collect();
        blocks.into_iter().for_each(|block| core.free(block));
        assert_eq!(model.layout.size() - model.free_memory(), 5 * 16 * 1024, "that is in reserve");
        core.allocate(model.free_memory(), 8, 2).unwrap();
        assert!(core.allocate(size, 8, 3).is_some(), "{size}");
    }
}

#[test]
fn a_pool_takes_little_while_memory_is_short() {
    let model = Model::new(32 * GRANULE);
    let core = Core::new(&model, 0);
    for count in 1..=8 {
        core.allocate(30_000, 8, count).unwrap();
        core.allocate(20_000, 8, count).unwrap();
        assert!(core.heap.pool_size() <= usize::from(count + 1) * GRANULE, "{}", core.heap.pool_size());
    }
}

/// Blocks by address, to see that no two overlap.
#[derive(Default)]
struct Live(BTreeMap<usize, Block>);

impl Live {
    fn insert(&mut self, block: Block) {
        let (start, end) = (block.start.addr().get(), block.start.addr().get() + block.layout.size());
        let before = self.0.range(..end).next_back();
        assert!(before.is_none_or(|(&other, block)| other + block.layout.size() <= start), "two blocks overlap");
        self.0.insert(start, block);
    }

    /// Removes the block with this index, if there are any.
    fn remove(&mut self, index: usize) -> Option<Block> {
        let key = *self.0.keys().nth(index % self.0.len().max(1))?;
        self.0.remove(&key)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Allocate { size: usize, align: u32 },
    Free { index: usize },
    Resize { index: usize, size: usize },
    Collect,
    Release,
}

fn a_size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1..=SMALL, 1 => Just(64_usize), 3 => SMALL..20_000, 1 => LARGE - 2..LARGE + 2, 1 => 1..3 * LARGE]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (a_size(), prop_oneof![8 => Just(3u32), 3 => 0..9u32, 1 => 9..18u32])
            .prop_map(|(size, align)| Step::Allocate { size, align }),
        10 => any::<usize>().prop_map(|index| Step::Free { index }),
        4 => (any::<usize>(), a_size()).prop_map(|(index, size)| Step::Resize { index, size }),
        1 => Just(Step::Collect),
        1 => Just(Step::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 300 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_history_of_several_cores_keeps_every_block_and_loses_none(
        steps in prop::collection::vec((0..CORES, a_step()), 1..if cfg!(miri) { 60 } else { 600 }),
    ) {
        // Little enough for memory to run out now and then.
        let model = Model::new(40 * GRANULE);
        let cores = Core::all(&model);
        let mut live = Live::default();
        for (number, (core, step)) in steps.into_iter().enumerate() {
            let (core, mark) = (&cores[core], number as u8);
            match step {
                Step::Allocate { size, align } => {
                    core.allocate(size, 1 << align, mark).into_iter().for_each(|block| live.insert(block));
                }
                Step::Free { index } => live.remove(index).into_iter().for_each(|block| core.free(block)),
                Step::Resize { index, size } => {
                    if let Some(block) = live.remove(index) {
                        live.insert(core.resize(block, size).unwrap_or_else(|block| block));
                    }
                }
                Step::Collect => core.collect(),
                Step::Release => core.release(),
            }
        }
        for (number, block) in live.0.into_values().enumerate() {
            cores[number % CORES].free(block);
        }
        assert_all_is_back(&model, &cores);
    }
}

#[test]
fn cores_at_work_at_the_same_time_free_each_others_blocks() {
    let model = Model::new(if cfg!(miri) { 64 } else { 512 } * GRANULE);
    let rounds = if cfg!(miri) { 60 } else { 30_000 };
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..CORES).map(|_| mpsc::sync_channel::<Block>(100)).unzip();
    let barrier = Barrier::new(CORES);
    let pools: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(number, receiver)| {
                let (model, barrier, senders) = (&model, &barrier, senders.clone());
                scope.spawn(move || work(&Core::new(model, number as u8), rounds, senders, &receiver, barrier))
            })
            .collect();
        drop(senders);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(model.free_memory() + pools, model.layout.size());
}

/// One core: allocates, keeps some, sends some to others, frees what it is sent. Returns the size of its pool.
fn work(
    core: &Core<'_>,
    rounds: usize,
    senders: Vec<mpsc::SyncSender<Block>>,
    receiver: &mpsc::Receiver<Block>,
    barrier: &Barrier,
) -> usize {
    let mut state = u64::from(core.seat.core);
    let mut kept = Vec::new();
    for round in 0..rounds {
        let block = core.allocate(random_size(&mut state), 8, round as u8).expect("there is memory enough");
        match random(&mut state, 3) {
            0 if kept.len() < 100 => kept.push(block),
            // One that the host gives no time to must not end up with all the memory.
            1 => match senders[random(&mut state, CORES)].try_send(block) {
                Ok(()) => {}
                Err(mpsc::TrySendError::Full(block)) => core.free(block),
                Err(mpsc::TrySendError::Disconnected(_)) => panic!("nobody goes before the end"),
            },
            _ => core.free(block),
        }
        receiver.try_iter().for_each(|block| core.free(block));
        if !kept.is_empty() && random(&mut state, 4) == 0 {
            let index = random(&mut state, kept.len());
            let block = kept.swap_remove(index);
            kept.push(core.resize(block, random_size(&mut state)).ok().expect("there is memory enough"));
        }
        if random(&mut state, 50) == 0 {
            kept.drain(..).for_each(|block| core.free(block));
        }
    }
    kept.into_iter().for_each(|block| core.free(block));
    drop(senders);
    receiver.iter().for_each(|block| core.free(block));
    barrier.wait();
    core.collect();
    assert_eq!(core.heap.allocated(), 0);
    core.release();
    core.heap.pool_size()
}

#[test]
fn an_inbox_yields_blocks_with_their_routes_in_order() {
    let model = Model::new(4 * GRANULE);
    let core = Core::new(&model, 1);
    let inbox = Inbox::new();
    let sent: Vec<(NonNull<u8>, Route)> = [1, 1000, 2000, 16]
        .into_iter()
        .map(|size| {
            let block = core.allocate(size, 8, 0).unwrap();
            (block.start, Route::of(block.layout))
        })
        .collect();
    for &(block, route) in &sent {
        // SAFETY: live, and given up: nobody uses it again.
        unsafe { inbox.push(block, route) };
    }
    assert!(!inbox.is_empty());
    assert_eq!(inbox.take_all().collect::<Vec<_>>(), sent);
    assert!(inbox.is_empty() && inbox.take_all().next().is_none());
}
