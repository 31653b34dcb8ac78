//! Servers that die or stop in the middle of reads and writes, and what an application sees of that.
//!
//! ```text
//!   reads, writes, names ... SIGKILL ... errors, at once        nothing hangs, nothing panics
//!   another server, on the same path                            still errors
//!   remount                                                     what was open is stale, what is new works
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use toro::fs::host::Options;
use toro::fs::{File, Namespace, OpenOptions};
use toro::io::{Error, ErrorKind};
use vhost_user_tests::{Daemon, FileServer, Serving, Share, Waiting};

use crate::share::{compare, for_each_server};

/// Bytes of the file that is read, and of each that is written.
const LENGTH: usize = 2_000_003;
/// How often a server is killed in one test.
const ROUNDS: usize = 4;
/// What a device that is gone gives.
const EIO: i32 = 5;
/// What a session that has ended gives.
const ESTALE: i32 = 116;

fn byte(offset: usize, seed: usize) -> u8 {
    ((offset + seed) as u32).wrapping_mul(0x9e37_79b1).to_be_bytes()[0]
}

fn contents(seed: usize) -> Vec<u8> {
    (0..LENGTH).map(|offset| byte(offset, seed)).collect()
}

/// Numbers that look random (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// A file that is written, and what the server has said it has.
struct Written {
    file: File,
    path: String,
    expected: Vec<u8>,
    /// The last write, which was not answered: the server may have done some of it.
    doubtful: std::ops::Range<usize>,
}

impl Written {
    fn new(files: &Namespace, name: &str, seed: usize) -> Result<Self, Error> {
        let path = format!("/{name}");
        let file = files.open_with(path.as_bytes(), OpenOptions::new().read(true).write(true).create(true))?;
        let expected = contents(seed);
        file.write_all_at(&expected, 0)?;
        Ok(Self { file, path, expected, doubtful: 0..0 })
    }

    fn change(&mut self, random: &mut Random) -> Result<(), Error> {
        let (start, value) = (random.below(LENGTH), random.below(256) as u8);
        let end = LENGTH.min(start + 1 + random.below(300_000));
        self.doubtful = start..end;
        self.file.write_all_at(&vec![value; end - start], start as u64)?;
        self.expected[start..end].fill(value);
        self.doubtful = 0..0;
        Ok(())
    }

    /// The host has what the server said it had.
    fn compare(&self, served: &Path) {
        let is = std::fs::read(served.join(&self.path[1..])).expect("it is there");
        assert_eq!(is.len(), LENGTH);
        let mut all = is.iter().zip(&self.expected).enumerate();
        let differs = all.position(|(offset, (is, expected))| is != expected && !self.doubtful.contains(&offset));
        assert_eq!(differs, None, "a write that was answered is not there");
    }
}

/// Reads, writes, and makes names, until something fails; `steps` counts.
fn work(files: &Namespace, written: &mut Written, random: &mut Random, steps: &AtomicUsize) -> Error {
    let expected = contents(0);
    let large = files.open(b"/large").expect("it is there");
    let mut step = || -> Result<(), Error> {
        let (start, length) = (random.below(LENGTH), 1 + random.below(500_000));
        let mut data = vec![0; length.min(LENGTH - start)];
        match random.below(4) {
            0 => {
                large.read_exact_at(&mut data, start as u64)?;
                assert!(data == expected[start..start + data.len()], "read something else");
            }
            1 => {
                written.change(random)?;
            }
            2 => {
                let mut data = vec![0; data.len().min(LENGTH - start)];
                written.file.read_exact_at(&mut data, start as u64)?;
                assert!(data == written.expected[start..start + data.len()], "read what was not written");
            }
            _ => {
                let path = format!("{}.name", written.path);
                files.write(path.as_bytes(), b"short")?;
                files.remove_file(path.as_bytes())?;
            }
        }
        Ok(())
    };
    loop {
        match step() {
            Ok(()) => steps.fetch_add(1, Ordering::Relaxed),
            Err(error) => return error,
        };
    }
}

/// One application: its own server for the same directory, killed again and again.
fn outlive(server: &FileServer, served: &Path, name: &str, waiting: Waiting, seed: u64) {
    let mut daemon = Daemon::files_by(server, served, &Serving { threads: 2, ..Serving::default() });
    let share = Share::mount_with(&daemon, Options::default(), waiting);
    let (files, mut random) = (share.namespace(), Random(seed));
    for round in 0..ROUNDS {
        let mut written = Written::new(files, &format!("{name}-{round}"), round).expect("the server lives");
        let listing = files.read_dir(b"/").expect("the server lives");
        let (steps, victim) = (AtomicUsize::new(0), Pid::from_raw(daemon.id() as i32).expect("it runs"));
        let (after, pause) = (5 + random.below(20), Duration::from_micros(random.below(3000) as u64));
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while steps.load(Ordering::Relaxed) < after {
                    std::thread::yield_now();
                }
                std::thread::sleep(pause);
                kill_process(victim, Signal::KILL).expect("it runs");
            });
            work(files, &mut written, &mut random, &steps)
        });
        daemon.wait();
        // Not that nobody answered in time: that the device is gone.
        assert_eq!(error.raw_os_error(), Some(EIO), "{error}");
        let fails =
            |result: Result<(), Error>| assert_eq!(result.map_err(|error| error.raw_os_error()), Err(Some(EIO)));
        fails(files.open(format!("/{name}-never").as_bytes()).map(drop));
        fails(written.file.write_at(b"?", 0).map(drop));
        written.compare(served);
        if round == 0 {
            // Nobody is there; and the device is none the worse for it.
            fails(files.remount(b"/"));
        }
        daemon.start_again();
        // Of the session that has ended is left what the attempt, if there was one, has left.
        let ended = if round == 0 { ESTALE } else { EIO };
        assert_eq!(files.create_dir(b"/early").map_err(|error| error.raw_os_error()), Err(Some(ended)));
        files.remount(b"/").expect("it is back");

        let stale = |result: Result<(), Error>| {
            assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::StaleNetworkFileHandle));
        };
        stale(written.file.read_at(&mut [0], 0).map(drop));
        stale(written.file.write_at(b"?", 0).map(drop));
        drop(listing);
        let again = files.read(written.path.as_bytes()).expect("it is there");
        assert!(again == std::fs::read(served.join(&written.path[1..])).expect("it is there"));
        assert!(files.read(b"/large").expect("it is there") == contents(0));
    }
    let kept = Written::new(files, &format!("{name}-last"), 99).expect("the server lives");
    kept.compare(served);
    drop(kept);
    share.settle();
    share.unmount();
}

fn fs_5_a_server_that_is_killed_is_errors_until_a_remount(server: &FileServer) {
    let served = TempDir::new().expect("a temporary directory");
    std::fs::write(served.path().join("large"), contents(0)).expect("a file");
    std::thread::scope(|scope| {
        let at = served.path();
        scope.spawn(move || outlive(server, at, "first", Waiting::Interrupt, 11));
        scope.spawn(move || outlive(server, at, "second", Waiting::Interrupt, 22));
        scope.spawn(move || outlive(server, at, "spinning", Waiting::Spin, 33));
    });
    let daemon = Daemon::files_by(server, served.path(), &Serving::default());
    let share = Share::mount(&daemon);
    compare(share.namespace(), b"/", served.path());
    share.unmount();
}

fn a_server_that_is_stopped_is_waited_for(server: &FileServer) {
    let served = TempDir::new().expect("a temporary directory");
    std::fs::write(served.path().join("large"), contents(0)).expect("a file");
    let daemon = Daemon::files_by(server, served.path(), &Serving::default());
    let share = Share::mount(&daemon);
    for round in 0..3 {
        daemon.stop();
        let process = Pid::from_raw(daemon.id() as i32).expect("it runs");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                kill_process(process, Signal::CONT).expect("it is there");
            });
            let files = share.namespace();
            let written = Written::new(files, &format!("patient-{round}"), round).expect("it goes on");
            written.compare(served.path());
            assert!(files.read(b"/large").expect("it is there") == contents(0));
        });
    }
    share.unmount();
}

fn fs_5_a_server_that_is_stopped_for_too_long_is_errors_until_it_goes_on_or_is_replaced(server: &FileServer) {
    let served = TempDir::new().expect("a temporary directory");
    std::fs::write(served.path().join("large"), contents(0)).expect("a file");
    let mut daemon = Daemon::files_by(server, served.path(), &Serving::default());
    let options = Options { patience: Duration::from_secs(1), contents: 0, names: 1, ..Options::default() };
    let share = Share::mount_with(&daemon, options, Waiting::Interrupt);
    let files = share.namespace();
    let before = daemon.open_paths();
    let large = files.open(b"/large").expect("it is there");
    let times_out = |result: Result<(), Error>| {
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
    };
    daemon.stop();
    times_out(large.read_exact_at(&mut vec![0; LENGTH], 0));
    times_out(files.write(b"/late", b"it may be made yet"));
    times_out(files.read_dir(b"/").map(drop));
    daemon.resume();
    // It is busy with what nobody waits for; then everything is as before, without a remount.
    let mut data = vec![0; LENGTH];
    let mut reads = std::iter::repeat_with(|| large.read_exact_at(&mut data, 0));
    assert!(reads.by_ref().take(30).any(|result| result.is_ok()), "it does not go on");
    assert!(data == contents(0));
    drop(large);
    Written::new(files, "after", 1).expect("it goes on").compare(served.path());
    share.settle();
    // What was found and opened for nobody was given back: beyond the one name that is remembered, nothing is left.
    let mut looks = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(20));
        daemon.open_paths().len()
    });
    assert!(looks.by_ref().take(250).any(|count| count <= before.len() + 1), "{:?}", daemon.open_paths());

    daemon.stop();
    times_out(files.create_dir(b"/never"));
    // It has not let go of the memory, and is not known to be dead.
    assert_eq!(files.remount(b"/").map_err(|error| error.raw_os_error()), Err(Some(EIO)));
    daemon.resume();
    daemon.wait();
    daemon.start_again();
    files.remount(b"/").expect("another one is in its place");
    Written::new(files, "another", 2).expect("it works").compare(served.path());
    compare(files, b"/", served.path());
    share.settle();
    share.unmount();
}

for_each_server! {
    fs_5_a_server_that_is_killed_is_errors_until_a_remount
    a_server_that_is_stopped_is_waited_for
    fs_5_a_server_that_is_stopped_for_too_long_is_errors_until_it_goes_on_or_is_replaced
}
