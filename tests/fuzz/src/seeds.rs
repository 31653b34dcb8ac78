//! Inputs that tell a story each: what an obedient device does, and every lie of the catalogue that fits a target.
//!
//! They are where the fuzzer starts, and they are named after what they do: `hd_vq_3` is the third lie about virtqueues.
//! `cargo run -p fuzz-targets --bin write-seeds` writes them into the corpora; a test holds them against the files there,
//! and against what becomes of the device.

use crate::function::CAPABILITIES;

/// Inputs of one target, with their names.
pub type Seeds = Vec<(&'static str, Vec<u8>)>;

/// Every target's seeds.
pub fn all() -> [(&'static str, Seeds); 18] {
    [
        ("archive", crate::archive::seeds()),
        ("ata", ata()),
        ("block_device", block_device()),
        ("boot_information", crate::boot_information::seeds()),
        ("e1000", e1000()),
        ("virtio_fs", crate::virtio_fs::seeds()),
        ("virtio_net", crate::virtio_net::seeds()),
        ("used_ring", used_ring()),
        ("registers", registers()),
        ("pci_capabilities", pci_capabilities()),
        ("config_space", config_space()),
        ("fat", crate::fat::seeds()),
        ("fuse_dirents", crate::fuse_dirents::seeds()),
        ("fuse_init", crate::fuse_init::seeds()),
        ("fuse_replies", crate::fuse_replies::seeds()),
        ("fuse_session", crate::fuse_session::seeds()),
        ("partitions", crate::partitions::seeds()),
        ("received_frames", crate::received_frames::seeds()),
    ]
}

/// Stories about IDE controllers: every pair of drives, by DMA and PIO, at once and slowly.
fn ata() -> Seeds {
    // Reads, a write, a flush, a serial number; then each is waited for.
    let steps = [1, 0, 4, 0x31, 2, 0, 9, 0x20, 3, 0, 4, 0, 1, 2, 8, 0x33, 5, 6, 6, 7, 6, 7, 6, 6, 7, 6];
    // What is said before them is the truth as long as the bytes are small.
    let story = |head: [u8; 3]| [&head[..], &[0; 160], &steps].concat();
    let lying = |value: u8, at: usize| {
        let mut input = story([0x21, 0, 0]);
        input.splice(at..at, [255, value]);
        input
    };
    vec![
        ("obedient_by_dma", story([0b1110_0101, 0, 0])),
        ("obedient_by_pio", story([0b1110_0101, 1, 0])),
        ("obedient_and_slow", story([0b1110_0101, 4, 0])),
        ("obedient_and_polled", story([0b1110_0101, 6, 0])),
        ("hd_ata_1", lying(0xff, 40)),
        ("hd_ata_2", lying(0x58, 40)),
        ("hd_ata_3", [&[1, 0, 2, 60, 0, 0, 100, 0, 0][..], &steps].concat()),
        ("hd_ata_4", lying(2, 170)),
    ]
}

/// Stories about gigabit controllers.
fn e1000() -> Seeds {
    // Frames out, plain, with a checksum, and to be cut.
    let out = [&[4, 0, 20, 0, 0, 0, 0][..], &[4, 58, 100, 0, 0, 0, 0], &[4, 123, 8, 0, 0, 0, 100], &[5]].concat();
    // An interrupt, whose causes are the truth.
    const ARM: [u8; 2] = [6, 0];
    let steps = [&out[..], &[8, 20, 8, 100, 1, 2], &ARM, &[12, 0, 7, 11, 0, 3, 4, 8, 9, 1, 3], &ARM].concat();
    // Taking the device into service reads a hundred registers or so, and zeros are the truth, then steps of nothing.
    let story = |manner: u8, steps: &[u8]| [&[manner, 0][..], &[0; 160], &[13, 1], steps, steps].concat();
    let scribbled = |index: u8, length: u8, status: u8| [9, length, 0, 0, 0, status, 0, 0, 0, index, 1].to_vec();
    // Each time a second later: causes, and whether there is a link.
    let later = |seconds: u8| [13, seconds, 6, 0, 0];
    let mute = [&[14][..], &out, &later(2), &later(4), &[14], &later(1), &later(1)].concat();
    vec![
        ("obedient", story(0, &steps)),
        ("obedient_and_slow", story(1, &steps)),
        ("obedient_hardware", story(2, &steps)),
        ("obedient_82574", story(64, &steps)),
        ("hd_e1k_1", story(0, &[scribbled(0, 3, 3), scribbled(1, 0, 3)].concat())),
        ("hd_e1k_2", story(0, &[scribbled(6, 60, 3), scribbled(0, 60, 1), scribbled(1, 60, 1)].concat())),
        ("hd_e1k_4", [&[4, 1, 0, 0xff, 0xff][..], &[0; 160], &steps].concat()),
        ("hd_e1k_5", [&[0, 0][..], &[0; 160], &[6, 255, 255, 255, 255, 255], &steps].concat()),
        ("hd_e1k_6", story(8 | 16, &steps)),
        ("hd_e1k_7", [&[0, 0][..], &[0; 160], &mute].concat()),
    ]
}

/// Steps of the target `used_ring`.
mod step {
    pub const SUBMIT: [u8; 6] = [1, 0, 0, 16, 0, 0];
    pub const PUBLISH: u8 = 2;
    pub const POLL: u8 = 3;
    pub const DRAIN: u8 = 4;
    pub const ARM: u8 = 5;
    pub const TAKE: u8 = 6;

    pub fn complete(which: u8, len: u8) -> Vec<u8> {
        vec![7, which, len]
    }

    pub fn push(id: u32, len: u32) -> Vec<u8> {
        [&[8][..], &id.to_le_bytes(), &len.to_le_bytes()].concat()
    }

    pub fn show(index: u16) -> Vec<u8> {
        [&[9][..], &index.to_le_bytes()].concat()
    }

    pub fn element(position: u16, id: u32) -> Vec<u8> {
        [&[10][..], &position.to_le_bytes(), &id.to_le_bytes(), &16_u32.to_le_bytes()].concat()
    }

    pub fn flags(flags: u16) -> Vec<u8> {
        [&[11][..], &flags.to_le_bytes()].concat()
    }

    pub fn event(index: u16) -> Vec<u8> {
        [&[12][..], &index.to_le_bytes()].concat()
    }

    pub fn spoil(offset: u16) -> Vec<u8> {
        [&[13][..], &offset.to_le_bytes(), &[0xad; 8]].concat()
    }
}

/// A disk of 64 sectors with everything that a disk can have, as it should be and with one thing wrong at a time.
fn block_device() -> Seeds {
    // EVENT_IDX and INDIRECT_DESC, 32 descriptors; SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE, commands.
    let disk = |features: u32, change: &dyn Fn(&mut [u8; 80])| {
        let mut config = [0; 80];
        config[0] = 64;
        config[12] = 6;
        config[21] = 2;
        config[24] = 3;
        config[32] = 1;
        config[34] = 1;
        // Sectors and ranges of discards, zeros and erasures.
        for at in [36, 40, 48, 52, 60, 64] {
            config[at] = 16;
        }
        change(&mut config);
        let [low, middle, high, _] = features.to_le_bytes();
        [&[2 | 4 | 3 << 4, low, middle, high, 80][..], &config].concat()
    };
    const ALL: u32 = 0x0001_ef46 & !(1 << 5);
    let submit =
        |which: u8, sector: u64, count: u8, len: u8| [&[1, which, count, len][..], &sector.to_le_bytes()].concat();
    let answer = |which: u8, status: u8, len: u32| [&[7, which, status][..], &len.to_le_bytes()].concat();
    let story = |parts: &[Vec<u8>]| {
        let mut input = disk(ALL, &|_| ());
        input.extend(submit(0, 3, 2, 1));
        input.extend(submit(1, 9, 1, 2));
        input.extend(submit(2, 0, 0, 0));
        input.extend([2, 6]);
        input.extend(parts.concat());
        input.extend([3, 3, 3, 3, 4, 5]);
        input
    };
    let configured = |features: u32, change: &dyn Fn(&mut [u8; 80])| {
        let mut input = disk(features, change);
        for operation in [0, 1, 2, 3, 4, 5, 0xff] {
            input.extend(submit(operation, 8, 1, 8));
        }
        input.extend([2, 6, 5, 4]);
        input
    };
    let done = || vec![answer(0, 0, 1025), answer(0, 0, 1), answer(0, 0, 1)];
    vec![
        ("obedient", story(&done())),
        ("obedient_legacy", {
            let mut input = story(&done());
            input[0] = 1 | 2 | 3 << 4;
            input
        }),
        ("obedient_without_tables", {
            let mut input = story(&done());
            input[0] = 3 << 4;
            input
        }),
        ("obedient_commands", {
            let mut input = configured(ALL, &|_| ());
            for which in 0..4 {
                input.extend([&[14, which][..], &8_u64.to_le_bytes(), &4_u32.to_le_bytes(), &[2]].concat());
            }
            input.extend([2, 6]);
            (0..10).for_each(|_| input.extend(answer(0, 0, 1)));
            input.extend([3; 11]);
            input
        }),
        ("blk_13", story(&[vec![12, 1], answer(2, 0, 1), vec![3], submit(2, 0, 0, 0), vec![2, 6], answer(2, 0, 1)])),
        ("blk_20", story(&[answer(2, 0, 1), answer(1, 0, 1), answer(0, 0, 1025)])),
        ("ini_12", story(&[answer(1, 0, 1), vec![13, 0], submit(0, 3, 1, 1), vec![2, 6], answer(0, 0, 513)])),
        ("hd_st_1", story(&[vec![13, 3]])),
        ("hd_blk_1", story(&[answer(0, 3, 1), answer(0, 0x55, 1), answer(0, 0xff, 1)])),
        ("hd_blk_2", story(&[answer(0, 0, 0), answer(0, 0, u32::MAX)])),
        ("hd_blk_3", story(&[answer(0, 2, 1), answer(0, 2, 1)])),
        ("hd_blk_5", story(&[answer(2, 2, 1)])),
        ("hd_blk_7", story(&[vec![11, 0, 4], vec![5], submit(0, 3, 1, 1), submit(0, 5, 1, 1), answer(0, 1, 1)])),
        ("hd_vq_1", story(&[[&[8][..], &99_u32.to_le_bytes(), &1_u32.to_le_bytes()].concat(), vec![3, 13, 0]])),
        ("hd_vq_3", story(&[answer(0, 0, 1), [&[8][..], &[0; 8]].concat()])),
        ("hd_vq_6", story(&[vec![9, 200, 0]])),
        ("hd_vq_8", story(&[[&[10, 0, 0][..], &[0xad; 8]].concat(), answer(0, 0, 1)])),
        ("hd_cfg_3", vec![0, 0, 0, 0, 4, 64, 0, 0, 0]),
        ("hd_cfg_4", configured(ALL, &|config| config[..8].fill(0xff))),
        ("hd_cfg_5", configured(ALL, &|config| config[20..24].fill(0x81))),
        ("hd_cfg_6", configured(ALL, &|config| config[8..16].fill(0))),
        ("hd_cfg_7", configured(ALL | 1 << 12, &|config| config[34..36].fill(0))),
        ("hd_cfg_8", configured(ALL, &|config| config[24..].fill(0xff))),
    ]
}

/// Stories about a queue of eight buffers.
fn used_ring() -> Seeds {
    const EVENT_IDX: u8 = 1;
    const INDIRECT: u8 = 2;
    const IN_ORDER: u8 = 4;
    // Three requests that the device has seen, then the story, then a look.
    let story = |features: u8, kind: u8, parts: &[&[u8]]| {
        let mut input = vec![features | 2 << 3, kind];
        for _ in 0..3 {
            input.extend(step::SUBMIT);
        }
        input.extend([step::PUBLISH, step::TAKE]);
        input.extend(parts.concat());
        input.extend([step::DRAIN, step::POLL]);
        input
    };
    let plain = |parts: &[&[u8]]| story(0, 0, parts);
    let complete = |which, len| step::complete(which, len);
    vec![
        ("obedient", plain(&[&complete(0, 16), &[step::POLL, step::ARM], &complete(0, 4), &complete(0, 0)])),
        (
            "obedient_event_idx",
            story(EVENT_IDX, 0, &[&step::event(3), &complete(0, 16), &step::SUBMIT, &[step::PUBLISH]]),
        ),
        ("obedient_tables", story(INDIRECT, 2, &[&complete(1, 16), &complete(0, 16), &[step::ARM]])),
        ("obedient_block", story(INDIRECT | EVENT_IDX, 1, &[&complete(0, 17), &complete(1, 3)])),
        ("obedient_in_order", story(INDIRECT | IN_ORDER, 2, &[&complete(2, 16)])),
        ("hd_vq_1", plain(&[&step::push(0x1_0001, 16)])),
        ("hd_vq_2", plain(&[&step::push(5, 16)])),
        ("hd_vq_3", plain(&[&step::push(1, 16), &step::push(1, 16)])),
        ("hd_vq_4", plain(&[&step::push(1, u32::MAX)])),
        ("hd_vq_6", plain(&[&step::show(4)])),
        ("hd_vq_7", plain(&[&complete(0, 16), &[step::POLL], &step::show(0)])),
        ("hd_vq_8", plain(&[&step::spoil(0), &step::spoil(64), &step::spoil(136), &complete(0, 16)])),
        ("hd_vq_9", plain(&[&complete(1, 16), &[step::POLL], &step::element(0, u32::MAX)])),
        ("hd_vq_10", plain(&[&step::show(2)])),
        ("hd_vq_11", plain(&[&complete(2, 16), &complete(1, 16), &complete(0, 16)])),
        ("hd_vq_12", story(INDIRECT | IN_ORDER, 0, &[&step::push(1, 16)])),
        (
            "hd_vq_13",
            story(EVENT_IDX, 0, &[&step::flags(0xbeef), &step::event(0xdead), &step::SUBMIT, &[step::PUBLISH]]),
        ),
        ("hd_vq_14", plain(&[&[step::ARM]])),
        (
            "hd_vq_15",
            plain(&[&step::SUBMIT, &step::push(3, 16), &step::push(0, 16), &step::push(1, 16), &step::push(2, 16)]),
        ),
    ]
}

/// Every interface, with a device that obeys through some steps, and one that is gone from the start.
fn registers() -> Seeds {
    let names = [
        ("obedient_mmio", 0),
        ("obedient_legacy_mmio", 1),
        ("obedient_pci_messages", 2),
        ("obedient_pci_line", 3),
        ("obedient_pci_polled", 4),
        ("obedient_legacy_pci_messages", 5),
        ("obedient_legacy_pci_line", 6),
        ("obedient_legacy_pci_polled", 7),
    ];
    // 127 answers are the truth; by then the device runs.
    let steps = [1, 0, 2, 0, 11, 0, 3, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 1, 1, 2, 1, 10, 0, 0, 0];
    let obedient = |bus: u8| [&[bus, 0xff, 4, 3, 0x7f][..], &steps].concat();
    let mut seeds: Seeds = names.iter().map(|(name, bus)| (*name, obedient(*bus))).collect();
    // The status is 1 for ever: no reset is confirmed.
    seeds.push(("hd_st_1", [&[4, 0xff, 4, 3][..], &[0xe8, 1]].concat()));
    seeds.push(("hd_pci_14", [&[4, 0xff, 4, 3][..], &[0x80; 40]].concat()));
    seeds
}

/// A function as an honest one describes itself, and with one thing wrong at a time.
fn pci_capabilities() -> Seeds {
    let input = |head: u8, notify_off: u16, change: &dyn Fn(&mut [u8; 256])| {
        let mut bytes = [0; 256];
        bytes[6] = 0x10;
        bytes[0x34] = 0x40;
        bytes[0x40..0x40 + CAPABILITIES.len()].copy_from_slice(&CAPABILITIES);
        change(&mut bytes);
        let [low, high] = notify_off.to_le_bytes();
        let head = [head, 0, 0, 0, 0, 2, 0, low, high, 0];
        [&head[..], &bytes].concat()
    };
    let modern = |change: &dyn Fn(&mut [u8; 256])| input(1, 1, change);
    vec![
        ("obedient", modern(&|_| ())),
        ("obedient_messages", input(1 | 2 << 2, 0, &|_| ())),
        ("obedient_line", input(3 | 1 << 2, 0, &|_| ())),
        ("obedient_legacy", {
            let mut bytes = input(2, 0, &|bytes| bytes[0x34] = 0x90);
            bytes[1] = 5;
            bytes
        }),
        ("hd_pci_1", modern(&|bytes| bytes[0x71] = 0x40)),
        ("hd_pci_2", modern(&|bytes| bytes[0x51] = 0x3c)),
        ("hd_pci_3", modern(&|bytes| bytes[0x42] = 15)),
        (
            "hd_pci_4",
            modern(&|bytes| {
                bytes[0x61] = 0xf0;
                bytes[0xf0..0xf5].copy_from_slice(&[0x09, 0, 20, 2, 4]);
                // A sound block of doorbells, if there were a multiplier.
                (bytes[0xf9], bytes[0xfd]) = (0x30, 0x10);
            }),
        ),
        ("hd_pci_5", modern(&|bytes| bytes[0x44] = 6)),
        ("hd_pci_6", modern(&|bytes| bytes[0x48..0x4c].fill(0xff))),
        ("hd_pci_7", modern(&|bytes| bytes[0x4c] = 0x37)),
        ("hd_pci_8", modern(&|bytes| bytes[0x7c..0x80].fill(0xff))),
        ("hd_pci_9", modern(&|bytes| bytes[0x48] = 2)),
        ("hd_pci_10", modern(&|bytes| bytes[0x41] = 0)),
        ("hd_pci_11", input(1, 0xffff, &|_| ())),
        ("hd_pci_12", modern(&|bytes| bytes.copy_within(0x40..0x50, 0xa0))),
        ("hd_pci_13", modern(&|bytes| bytes[0x79] = 0)),
        (
            "hd_pci_17",
            modern(&|bytes| {
                bytes[0x91] = 0xa0;
                for (at, next) in [(0xa0, 0xc0), (0xc0, 0)] {
                    bytes[at..at + 6].copy_from_slice(&[0x09, next, 24, 8, 4, 1]);
                    bytes[at + 13] = 0x10;
                }
                bytes[0x23] = 0xfe;
            }),
        ),
        ("table_beyond_its_bar", input(1 | 2 << 2, 0, &|bytes| (bytes[0x94], bytes[0x95]) = (0xf4, 0x4f))),
    ]
}

/// Configurations of both device types.
fn config_space() -> Seeds {
    let network = |version: u8, mac: [u8; 6], mtu: u16| {
        let mut input = vec![version << 1, 0x07, 12];
        input.extend(mac);
        input.extend([1, 0, 1, 0]);
        input.extend(mtu.to_le_bytes());
        input
    };
    let file_system = |version: u8, tag: &[u8], queues: u32| {
        let mut input = vec![1 | version << 1, 0, 40];
        input.extend(tag);
        input.resize(3 + 36, 0);
        input.extend(queues.to_le_bytes());
        input
    };
    let mac = [0x52, 0x54, 0, 1, 2, 3];
    let restless = |mut input: Vec<u8>| {
        input[0] |= 4;
        input
    };
    vec![
        ("obedient_network", network(0, mac, 1400)),
        ("obedient_legacy_network", network(1, mac, 1400)),
        ("obedient_file_system", file_system(0, b"share", 1)),
        ("obedient_legacy_file_system", file_system(1, b"share", 1)),
        ("hd_cfg_1", restless(file_system(0, b"share", 1))),
        ("hd_cfg_3", vec![0, 0x07, 4, 2, 0, 0, 0]),
        ("hd_cfg_9", network(0, [0xff; 6], 1500)),
        ("hd_cfg_10", network(0, mac, 67)),
        ("hd_cfg_13", file_system(0, b"", 1)),
        ("hd_cfg_14", file_system(0, b"share", 0)),
    ]
}
