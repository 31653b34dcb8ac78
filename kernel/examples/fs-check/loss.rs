//! The end of the server while files are used: whoever reads and writes is told, nobody waits for ever, and once there is a
//! server again, so are the files.
//!
//! 1. A file is written and made stable. Threads read it, write another one, and list, again and again; `using` is printed
//!    when all of them have begun.
//! 2. The host kills the server. Each thread ends with its first error, which is printed: `lost: reading: ...`.
//! 3. `lost` is printed when all have, and the file system is mounted again: for as long as that fails, once a second.
//! 4. What was open is stale. The file is there as it was, and can be changed. `passed`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use toro::core as cores;
use toro::fs::{self, File};
use toro::io::{self, ErrorKind};
use toro::time::Duration;
use toro::{println, thread};

use crate::outcome::{Checked, failed_as, same_bytes, worked};
use crate::random::Random;

/// How often it is tried to mount it again, a second after each other.
const ATTEMPTS: u32 = 300;
/// Bytes in the file: too many for what is remembered of small ones.
const LENGTH: usize = 1 << 20;
/// Bytes in a call.
const BLOCK: usize = 128 << 10;

/// How many threads have done their first round.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// What a thread does again and again.
type Round = fn(&str, u64) -> io::Result<()>;

const ROUNDS: [(&str, Round); 4] = [
    ("reading", |place, number| {
        let mut bytes = vec![0; BLOCK];
        File::open(format!("{place}/kept"))?.read_exact_at(&mut bytes, number * BLOCK as u64 % LENGTH as u64)
    }),
    ("writing", |place, number| {
        let file = File::options().write(true).create(true).truncate(false).open(format!("{place}/changing"))?;
        file.write_all_at(&vec![number as u8; BLOCK], number * BLOCK as u64 % LENGTH as u64)?;
        file.sync_data()
    }),
    ("listing", |place, _| fs::read_dir(place)?.try_for_each(|entry| entry.map(drop))),
    ("creating", |place, number| {
        let path = format!("{place}/new{number}");
        drop(File::create(&path)?);
        fs::remove_file(&path)
    }),
];

/// Does all of it below the mount at `mount`, in the empty directory `place`.
///
/// # Errors
///
/// What does not come as it should.
pub fn check(mount: &str, place: &str) -> Checked {
    let contents = Random::new(5).bytes(LENGTH);
    let kept = format!("{place}/kept");
    let open = worked(&kept, File::create_new(&kept))?;
    worked(&kept, open.write_all_at(&contents, 0))?;
    worked(&kept, open.sync_all())?;

    let start = |(core, (what, round))| {
        let place = place.to_owned();
        thread::spawn_on(core, move || use_until_lost(what, round, &place))
    };
    let threads: Vec<_> = cores::all().cycle().zip(ROUNDS).map(start).collect();
    while BEGUN.load(Ordering::Acquire) < ROUNDS.len() {
        thread::sleep(Duration::from_millis(10));
    }
    println!("using");
    for thread in threads {
        let Ok(()) = thread.join();
    }
    println!("lost");
    for attempt in 1.. {
        match fs::remount(mount) {
            Ok(()) => break,
            Err(error) if attempt == ATTEMPTS => return worked("mounting it again", Err(error)),
            Err(error) => println!("not yet: {error}"),
        }
        thread::sleep(Duration::from_secs(1));
    }
    println!("mounted again");
    let stale = [ErrorKind::StaleNetworkFileHandle, ErrorKind::NotConnected];
    failed_as("what was open", open.read_at(&mut [0; 16], 0), &stale)?;
    same_bytes(&kept, &worked(&kept, fs::read(&kept))?, &contents)?;
    worked("writing", fs::write(format!("{place}/after"), "all is well"))?;
    worked("listing", fs::read_dir(place).and_then(|mut names| names.try_for_each(|entry| entry.map(drop))))?;
    println!("passed");
    Ok(())
}

fn use_until_lost(what: &str, round: Round, place: &str) {
    for number in 0.. {
        if let Err(error) = round(place, number) {
            println!("lost: {what}: {error} ({:?})", error.kind());
            return;
        }
        if number == 0 {
            BEGUN.fetch_add(1, Ordering::Release);
        }
    }
}
