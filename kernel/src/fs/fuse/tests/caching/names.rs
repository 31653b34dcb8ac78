//! Names, remembered for as long as the server said, and absences.

use super::*;

#[test]
fn fu_sem_4_a_name_holds_for_as_long_as_the_server_said() {
    let mount = mount(|server| {
        server.file("a/b", b"x");
        server.manners.name_lifetime = SECOND;
    });
    assert!(mount.find("a/b").is_ok());
    assert!(mount.find("a/b").is_ok());
    assert_eq!(mount.count("LOOKUP"), 2);
    mount.advance(SECOND);
    assert!(mount.find("a/b").is_ok());
    assert_eq!(mount.count("LOOKUP"), 4);
    mount.pump.settle();
    assert_eq!(mount.count("FORGET") + mount.count("BATCH_FORGET"), 0, "the nodes came back and stayed");
    mount.finish();
}

#[test]
fn fu_sem_4_without_a_lifetime_every_walk_asks() {
    let mount = mount(|server| {
        server.file("a/b", b"x");
        server.manners.name_lifetime = Duration::ZERO;
        server.manners.attr_lifetime = Duration::ZERO;
    });
    let node = mount.find("a/b").expect("it exists");
    assert!(mount.find("a/b").is_ok());
    assert_eq!(mount.count("LOOKUP"), 4);
    assert!(node.metadata().is_ok() && node.metadata().is_ok());
    assert_eq!(mount.count("GETATTR"), 3, "one for the root, two for these");
    drop(node);
    mount.finish();
}

#[test]
fn fu_sem_4_only_an_entry_without_a_node_makes_an_absence_last() {
    for (negative_entries, lookups) in [(true, 1), (false, 2)] {
        let mount = mount(|server| server.manners.negative_entries = negative_entries);
        assert_eq!(mount.find("none").err(), Some(Errno::ENOENT));
        assert_eq!(mount.find("none").err(), Some(Errno::ENOENT));
        assert_eq!(mount.count("LOOKUP"), lookups);
        mount.finish();
    }
}

#[test]
fn a_name_that_vanished_leaves_the_cache() {
    let mount = mount(|server| {
        server.file("f", b"x");
        server.manners.name_lifetime = SECOND;
        server.manners.negative_entries = false;
    });
    assert!(mount.find("f").is_ok());
    mount.model.lock().server.remove("f");
    assert!(mount.find("f").is_ok(), "it still holds");
    mount.advance(SECOND);
    assert_eq!(mount.find("f").err(), Some(Errno::ENOENT));
    mount.pump.settle();
    assert_eq!(mount.model.lock().server.debts(), [""; 0]);
    assert_eq!(mount.client.names.len(), 0);
    mount.finish();
}

#[test]
fn an_absence_ends_when_its_time_is_over() {
    let mount = mount(|server| server.manners.name_lifetime = SECOND);
    assert!(mount.find("f").is_err());
    mount.model.lock().server.file("f", b"x");
    assert!(mount.find("f").is_err());
    mount.advance(SECOND);
    assert!(mount.find("f").is_ok());
    mount.finish();
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let options = Options { names: 8, ..options() };
    let mount = mount_with(options, |server| {
        (0..100).for_each(|i| {
            server.file(&format!("f{i}"), b"x");
        })
    });
    let mount = mount.expect("willing");
    for i in 0..100 {
        assert!(mount.find(&format!("f{i}")).is_ok());
        assert!(mount.find("f0").is_ok());
    }
    mount.pump.settle();
    assert!(mount.client.names.len() <= 8);
    assert!(mount.model.lock().server.debts().len() <= 8);
    assert!(mount.count("LOOKUP") <= 115, "f0 stays: {}", mount.count("LOOKUP"));
    mount.finish();
}
