//! Legacy disks.

use crate::rig::*;

#[test]
fn blk_21_22_25_a_legacy_disk_is_read_written_and_flushed() {
    for bus in LEGACY_BUSES {
        // FLUSH is the old name's WCE; barriers and SCSI are there and not wanted.
        let mut rig = Setup { bus, ..Setup::with_features(1 | 1 << 7 | FLUSH | EVENT_IDX) }.rig();
        let state = rig.model.device().state();
        assert_eq!(state.status_writes, [0, 1, 3, 7], "INI-17");
        assert_eq!(state.accepted, FLUSH | EVENT_IDX, "BLK-22, BLK-25");
        drop(state);
        assert!(rig.disk.disk(0).expect("there is one").has_cache);
        let request = rig.write(3, &[0x5a; 1024]);
        assert_eq!(rig.run(request).result, Ok(()));
        assert_eq!(rig.flush(), Ok(()));
        rig.model.lose_power();
        let request = rig.read(3, &[1024]);
        let done = rig.run(request);
        assert_eq!((done.result, bytes(&done.request)), (Ok(()), vec![0x5a; 1024]), "{bus:?}");
        let kinds: Vec<_> = rig.model.seen.iter().map(|seen| seen.kind).collect();
        assert_eq!(kinds, [kind::OUT, kind::FLUSH, kind::IN], "BLK-21: 4, not 5, and BLK-22: no flag");
    }
}
