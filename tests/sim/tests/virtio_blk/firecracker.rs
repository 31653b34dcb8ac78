//! Disks of Firecracker: registers that pass over nothing, three descriptors and never a table, and a flush only where the
//! disk was configured to have one.

use crate::rig::*;

/// What a disk offers there.
const OFFERS: [u64; 3] = [EVENT_IDX | FLUSH, EVENT_IDX, EVENT_IDX | RO];

fn setup(features: u64) -> Setup {
    let config = BlockConfig { capacity: 64, ..BlockConfig::default() };
    Setup { bus: Bus::Strict, features, config, size: 256, framing: Framing::Three, ..Setup::default() }
}

/// Everything that the disk can do, more than once round the ring.
fn live(rig: &mut Rig, features: u64) {
    assert_eq!(rig.disk.limits().segments, 1, "one buffer for a request");
    for round in 0..if cfg!(miri) { 3 } else { 300 } {
        let sector = round % 64;
        if features & RO == 0 {
            let write = rig.write(sector, &[round as u8; 512]);
            assert_eq!(rig.run(write).result, Ok(()));
        }
        let read = rig.read(sector, &[512]);
        let done = rig.run(read);
        assert_eq!(done.result, Ok(()));
        if features & RO == 0 {
            assert_eq!(bytes(&done.request), [round as u8; 512]);
        }
    }
    if features & FLUSH != 0 {
        assert_eq!(rig.flush(), Ok(()));
        assert_eq!(rig.model.seen.last().map(|seen| seen.kind), Some(kind::FLUSH));
    } else {
        assert!(!rig.disk.disk(0).expect("there is one").has_cache, "nobody is to flush it");
    }
}

#[test]
fn ini_1_blk_16_a_disk_of_firecracker_lives_and_lives_again() {
    for features in OFFERS {
        let mut rig = setup(features).rig();
        for _ in 0..3 {
            live(&mut rig, features);
            rig.disk.reset(&mut |_| panic!("nothing was in flight")).expect("it resets");
        }
        assert!(rig.model.seen.iter().all(|seen| !seen.has_table && seen.buffers.len() <= 1));
        // Once it is reset at the end of a life, and once at the beginning of the next.
        let life = [0, 1, 3, 11, 15];
        let lives = [&life[..], &[0], &life, &[0], &life, &[0], &life].concat();
        assert_eq!(rig.model.device().state().status_writes, lives);
    }
}
