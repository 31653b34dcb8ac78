//! Data through the data port.

use ata::{DataWidth, Options, Transfer};
use toro_core::driver::block::{BlockDevice, BlockError};
use virtio_sim::ide::{Drive, Lies, Pace};

use crate::rig::{Rig, controller, options, read, stamped};

#[test]
fn at_13_blocks_are_read_one_by_one_each_after_its_interrupt() {
    let mut rig = Rig::new(Transfer::Pio, [(0, stamped(Drive::disk(200)))]);
    rig.controller.channel(0).pace = Pace::Slow;
    // 16 at a time, and a shorter one at the end.
    rig.read(0, 7, &[3, 30, 2]).expect("it works");
    assert_eq!(rig.controller.channel(0).interrupts, 3);
    assert!(rig.overslept.is_zero(), "an interrupt was lost: {:?}", rig.overslept);
}

#[test]
fn at_13_one_block_moves_at_a_time() {
    let mut rig = Rig::new(Transfer::Pio, [(0, stamped(Drive::disk(4000)))]);
    let data = rig.buffers(&[1600], 0);
    rig.submit(0, read(0), data);
    rig.device.publish();
    // 100 blocks of 16 sectors.
    let steps = (0..).find(|_| rig.device.complete().expect("no fault").is_some()).expect("an end");
    assert!(steps >= 33, "{steps} steps");
}

#[test]
fn at_14_first_block_is_written_without_an_interrupt_and_the_end_has_one() {
    let mut rig = Rig::new(Transfer::Pio, [(0, Drive::disk(200))]);
    rig.controller.channel(0).pace = Pace::Slow;
    rig.write(0, 50, &[16, 20]).expect("it works");
    // Before the second and the third block, and at the end.
    assert_eq!(rig.controller.channel(0).interrupts, 3);
    assert!(rig.overslept.as_millis() < 2, "the first block alone is looked for: {:?}", rig.overslept);
    rig.read(0, 50, &[36]).expect("it is there");
}

#[test]
fn at_15_drive_that_refuses_multiple_blocks_gives_them_one_by_one() {
    let mut drive = stamped(Drive::disk(100));
    drive.refuses_multiple = true;
    let mut rig = Rig::new(Transfer::Pio, [(0, drive)]);
    rig.commands(0);
    rig.read(0, 0, &[10]).expect("it works");
    rig.write(0, 0, &[10]).expect("it works");
    assert_eq!(rig.codes(), [0x20, 0x30]);
}

#[test]
fn at_15_agreement_that_the_drive_has_forgotten_is_done_without() {
    let mut rig = Rig::new(Transfer::Pio, [(0, stamped(Drive::disk(100)))]);
    rig.controller.channel(0).drives[0].as_mut().expect("a drive").multiple = 0;
    rig.commands(0);
    rig.read(0, 0, &[10]).expect("it works");
    assert_eq!(rig.codes(), [0xc4, 0x20]);
    rig.write(0, 0, &[10]).expect("it works");
    assert_eq!(rig.codes(), [0x30]);
}

#[test]
fn at_16_status_is_read_once_for_each_interrupt() {
    for (transfer, length, interrupts) in [(Transfer::Pio, 64, 4), (Transfer::Dma, 64, 1)] {
        let mut rig = Rig::new(transfer, [(0, stamped(Drive::disk(100)))]);
        rig.controller.channel(0).pace = Pace::Slow;
        rig.controller.channel(0).status_reads = 0;
        rig.read(0, 1, &[length]).expect("it works");
        let channel = rig.controller.channel(0);
        assert_eq!((channel.interrupts, channel.status_reads), (interrupts, interrupts), "{transfer:?}");
    }
}

/// A disk and a CD-ROM drive behind data ports of this width, both found.
fn behind(data_width: DataWidth) -> Rig {
    let (controller, memory, clock) = controller([(0, stamped(Drive::disk(100))), (1, stamped(Drive::cdrom(8)))]);
    controller.change(|channel| channel.is_wide = data_width == DataWidth::Bits32);
    let options = Options { data_width, ..options(Transfer::Pio) };
    let rig = Rig::with(controller, memory, clock, &options);
    rig.controller.channel(0).data_accesses = [0; 2];
    rig
}

/// Accesses to the data port since this was called last, of 16 and of 32 bits.
fn accesses(rig: &Rig) -> [u32; 2] {
    std::mem::take(&mut rig.controller.channel(0).data_accesses)
}

#[test]
fn at_33_data_moves_with_16_bits_or_32_as_the_controller_has_them() {
    // The model refuses both widths at any other register, 32 bits where the port has 16, and words that nobody offered.
    for (data_width, halves, index) in [(DataWidth::Bits16, 1, 0), (DataWidth::Bits32, 2, 1)] {
        let mut rig = behind(data_width);
        let expected = |words: u32| {
            let mut accesses = [0; 2];
            accesses[index] = words / halves;
            accesses
        };
        rig.write(0, 5, &[1, 2, 3]).expect("it works");
        assert_eq!(accesses(&rig), expected(6 * 256), "{data_width:?}");
        rig.read(0, 5, &[6]).expect("it is there");
        assert_eq!(accesses(&rig), expected(6 * 256));
        // A packet is six words, a block 1,024.
        rig.read(1, 4, &[4]).expect("it works");
        assert_eq!(accesses(&rig), expected(6 + 1024));
    }
}

#[test]
fn at_33_what_is_left_of_32_bits_moves_with_16() {
    let mut rig = behind(DataWidth::Bits32);
    // What REQUEST SENSE gives is 18 bytes: four words of 32 bits and one of 16, between three packets and the block.
    rig.controller.channel(0).drives[1].as_mut().expect("a drive").attentions = 1;
    rig.read(1, 4, &[4]).expect("it is asked again");
    assert_eq!(accesses(&rig), [1, 3 * 3 + 4 + 512]);
    // A device that gives its data in pieces of 6 bytes, which is one word of each.
    rig.controller.channel(0).lies = Lies { packet_count: Some(6), packet_count_once: true, ..Lies::default() };
    rig.read(1, 0, &[4]).expect("the other pieces are as they should be");
    assert_eq!(accesses(&rig), [2, 3 + 1 + 510]);
}

#[test]
fn buffers_that_the_bus_master_does_not_reach_go_through_the_port() {
    use toro_core::dma::{DmaPool, Segments};
    use virtio_sim::SimMemory;
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::disk(100)))]);
    rig.commands(0);
    let far = SimMemory::leak();
    let mut buffer = DmaPool::new(far, 1, 1024).expect("memory").take().expect("a buffer");
    buffer.set_len(1024).expect("as long as that");
    rig.submit(0, read(3), buffer.into());
    let done = rig.finish();
    assert!(done.result.is_ok() && crate::rig::is_stamped(&done.request.data, 3));
    let mut buffer = DmaPool::new(rig.memory, 1, 1025).expect("memory").take().expect("a buffer");
    buffer.reset(1).expect("there is room");
    buffer.set_len(1024).expect("as long as that");
    rig.submit(0, read(3), Segments::One(buffer));
    let done = rig.finish();
    assert!(done.result.is_ok() && crate::rig::is_stamped(&done.request.data, 3));
    assert_eq!(rig.codes(), [0xc4, 0xc4]);
}

#[test]
fn block_that_cannot_be_read_is_named_and_what_came_before_it_was_read() {
    let mut drive = stamped(Drive::disk(100));
    drive.failures.push(virtio_sim::ide::Failure { lba: 37, error: 0x40, times: u32::MAX, concerns: |_| true });
    let mut rig = Rig::new(Transfer::Pio, [(0, drive)]);
    assert_eq!(rig.read(0, 20, &[40]), Err(BlockError::Medium { sector: Some(37) }));
    rig.read(0, 20, &[17]).expect("those before it are fine");
}
