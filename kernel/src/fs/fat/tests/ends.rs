//! What is there after the next boot, and what becomes of what was open at the end.

use alloc::vec;
use core::time::Duration;

use super::*;
use crate::fs::tests::writing::options;
use crate::io::Write;

#[test]
fn what_was_written_is_there_after_the_next_boot() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.create_dir_all(b"a/directory with a long name").expect("there is room");
    namespace.write(b"a/directory with a long name/f", &[7; 5000]).expect("there is room");
    namespace.unmount_all();
    assert!(disk.flushes.get() > 0, "an end that makes nothing stable");
    let namespace = mounted(&disk);
    let path = b"A/Directory With A LONG Name/F";
    assert_eq!(namespace.read(path), Ok(vec![7; 5000]), "whatever the case");
    let metadata = namespace.metadata(path).expect("it exists");
    assert_eq!((metadata.len(), metadata.mode(), metadata.modified_time().seconds), (5000, 0o100_666, 1_709_210_096));
    namespace.unmount_all();
}

#[test]
fn the_room_of_a_removed_file_comes_back_when_nobody_has_it_open() {
    let namespace = mounted(&Memory::formatted());
    namespace.write(b"f", b"").expect("there is room");
    namespace.remove_file(b"f").expect("it exists");
    let before = free(&namespace);
    namespace.write(b"f", &[1; 100_000]).expect("there is room");
    let file = namespace.open(b"f").expect("it exists");
    namespace.remove_file(b"f").expect("it exists");
    assert_eq!(free(&namespace), before - 196);
    let mut bytes = [0; 10];
    assert_eq!((file.read_at(&mut bytes, 99_995), bytes[4]), (Ok(5), 1));
    drop(file);
    assert_eq!(free(&namespace), before);
}

#[test]
fn at_the_end_open_files_fail_and_their_volume_is_in_order() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.write(b"kept", b"kept").expect("there is room");
    let before = free(&namespace);
    let new = options(|options| options.append(true).create(true));
    let mut removed = namespace.open_with(b"removed", &new).expect("there is room");
    removed.write_all(&[1; 10_000]).expect("there is room");
    namespace.remove_file(b"removed").expect("it exists");
    let mut kept = namespace.open_with(b"kept", &new).expect("it exists");
    kept.write_all(b" on").expect("there is room");
    let mut listing = namespace.read_dir(b"/").expect("it is a directory");
    namespace.unmount_all();
    assert_eq!(kind(kept.write(b"x")), Some(ErrorKind::NotConnected));
    assert_eq!(kind(kept.metadata()), Some(ErrorKind::NotConnected));
    assert_eq!(kind(kept.sync_all()), Some(ErrorKind::NotConnected));
    assert!(listing.next().is_some_and(|entry| entry.is_err()) && listing.next().is_none());
    drop((kept, removed, listing));
    let namespace = mounted(&disk);
    assert_eq!(namespace.read(b"kept"), Ok(b"kept on".to_vec()));
    assert_eq!(namespace.exists(b"removed"), Ok(false));
    assert_eq!(free(&namespace), before, "the removed file's room");
    namespace.unmount_all();
}

#[test]
fn whoever_waits_for_a_lock_at_the_end_does_not_get_it() {
    let outcome = run(|crew: &Crew| {
        let file_system =
            Fat::mount(Box::new(Memory::formatted()), 16, platform(crew.scheduler())).expect("it is in order");
        let namespace = Rc::new(Namespace::new());
        namespace.mount(b"/", file_system).expect("nothing is there");
        namespace.write(b"f", b"").expect("there is room");
        let open = || namespace.open(b"f").expect("it exists");
        let (holder, waiter, outcome) = (open(), open(), Rc::new(Cell::new(None)));
        holder.lock().expect("nobody has it");
        let told = Rc::clone(&outcome);
        crew.spawn(move || told.set(kind(waiter.lock())));
        let (event, clock) = (crew.scheduler().event(), crew.scheduler());
        crew.spawn(move || {
            event.wait_until(clock.now().saturating_add(Duration::from_millis(5)));
            namespace.unmount_all();
            drop(holder);
        });
        move || outcome.get()
    });
    assert_eq!(outcome, Some(ErrorKind::NotConnected));
}
