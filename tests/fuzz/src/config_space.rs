//! Target `config_space`: a device configuration that changes under the drivers, with generations that lie about it.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | bit 0: network or file system; bit 1: modern, or legacy without generations; bit 2: never the same one |
//! | byte 1 | features offered: MTU, MAC, STATUS, and others that the driver does not know |
//! | byte 2 | length of the configuration, up to 64 bytes, which follow |
//!
//! Then come lies about configuration and generation, as [`Chip`] reads them; all other registers are honest. What the
//! driver makes of it is held against what it was told last: a value that it believes is one that was stable, or that
//! it was told twice.

use toro_core::driver::fuse::FuseDevice;
use toro_core::driver::net::{MacAddress, NetDevice};
use toro_core::driver::{AttachError, DeviceFault};
use virtio_fs::VirtioFs;
use virtio_net::VirtioNet;
use virtio_queue_rt::transport::TransitionalMmio;
use virtio_sim::SimMemory;

use crate::chip::{Chip, Layout};
use crate::clock::CLOCK;
use crate::script::Script;

/// How often a driver may try to read a stable configuration.
const MOST_ATTEMPTS: u32 = 64;
const MTU: u64 = 1 << 3;
const MAC: u64 = 1 << 5;
const STATUS: u64 = 1 << 16;
const FALLBACK: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

/// Runs an input; says why the driver did not take the device, if so.
pub fn body(input: &[u8], memory: &'static SimMemory) -> Option<AttachError> {
    let script = Script::new(input);
    let [which, features, len] = script.bytes();
    let version = if which & 2 == 0 { 2 } else { 1 };
    let config = script.take((len % 65).into()).to_vec();
    let device_type = if which & 1 == 0 { 1 } else { 26 };
    let chip = Chip::new(Layout::Mmio { version }, script, memory, device_type);
    {
        let mut state = chip.state();
        let offered = [MTU, MAC, STATUS, 1, 1 << 17, 1 << 22, 1 << 29, 1 << 28];
        state.offered = u64::from(version == 2) << 32;
        for (bit, feature) in offered.iter().enumerate() {
            state.offered |= if features & 1 << bit != 0 { *feature } else { 0 };
        }
        state.config = config;
        state.only_configuration = true;
        state.is_restless = which & 4 != 0;
        state.queue_max = 16;
    }
    let transport = TransitionalMmio::new(chip.clone()).expect("the control registers are honest");
    match which & 1 {
        0 => network(transport, &chip, memory),
        _ => file_system(transport, &chip, memory),
    }
    .err()
}

/// Holds that a value that was believed was a stable one.
fn was_stable(chip: &Chip<'_>) {
    let [before, after] = chip.state().generations;
    assert_eq!(before, after, "a value was believed while the configuration changed");
}

/// Holds that a driver that refused the device, which is honest in its other registers, kept no memory.
fn left_nothing(is_refused: bool, memory: &'static SimMemory) {
    assert!(!is_refused || memory.blocks() == 0, "HD-G-5: a failed attachment left {} blocks", memory.blocks());
}

fn network<'a>(
    transport: TransitionalMmio<Chip<'a>>,
    chip: &Chip<'a>,
    memory: &'static SimMemory,
) -> Result<(), AttachError> {
    let options = virtio_net::Options {
        receive_slots: 4,
        transmit_slots: 4,
        receive_spare: 1,
        fallback_mac: FALLBACK,
        large_frames: 1,
        ..virtio_net::Options::default()
    };
    let attached = VirtioNet::new(transport, memory, &CLOCK, &options);
    left_nothing(attached.is_err(), memory);
    // Six bytes and two words, each in its own round of attempts.
    assert!(chip.state().config_reads <= MOST_ATTEMPTS * 8, "the configuration is read without end");
    let mut net = attached?;
    was_stable(chip);
    let (offered, told) = {
        let state = chip.state();
        (state.offered, state.told_config)
    };
    let mac = MacAddress(std::array::from_fn(|i| told[i]));
    let expected = if offered & MAC != 0 && mac.is_unicast() { mac } else { FALLBACK };
    assert_eq!(net.mac(), expected, "HD-CFG-9");
    let mtu = u16::from_le_bytes([told[10], told[11]]);
    let mtu = if offered & MTU != 0 && (68..=9216).contains(&mtu) { mtu } else { 1500 };
    assert_eq!(net.limits().max_frame, usize::from(mtu) + 14, "HD-CFG-10");
    for _ in 0..4 {
        let before = chip.state().config_reads;
        let _ = net.link();
        assert!(chip.state().config_reads - before <= MOST_ATTEMPTS, "the status is read without end");
    }
    assert!(matches!(net.arm(), Ok(_) | Err(DeviceFault::Gone)));
    Ok(())
}

fn file_system<'a>(
    transport: TransitionalMmio<Chip<'a>>,
    chip: &Chip<'a>,
    memory: &'static SimMemory,
) -> Result<(), AttachError> {
    let options = virtio_fs::Options { descriptors: 16, buffer_bytes: 1 << 16, ..virtio_fs::Options::default() };
    let attached = VirtioFs::new(transport, memory, &CLOCK, &options);
    left_nothing(attached.is_err(), memory);
    // A tag of 36 bytes, and the number of queues.
    assert!(chip.state().config_reads <= MOST_ATTEMPTS * 37, "the configuration is read without end");
    let told = chip.state().told_config;
    let tag: Vec<u8> = told[..36].iter().copied().take_while(|byte| *byte != 0).collect();
    let queues = u32::from_le_bytes([told[36], told[37], told[38], told[39]]);
    match attached {
        Ok(fs) => {
            was_stable(chip);
            assert!(chip.state().config.len() >= virtio_fs::wire::CONFIG_LEN, "HD-CFG-3");
            assert!(!tag.is_empty() && queues > 0, "HD-CFG-13, HD-CFG-14");
            assert_eq!(fs.tag(), tag, "HD-CFG-13");
            assert!(fs.limits().in_flight > 0);
            Ok(())
        }
        Err(AttachError::Configuration(_)) => {
            let [before, after] = chip.state().generations;
            let is_short = chip.state().config.len() < virtio_fs::wire::CONFIG_LEN;
            assert!(
                before != after || is_short || tag.is_empty() || queues == 0 || is_legacy(chip),
                "a sound configuration was refused"
            );
            Err(AttachError::Configuration(""))
        }
        Err(error) => Err(error),
    }
}

fn is_legacy(chip: &Chip<'_>) -> bool {
    chip.state().offered >> 32 == 0
}
