//! When the driver asks to be woken.

use crate::rig::*;

#[test]
fn after_idle_the_next_completion_interrupts() {
    for bus in ALL_BUSES {
        for ring in [0, EVENT_IDX, EVENT_IDX | INDIRECT_DESC] {
            let mut rig = Setup { bus, ..Setup::with_features(ring) }.rig();
            for round in 1..if cfg!(miri) { 4 } else { 200 } {
                let request = rig.read(0, &[512]);
                rig.disk.submit(request).expect("there is room");
                rig.disk.publish();
                assert_eq!(rig.disk.arm(), Ok(Armed::Idle));
                rig.model.serve();
                assert_eq!(rig.model.interrupts, [round], "{bus:?} {ring:#x}");
                assert_eq!(rig.disk.arm(), Ok(Armed::WorkPending));
                assert_eq!(rig.completion().result, Ok(()));
            }
        }
    }
}

#[test]
fn one_kick_for_all_that_was_submitted() {
    for bus in ALL_BUSES {
        let mut rig = Setup { bus, ..Setup::with_features(0) }.rig();
        for _ in 0..10 {
            let request = rig.read(0, &[512]);
            rig.disk.submit(request).expect("there is room");
        }
        assert_eq!(rig.model.device().state().kicks, [0; 0], "nothing before publish");
        rig.disk.publish();
        rig.disk.publish();
        assert_eq!(rig.model.device().state().kicks, [0], "{bus:?}");
    }
}
