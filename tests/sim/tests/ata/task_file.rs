//! What stands in the registers when a command is written.

use ata::Transfer;
use toro_core::dma::Segments;
use toro_core::driver::Refusal;
use toro_core::driver::block::{BlockDevice, BlockRequest};
use virtio_sim::ide::Drive;

use crate::rig::{Rig, read, stamped, write};

const EDGE: u64 = 1 << 28;

#[test]
fn at_10_short_address_fills_the_drive_register_and_256_sectors_are_written_as_0() {
    let start = 0x0abc_de00;
    let mut rig = Rig::new(Transfer::Pio, [(1, stamped(Drive::far(start, 512)))]);
    rig.commands(0);
    rig.read(1, start + 0x12, &[256]).expect("it works");
    assert_eq!(rig.codes(), [0xc4]);
    let (registers, _) = rig.controller.channel(0).last;
    assert_eq!(registers[2..7], [0, 0x12, 0xde, 0xbc, 0xfa]);
}

#[test]
fn at_11_long_address_goes_in_upper_half_first() {
    let start = 0x1234_5678_9abc;
    let mut rig = Rig::new(Transfer::Pio, [(0, stamped(Drive::far(start, 600)))]);
    rig.commands(0);
    rig.read(0, start, &[300]).expect("it works");
    assert_eq!(rig.codes(), [0x29]);
    let (low, high) = rig.controller.channel(0).last;
    assert_eq!(low[2..7], [44, 0xbc, 0x9a, 0x78, 0x40]);
    assert_eq!(high[2..6], [1, 0x56, 0x34, 0x12]);
}

#[test]
fn at_12_range_up_to_the_edge_is_short_and_one_across_it_long() {
    let mut rig = Rig::new(Transfer::Dma, [(0, stamped(Drive::far(EDGE - 100, 200)))]);
    rig.commands(0);
    for (sector, length, code) in [(EDGE - 8, 8, 0xc8), (EDGE - 8, 9, 0x25), (EDGE, 1, 0x25), (EDGE - 1, 1, 0xc8)] {
        rig.read(0, sector, &[length]).expect("it works");
        assert_eq!(rig.codes(), [code], "{length} from {sector:#x}");
        rig.write(0, sector, &[length]).expect("it works");
        assert_eq!(rig.codes(), [if code == 0xc8 { 0xca } else { 0x35 }]);
    }
}

#[test]
fn at_10_at_11_at_15_every_way_of_moving_data_has_its_command() {
    for (transfer, refuses_multiple, [read_short, read_long, write_short, write_long]) in [
        (Transfer::Dma, false, [0xc8, 0x25, 0xca, 0x35]),
        (Transfer::Pio, false, [0xc4, 0x29, 0xc5, 0x39]),
        (Transfer::Pio, true, [0x20, 0x24, 0x30, 0x34]),
    ] {
        let mut drive = stamped(Drive::far(EDGE - 100, 200));
        drive.refuses_multiple = refuses_multiple;
        let mut rig = Rig::new(transfer, [(0, drive)]);
        rig.commands(0);
        for sector in [EDGE - 30, EDGE] {
            rig.write(0, sector, &[20]).expect("it works");
            rig.read(0, sector, &[20]).expect("it is there");
        }
        assert_eq!(rig.codes(), [write_short, read_short, write_long, read_long]);
    }
}

#[test]
fn at_9_disk_without_long_addresses_ends_at_the_edge_and_takes_256_sectors_at_a_time() {
    let mut drive = stamped(Drive::far(EDGE - 1000, 1000));
    drive.words[83] &= !(1 << 10);
    (drive.words[60], drive.words[61]) = (0xffff, 0xffff);
    let mut rig = Rig::new(Transfer::Dma, [(0, drive)]);
    assert_eq!(rig.device.disk(0).map(|disk| disk.sectors), Some(EDGE));
    rig.commands(0);
    rig.read(0, EDGE - 600, &[300, 300]).expect("it works");
    assert_eq!(rig.codes(), [0xc8; 3]);
}

#[test]
fn at_28_nothing_is_asked_for_beyond_the_end_nor_nothing_at_all() {
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(64)), (2, Drive::cdrom(4))]);
    rig.commands(0);
    for (sector, lengths) in
        [(64, vec![1]), (63, vec![2]), (60, vec![2, 3]), (u64::MAX, vec![1]), (u64::MAX / 512, vec![1])]
    {
        let data = rig.buffers(&lengths, 0);
        assert_eq!(rig.refused(0, read(sector), data), Refusal::Invalid, "{lengths:?} at {sector}");
    }
    assert_eq!(rig.refused(0, write(0), Segments::None), Refusal::Invalid);
    let data = rig.buffers(&[0], 0);
    assert_eq!(rig.refused(0, read(0), data), Refusal::Invalid);
    let most = rig.device.limits().segments;
    for (buffers, is_taken) in [(most, true), (most + 1, false)] {
        let mut far = Rig::new(Transfer::Dma, [(0, Drive::disk(600))]);
        let data = far.buffers(&vec![1; buffers], 0);
        let result = far.device.submit(BlockRequest { unit: 0, operation: write(0), data });
        assert_eq!(result.is_ok(), is_taken, "{buffers} buffers");
    }
    // Neither half blocks of a CD-ROM, nor writing one, nor drives that are not there.
    for (unit, operation, sectors) in [(2, read(0), 3), (2, read(2), 4), (2, write(0), 4)] {
        let data = rig.buffers(&[sectors], 0);
        assert_eq!(rig.refused(unit, operation, data), Refusal::Invalid);
    }
    let data = rig.buffers(&[4], 0);
    assert!(matches!(rig.refused(1, read(0), data), Refusal::Faulted(_)));
    let data = rig.buffers(&[4], 0);
    assert_eq!(rig.refused(4, read(0), data), Refusal::Invalid);
    assert_eq!(rig.codes(), [0_u8; 0]);
}

#[test]
fn disk_with_blocks_of_4096_bytes_is_addressed_in_those() {
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::with_blocks_of_4096(64))]);
    assert_eq!(rig.device.disk(0).map(|disk| (disk.sectors, disk.block_size)), Some((512, 4096)));
    for transfer in [Transfer::Dma, Transfer::Pio] {
        rig.write(0, 16, &[3, 5, 16]).unwrap_or_else(|error| panic!("{transfer:?}: {error}"));
        rig.read(0, 16, &[24]).expect("it works");
        assert_eq!(rig.controller.channel(0).last.0[2..4], [3, 2]);
    }
    let data = rig.buffers(&[8], 0);
    assert_eq!(rig.refused(0, read(4), data), Refusal::Invalid);
}
