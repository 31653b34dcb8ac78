//! The frame allocator: runs of physically contiguous 4 KiB frames from a bitmap.
//!
//! ```text
//!   region 0        region 1                    one region per range of the memory map, above 1 MiB
//!   [11110001...]   [11111111 1111....]         one bit per frame, 1 = free, each region on a word of its own
//!        ^ hint: no free frame in a lower word
//! ```
//!
//! A bitmap costs 32 KiB per GiB of RAM, needs no memory inside the frames themselves, gives runs of any length and
//! merges what is freed without any work. Single frames come from the lowest free place, found from a hint; longer runs
//! are searched first-fit a word at a time, which takes microseconds per GiB.
//!
//! Freeing a frame that is free already is a bug in the kernel and panics.

use super::PAGE_SIZE;
use super::memory_map::MemoryMap;

const BITS: usize = u64::BITS as usize;
/// As many as the memory map has ranges.
const MAX_REGIONS: usize = 64;

#[derive(Clone, Copy)]
struct Region {
    /// Number of the first frame, which is its physical address divided by the page size.
    first: u64,
    /// Frames in the region.
    frames: usize,
    /// Index of the region's first word in the bitmap.
    word: usize,
}

/// Hands out physical frames of the ranges it was made from.
pub struct FrameAllocator<'a> {
    bitmap: &'a mut [u64],
    regions: [Region; MAX_REGIONS],
    used: usize,
    /// Per region: no frame below this index is free.
    hints: [usize; MAX_REGIONS],
    free: usize,
}

impl<'a> FrameAllocator<'a> {
    /// An allocator without any frames.
    const fn empty() -> Self {
        Self {
            bitmap: &mut [],
            regions: [Region { first: 0, frames: 0, word: 0 }; MAX_REGIONS],
            used: 0,
            hints: [0; MAX_REGIONS],
            free: 0,
        }
    }

    /// Words of bitmap that [`new`](Self::new) needs for `map`.
    pub fn words_needed(map: &MemoryMap) -> usize {
        map.ranges().iter().map(|range| frames_in(range.size()).div_ceil(BITS)).sum()
    }

    /// An allocator with every frame of `map` free. A bitmap that is too short leaves the last ranges unused.
    pub fn new(map: &MemoryMap, bitmap: &'a mut [u64]) -> Self {
        let mut allocator = Self { bitmap, ..Self::empty() };
        let mut word = 0;
        for range in map.ranges().iter().take(MAX_REGIONS) {
            let frames = frames_in(range.size());
            let words = frames.div_ceil(BITS);
            let Some(bits) = allocator.bitmap.get_mut(word..word + words) else { break };
            bits.fill(u64::MAX);
            if let (Some(last), tail @ 1..) = (bits.last_mut(), frames % BITS) {
                *last = (1 << tail) - 1;
            }
            allocator.regions[allocator.used] = Region { first: range.start / PAGE_SIZE, frames, word };
            allocator.used += 1;
            allocator.free += frames;
            word += words;
        }
        allocator
    }

    /// Frames that are free.
    pub fn free_frames(&self) -> usize {
        self.free
    }

    /// Frames that there are, free or not.
    pub fn all_frames(&self) -> usize {
        self.regions[..self.used].iter().map(|region| region.frames).sum()
    }

    /// Takes `count` contiguous frames whose first is a multiple of `alignment` frames, a power of two. Returns the
    /// physical address of the first, or `None` where there is no such run. What is in the frames is unspecified.
    pub fn allocate(&mut self, count: usize, alignment: usize) -> Option<u64> {
        debug_assert!(alignment.is_power_of_two());
        if count == 0 || count > self.free {
            return None;
        }
        for index in 0..self.used {
            let region = self.regions[index];
            if let Some(start) = self.find(index, count, alignment as u64) {
                self.mark(region.word, start, count, State::Taken);
                if count == 1 && alignment == 1 {
                    self.hints[index] = start + 1;
                }
                self.free -= count;
                return Some((region.first + start as u64) * PAGE_SIZE);
            }
        }
        None
    }

    /// Takes the `additional` frames behind a run that ends at physical address `end`, if all of them are free.
    pub fn extend(&mut self, end: u64, additional: usize) -> bool {
        let frame = end / PAGE_SIZE;
        let Some(region) = self.region_of(frame).map(|index| self.regions[index]) else { return false };
        let start = (frame - region.first) as usize;
        if region.frames - start < additional || self.run_length(&region, start, additional) < additional {
            return false;
        }
        self.mark(region.word, start, additional, State::Taken);
        self.free -= additional;
        true
    }

    /// Gives back `count` frames from physical address `address` on.
    ///
    /// # Panics
    ///
    /// If they are not all allocated frames of one region.
    pub fn free(&mut self, address: u64, count: usize) {
        let frame = address / PAGE_SIZE;
        let index = self.region_of(frame).expect("a freed frame belongs to a region");
        let region = self.regions[index];
        let start = (frame - region.first) as usize;
        assert!(count <= region.frames - start, "a freed run of frames leaves its region");
        self.mark(region.word, start, count, State::Free);
        self.hints[index] = self.hints[index].min(start);
        self.free += count;
    }

    fn region_of(&self, frame: u64) -> Option<usize> {
        self.regions[..self.used]
            .iter()
            .position(|region| (region.first..region.first + region.frames as u64).contains(&frame))
    }

    /// First fit in one region; returns the index of the first frame in the region.
    fn find(&mut self, index: usize, count: usize, alignment: u64) -> Option<usize> {
        let region = self.regions[index];
        let lowest = self.next_free(&region, self.hints[index])?;
        self.hints[index] = lowest;
        let mut start = lowest;
        loop {
            start = ((region.first + start as u64).next_multiple_of(alignment) - region.first) as usize;
            if start.checked_add(count)? > region.frames {
                return None;
            }
            let run = self.run_length(&region, start, count);
            if run >= count {
                return Some(start);
            }
            start = self.next_free(&region, start + run + 1)?;
        }
    }

    /// The first free frame at or behind `from`.
    fn next_free(&self, region: &Region, from: usize) -> Option<usize> {
        let mut position = from;
        while position < region.frames {
            let word = self.bitmap[region.word + position / BITS] >> (position % BITS);
            if word != 0 {
                return Some(position + word.trailing_zeros() as usize);
            }
            position = (position / BITS + 1) * BITS;
        }
        None
    }

    /// How many frames from `start` on are free, counted no further than `limit`.
    fn run_length(&self, region: &Region, start: usize, limit: usize) -> usize {
        let mut length = 0;
        while length < limit && start + length < region.frames {
            let position = start + length;
            let bits = BITS - position % BITS;
            let word = self.bitmap[region.word + position / BITS] >> (position % BITS);
            let ones = (word.trailing_ones() as usize).min(bits);
            length += ones;
            if ones < bits {
                break;
            }
        }
        length.min(limit)
    }

    fn mark(&mut self, word: usize, start: usize, count: usize, state: State) {
        let mut position = start;
        while position < start + count {
            let bits = (BITS - position % BITS).min(start + count - position);
            let mask = (u64::MAX >> (BITS - bits)) << (position % BITS);
            let word = &mut self.bitmap[word + position / BITS];
            match state {
                State::Taken => *word &= !mask,
                State::Free => {
                    assert!(*word & mask == 0, "a frame is freed twice");
                    *word |= mask;
                }
            }
            position += bits;
        }
    }
}

#[derive(Clone, Copy)]
enum State {
    Taken,
    Free,
}

fn frames_in(bytes: u64) -> usize {
    (bytes / PAGE_SIZE) as usize
}

#[cfg(test)]
mod tests {
    use super::super::memory_map::Entry;
    use super::*;

    fn map(ranges: &[(u64, u64)]) -> MemoryMap {
        MemoryMap::from_entries(ranges.iter().map(|&(frame, frames)| Entry {
            address: frame * PAGE_SIZE,
            size: frames * PAGE_SIZE,
            kind: 1,
        }))
    }

    fn with_allocator<R>(ranges: &[(u64, u64)], test: impl FnOnce(&mut FrameAllocator<'_>) -> R) -> R {
        let map = map(ranges);
        let mut bitmap = vec![0; FrameAllocator::words_needed(&map)];
        test(&mut FrameAllocator::new(&map, &mut bitmap))
    }

    #[test]
    fn every_frame_is_handed_out_once_lowest_first() {
        with_allocator(&[(256, 100), (1000, 70)], |frames| {
            let expected: Vec<u64> = (256..356).chain(1000..1070).map(|frame| frame * PAGE_SIZE).collect();
            let given: Vec<u64> = std::iter::from_fn(|| frames.allocate(1, 1)).collect();
            assert_eq!(given, expected);
            assert_eq!(frames.free_frames(), 0);
        });
    }

    #[test]
    fn runs_cross_words_but_never_regions() {
        with_allocator(&[(256, 200), (456, 200)], |frames| {
            // The memory map keeps the two ranges apart although they touch.
            assert_eq!(frames.allocate(201, 1), None);
            assert_eq!(frames.allocate(150, 1), Some(256 * PAGE_SIZE));
            assert_eq!(frames.allocate(150, 1), Some(456 * PAGE_SIZE));
            assert_eq!(frames.allocate(50, 1), Some(406 * PAGE_SIZE));
        });
    }

    #[test]
    fn alignment_is_of_the_physical_frame_number() {
        with_allocator(&[(257, 2000)], |frames| {
            assert_eq!(frames.allocate(512, 512), Some(512 * PAGE_SIZE));
            assert_eq!(frames.allocate(1, 256), Some(1024 * PAGE_SIZE));
            assert_eq!(frames.allocate(1, 1), Some(257 * PAGE_SIZE));
        });
    }

    #[test]
    fn freed_frames_merge_and_are_found_again() {
        with_allocator(&[(256, 300)], |frames| {
            let all: Vec<u64> = std::iter::from_fn(|| frames.allocate(3, 1)).collect();
            assert_eq!(all.len(), 100);
            all.iter().for_each(|&address| frames.free(address, 3));
            assert_eq!(frames.allocate(300, 1), Some(256 * PAGE_SIZE));
        });
    }

    #[test]
    fn a_run_is_extended_only_into_free_frames() {
        with_allocator(&[(256, 100)], |frames| {
            let first = frames.allocate(10, 1).unwrap();
            let end = first + 10 * PAGE_SIZE;
            assert!(frames.extend(end, 5));
            assert_eq!(frames.allocate(1, 1), Some(end + 5 * PAGE_SIZE));
            assert!(!frames.extend(end + 5 * PAGE_SIZE, 1));
            assert!(!frames.extend(end + 6 * PAGE_SIZE, 1000));
            assert!(!frames.extend(first + 100 * PAGE_SIZE, 1));
            assert_eq!(frames.free_frames(), 84);
        });
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn freeing_a_free_frame_panics() {
        with_allocator(&[(256, 100)], |frames| {
            let address = frames.allocate(2, 1).unwrap();
            frames.free(address, 2);
            frames.free(address + PAGE_SIZE, 1);
        });
    }

    #[test]
    fn a_random_history_never_gives_one_frame_to_two_owners() {
        with_allocator(&[(256, 777), (5000, 1234)], |frames| {
            let mut state = 12345u64;
            let mut random = |bound: usize| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) as usize % bound
            };
            let mut owned: Vec<(u64, usize)> = Vec::new();
            let total = frames.free_frames();
            for _ in 0..20_000 {
                if random(2) == 0 {
                    let (count, alignment) = (1 + random(90), 1 << random(6));
                    if let Some(address) = frames.allocate(count, alignment) {
                        assert_eq!(address / PAGE_SIZE % alignment as u64, 0);
                        let end = address + count as u64 * PAGE_SIZE;
                        let overlaps =
                            |&(start, n): &(u64, usize)| start < end && address < start + n as u64 * PAGE_SIZE;
                        assert!(!owned.iter().any(overlaps));
                        owned.push((address, count));
                    }
                } else if !owned.is_empty() {
                    let (address, count) = owned.swap_remove(random(owned.len()));
                    frames.free(address, count);
                }
                let taken: usize = owned.iter().map(|&(_, count)| count).sum();
                assert_eq!(frames.free_frames(), total - taken);
            }
        });
    }
}
