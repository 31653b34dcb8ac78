//! Which drives are found, how fast, and what is believed of them.

use std::time::Duration;

use ata::{Ata, ChannelRegisters, Interrupts, Options, Transfer};
use toro_core::dma::DmaPool;
use toro_core::driver::block::{BlockDevice, BlockOperation, SERIAL_BYTES};
use virtio_sim::ide::{Drive, Pace};

use crate::rig::{Rig, controller, options, registers};

/// Attaches; says how long that took, in accesses and in time.
fn quickly(change: impl Fn(&virtio_sim::ide::Controller), drives: Vec<(usize, Drive)>) -> (Rig, u32, Duration) {
    let (controller, memory, clock) = controller(drives);
    change(&controller);
    let start = clock.peek();
    let rig = Rig::with(controller, memory, clock, &options(Transfer::Dma));
    let looks = [0, 1].map(|number| {
        let channel = rig.controller.channel(number);
        channel.status_reads + channel.alternate_reads
    });
    let took = rig.clock.peek().saturating_since(start);
    (rig, looks.iter().sum(), took)
}

#[test]
fn at_3_nothing_is_waited_for_where_nothing_is() {
    for is_floating in [false, true] {
        let (rig, looks, took) =
            quickly(|controller| controller.change(|channel| channel.is_floating = is_floating), vec![]);
        assert!(!rig.device.has_drives() && (0..4).all(|unit| rig.device.disk(unit).is_none()));
        assert!(looks <= 40, "{looks} looks at the status");
        assert!(took < Duration::from_micros(100), "{took:?}");
        assert_eq!(rig.controller.channel(0).resets + rig.controller.channel(1).resets, 0);
        assert_eq!(rig.memory.blocks(), 0);
    }
}

#[test]
fn at_3_second_drive_that_is_not_there_has_a_status_of_zero() {
    let (rig, looks, took) = quickly(|_| (), vec![(0, Drive::disk(100))]);
    assert_eq!(rig.device.disk(0).map(|disk| disk.sectors), Some(100));
    assert!(rig.device.disk(1).is_none());
    assert!(looks <= 60 && took < Duration::from_micros(200), "{looks} looks, {took:?}");
    // Alone as the second one, too.
    let (rig, ..) = quickly(|_| (), vec![(3, Drive::disk(100))]);
    assert!(rig.device.disk(3).is_some() && rig.device.disk(2).is_none());
}

#[test]
fn at_4_drive_is_selected_where_another_was_and_its_status_not_read_at_once() {
    // The model shows another status for 400 ns after a selection, and after a command.
    let mut rig = Rig::new(Transfer::Pio, [(0, Drive::disk(64)), (1, Drive::disk(64))]);
    rig.controller.change(|channel| (channel.selections, channel.drive_writes) = (0, 0));
    for unit in [0, 0, 1, 1, 1, 0] {
        rig.write(unit, 3, &[1]).expect("it works");
    }
    // The driver had the second one selected last; and each command writes the register, which is part of its address.
    let channel = rig.controller.channel(0);
    assert_eq!((channel.selections, channel.drive_writes), (3, 6 + 3));
}

#[test]
fn at_6_no_reset_without_need_and_then_its_times_are_kept() {
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(64)), (1, Drive::cdrom(8))]);
    assert_eq!(rig.controller.channel(0).resets, 0);
    // The model looks at the length of the pulse and at the rest after it.
    rig.device.reset(&mut |_| ()).expect("it comes back");
    assert_eq!(rig.controller.channel(0).resets, 1);
    assert!(rig.device.disk(0).is_some() && rig.device.disk(1).is_some());
    assert!(rig.controller.channel(0).drives[0].as_ref().is_some_and(|drive| drive.multiple == 16), "set again");
}

#[test]
fn at_6_channel_found_in_the_middle_of_something_is_reset() {
    let (controller, memory, clock) = controller([(0, Drive::disk(64))]);
    controller.channel(0).pace = Pace::Quick;
    controller.channel(0).be_in_the_middle();
    let mut rig = Rig::with(controller, memory, clock, &options(Transfer::Dma));
    assert_eq!(rig.controller.channel(0).resets, 1);
    rig.write(0, 0, &[2]).expect("it works");
}

#[test]
fn at_7_packet_device_shows_its_signature_and_is_asked_in_its_way() {
    let rig = Rig::new(Transfer::Dma, [(2, Drive::cdrom(10)), (3, Drive::disk(50))]);
    let commands = rig.commands(1);
    assert_eq!(commands[..2], [(0, 0xec), (0, 0xa1)]);
    assert_eq!(
        commands.iter().filter(|(drive, _)| *drive == 1).map(|(_, code)| *code).collect::<Vec<_>>(),
        [0xec, 0xc6]
    );
    assert_eq!(
        rig.device.disk(2).map(|disk| (disk.sectors, disk.block_size, disk.is_read_only)),
        Some((40, 2048, true))
    );
    assert_eq!((rig.device.model(2), rig.device.model(3)), ("SIMULATED DVD-ROM", "SIMULATED DISK"));
}

#[test]
fn at_8_disk_is_what_it_says_and_its_serial_number_can_be_read() {
    let mut rig = Rig::new(Transfer::Dma, [(0, Drive::disk(1234))]);
    let disk = rig.device.disk(0).expect("a disk");
    assert_eq!((disk.sectors, disk.block_size, disk.has_cache, disk.is_read_only), (1234, 512, true, false));
    let mut buffer = DmaPool::new(rig.memory, 1, SERIAL_BYTES).expect("memory").take().expect("a buffer");
    buffer.set_len(SERIAL_BYTES).expect("as long as that");
    rig.submit(0, BlockOperation::Identify, buffer.into());
    let done = rig.finish();
    assert_eq!(done.result, Ok(()));
    assert_eq!(*done.request.data.into_one().expect("its buffer"), *b"SIM00001\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn at_26_setup_polls_with_interrupts_off() {
    let rig = Rig::new(Transfer::Dma, [(0, Drive::disk(64)), (1, Drive::cdrom(4))]);
    assert_eq!(rig.controller.channel(0).interrupts, 0);
    assert!(rig.controller.channel(0).admits_interrupts());
    // Who is polled never interrupts.
    let (controller, memory, clock) = controller([(0, Drive::disk(64))]);
    let options = Options { interrupts: [Interrupts::Polled; 2], ..options(Transfer::Dma) };
    let mut rig = Rig::with(controller, memory, clock, &options);
    rig.write(0, 1, &[3, 4]).expect("it works");
    rig.read(0, 1, &[7]).expect("it works");
    assert!(!rig.controller.channel(0).admits_interrupts() && rig.controller.channel(0).interrupts == 0);
}

#[test]
fn at_30_no_dma_without_a_bus_master_nor_where_the_drive_has_none() {
    let (controller, memory, clock) = controller([(0, Drive::disk(64))]);
    let [command, control, _] = controller.ports(0);
    let channels = [Some(ChannelRegisters { command, control, bus_master: None }), None];
    let device = Ata::new(channels, memory, clock, &options(Transfer::Dma));
    let mut rig = Rig { device, ..Rig::with(controller, memory, clock, &options(Transfer::Dma)) };
    rig.commands(0);
    rig.write(0, 0, &[2]).expect("it works");
    assert_eq!(rig.codes(), [0xc5]);

    let mut drive = Drive::disk(64);
    drive.words[49] &= !(1 << 8);
    let mut rig = Rig::new(Transfer::Dma, [(0, drive)]);
    rig.commands(0);
    rig.write(0, 0, &[2]).expect("it works");
    assert_eq!((rig.codes(), rig.memory.blocks()), (vec![0xc5], 0), "and no table is made for it");

    // A controller that has one channel's transfers at a time: the first one's.
    let (controller, memory, clock) = crate::rig::controller([(0, Drive::disk(64)), (2, Drive::disk(64))]);
    controller.change(|channel| channel.lies.master_bits = 1 << 7);
    let mut rig = Rig::with(controller, memory, clock, &options(Transfer::Dma));
    for (unit, code) in [(0, 0xca), (2, 0xc5)] {
        rig.commands(usize::from(unit / 2));
        rig.write(unit, 0, &[2]).expect("it works");
        assert_eq!(rig.commands(usize::from(unit / 2)), [(0, code)]);
    }
}

#[test]
fn native_ports_have_control_in_the_third_place() {
    let (controller, memory, clock) = controller([(0, Drive::disk(64))]);
    let [command, control, bus_master] = controller.native_ports(0);
    let channels = [Some(ChannelRegisters { command, control, bus_master: Some(bus_master) }), None];
    let device = Ata::new(channels, memory, clock, &options(Transfer::Dma));
    assert!(device.disk(0).is_some());
}

#[test]
fn slow_drives_are_waited_for_a_while() {
    let (controller, memory, clock) = controller([(0, Drive::disk(64)), (2, Drive::disk(32))]);
    controller.channel(0).pace = Pace::Slow;
    controller.channel(0).runs_by_itself = true;
    let device = Ata::new(registers(&controller), memory, clock, &options(Transfer::Dma));
    assert!(device.disk(0).is_some() && device.disk(2).is_some());
}
