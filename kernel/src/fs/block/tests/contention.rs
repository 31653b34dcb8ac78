//! Several threads at a cache, and at a queue that is full, in shuffled turns.
//!
//! Each write has a number, with which it fills its sectors, and is noted with the times at which it began and ended. So
//! whatever is found on a sector later is judged by these notes, and no order has to be known:
//!
//! ```text
//!   old      another write of the sector began after this one's end, and ended before the reader began
//!   torn     the reader has one write on a sector, and on another that it wrote, too, one that came before it
//! ```

use core::cell::{Cell, RefCell};
use core::ops::Range;
use std::vec::Vec;

use toro_core::driver::block::SECTOR;

use super::*;
use crate::fs::block::cache::{CachedDisk, Policy};
use crate::fs::tests::threads::{Crew, run, run_shuffled};

/// Sectors of the volume, which is more than the cache holds.
const SECTORS: u64 = 1605;
/// How many turns of the dice there are, how many threads, and how much each does.
const SEEDS: u64 = 40;
const THREADS: u64 = 5;
const STEPS: usize = 14;

/// A write, by its times.
struct Note {
    sectors: Range<u64>,
    began: u64,
    ended: u64,
}

/// What has been written, and when.
#[derive(Default)]
struct Notes {
    notes: RefCell<Vec<Note>>,
    time: Cell<u64>,
}

impl Notes {
    /// With the disk as it is at first, as the write number 0.
    fn new() -> Self {
        let notes = Self::default();
        notes.begin(0..SECTORS);
        notes.end(0);
        notes
    }

    fn tick(&self) -> u64 {
        self.time.set(self.time.get() + 1);
        self.time.get()
    }

    /// A write begins; its number.
    fn begin(&self, sectors: Range<u64>) -> usize {
        let began = self.tick();
        let mut notes = self.notes.borrow_mut();
        notes.push(Note { sectors, began, ended: u64::MAX });
        notes.len() - 1
    }

    fn end(&self, number: usize) {
        let ended = self.tick();
        self.notes.borrow_mut()[number].ended = ended;
    }

    /// What is wrong with these numbers, found from sector `first` on by somebody who began at `time`: old ones.
    fn find_old(&self, first: u64, found: &[usize], time: u64) -> Option<String> {
        let notes = self.notes.borrow();
        (first..).zip(found).find_map(|(sector, &number)| {
            let is_newer =
                |note: &&Note| note.sectors.contains(&sector) && note.began > notes[number].ended && note.ended < time;
            let newer = notes.iter().position(|note| is_newer(&note))?;
            Some(format!("sector {sector} has write {number}, and not the newer {newer}"))
        })
    }

    /// Likewise, parts of writes.
    fn find_torn(&self, first: u64, found: &[usize]) -> Option<String> {
        let notes = self.notes.borrow();
        let mut kinds: Vec<_> = (first..).zip(found.iter().copied()).collect();
        kinds.dedup_by_key(|(_, number)| *number);
        // Whether `other`, which lies where `number` was written, too, came before that.
        let is_before = |number: usize, here: u64, other: usize| {
            notes[other].sectors.contains(&here) || notes[other].ended < notes[number].began
        };
        kinds.iter().find_map(|&(here, number)| {
            let is_torn = |&(sector, other): &(u64, usize)| {
                other != number && notes[number].sectors.contains(&sector) && is_before(number, here, other)
            };
            let (sector, other) = (first..).zip(found.iter().copied()).find(is_torn)?;
            Some(format!("sector {here} has write {number}, and sector {sector} the older {other}"))
        })
    }
}

/// A sector's contents.
fn row(number: usize) -> [u8; SECTOR] {
    let mut row = [0; SECTOR];
    row.chunks_mut(8).for_each(|word| word.copy_from_slice(&(number as u64).to_le_bytes()));
    row
}

/// The number of the write on each sector.
fn numbers(bytes: &[u8]) -> Vec<usize> {
    let number = |sector: &[u8]| {
        let word = sector[..8].try_into().map_or(usize::MAX, |word| u64::from_le_bytes(word) as usize);
        assert!(sector == row(word), "a sector with parts of two writes");
        word
    };
    bytes.chunks(SECTOR).map(number).collect()
}

/// Numbers as random as a test needs them.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Sectors that are read or written as one: a part of a block, or whole blocks; often the same ones.
    fn sectors(&mut self) -> Range<u64> {
        let block = if self.roll(4) == 0 { self.roll(180) } else { self.roll(12) };
        match self.roll(5) {
            0 | 1 => {
                let first = self.roll(8);
                block * 8 + first..block * 8 + first + 1 + self.roll(8 - first)
            }
            2 | 3 => block * 8..(block + 1 + self.roll(6)) * 8,
            _ => block * 8..(block + 16 + self.roll(4)) * 8,
        }
    }
}

/// A disk for the threads of a crew. A thread of its own is the loop of the core, until all others have ended.
struct Site {
    model: Model,
    queue: Rc<Queue>,
    buffers: Rc<Buffers>,
    at_work: Rc<Cell<u64>>,
}

impl Site {
    fn new(crew: &Crew, model: Model) -> Self {
        let queue = Queue::new("model", model.device(), crew.scheduler(), PATIENCE);
        Self { model, queue, buffers: Rc::new(Buffers::new(&Heap, 64 << 20)), at_work: Rc::default() }
    }

    /// Another thread.
    fn spawn(&self, crew: &Crew, work: impl FnOnce() + 'static) {
        let at_work = Rc::clone(&self.at_work);
        at_work.set(at_work.get() + 1);
        crew.spawn(move || {
            work();
            at_work.set(at_work.get() - 1);
        });
    }

    /// The loop.
    fn serve(&self, crew: &Crew) {
        let (queue, at_work, scheduler) = (Rc::clone(&self.queue), Rc::clone(&self.at_work), crew.scheduler());
        let event = scheduler.event();
        crew.spawn(move || {
            while at_work.get() > 0 {
                queue.poll(scheduler.now());
                event.wait_until(scheduler.now().saturating_add(Duration::from_micros(10)));
                assert!(scheduler.now().as_nanos() < 100_000_000_000, "somebody waits for ever");
            }
        });
    }

    fn cache(&self) -> CachedDisk {
        let window = Window::new(0, SECTORS).expect("small");
        let volume = Volume::new(Rc::clone(&self.queue), 0, window, Rc::clone(&self.buffers));
        CachedDisk::new(volume, Policy::WriteBack { bytes: 0 }, None)
    }
}

/// What one of the threads does.
fn work(disk: &CachedDisk, model: &Model, notes: &Notes, mut dice: Dice) {
    for _ in 0..STEPS {
        match dice.roll(10) {
            0..4 => {
                let sectors = dice.sectors();
                let mut bytes = vec![0xA5; (sectors.end - sectors.start) as usize * SECTOR];
                let time = notes.tick();
                assert_eq!(disk.read(sectors.start, &mut bytes), Ok(()));
                let found = numbers(&bytes);
                assert_eq!(notes.find_old(sectors.start, &found, time), None);
                assert_eq!(notes.find_torn(sectors.start, &found), None);
            }
            4..9 => {
                let sectors = dice.sectors();
                let number = notes.begin(sectors.clone());
                let bytes = row(number).repeat((sectors.end - sectors.start) as usize);
                assert_eq!(disk.write(sectors.start, &bytes), Ok(()));
                notes.end(number);
            }
            _ => {
                let time = notes.tick();
                assert_eq!(disk.flush(), Ok(()));
                let stable = model.lock().after_cut(|_| false);
                assert_eq!(notes.find_old(0, &numbers(stable[..SECTORS as usize].as_flattened()), time), None);
            }
        }
    }
}

#[test]
fn of_several_threads_none_reads_half_a_write_or_an_old_one_and_none_loses_what_it_flushed() {
    for seed in 1..=SEEDS {
        run_shuffled(seed, |crew: &Crew| {
            let model = Model::new(SECTORS);
            model.lock().medium.fill(row(0));
            model.lock().behaviour.order = seed;
            model.lock().behaviour.delay = (seed % 4) as usize;
            let site = Site::new(crew, model);
            let (disk, notes) = (site.cache(), Rc::new(Notes::new()));
            for thread in 0..THREADS {
                let (disk, model, notes) = (disk.clone(), site.model.clone(), Rc::clone(&notes));
                site.spawn(crew, move || work(&disk, &model, &notes, Dice(seed << 8 | thread)));
            }
            site.serve(crew);
            move || drop(disk)
        });
    }
}

/// Writes that wait for others to be done with their blocks count when they go on, not when they came: together they would
/// fill the cache.
#[test]
fn threads_that_wait_for_the_same_blocks_keep_to_the_bound_of_what_is_dirty() {
    run(|crew: &Crew| {
        let model = Model::new(SECTORS);
        model.lock().behaviour.delay = 4;
        let site = Site::new(crew, model);
        let disk = site.cache();
        // Past the cache, all 200 blocks; and then, behind that, 12 times 15 of them.
        let whole = disk.clone();
        site.spawn(crew, move || assert_eq!(whole.write(0, &vec![1; 1600 * SECTOR]), Ok(())));
        for thread in 0..12 {
            let disk = disk.clone();
            site.spawn(crew, move || assert_eq!(disk.write(thread * 120, &[2; 120 * SECTOR]), Ok(())));
        }
        site.serve(crew);
        move || drop(disk)
    });
}

#[test]
fn threads_that_wait_for_parts_of_blocks_keep_to_the_bound_of_what_is_dirty() {
    run_shuffled(3, |crew: &Crew| {
        let site = Site::new(crew, Model::new(SECTORS));
        let disk = site.cache();
        for thread in 0..150 {
            let disk = disk.clone();
            site.spawn(crew, move || assert_eq!(disk.write(thread * 8 + 5, &[3; SECTOR]), Ok(())));
        }
        site.serve(crew);
        move || drop(disk)
    });
}

#[test]
fn whoever_waits_for_room_is_served_in_the_order_of_coming() {
    for seed in 1..=5 {
        let (came, served) = run_shuffled(seed, |crew: &Crew| {
            let site = Site::new(crew, Model::new(SECTORS));
            // All that there is room for, which nobody waits for.
            for index in 0..4096 {
                let buffer = site.buffers.take(SECTOR).expect("there is memory");
                drop(site.queue.submit(0, BlockOperation::Read { sector: index % 800 * 2 }, Some(buffer)));
            }
            let (came, served) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
            for thread in 0..12 {
                let (queue, buffers) = (Rc::clone(&site.queue), Rc::clone(&site.buffers));
                let (came, served) = (Rc::clone(&came), Rc::clone(&served));
                site.spawn(crew, move || {
                    for round in 0..4 {
                        let buffer = buffers.take(SECTOR).expect("there is memory");
                        let number = came.replace(came.get() + 1);
                        let ticket =
                            queue.submit(0, BlockOperation::Read { sector: thread * 50 + round }, Some(buffer));
                        served.borrow_mut().push(number);
                        assert_eq!(ticket.wait().result, Ok(()));
                    }
                });
            }
            site.serve(crew);
            move || (came.get(), served.take())
        });
        assert_eq!(served, (0..came).collect::<Vec<_>>());
    }
}
