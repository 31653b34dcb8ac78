//! Closing a file that was written.

use super::*;

#[test]
fn closing_a_file_flushes_it_and_then_releases_it() {
    let mount = mount(|server| server.file("f", b"x"));
    mount.model.lock().behaviour.order = Order::LastFirst;
    let file = mount.open_to_write("f", ALONE).expect("it exists");
    assert_eq!(file.write_at(b"y", 0), Ok(1));
    let before = mount.client.now();
    drop(file);
    assert_eq!((mount.client.now(), mount.count("FLUSH")), (before, 0), "dropping takes no time");
    mount.pump.settle();
    assert_eq!((mount.count("FLUSH"), mount.count("RELEASE")), (1, 1));
    let reader = mount.open("f").expect("it exists");
    drop(reader);
    mount.pump.settle();
    assert_eq!((mount.count("FLUSH"), mount.count("RELEASE")), (1, 2), "there is nothing to flush for a reader");
    mount.finish();
}

#[test]
fn who_wants_to_know_flushes_before_closing() {
    let mount = mount(|server| {
        server.file("f", b"x");
        server.manners.flush_error = Some(Errno::EDQUOT);
    });
    let file = mount.open_to_write("f", ALONE).expect("it exists");
    assert_eq!(file.flush(), Err(Errno::EDQUOT));
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_8_a_server_without_flush_is_asked_once_by_whoever_closes() {
    for flags in [OpenedFlags::KEEP_CACHE, OpenedFlags::KEEP_CACHE | OpenedFlags::NO_FLUSH] {
        let mount = mount(|server| {
            server.file("f", b"x");
            server.manners.unsupported.insert(Opcode::Flush.raw());
            server.manners.opened = flags;
        });
        for _ in 0..3 {
            drop(mount.open_to_write("f", ALONE).expect("it exists"));
            mount.pump.settle();
        }
        assert_eq!(mount.open_to_write("f", ALONE).expect("it exists").flush(), Ok(()));
        let flushes = usize::from(!flags.contains(OpenedFlags::NO_FLUSH));
        mount.pump.settle();
        assert_eq!((mount.count("FLUSH"), mount.count("RELEASE")), (flushes, 4));
        mount.finish();
    }
}
