//! The heap under stress, and what the page tables allow.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use toro::core as cores;
use toro::mm::{self, PAGE_SIZE, image};

pub fn run() {
    page_tables();
    classes();
    let before = mm::heap::allocated();
    heap();
    assert_eq!(mm::heap::allocated(), before, "pieces of any size are lost");
    given_away();
    huge();
    stacks();
    registers();
}

/// No page is both writable and executable, only code is executable, and nothing is mapped at address 0 or in a guard.
fn page_tables() {
    let mut pages = 0;
    let mut mapped: Vec<(u64, u64)> = Vec::new();
    let text = image::text();
    let constants = image::rodata();
    mm::walk_address_space(&mut |page| {
        pages += 1;
        let end = page.virtual_address.wrapping_add(page.size);
        assert!(!(page.is_writable && page.is_executable), "writable and executable: {page:x?}");
        let is_text = text.start <= page.virtual_address && end <= text.end;
        assert_eq!(page.is_executable, is_text, "only code is executable: {page:x?}");
        if constants.start <= page.virtual_address && end <= constants.end {
            assert!(!page.is_writable, "constants can be written: {page:x?}");
        }
        assert_ne!(page.virtual_address, 0, "page 0 is mapped");
    });
    mm::walk_address_space(&mut |page| {
        mapped.push((page.virtual_address, page.virtual_address.wrapping_add(page.size)))
    });
    let is_mapped = |address: u64| mapped.iter().any(|&(start, end)| (start..end).contains(&address));

    assert!(is_mapped(image::boot_stack().start) && !is_mapped(image::boot_stack_guard().start));
    // From a local variable down to the first page that is not mapped: that is this thread's guard.
    let local = 0u8;
    let mut page = (&raw const local).addr() as u64 & !(PAGE_SIZE - 1);
    assert!(is_mapped(page));
    while is_mapped(page) {
        page -= PAGE_SIZE;
    }
    for guard in 0..mm::stack::GUARD_SIZE / PAGE_SIZE {
        assert!(!is_mapped(page - guard * PAGE_SIZE), "the guard of this stack is mapped");
    }
    toro::println!("{pages} pages are mapped as they should be");
}

/// Small pieces of every size, thousands at a time, freed in another order than they were allocated.
fn classes() {
    /// More aligned than its size asks for.
    #[repr(align(64))]
    struct Aligned([u8; 100]);

    let before = (mm::heap::allocated(), mm::free_memory());
    let mut pieces: Vec<Box<[u8]>> = Vec::new();
    let mut aligned = Vec::new();
    for number in 0..16_000 {
        let size = 1 + number * 7 % 1024;
        pieces.push(vec![size as u8; size].into_boxed_slice());
        aligned.push(Box::new(Aligned([size as u8; 100])));
    }
    assert!(mm::heap::allocated() >= before.0 + pieces.iter().map(|piece| piece.len()).sum::<usize>());
    for number in 0..pieces.len() {
        let piece = pieces.swap_remove(number * 31 % pieces.len());
        assert!(piece.iter().all(|&byte| byte == piece.len() as u8), "a piece of {} was overwritten", piece.len());
    }
    for piece in aligned {
        assert!((&raw const *piece).addr().is_multiple_of(64));
        assert!(piece.0.iter().all(|byte| *byte == piece.0[0]));
    }
    // The two lists are large pieces when they are long, and those have gone as well.
    drop(pieces);
    assert_eq!(mm::heap::allocated(), before.0, "small pieces are lost");
    assert!(mm::free_memory() + (1 << 20) >= before.1, "frames of small pieces do not come back");
}

/// Pieces that were allocated here are freed on every core, and come home.
fn given_away() {
    const SIZES: [usize; 7] = [1, 16, 60, 500, 1024, 3000, 60_000];
    // What else runs meanwhile, the network, allocates as well, but less than a round does here.
    let before = mm::heap::allocated();
    for round in 0..20 {
        for core in cores::all() {
            let pieces: Vec<Vec<u8>> = SIZES.iter().cycle().take(70).map(|&size| vec![round; size]).collect();
            cores::run_on(core, move || {
                assert!(pieces.iter().flatten().all(|&byte| byte == round), "a piece was overwritten on its way");
                drop(pieces);
            });
            mm::heap::collect();
        }
    }
    assert!(mm::heap::allocated() < before + 10 * SIZES.iter().sum::<usize>(), "pieces that others freed are lost");
}

/// Whether all bytes of `piece` are `byte`: the first is, and each is as the one before.
pub fn is_filled(piece: &[u8], byte: u8) -> bool {
    piece.first().is_none_or(|&first| first == byte) && piece.get(1..) == piece.get(..piece.len().wrapping_sub(1))
}

/// Random pieces with patterns, allocated, grown and freed in random order.
fn heap() {
    let mut state = 1u64;
    let mut random = move |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    let mut pieces: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    for round in 0..6000 {
        let key = random(200);
        match pieces.remove(&key) {
            Some(piece) => assert!(is_filled(&piece, key as u8), "a piece of the heap was overwritten"),
            None => {
                let size = [50, 500, 5_000, 200_000][random(4)];
                let mut piece = vec![key as u8; 1 + random(size)];
                if round % 3 == 0 {
                    let longer = piece.len() * 3;
                    piece.resize(longer, key as u8);
                }
                if round % 5 == 0 {
                    piece.truncate(piece.len() / 2);
                    piece.shrink_to_fit();
                }
                pieces.insert(key, piece);
            }
        }
    }
}

/// Half of all memory in one piece, which goes back as a whole.
fn huge() {
    let before = mm::free_memory();
    let size = before as usize / 2;
    let mut piece: Vec<u8> = Vec::new();
    piece.try_reserve_exact(size).expect("half of the memory is there in one piece");
    assert!(mm::free_memory() <= before - size as u64);
    piece.resize(1 << 20, 7);
    drop(piece);
    assert_eq!(mm::free_memory(), before, "a huge piece goes back to the frame allocator");
    let too_much: Result<(), _> = Vec::<u8>::new().try_reserve_exact(before as usize * 2);
    assert!(too_much.is_err());
}

/// Stacks of finished threads are used again: ten times as many threads take no more memory.
fn stacks() {
    let round = |count: usize| {
        let threads: Vec<_> = (0..count).map(|_| toro::thread::spawn(|| ())).collect();
        for thread in threads {
            let Ok(()) = thread.join();
        }
    };
    round(30);
    let before = mm::free_memory();
    (0..10).for_each(|_| round(30));
    assert!(mm::free_memory() + 64 * 1024 >= before, "stacks of finished threads are lost");

    let builder = toro::thread::Builder::new().stack_size(1 << 40);
    let error = builder.spawn(|| ()).expect_err("no machine has a terabyte for a stack");
    assert_eq!(error.kind(), toro::io::ErrorKind::OutOfMemory);
    // Everything that is free can be a stack, the pool's stacks included, and comes back.
    let most = mm::free_memory() as usize / 2 + 30 * toro::thread::DEFAULT_STACK_SIZE / 2;
    let Ok(()) = toro::thread::Builder::new().stack_size(most).spawn(|| ()).expect("enough memory").join();
}

/// Registers are mapped wherever a monitor has put them, uncached, and nowhere else.
fn registers() {
    use toro_core::Registers;

    const LENGTH: u64 = 512 << 10;
    // Where the BARs of Firecracker and of Cloud Hypervisor are: in the first entry of the page tables' root, and in another.
    for address in [0x40_0000_0000, 0xFF_FF80_0000] {
        let registers = mm::device_registers(address, LENGTH).expect("an address that the processor has");
        // Nothing is there, which reads as zeroes or ones.
        for offset in [0, 0x8000, LENGTH as usize - 4] {
            let value = registers.read32(offset);
            assert!(matches!(value, 0 | u32::MAX), "{value:#x} at {address:#x}");
            registers.write32(offset, 1);
        }
        let (mut size, end) = (0, address + LENGTH);
        mm::walk_address_space(&mut |page| {
            if (address..end).contains(&page.virtual_address) {
                assert_eq!(page.virtual_address, page.physical_address);
                assert!(page.is_writable && page.is_uncached && !page.is_executable, "{page:x?}");
                size += page.size;
            }
        });
        assert_eq!(size, LENGTH);
    }
    let bits = toro::arch::cpu::physical_address_bits().min(47);
    for address in [(1 << bits) - 4096, 1 << bits, 1 << 51, 1 << 63, 0_u64.wrapping_sub(8192)] {
        assert!(mm::device_registers(address, 8192).is_err(), "{address:#x} is mapped");
    }
}
