//! Which fields of their configuration the drivers of this workspace look at, and what they make of them.

use toro_core::driver::AttachError;
use virtio_fs::VirtioFs;
use virtio_net::{VirtioNet, features};
use virtio_queue_rt::FeatureBits;
use virtio_queue_rt::attach::BoxedTransport;
use virtio_sim::Device;

use crate::common::transports::{BUSES, Bus};
use crate::rig::*;

const CTRL_VQ: FeatureBits = FeatureBits::bit(17);
const MQ: FeatureBits = FeatureBits::bit(22);
const RSS: FeatureBits = FeatureBits::bit(60);

fn device(bus: Bus, device_type: u32, offered: FeatureBits, config: &[u8]) -> Rig {
    let device = Device::new(device_type, (offered | FeatureBits::VERSION_1).bits(), &[8, 8], config);
    Rig { device, ..Rig::new(bus) }
}

/// A network card all of whose configuration is this byte, but for address, status and unit.
fn card(bus: Bus, offered: FeatureBits, rest: u8) -> Rig {
    let mut config = vec![rest; 28];
    config[..8].copy_from_slice(&[0x52, 0x54, 0, 1, 2, 3, 1, 0]);
    config[10..12].copy_from_slice(&1500_u16.to_le_bytes());
    device(bus, 1, offered, &config)
}

fn attach(rig: &Rig) -> Result<VirtioNet<BoxedTransport>, AttachError> {
    VirtioNet::new(rig.transport(), rig.memory, &HASTE, &virtio_net::Options::default())
}

/// Offsets and widths of what is read of the configuration, each once, in order.
fn fields(rig: &Rig) -> Vec<(usize, usize)> {
    let config = rig.layout().config;
    let accesses = rig.trace.take().into_iter().filter(|access| config.contains(&access.offset));
    let mut fields: Vec<_> = accesses.map(|access| (access.offset - config.start, access.width)).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

#[test]
fn cfg_3_cfg_5_optional_fields_are_read_if_their_feature_is_there_in_their_own_width() {
    use toro_core::driver::net::NetDevice;
    let address: Vec<_> = (0..6).map(|at| (at, 1)).collect();
    for bus in BUSES {
        for (offered, expected) in [
            (FeatureBits::EMPTY, vec![]),
            (features::MAC, address.clone()),
            (features::STATUS, vec![(6, 2)]),
            (features::MTU, vec![(10, 2)]),
            (!FeatureBits::EMPTY, [address.clone(), vec![(6, 2), (10, 2)]].concat()),
        ] {
            let rig = card(bus, offered, 0xee);
            let mut card = attach(&rig).expect("a sound card");
            let _ = card.link();
            assert_eq!(fields(&rig), expected, "{offered:?} over {bus:?}");
        }
    }
}

#[test]
fn cfg_10_what_is_read_is_validated_before_it_sizes_anything() {
    // A number of queues beyond all reason costs no memory; one of none, or no tag, ends it.
    for bus in BUSES {
        let blocks = [1, u32::MAX, 0].map(|queues| {
            let mut config = b"share".to_vec();
            config.resize(36, 0);
            config.extend(queues.to_le_bytes());
            let rig = device(bus, 26, FeatureBits::EMPTY, &config);
            let options = virtio_fs::Options::default();
            let share = VirtioFs::new(rig.transport(), rig.memory, &HASTE, &options);
            share.map(|_share| rig.memory.blocks())
        });
        assert_eq!(blocks[0], blocks[1]);
        assert!(matches!(blocks[2], Err(AttachError::Configuration(_))));
    }
}

#[test]
fn hd_cfg_11_the_number_of_queue_pairs_is_not_looked_at() {
    for bus in BUSES {
        for rest in [0, 0xff] {
            let rig = card(bus, MQ | CTRL_VQ | features::MAC, rest);
            attach(&rig).expect("one pair is enough");
            assert_eq!(rig.device.state().accepted & (MQ | CTRL_VQ).bits(), 0);
            assert!(!fields(&rig).iter().any(|&(at, _)| at == 8));
        }
    }
}

#[test]
fn hd_cfg_12_keys_and_tables_of_receive_side_scaling_are_not_looked_at() {
    for bus in BUSES {
        for rest in [0, 0xff] {
            let rig = card(bus, RSS | CTRL_VQ | features::MAC, rest);
            attach(&rig).expect("a card without scaling");
            assert_eq!(rig.device.state().accepted & (RSS | CTRL_VQ).bits(), 0);
            assert!(!fields(&rig).iter().any(|&(at, _)| at >= 12));
        }
    }
}
