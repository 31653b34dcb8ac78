//! Threads of all cores on the same files: nothing gets between what belongs together.
//!
//! | check | what must hold |
//! |---|---|
//! | appending | every record is whole, and each thread's are in order |
//! | creating | of all that create one name at the same time, one succeeds |
//! | locking | a number in a file that is read, raised and written under a lock counts every thread |
//! | reading | whatever others write elsewhere in the file, each finds its own part as it left it |

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use toro::core as cores;
use toro::fs::{self, File, OpenOptions};
use toro::io::{ErrorKind, Write};
use toro::thread;

use crate::features::Features;
use crate::outcome::{Checked, same, same_bytes, worked};

/// Threads on each core.
const THREADS: usize = 3;
/// What each does.
const ROUNDS: usize = 40;
/// Bytes of a record, and of a thread's part of a file: neither a page nor a part of one.
const RECORD: usize = 100;
const PART: usize = 5000;

/// Checks all of it in the directory `place`, with threads on so many cores.
///
/// # Errors
///
/// What does not hold.
pub fn check(place: &str, count: usize, features: &Features) -> Checked {
    appending(place, count)?;
    creating(place, count)?;
    if features.locks {
        locking(place, count)?;
    }
    reading(place, count)
}

/// Runs `work` in every thread, with the number of each; gives what they return.
fn everywhere<T: Send + 'static>(
    count: usize,
    work: impl Fn(usize) -> Checked<T> + Copy + Send + 'static,
) -> Checked<Vec<T>> {
    let places = cores::all().take(count).flat_map(|core| core::iter::repeat_n(core, THREADS)).enumerate();
    let threads: Vec<_> = places.map(|(number, core)| thread::spawn_on(core, move || work(number))).collect();
    let results: Vec<_> = threads
        .into_iter()
        .map(|thread| {
            let Ok(result) = thread.join();
            result
        })
        .collect();
    results.into_iter().collect()
}

fn shared(place: &str, name: &str) -> &'static str {
    // Threads of other cores live as long as they like; there are four of these in a run.
    String::leak(format!("{place}/{name}"))
}

fn appending(place: &str, count: usize) -> Checked {
    let path = shared(place, "appended");
    worked(path, File::create_new(path))?;
    everywhere(count, move |number| {
        let mut log = worked(path, OpenOptions::new().append(true).open(path))?;
        (0..ROUNDS).try_for_each(|round| worked(path, log.write_all(&record(number, round))))
    })?;
    let contents = worked(path, fs::read(path))?;
    let threads = count * THREADS;
    same(path, contents.len(), threads * ROUNDS * RECORD)?;
    let mut rounds = vec![0; threads];
    for (place, bytes) in contents.chunks(RECORD).enumerate() {
        let what = format!("record {place} of {path}");
        let number = bytes.iter().take(4).fold(0, |number, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')));
        let round = rounds.get_mut(number).ok_or_else(|| format!("{what} is nobody's: {}", bytes.escape_ascii()))?;
        same_bytes(&what, bytes, &record(number, *round))?;
        *round += 1;
    }
    Ok(())
}

fn record(number: usize, round: usize) -> Vec<u8> {
    let mut record = format!("{number:04} {round:04} ").into_bytes();
    record.resize(RECORD, b'a' + (number % 26) as u8);
    record
}

fn creating(place: &str, count: usize) -> Checked {
    let path = shared(place, "created");
    let won = everywhere(count, move |_| {
        let create = |round| match File::create_new(format!("{path}{round}")) {
            Ok(_) => Ok(1),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(0),
            Err(error) => worked(path, Err(error)),
        };
        (0..ROUNDS).try_fold(0, |sum, round| Ok(sum + create(round)?))
    })?;
    same("names that were created", won.into_iter().sum::<usize>(), ROUNDS)
}

fn locking(place: &str, count: usize) -> Checked {
    let path = shared(place, "locked");
    worked(path, fs::write(path, "0"))?;
    everywhere(count, move |_| {
        let file = worked(path, OpenOptions::new().read(true).write(true).open(path))?;
        for _ in 0..ROUNDS / 2 {
            worked("locking", file.lock())?;
            let mut digits = [0; 20];
            let length = worked("reading", file.read_at(&mut digits, 0))?;
            let text = str::from_utf8(digits.get(..length).unwrap_or_default()).unwrap_or_default();
            let number: usize = text.parse().map_err(|_| format!("{text:?} is no number"))?;
            thread::yield_now();
            worked("writing", file.write_all_at((number + 1).to_string().as_bytes(), 0))?;
            worked("unlocking", file.unlock())?;
        }
        Ok(())
    })?;
    let text = worked(path, fs::read_to_string(path))?;
    same("the number under the lock", text, (count * THREADS * (ROUNDS / 2)).to_string())
}

fn reading(place: &str, count: usize) -> Checked {
    let path = shared(place, "divided");
    worked(path, File::create_new(path))?;
    everywhere(count, move |number| {
        let file = worked(path, OpenOptions::new().read(true).write(true).open(path))?;
        let offset = (number * PART) as u64;
        for round in 0..ROUNDS {
            let bytes = vec![(number * ROUNDS + round) as u8; PART];
            worked(path, file.write_all_at(&bytes, offset))?;
            let mut back = vec![0; PART];
            worked(path, file.read_exact_at(&mut back, offset))?;
            same_bytes(&format!("part {number} of {path}"), &back, &bytes)?;
        }
        Ok(())
    })
    .map(drop)
}
