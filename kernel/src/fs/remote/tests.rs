//! Mounts of other cores: the owner is the thread of the test, the others are threads of the host, or play in the same
//! thread where a test wants to look at both sides at once.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::format;
use std::sync::mpsc;
use std::thread;

use fuse_proto::Errno;

use super::*;
use crate::fs::Namespace;
use crate::fs::fuse::tests::{Mount, mount};
use crate::fs::vfs::{FileSystem, Freshness};
use crate::io::ErrorKind;

/// To an owner in the same thread, which does everything at once.
#[derive(Clone)]
struct Direct(Rc<Exports>);

impl Carrier for Direct {
    fn post(&self, job: Job) {
        perform(&self.0, job);
    }

    fn call(&self, question: Question) -> Result<Answer, Errno> {
        question(&self.0)
    }

    fn call_long(&self, question: Question) -> Result<Answer, Errno> {
        question(&self.0)
    }
}

/// To an owner in another thread.
#[derive(Clone)]
struct Line(mpsc::Sender<Job>);

impl Carrier for Line {
    fn post(&self, job: Job) {
        self.0.send(job).expect("the owner serves until all others have finished");
    }

    fn call(&self, question: Question) -> Result<Answer, Errno> {
        let (answer, answers) = mpsc::channel();
        self.post(Job::Call(Box::new(move |exports| answer.send(question(exports)).expect("somebody waits"))));
        answers.recv().expect("every job is done")
    }

    fn call_long(&self, question: Question) -> Result<Answer, Errno> {
        self.call(question)
    }
}

fn perform(exports: &Exports, job: Job) {
    match job {
        Job::Call(call) | Job::LongCall(call) => call(exports),
        Job::Close(number) => exports.close(number),
    }
}

/// A core that sees `mount`, which another one has, at `path`.
pub fn namespace(mount: &Mount, path: &str) -> Namespace {
    let (namespace, _) = watched(mount, path);
    namespace
}

/// The same, and the owner's exports.
fn watched(mount: &Mount, path: &str) -> (Namespace, Rc<Exports>) {
    seen_from_elsewhere(mount.file_system(), path)
}

/// A core that sees another one's file system at `path`, and that one's exports.
pub fn seen_from_elsewhere(file_system: Rc<dyn FileSystem>, path: &str) -> (Namespace, Rc<Exports>) {
    let exports = Rc::new(Exports::new());
    let number = exports.add(file_system);
    let registry = Registry::new();
    registry.publish(path.as_bytes(), 0, Direct(Rc::clone(&exports)), number).expect("the place is free");
    let namespace = Namespace::new();
    namespace.follow(&registry, 1);
    (namespace, exports)
}

/// Serves threads, `count` of them, each of which does `work` with a namespace of its own that sees `mount` at `/`.
fn serve<R: Send>(mount: &Mount, count: usize, work: impl Fn(&Namespace) -> R + Sync) -> Vec<R> {
    /// Tells the owner that a thread has finished, in whatever way.
    struct Farewell<'a>(Line, &'a AtomicUsize);

    impl Drop for Farewell<'_> {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.post(Job::Call(Box::new(|_| ())));
        }
    }

    let exports = Exports::new();
    let (sender, jobs) = mpsc::channel();
    let registry = Registry::new();
    let line = Line(sender);
    registry.publish(b"/", 0, line.clone(), exports.add(mount.file_system())).expect("nothing is there");
    let finished = AtomicUsize::new(0);
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (1..=count)
            .map(|core| {
                let (line, registry, work, finished) = (line.clone(), &registry, &work, &finished);
                scope.spawn(move || {
                    let _farewell = Farewell(line, finished);
                    let namespace = Namespace::new();
                    namespace.follow(registry, core);
                    work(&namespace)
                })
            })
            .collect();
        while finished.load(Ordering::SeqCst) < count {
            perform(&exports, jobs.recv().expect("the owner has a line itself"));
        }
        jobs.try_iter().for_each(|job| perform(&exports, job));
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(exports.len(), 1, "the file system alone is left");
    results
}

fn site() -> Mount {
    mount(|server| {
        server.file("index.html", b"<h1>hello</h1>");
        server.file("d/large", &(0..700_000_u32).map(|i| (i / 7) as u8).collect::<Vec<_>>());
        server.file("d/empty", b"");
        server.link("link", "d/large");
        server.link("d/out", "../../../index.html");
        server.link("loop", "loop");
        server.link("dangling", "none");
        (0..300).for_each(|i| {
            server.file(&format!("many/file {i}"), format!("{i}").as_bytes());
        });
    })
}

/// All that can be found out about a path.
fn answers(namespace: &Namespace, path: &[u8]) -> String {
    let names = namespace.read_dir(path).map(|listing| {
        let entries = listing.map(|entry| entry.map(|entry| (entry.path(), entry.file_type(), entry.metadata())));
        entries.collect::<Vec<_>>()
    });
    let buffer = namespace.open(path).and_then(|file| {
        let buffer = file.read_buffer(3, 1000)?;
        Ok((buffer.to_vec(), file.read_limit(), file.metadata()?))
    });
    // Longer than what one answer carries.
    let mut long = Vec::from([0; 600_000]);
    let count = namespace.open(path).and_then(|file| file.read_at(&mut long, 7));
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {names:?} {buffer:?} {count:?} {long:?}",
        namespace.metadata(path),
        namespace.symlink_metadata(path),
        namespace.read_link(path),
        namespace.canonicalize(path),
        namespace.stats(path),
        namespace.read(path),
    )
}

#[test]
fn other_cores_get_the_answers_that_the_owner_gets() {
    let mount = site();
    let long = [b'n'; 300];
    let paths: [&[u8]; 16] = [
        b"/",
        b"",
        b"index.html",
        b"index.html/",
        b"index.html/x",
        b"d",
        b"d/large",
        b"d/empty",
        b"link",
        b"d/out",
        b"loop",
        b"dangling",
        b"none/x",
        b"many",
        b"many/../d/./large",
        &long,
    ];
    let all = |namespace: &Namespace| paths.map(|path| answers(namespace, path));
    let others = serve(&mount, 4, all);
    let own = Namespace::new();
    own.mount(b"/", mount.file_system()).expect("nothing is there");
    let expected = all(&own);
    for other in others {
        for (path, (other, expected)) in paths.iter().zip(other.iter().zip(&expected)) {
            assert!(other == expected, "{}", path.escape_ascii());
        }
    }
    drop(own);
    mount.finish();
}

#[test]
fn what_is_dropped_is_closed_and_nothing_before() {
    let mount = site();
    let (namespace, exports) = watched(&mount, "/");
    let file = namespace.open(b"link").expect("it exists");
    assert_eq!(exports.len(), 2, "the file system and the file; the nodes on the way are gone");
    let mut listing = namespace.read_dir(b"many").expect("it is a directory");
    assert_eq!(exports.len(), 4, "a listing keeps its directory");
    let entry = listing.next().expect("it is not empty").expect("it can be read");
    drop(listing);
    assert_eq!(exports.len(), 3, "and so does an entry");
    assert!(entry.metadata().is_ok());
    drop((entry, file));
    assert_eq!(exports.len(), 1);
    mount.finish();
}

#[test]
fn an_error_in_a_listing_comes_behind_the_names_and_ends_it() {
    let mount = mount(|server| server.file("d/f", b"x"));
    let (namespace, _) = watched(&mount, "/");
    let mut listing = namespace.read_dir(b"d").expect("it is a directory");
    mount.server(|server| server.gone.insert(2));
    let failed = listing.next().expect("something comes").err().map(|error| error.kind());
    assert_eq!(failed, Some(ErrorKind::StaleNetworkFileHandle));
    assert!(listing.next().is_none());
    drop(listing);
    mount.finish();
}

#[test]
fn a_number_stands_for_one_object_of_one_kind() {
    let mount = site();
    let exports = Exports::new();
    let file_system = exports.add(mount.file_system());
    let root = exports.root(file_system).expect("it is mounted").number;
    assert_eq!(exports.stats(root).err(), Some(Errno::ENOTCONN));
    assert_eq!(exports.metadata(file_system).err(), Some(Errno::EBADF));
    assert_eq!(exports.read_at(root, 0, 1).err(), Some(Errno::EBADF));
    assert_eq!(exports.next_batch(root).end, Some(Err(Errno::EBADF)));
    exports.close(root);
    exports.close(root);
    let again = exports.root(file_system).expect("it is mounted").number;
    assert_ne!(again, root);
    assert_eq!(exports.metadata(root).err(), Some(Errno::EBADF));
    exports.close(again);
    mount.finish();
}

#[test]
fn when_the_owner_takes_leave_open_files_fail_and_paths_are_gone() {
    let mount = site();
    let exports = Rc::new(Exports::new());
    let registry = Registry::new();
    let number = exports.add(mount.file_system());
    registry.publish(b"/", 0, Direct(Rc::clone(&exports)), number).expect("nothing is there");
    let other = Namespace::new();
    other.follow(&registry, 1);
    let file = other.open(b"index.html").expect("it exists");
    registry.withdraw(0);
    exports.withdraw();
    // A thread that has found the mount before it was withdrawn.
    assert_eq!(other.metadata(b"/").err().map(|error| error.kind()), Some(ErrorKind::NotConnected));
    mount.file_system().shutdown();
    other.follow(&registry, 1);
    assert_eq!(other.metadata(b"/").err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    assert!(file.read_at(&mut [0; 4], 0).is_err());
    drop(file);
    assert_eq!(exports.len(), 0);
}

#[test]
fn the_longest_mount_wins_whosoever_it_is() {
    let (outer, inner) = (site(), mount(|server| server.file("f", b"inner")));
    let registry = Registry::new();
    let publish = |path: &[u8], owner, mount: &Mount| {
        let exports = Rc::new(Exports::new());
        let number = exports.add(mount.file_system());
        registry.publish(path, owner, Direct(exports), number)
    };
    let (first, second, third) = (Namespace::new(), Namespace::new(), Namespace::new());
    let follow =
        || [&first, &second, &third].into_iter().enumerate().for_each(|(core, each)| each.follow(&registry, core));
    publish(b"/", 0, &outer).expect("nothing is there");
    follow();
    assert!(first.is_empty(), "an owner needs no other's help");
    first.mount(b"/", outer.file_system()).expect("nothing is there");
    assert_eq!(second.mount(b"/", inner.file_system()).err().map(|error| error.kind()), Some(ErrorKind::ResourceBusy));
    assert_eq!(publish(b"//.", 1, &inner).err(), Some(Errno::EBUSY));
    assert_eq!(publish(b"relative", 1, &inner).err(), Some(Errno::EINVAL));
    publish(b"/d/share", 1, &inner).expect("nothing is there");
    second.mount(b"/d/share", inner.file_system()).expect("nothing is there");
    follow();
    for each in [&first, &second, &third] {
        assert_eq!(each.read(b"/d/share/f"), Ok(b"inner".to_vec()));
        assert_eq!(each.read(b"/index.html"), Ok(b"<h1>hello</h1>".to_vec()));
        assert_eq!(each.canonicalize(b"/d/share/../f"), Ok(b"/d/share/f".to_vec()));
    }
    // What is still there is the same mount: files that are open in it stay so.
    let file = third.open(b"/index.html").expect("it exists");
    registry.withdraw(1);
    second.unmount_all();
    follow();
    assert!(file.metadata().is_ok());
    for each in [&first, &third] {
        assert_eq!(each.read(b"/d/share/f").err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    }
    third.unmount_all();
    assert_eq!(file.metadata().err().map(|error| error.kind()), Some(ErrorKind::NotConnected));
    drop(file);
    first.unmount_all();
    outer.finish();
    inner.finish();
}

#[test]
fn a_core_that_takes_leave_leaves_the_owner_alone() {
    let mount = site();
    let (namespace, exports) = watched(&mount, "/");
    let file = namespace.open(b"index.html").expect("it exists");
    namespace.unmount_all();
    assert_eq!(file.read_at(&mut [0; 4], 0).err().map(|error| error.kind()), Some(ErrorKind::NotConnected));
    drop(file);
    assert_eq!(exports.len(), 1);
    let root = mount.file_system().root().expect("the owner goes on");
    assert!(root.lookup(b"index.html", Freshness::Cached).is_ok());
    drop(root);
    mount.finish();
}
