//! Contents of small files, remembered while their attributes hold.

use super::*;

fn remembering<R>(prepare: impl FnOnce(&mut Server) -> R) -> Mount {
    mount_with(Options { idle_handles: 4, contents: 20_000, ..options() }, prepare).expect("willing")
}

fn read(mount: &Mount, path: &str) -> Vec<u8> {
    let file = mount.open(path).expect("it exists");
    let mut bytes = [0; 5000];
    let count = file.read_at(&mut bytes, 0).expect("it can be read");
    assert!(file.read_buffer(0, 5000).is_ok_and(|buffer| *buffer == bytes[..count]));
    assert!(file.read_at(&mut bytes[..2], count as u64).is_ok_and(|count| count == 0));
    assert!(file.read_buffer(1, 1).is_ok_and(|buffer| *buffer == bytes[1..count.min(2)]));
    bytes[..count].to_vec()
}

fn change(mount: &Mount, path: &str, bytes: &[u8]) {
    let number = mount.find(path).expect("it exists").id();
    mount.model.lock().server.inodes.get_mut(&number).expect("it exists").contents = Contents::File(bytes.to_vec());
}

#[test]
fn a_small_file_is_read_once_while_its_attributes_hold() {
    let mount = remembering(|server| {
        server.file("f", b"old");
        server.manners.attr_lifetime = SECOND;
        server.manners.opened = OpenedFlags::empty();
    });
    for _ in 0..3 {
        assert_eq!(read(&mount, "f"), b"old");
    }
    assert_eq!(mount.count("READ"), 1);
    change(&mount, "f", b"new");
    assert_eq!(read(&mount, "f"), b"old", "the server said that it would not change");
    mount.advance(SECOND);
    assert_eq!(read(&mount, "f"), b"new");
    assert_eq!(mount.client.contents.used(), 0, "attributes that ran out are not asked for by a read");
    assert!(mount.open("f").is_ok_and(|file| file.metadata().is_ok()));
    assert_eq!((read(&mount, "f"), mount.client.contents.used()), (b"new".to_vec(), 3));
    mount.finish();
}

#[test]
fn contents_do_not_survive_other_attributes() {
    let mount = remembering(|server| {
        server.file("f", b"old");
        server.manners.name_lifetime = Duration::ZERO;
    });
    assert_eq!(read(&mount, "f"), b"old");
    change(&mount, "f", b"longer");
    assert_eq!(read(&mount, "f"), b"longer", "LOOKUP brought the new size");
    mount.finish();
}

#[test]
fn hd_fs_22_contents_that_came_short_are_not_remembered() {
    let mount = remembering(|server| {
        server.file("f", b"12345");
    });
    assert!(mount.find("f").is_ok());
    change(&mount, "f", b"123");
    assert_eq!(read(&mount, "f"), b"123");
    assert_eq!(mount.open("f").and_then(|file| file.metadata()).map(|metadata| metadata.len()), Ok(3));
    mount.finish();
}

#[test]
fn fu_sem_9_a_file_opened_anew_is_read_anew_unless_the_server_says_otherwise() {
    for (opened, reads) in [(OpenedFlags::empty(), 2), (OpenedFlags::KEEP_CACHE, 1)] {
        let mount = mount_with(Options { contents: 20_000, ..options() }, |server| {
            server.file("f", b"old");
            server.manners.opened = opened;
        })
        .expect("willing");
        for _ in 0..2 {
            assert_eq!(read(&mount, "f"), b"old");
            mount.pump.settle();
        }
        assert_eq!((mount.count("OPEN"), mount.count("READ")), (2, reads));
        mount.finish();
    }
}

#[test]
fn what_is_read_past_all_caches_is_not_remembered() {
    for zero in [false, true] {
        let mount = remembering(|server| {
            server.file("f", b"old");
            if zero {
                server.manners.attr_lifetime = Duration::ZERO;
            } else {
                server.manners.opened = OpenedFlags::DIRECT_IO;
            }
        });
        assert_eq!(read(&mount, "f"), b"old");
        change(&mount, "f", b"new");
        assert_eq!((read(&mount, "f"), mount.client.contents.used()), (b"new".to_vec(), 0));
        mount.finish();
    }
}

#[test]
fn contents_take_no_more_memory_than_they_may() {
    let mount = remembering(|server| {
        (0..50).for_each(|i| {
            server.file(&format!("f{i}"), &[i; 3000]);
        });
        server.file("large", &[1; 25_000]);
    });
    for i in 0..50 {
        assert_eq!(read(&mount, &format!("f{i}")), [i; 3000]);
        assert!(mount.client.contents.used() <= 20_000);
    }
    assert_eq!(mount.client.contents.used(), 18_000);
    let reads = mount.count("READ");
    read(&mount, "f49");
    assert_eq!(mount.count("READ"), reads, "the newest stay");
    drop(mount.open("large").expect("it exists").read_buffer(0, 30_000));
    assert_eq!(mount.client.contents.used(), 18_000);
    mount.client.names.clear();
    mount.client.idle.clear();
    mount.pump.settle();
    assert_eq!(mount.client.contents.used(), 0, "contents go with their nodes");
    mount.finish();
}
