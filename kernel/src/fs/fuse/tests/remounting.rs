//! One session after the other: what is left of the first, and what is not.

use fuse_proto::ops::GetAttr;
use fuse_proto::{InitFlags, Opcode};
use fuse_proto::{NodeId, ReplyError};
use toro_core::driver::{AttachError, DeviceFault};

use super::*;
use crate::fs::fuse::connection::Late;
use crate::fs::fuse::share::Share;
use crate::fs::options::WritePosition;
use crate::fs::scheduler::Work;
use crate::fs::vfs::{Collision, Health, LockKind, LockWait, Sync, Upkeep, XattrMode};

/// A share, and what a test needs around it.
struct Shared {
    model: Model,
    pump: Pump,
    share: Rc<Share>,
}

fn share<R>(options: Options, prepare: impl FnOnce(&mut Server) -> R) -> Shared {
    let mut server = Server::new();
    prepare(&mut server);
    let (model, pump) = (Model::new(server), Pump::default());
    let driven = pump.clone();
    let announce = Box::new(move |connection: &Rc<Connection>| drive(&driven, connection));
    let share = Share::mount(model.device(), Box::new(pump.clone()), options, announce);
    Shared { model, pump, share: share.expect("the server is willing") }
}

impl Shared {
    fn find(&self, path: &str) -> Result<Rc<dyn Node>, Errno> {
        resolve(&self.share.root()?, path.as_bytes(), LastLink::Follow, Freshness::Cached).map(|found| found.node)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let mut bytes = [0; 64];
        let count = self.find(path)?.open()?.read_at(&mut bytes, 0)?;
        Ok(bytes[..count].to_vec())
    }

    fn count(&self, opcode: &str) -> usize {
        self.model.lock().server.count(opcode)
    }

    fn break_device(&self) {
        self.model.lock().behaviour.fault = Some(DeviceFault::NeedsReset);
        assert_eq!(self.share.stats().err(), Some(Errno::EIO));
    }

    /// The ledger of the session that there is now.
    fn finish(self) {
        self.share.shutdown();
        let inner = self.model.lock();
        assert_eq!(inner.server.offences, [""; 0]);
        assert_eq!(inner.server.debts(), [""; 0]);
        assert!(inner.server.destroyed, "no DESTROY");
    }
}

fn all_options() -> [Options; 2] {
    // With everything that is kept for a while, and without.
    [Options::default(), options()]
}

#[test]
fn after_a_fault_a_share_is_mounted_again_and_nothing_of_before_gets_into_the_new_session() {
    for options in all_options() {
        let shared = share(options, |server| {
            server.file("f", b"before");
            server.file("d/g", b"deep");
        });
        let (file, directory) = (shared.find("f").expect("it exists"), shared.find("d").expect("it exists"));
        let open = file.open().expect("it exists");
        let mut listing = directory.open_directory().expect("it is a directory");
        assert_eq!(shared.read("f").as_deref(), Ok(&b"before"[..]));
        shared.break_device();
        // What is remembered of files holds for as long as it would have.
        assert_eq!(shared.find("new").err(), Some(Errno::EIO));
        shared.model.lock().server.file("f", b"after");
        assert_eq!(shared.share.remount(), Ok(()));
        assert_eq!(shared.model.lock().resets, 1);
        assert_eq!(shared.read("f").as_deref(), Ok(&b"after"[..]));
        // What is of before says so, and is forgotten by nobody but us.
        let mut bytes = [0; 8];
        assert_eq!(open.read_at(&mut bytes, 0), Err(Errno::ESTALE));
        assert_eq!((open.metadata().err(), file.metadata().err()), (Some(Errno::ESTALE), Some(Errno::ESTALE)));
        assert_eq!(directory.lookup(b"g", Freshness::Cached).err(), Some(Errno::ESTALE));
        assert!(listing.next().is_err());
        drop((open, file, listing, directory));
        shared.pump.settle();
        assert_eq!(shared.read("d/g").as_deref(), Ok(&b"deep"[..]));
        shared.finish();
    }
}

#[test]
fn a_share_that_is_well_is_left_alone() {
    let shared = share(options(), |server| server.file("f", b"x"));
    assert_eq!(shared.share.remount(), Err(Errno::EBUSY));
    assert_eq!((shared.read("f").as_deref(), shared.model.lock().resets), (Ok(&b"x"[..]), 0));
    shared.finish();
}

#[test]
fn hd_vq_14_a_server_that_is_silent_can_be_begun_anew_with() {
    let shared = share(options(), |server| server.file("f", b"x"));
    assert_eq!(shared.share.health(), Health::Working);
    let silent = [Opcode::Lookup, Opcode::StatFs, Opcode::GetAttr].map(Opcode::raw);
    shared.model.lock().behaviour.swallow.extend(silent);
    assert_eq!(shared.read("f").err(), Some(Errno::ETIMEDOUT));
    assert_eq!(shared.share.stats().err(), Some(Errno::ETIMEDOUT));
    assert_eq!(shared.share.health(), Health::Failed(Errno::ETIMEDOUT));
    let before = shared.share.client();
    assert_eq!(before.connection.in_flight(), 2, "the device has their buffers");
    shared.model.lock().behaviour.swallow.clear();
    assert_eq!(shared.share.remount(), Ok(()));
    assert_eq!(before.connection.in_flight(), 0);
    assert_eq!(shared.read("f").as_deref(), Ok(&b"x"[..]));
    assert_eq!(shared.share.remount(), Err(Errno::EBUSY), "it answers");
    shared.finish();
}

#[test]
fn one_answer_says_that_a_server_is_not_silent() {
    let shared = share(options(), |server| server.file("f", b"x"));
    shared.model.lock().behaviour.swallow.insert(Opcode::StatFs.raw());
    assert_eq!(shared.share.stats().err(), Some(Errno::ETIMEDOUT));
    assert!(shared.read("f").is_ok());
    assert_eq!(shared.share.remount(), Err(Errno::EBUSY));
    shared.model.lock().behaviour.swallow.clear();
    shared.pump.settle();
    shared.finish();
}

#[test]
fn hd_st_4_who_waits_in_vain_finds_out_that_the_device_is_unwell() {
    let shared = share(options(), |server| server.file("f", b"x"));
    shared.model.lock().behaviour.swallow.insert(Opcode::StatFs.raw());
    shared.model.lock().behaviour.unwell = Some(DeviceFault::NeedsReset);
    assert!(shared.read("f").is_ok(), "nobody has asked");
    assert_eq!(shared.share.stats().err(), Some(Errno::EIO));
    assert_eq!(shared.read("f").err(), Some(Errno::EIO));
    shared.model.lock().behaviour.swallow.clear();
    assert_eq!(shared.share.remount(), Ok(()));
    assert!(shared.read("f").is_ok());
    shared.finish();
}

#[test]
fn a_device_that_cannot_be_reset_stays_lost() {
    let shared = share(options(), |server| server.file("f", b"x"));
    shared.break_device();
    shared.model.lock().behaviour.stuck = Some(AttachError::TimedOut);
    for _ in 0..2 {
        assert_eq!(shared.share.remount(), Err(Errno::EIO));
        assert!(shared.read("f").is_err());
        assert_eq!(shared.pump.turn(), Work::None, "a lost device does not keep the core awake");
    }
    shared.model.lock().behaviour.stuck = None;
    assert_eq!(shared.share.remount(), Ok(()), "if it recovers, so does the share");
    assert!(shared.read("f").is_ok());
    shared.finish();
}

#[test]
fn a_server_that_is_not_there_yet_can_be_asked_again() {
    let shared = share(options(), |server| server.file("f", b"x"));
    shared.break_device();
    for refusal in [Opcode::Destroy, Opcode::Init, Opcode::GetAttr] {
        shared.model.lock().behaviour.swallow.insert(refusal.raw());
        assert_eq!(shared.share.remount(), Err(Errno::ETIMEDOUT), "{refusal}");
        assert!(shared.read("f").is_err());
        shared.model.lock().behaviour.swallow.clear();
    }
    assert_eq!(shared.share.remount(), Ok(()));
    assert!(shared.read("f").is_ok());
    shared.finish();
}

#[test]
fn a_server_that_has_survived_is_told_that_the_session_of_before_is_over() {
    for options in all_options() {
        let shared = share(options, |server| {
            server.file("d/f", b"x");
        });
        shared.model.lock().behaviour.survives = true;
        let open = shared.find("d/f").and_then(|file| file.open()).expect("it exists");
        shared.break_device();
        assert!(!shared.model.lock().server.debts().is_empty(), "it holds nodes and a handle for us");
        assert_eq!(shared.share.remount(), Ok(()));
        assert_eq!((shared.count("DESTROY"), shared.count("INIT")), (1, 2));
        assert_eq!(shared.read("d/f").as_deref(), Ok(&b"x"[..]));
        drop(open);
        shared.finish();
    }
}

#[test]
fn after_the_end_there_is_nothing_to_mount_again() {
    let shared = share(options(), |server| server.file("f", b"x"));
    shared.share.shutdown();
    assert_eq!(shared.share.remount(), Err(Errno::ENOTCONN));
    assert_eq!(shared.model.lock().resets, 0);
}

#[test]
fn two_threads_do_not_begin_two_sessions() {
    let shared = share(options(), |server| server.file("f", b"x"));
    shared.break_device();
    let (second, result) = (Rc::clone(&shared.share), Rc::new(core::cell::Cell::new(Ok(()))));
    let seen = Rc::clone(&result);
    shared.pump.meanwhile(move || seen.set(second.remount()));
    assert_eq!(shared.share.remount(), Ok(()));
    assert_eq!((result.get(), shared.model.lock().resets), (Err(Errno::EBUSY), 1));
    shared.finish();
}

#[test]
fn an_answer_that_nobody_has_taken_yet_is_lost_with_its_session() {
    let shared = share(options(), |server| server.file("f", b"x"));
    let client = shared.share.client();
    let operation = GetAttr { node: NodeId::ROOT, handle: None, expected: None };
    let ticket = client.connection.submit(&operation, None, Late::Nothing, None).map_err(drop).expect("there is room");
    shared.pump.settle();
    assert!(ticket.is_answered());
    shared.break_device();
    assert_eq!(shared.share.remount(), Ok(()));
    assert_eq!(ticket.wait().err(), Some(Errno::ESTALE));
    shared.finish();
}

#[test]
fn what_waits_when_the_session_is_lost_is_told() {
    let shared = share(options(), |server| server.file("f", b"x"));
    shared.model.lock().behaviour.swallow.insert(Opcode::StatFs.raw());
    let (client, again) = (shared.share.client(), Rc::clone(&shared.share));
    let model = shared.model.clone();
    shared.pump.meanwhile(move || {
        model.lock().behaviour.unwell = Some(DeviceFault::NeedsReset);
        model.lock().behaviour.swallow.clear();
        assert_eq!(again.remount(), Ok(()));
    });
    assert_eq!(client.stats().err(), Some(Errno::ESTALE));
    assert!(shared.read("f").is_ok());
    shared.finish();
}

#[test]
fn debts_of_before_are_not_paid_to_the_new_server() {
    let shared = share(options(), |server| server.file("f", b"x"));
    let client = shared.share.client();
    drop(shared.find("f").expect("it exists"));
    client.names.clear();
    assert!(client.connection.is_busy(), "a FORGET is owed");
    shared.break_device();
    assert_eq!(shared.share.remount(), Ok(()));
    // A malformed answer that came late would owe one, too.
    client.connection.judge(ReplyError::Remote(Errno::EIO));
    client.connection.forget(NodeId::new(2).expect("not zero"), 1);
    assert!(!client.connection.is_busy());
    shared.pump.settle();
    shared.finish();
}

#[test]
fn the_root_of_before_is_as_stale_as_everything_below_it() {
    for options in all_options() {
        let shared = share(options, |server| {
            server.file("f", b"x");
            server.manners.attr_lifetime = Duration::from_secs(60);
        });
        let root = shared.share.root().expect("mounted");
        assert!(root.metadata().is_ok());
        shared.break_device();
        assert_eq!(shared.share.remount(), Ok(()));
        assert_eq!(root.metadata().err(), Some(Errno::ESTALE));
        assert_eq!(root.open_directory().err(), Some(Errno::ESTALE));
        drop(root);
        shared.finish();
    }
}

#[test]
fn who_waits_for_a_lock_of_before_is_told_and_the_new_session_has_none() {
    let shared = share(options(), |server| server.file("f", b"x"));
    let (first, second) = (shared.find("f").and_then(|f| f.open()), shared.find("f").and_then(|f| f.open()));
    let (first, second) = (first.expect("it exists"), second.expect("it exists"));
    assert_eq!(first.lock(LockKind::Exclusive, LockWait::Never), Ok(()));
    shared.break_device();
    let again = Rc::clone(&shared.share);
    shared.pump.meanwhile(move || assert_eq!(again.remount(), Ok(())));
    assert_eq!(second.lock(LockKind::Shared, LockWait::Forever), Err(Errno::ESTALE));
    assert_eq!(first.lock(LockKind::Exclusive, LockWait::Never), Err(Errno::ESTALE));
    let third = shared.find("f").and_then(|f| f.open()).expect("it exists");
    assert_eq!(third.lock(LockKind::Exclusive, LockWait::Never), Ok(()));
    drop((first, second, third));
    shared.finish();
}

const BOTH: Rights = Rights::ReadAndWrite(WritePosition::Anywhere);

#[test]
fn fu_t_9_no_number_of_the_first_session_is_sent_in_the_second() {
    for options in all_options() {
        for survives in [false, true] {
            let shared = share(options, |server| {
                server.file("f", &[1; 40_000]);
                server.file("d/g", b"deep");
                server.manners.init_flags |= InitFlags::FLOCK_LOCKS;
            });
            shared.model.lock().behaviour.survives = survives;
            let (file, directory) = (shared.find("f").expect("it exists"), shared.find("d").expect("it exists"));
            let open = file.open_for_writing(BOTH, Contents::Keep).expect("it exists");
            let target = shared.find("d/g").and_then(|node| node.open_for_writing(BOTH, Contents::Keep));
            let target = target.expect("it exists");
            let mut listing = directory.open_directory().expect("it is a directory");
            assert_eq!(open.lock(LockKind::Exclusive, LockWait::Never), Ok(()));
            let number = target.identity().expect("it has a number");
            // Some are under way: a READ with a handle, a LOOKUP and an OPEN that nobody waits for any more.
            let slow = [Opcode::Read, Opcode::Lookup, Opcode::Open].map(Opcode::raw);
            shared.model.lock().behaviour.swallow.extend(slow);
            let mut bytes = [0; 64];
            assert_eq!(open.read_at(&mut bytes, 30_000), Err(Errno::ETIMEDOUT));
            assert_eq!(directory.lookup(b"other", Freshness::Server).err(), Some(Errno::ETIMEDOUT));
            assert_eq!(file.open().err(), Some(Errno::ETIMEDOUT));
            shared.model.lock().behaviour.fault = Some(DeviceFault::NeedsReset);
            let _ = shared.share.stats();
            shared.model.lock().behaviour.swallow.clear();
            // No number of before means anything to the server that there is now.
            let (model, handles) = (shared.model.clone(), 1 << 20);
            model.lock().server.next_handle += handles;
            if !survives {
                model.lock().server.renumber(|number| number + 1000);
            }
            assert_eq!(shared.share.remount(), Ok(()));
            if survives {
                // It has let go of the session of before; from here on its numbers are others, too.
                model.lock().server.lookups.clear();
                model.lock().server.renumber(|number| number + 1000);
            }
            // Everything that can be done with what is left of before.
            assert_eq!(open.read_at(&mut bytes, 30_000), Err(Errno::ESTALE));
            assert_eq!(open.write_at(&bytes, 0), Err(Errno::ESTALE));
            assert_eq!(open.append(&bytes).err(), Some(Errno::ESTALE));
            assert_eq!((open.set_len(3), open.sync(Sync::All), open.flush()), STALE);
            assert_eq!(open.copy_to(0, number, 0, 4), Err(Errno::ESTALE));
            assert!(open.unlock().is_err() && open.lock(LockKind::Shared, LockWait::Never).is_err());
            assert!(open.metadata().is_err() && file.metadata().is_err() && listing.next().is_err());
            assert!(file.open().is_err() && directory.lookup(b"g", Freshness::Server).is_err());
            assert!(directory.create(b"h", 0o644).is_err() && directory.create_directory(b"h", 0o755).is_err());
            assert!(directory.create_symlink(b"h", b"x").is_err() && directory.remove(b"g").is_err());
            assert!(file.xattrs().is_err() && file.set_xattr(b"user.a", b"b", XattrMode::Any).is_err());
            let root = shared.share.root().expect("mounted again");
            assert_eq!(root.rename(b"f", directory.id(), b"h", Collision::Replace), Err(Errno::ESTALE));
            assert_eq!(root.link(b"h", file.id()), Err(Errno::ESTALE));
            drop((root, open, target, listing, file, directory));
            shared.pump.settle();
            assert_eq!(shared.read("d/g").as_deref(), Ok(&b"deep"[..]));
            assert_eq!(shared.model.lock().server.tree(), ["d", "d/g", "f"]);
            shared.finish();
        }
    }
}

const STALE: (Result<(), Errno>, Result<(), Errno>, Result<(), Errno>) =
    (Err(Errno::ESTALE), Err(Errno::ESTALE), Err(Errno::ESTALE));

#[test]
fn fu_t_9_a_number_that_means_something_else_now_is_not_taken_for_what_it_meant() {
    let shared = share(options(), |server| {
        server.file("a", b"one");
        server.file("b", b"two");
        server.directory("d");
        server.directory("e");
    });
    let number = |path: &str| shared.model.lock().server.number(path).expect("it exists");
    let [a, b, d, e] = ["a", "b", "d", "e"].map(number);
    let old = shared.find("a").expect("it exists");
    let old_directory = shared.find("d").expect("it exists");
    let old_target = old.open_for_writing(BOTH, Contents::Keep).expect("it exists");
    let old_number = old_target.identity().expect("it has a number");
    shared.break_device();
    // The server that is started anew has numbered its objects in another order.
    let swapped = move |number| match [a, b, d, e].iter().position(|&one| one == number) {
        Some(place) => [b, a, e, d][place],
        None => number,
    };
    shared.model.lock().server.renumber(swapped);
    assert_eq!(shared.share.remount(), Ok(()));
    // All of them are known, and one is open under the number that the other had.
    let (source, other) = (shared.find("a").expect("it exists"), shared.find("b").expect("it exists"));
    let (directory, empty) = (shared.find("d").expect("it exists"), shared.find("e").expect("it exists"));
    let root = shared.share.root().expect("mounted again");
    let (source, other) = (source.open(), other.open_for_writing(BOTH, Contents::Keep));
    let (source, other) = (source.expect("it exists"), other.expect("it exists"));
    assert_ne!(other.identity(), Some(old_number));
    assert_eq!(source.copy_to(0, old_number, 0, 3), Err(Errno::EBADF));
    assert_eq!(root.link(b"another", old.id()), Err(Errno::ESTALE));
    assert_eq!(root.rename(b"a", old_directory.id(), b"a", Collision::Replace), Err(Errno::ESTALE));
    assert_eq!(shared.model.lock().server.tree(), ["a", "b", "d", "e"]);
    let mut bytes = [0; 8];
    assert_eq!(other.read_at(&mut bytes, 0), Ok(3));
    assert_eq!(&bytes[..3], b"two");
    drop((root, source, other, directory, empty, old, old_directory, old_target));
    shared.finish();
}
