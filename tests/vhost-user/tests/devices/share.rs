//! `toro::fs` against real servers: what it reads is what is there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use toro::fs::FileType;
use toro::fs::host::Options;
use toro::io::ErrorKind;
use toro_core::driver::fuse::{FuseCompletion, FuseDevice, FuseLimits, FuseRequest, RequestId};
use toro_core::driver::{Armed, DeviceFault, Refused};
use toro_core::{BusAddr, DmaBuf};
use vhost_user_tests::twin::Run;
use vhost_user_tests::{
    Caching, Daemon, FileServer, References, Serving, Share, Waiting, Xattrs, connect, share_memory,
};
use virtio_fs::VirtioFs;
use virtio_queue_rt::Transport;

/// Bytes of a file that takes many reads, and is no multiple of any of them.
const LENGTH: usize = 3_000_017;

fn byte(offset: usize) -> u8 {
    (offset as u32).wrapping_mul(0x9e37_79b1).to_be_bytes()[0]
}

/// A directory with one thing of each kind.
fn served() -> TempDir {
    let served = TempDir::new().expect("a temporary directory");
    let at = |name: &str| served.path().join(name);
    std::fs::write(at("large"), (0..LENGTH).map(byte).collect::<Vec<u8>>()).expect("a file");
    std::fs::write(at("small"), "a few words").expect("a file");
    std::fs::create_dir_all(at("deep/er/still")).expect("directories");
    for number in 0..500 {
        std::fs::write(at(&format!("deep/er/{number}")), number.to_string()).expect("a file");
    }
    std::os::unix::fs::symlink("../small", at("deep/link")).expect("a link");
    served
}

fn a_tree_is_read_as_it_is(server: &FileServer) {
    let served = served();
    let daemon = Daemon::files_by(server, served.path(), &Serving::default());
    let share = Share::mount(&daemon);
    let files = share.namespace();
    let contents = files.read(b"/large").expect("it is there");
    assert!(contents.len() == LENGTH && contents.iter().enumerate().all(|(offset, &is)| is == byte(offset)));
    assert_eq!(files.read_to_string(b"/deep/link").expect("it is there"), "a few words");
    assert_eq!(files.read_link(b"/deep/link").expect("it is a link"), b"../small");
    assert_eq!(files.metadata(b"/nothing").map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    compare(files, b"/", served.path());
    share.unmount();
}

/// Every name below `path`, and all that is known of it, is what the host says.
pub fn compare(files: &toro::fs::Namespace, path: &[u8], host: &Path) {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let mut names: Vec<_> =
        files.read_dir(path).expect("a directory").map(|entry| entry.expect("a name").file_name().to_vec()).collect();
    names.sort();
    let entries = std::fs::read_dir(host).expect("a directory");
    let mut expected: Vec<_> = entries.map(|entry| entry.expect("a name").file_name().as_bytes().to_vec()).collect();
    expected.sort();
    assert_eq!(names, expected);
    for name in names {
        let child = [path, b"/", &name].concat();
        let on_host = host.join(std::ffi::OsStr::from_bytes(&name));
        let (ours, theirs) = (files.symlink_metadata(&child).expect("it is there"), on_host.symlink_metadata());
        let theirs = theirs.expect("it is there");
        assert_eq!(ours.mode(), theirs.permissions().mode(), "{on_host:?}");
        assert_eq!(
            (ours.len(), ours.inode(), u64::from(ours.links())),
            (theirs.len(), theirs.ino(), theirs.nlink()),
            "{on_host:?}"
        );
        match ours.file_type() {
            FileType::Directory => compare(files, &child, &on_host),
            FileType::File => {
                assert_eq!(
                    files.read(&child).expect("a file"),
                    std::fs::read(&on_host).expect("a file"),
                    "{on_host:?}"
                );
            }
            _ => {}
        }
    }
}

fn fu_sem_1_references_and_handles_are_returned(server: &FileServer) {
    let served = served();
    for caching in [Caching::Never, Caching::Always] {
        leaves_nothing_behind(server, served.path(), Serving { caching, ..Serving::default() }, Names::One, |share| {
            let files = share.namespace();
            compare(files, b"/", served.path());
            drop((files.open(b"/large"), files.read_dir(b"/deep/er")));
        });
    }
}

/// How many names a share remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// As few as it can: what a server keeps for it is then one object.
    One,
    /// As many as usual.
    Many,
}

/// Fails if a server has more open after this is done than before: while the session lasts, where no more than one name is
/// remembered, and after it in any case.
fn leaves_nothing_behind(
    server: &FileServer,
    served: &Path,
    serving: Serving,
    names: Names,
    work: impl FnOnce(&Share),
) {
    // Else a FORGET that is never sent would not be noticed.
    let serving = Serving { references: References::Visible, ..serving };
    let daemon = Daemon::files_by(server, served, &serving);
    let usual = Options::default();
    let options = if names == Names::One { Options { names: 1, ..usual } } else { usual };
    let share = Share::mount_with(&daemon, options, Waiting::Interrupt);
    let before = daemon.open_paths();
    let added = || {
        let mut left = before.clone();
        let is_new = |path: &PathBuf| left.iter().position(|known| known == path).map(|at| left.remove(at)).is_none();
        daemon.open_paths().into_iter().filter(is_new).collect::<Vec<_>>()
    };
    let expect_at_most = |count, when| {
        // What is closed last may be on its way out.
        let mut looks = std::iter::repeat_with(|| {
            std::thread::sleep(Duration::from_millis(20));
            added().len() <= count
        });
        assert!(looks.by_ref().take(6000).any(|is_fine| is_fine), "open {when}: {:?}", added());
    };
    work(&share);
    share.settle();
    if names == Names::One {
        expect_at_most(1, "before the session ends");
    }
    share.unmount();
    expect_at_most(0, "after the session");
}

/// A run of random operations with each way of remembering.
fn fu_sem_random_operations_have_the_results_of_linux(server: &FileServer) {
    for (seed, caching) in [(1, Caching::Never), (2, Caching::Auto), (3, Caching::Always)] {
        random_run(server, caching, Run { seed, operations: 4000 });
    }
}

/// Fails where a share differs from a directory of the host, and where the server keeps files open afterwards.
fn random_run(server: &FileServer, caching: Caching, run: Run) {
    rustix::process::umask(rustix::fs::Mode::empty());
    let (served, twin) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let serving = Serving { caching, xattrs: Xattrs::Yes, ..Serving::default() };
    let names = if caching == Caching::Never { Names::One } else { Names::Many };
    leaves_nothing_behind(server, served.path(), serving, names, |share| {
        let succeeded = run.compare(share.namespace(), served.path(), twin.path());
        eprintln!("{}, {caching:?}, {run:?}: {succeeded} succeeded", server.name());
        assert!(succeeded > run.operations / 3, "most operations fail: {succeeded}");
    });
}

/// Much longer runs, with other seeds.
fn long_random_operations_have_the_results_of_linux(server: &FileServer) {
    for seed in 10..22 {
        let caching = [Caching::Never, Caching::Auto, Caching::Always][seed as usize % 3];
        random_run(server, caching, Run { seed, operations: 20_000 });
    }
}

/// A device that notes where the data of READs goes, and how often it is asked for an interrupt.
struct Watched<T: Transport> {
    device: VirtioFs<T>,
    payloads: Arc<Mutex<Vec<BusAddr>>>,
    armed: Arc<AtomicUsize>,
}

impl<T: Transport + Send> FuseDevice for Watched<T> {
    fn tag(&self) -> &[u8] {
        self.device.tag()
    }

    fn limits(&self) -> FuseLimits {
        self.device.limits()
    }

    fn buffer(&mut self, size: usize) -> Option<DmaBuf> {
        self.device.buffer(size)
    }

    fn recycle(&mut self, buffer: DmaBuf) {
        self.device.recycle(buffer);
    }

    fn submit(&mut self, request: FuseRequest) -> Result<RequestId, Refused<FuseRequest>> {
        if let Some(payload) = &request.payload {
            self.payloads.lock().expect("nobody panics with it").push(payload.bus_addr());
        }
        self.device.submit(request)
    }

    fn publish(&mut self) {
        self.device.publish();
    }

    fn complete(&mut self) -> Result<Option<FuseCompletion>, DeviceFault> {
        self.device.complete()
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        self.armed.fetch_add(1, Ordering::Relaxed);
        self.device.arm()
    }
}

fn what_is_read_lies_where_the_server_put_it(server: &FileServer) {
    const MIB: usize = 1 << 20;
    let served = TempDir::new().expect("a temporary directory");
    let contents: Vec<u8> = (0..8 * MIB).map(byte).collect();
    std::fs::write(served.path().join("large"), &contents).expect("a file");
    let daemon = Daemon::files_by(server, served.path(), &Serving::default());
    let memory = share_memory();
    let (device, calls) = connect(&daemon.socket(), memory);
    let payloads = Arc::new(Mutex::new(Vec::new()));
    let watched = Box::new(Watched { device, payloads: Arc::clone(&payloads), armed: Arc::default() });
    let share = Share::mount_device(watched, calls, Options::default(), Waiting::Interrupt);
    let file = share.namespace().open(b"/large").expect("it is there");
    for number in 0..8 {
        let data = file.read_buffer((number * MIB) as u64, MIB).expect("a file");
        assert!(data[..] == contents[number * MIB..(number + 1) * MIB]);
        assert!(payloads.lock().expect("nobody panics with it").contains(&data.bus_addr()), "it was moved");
    }
    drop(file);
    share.unmount();
    let used = memory.available();
    drop(share);
    assert!(memory.available() > used, "the buffers came home");
}

fn who_looks_asks_for_interrupts_only_before_it_sleeps(server: &FileServer) {
    let served = TempDir::new().expect("a temporary directory");
    std::fs::write(served.path().join("small"), b"small").expect("a file");
    let armed_by = |waiting| {
        let daemon = Daemon::files_by(server, served.path(), &Serving::default());
        let (device, calls) = connect(&daemon.socket(), share_memory());
        let armed = Arc::new(AtomicUsize::new(0));
        let watched = Box::new(Watched { device, payloads: Arc::default(), armed: Arc::clone(&armed) });
        // Nothing is remembered: each time it is the server that is asked.
        let options = Options { contents: 0, ..Options::default() };
        let share = Share::mount_device(watched, calls, options, waiting);
        let file = share.namespace().open(b"/small").expect("it is there");
        for _ in 0..1000 {
            file.read_exact_at(&mut [0; 5], 0).expect("a file");
        }
        drop(file);
        share.unmount();
        armed.load(Ordering::Relaxed)
    };
    // How often depends on who else wants the processors: the server may be quicker than the first look.
    assert!(armed_by(Waiting::Interrupt) > 0, "it never slept");
    let armed = armed_by(Waiting::Spin);
    assert!(armed < 50, "it asked for {armed} interrupts");
}

/// Each test for each server; for one that is not here it has nothing to say (`cargo xtask test` counts that as skipped).
macro_rules! for_each_server {
    ($($(#[$attribute:meta])* $name:ident)*) => {
        mod by_virtiofsd_in_c {
            $(
                $(#[$attribute])*
                #[test]
                fn $name() {
                    use vhost_user_tests::{FileServer, FileServerKind};
                    FileServer::find(FileServerKind::C).iter().for_each(super::$name);
                }
            )*
        }

        mod by_virtiofsd_in_rust {
            $(
                $(#[$attribute])*
                #[test]
                fn $name() {
                    use vhost_user_tests::{FileServer, FileServerKind};
                    FileServer::find(FileServerKind::Rust).iter().for_each(super::$name);
                }
            )*
        }
    };
}
pub(crate) use for_each_server;

for_each_server! {
    a_tree_is_read_as_it_is
    fu_sem_1_references_and_handles_are_returned
    fu_sem_random_operations_have_the_results_of_linux
    #[ignore = "it takes minutes: cargo xtask test --long"]
    long_random_operations_have_the_results_of_linux
    what_is_read_lies_where_the_server_put_it
    who_looks_asks_for_interrupts_only_before_it_sleeps
}
