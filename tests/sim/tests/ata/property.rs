//! Random requests against a model of a disk's contents: a vector.

use ata::{DataWidth, Options, Transfer};
use proptest::prelude::*;
use toro_core::driver::block::{BlockDevice, BlockOperation, SECTOR};
use virtio_sim::ide::{Drive, Failure, Pace};

use crate::rig::{Rig, controller, options, read, write};

const SECTORS: u64 = 300;

#[derive(Clone, Debug)]
struct Step {
    is_write: bool,
    sector: u64,
    lengths: Vec<usize>,
    fill: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<bool>(), 0..SECTORS, prop::collection::vec(1..40_usize, 1..5), any::<u8>());
    let step = step.prop_map(|(is_write, sector, lengths, fill)| Step { is_write, sector, lengths, fill });
    prop::collection::vec(step, 1..16)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn disk_holds_what_was_written_last(
        steps in steps(),
        by_dma in any::<bool>(),
        by_32_bits in any::<bool>(),
        is_slow in any::<bool>(),
        failures in prop::collection::vec((0..SECTORS, 1..3_u32), 0..4),
    ) {
        let transfer = if by_dma { Transfer::Dma } else { Transfer::Pio };
        let data_width = if by_32_bits { DataWidth::Bits32 } else { DataWidth::Bits16 };
        let (controller, memory, clock) = controller([(1, Drive::disk(SECTORS))]);
        controller.change(|channel| channel.is_wide = by_32_bits);
        let mut rig = Rig::with(controller, memory, clock, &Options { data_width, ..options(transfer) });
        {
            let mut channel = rig.controller.channel(0);
            channel.pace = if is_slow { Pace::Slow } else { Pace::Quick };
            // Some sectors fail at first.
            let failures = failures.iter().map(|(lba, times)| {
                Failure { lba: *lba, error: 0x04, times: *times, concerns: |code| code != 0xc6 }
            });
            if by_dma {
                channel.drives[1].as_mut().expect("a drive").failures = failures.collect();
            }
        }
        let mut contents = vec![0_u8; SECTORS as usize * SECTOR];
        for (number, step) in steps.into_iter().enumerate() {
            let total: usize = step.lengths.iter().sum();
            let operation = if step.is_write { write(step.sector) } else { read(step.sector) };
            let mut data = rig.buffers(&step.lengths, number as u64 * 1000);
            for (place, buffer) in data.as_mut_slice().iter_mut().enumerate() {
                buffer.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(7).wrapping_add(step.fill).wrapping_add(place as u8 % 3));
            }
            if step.sector + total as u64 > SECTORS {
                rig.refused(1, operation, data);
                continue;
            }
            rig.submit(1, operation, data);
            let done = rig.finish();
            if done.result.is_err() {
                // What is on the disk then is anybody's guess, within the request.
                prop_assert!(by_dma, "{:?}", done.result);
                break;
            }
            let mut at = step.sector as usize * SECTOR;
            for buffer in done.request.data.as_slice() {
                let place = &mut contents[at..at + buffer.len()];
                match done.request.operation {
                    BlockOperation::Write { .. } => place.copy_from_slice(buffer),
                    _ => prop_assert!(place == &buffer[..], "step {}", number),
                }
                at += buffer.len();
            }
        }
        prop_assert!(rig.device.disk(1).is_some());
    }
}
