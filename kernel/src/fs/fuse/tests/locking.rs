//! Locks on whole files: among our own, and with whoever else the server has.

use core::cell::Cell;

use fuse_proto::{InitFlags, Opcode};

use super::*;
use crate::fs::options::WritePosition;
use crate::fs::vfs::LockKind::{Exclusive, Shared};
use crate::fs::vfs::LockWait::{Forever, Never};

const BOTH: Rights = Rights::ReadAndWrite(WritePosition::Anywhere);
/// Somebody on the host.
const HOST: u64 = 0;
const WRITE: u32 = 1;
const UNLOCK: u32 = 2;

fn mount_locking() -> Mount {
    mount(|server| {
        server.file("f", b"x");
        server.manners.init_flags |= InitFlags::FLOCK_LOCKS;
    })
}

fn host_locks(mount: &Mount, kind: u32) -> bool {
    let mut inner = mount.model.lock();
    let number = inner.server.number("f").expect("it exists");
    inner.server.lock(number, HOST, HOST, kind).is_ok()
}

#[test]
fn without_locks_of_the_server_those_of_this_machine_do() {
    for is_agreed in [false, true] {
        let mount = if is_agreed { mount_locking() } else { mount(|server| server.file("f", b"x")) };
        if is_agreed {
            mount.server(|server| {
                server.manners.unsupported.insert(Opcode::SetLk.raw());
            });
        }
        let (first, second) = (mount.open("f").expect("it exists"), mount.open("f").expect("it exists"));
        let writer = mount.open_to_write("f", BOTH).expect("it exists");
        assert_eq!((first.lock(Shared, Never), second.lock(Shared, Never)), (Ok(()), Ok(())));
        assert_eq!(writer.lock(Exclusive, Never), Err(Errno::EAGAIN));
        assert_eq!(first.unlock(), Ok(()));
        drop(second);
        assert_eq!(writer.lock(Exclusive, Never), Ok(()));
        assert_eq!(first.lock(Shared, Never), Err(Errno::EAGAIN));
        assert_eq!(mount.count("SETLK"), usize::from(is_agreed), "FU-SEM-8");
        drop((first, writer));
        mount.finish();
    }
}

#[test]
fn where_it_was_agreed_the_server_knows_of_each_lock() {
    let mount = mount_locking();
    let (first, second) = (mount.open("f").expect("it exists"), mount.open("f").expect("it exists"));
    let writer = mount.open_to_write("f", BOTH).expect("it exists");
    assert_eq!((first.lock(Shared, Never), second.lock(Shared, Never)), (Ok(()), Ok(())));
    assert!(!host_locks(&mount, WRITE));
    assert_eq!(first.unlock(), Ok(()));
    assert!(!host_locks(&mount, WRITE), "the other reader's, who has a handle of his own for it");
    assert_eq!(second.unlock(), Ok(()));
    assert!(host_locks(&mount, WRITE));
    assert_eq!(writer.lock(Exclusive, Never), Err(Errno::EAGAIN));
    assert_eq!(first.lock(Shared, Never), Err(Errno::EAGAIN));
    assert!(host_locks(&mount, UNLOCK));
    assert_eq!(writer.lock(Exclusive, Never), Ok(()));
    assert_eq!(writer.lock(Shared, Never), Ok(()), "it is changed");
    assert_eq!(first.lock(Shared, Never), Ok(()));
    assert_eq!(writer.lock(Exclusive, Never), Err(Errno::EAGAIN));
    assert_eq!(first.lock(Exclusive, Never), Ok(()), "the writer has none any more");
    drop((first, second, writer));
    mount.finish();
}

#[test]
fn a_lock_ends_with_its_file_and_not_before_the_server_has_said_so() {
    let mount = mount_locking();
    for is_writer in [true, false] {
        let open = || if is_writer { mount.open_to_write("f", BOTH) } else { mount.open("f") };
        let (first, second) = (open().expect("it exists"), open().expect("it exists"));
        assert_eq!(first.lock(Exclusive, Never), Ok(()));
        drop(first);
        assert_eq!(second.lock(Exclusive, Never), Err(Errno::EAGAIN), "RELEASE has not been sent");
        assert_eq!(second.lock(Exclusive, Forever), Ok(()));
        drop(second);
        mount.pump.settle();
        assert!(host_locks(&mount, WRITE) && host_locks(&mount, UNLOCK));
    }
    mount.finish();
}

#[test]
fn who_waits_for_a_lock_of_the_host_asks_less_and_less_often() {
    let mount = mount_locking();
    let file = mount.open_to_write("f", BOTH).expect("it exists");
    assert!(host_locks(&mount, WRITE));
    let unlocked = Rc::new(Cell::new(false));
    let (model, pump, flag) = (mount.model.clone(), mount.pump.clone(), Rc::clone(&unlocked));
    mount.pump.meanwhile(move || {
        let inner = pump.clone();
        pump.meanwhile(move || {
            // A second of waiting, and the host lets go.
            let until = inner.clone();
            for _ in 0..3 {
                until.advance(Duration::from_millis(300));
            }
            let mut inner = model.lock();
            let number = inner.server.number("f").expect("it exists");
            assert!(inner.server.lock(number, HOST, HOST, UNLOCK).is_ok());
            flag.set(true);
        });
    });
    assert_eq!((file.lock(Exclusive, Forever), unlocked.get()), (Ok(()), true));
    assert_eq!(mount.count("SETLKW"), 0);
    drop(file);
    mount.finish();
}
