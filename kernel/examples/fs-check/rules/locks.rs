//! Locks, between handles of one core; those between cores are in `shared.rs`.

use alloc::format;

use toro::fs::{File, TryLockError};

use super::Rule;
use crate::outcome::{Checked, same, worked};

pub(super) const RULES: &[Rule] = &[
    Rule::new("a lock keeps others out until it is given up", exclusive).with(|features| features.locks),
    Rule::new("a shared lock keeps out only who wants it alone", shared).with(|features| features.locks),
    Rule::new("a lock ends with its handle", ends).with(|features| features.locks),
    Rule::new("a lock is of the file, whatever its name", names).with(|features| features.locks && features.links),
];

fn two_handles(place: &str) -> Checked<(File, File)> {
    let path = format!("{place}/file");
    let one = worked("create", File::create_new(&path))?;
    Ok((one, worked("open", File::open(&path))?))
}

/// Whether a lock was had, or is somebody else's.
fn had(result: Result<(), TryLockError>) -> Checked<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => worked("a lock", Err(error)),
    }
}

fn exclusive(place: &str) -> Checked {
    let (one, other) = two_handles(place)?;
    worked("lock", one.lock())?;
    same("whether another has it", had(other.try_lock())?, false)?;
    same("whether another shares it", had(other.try_lock_shared())?, false)?;
    worked("unlock", one.unlock())?;
    same("whether another has it", had(other.try_lock())?, true)?;
    same("whether the first has it", had(one.try_lock())?, false)
}

fn shared(place: &str) -> Checked {
    let (one, other) = two_handles(place)?;
    worked("lock", one.lock_shared())?;
    same("whether another shares it", had(other.try_lock_shared())?, true)?;
    same("whether the first has it alone", had(one.try_lock())?, false)?;
    worked("unlock", other.unlock())?;
    // It had none any more, or still the one that it shared: either way nobody else is left.
    same("whether the first has it alone", had(one.try_lock())?, true)
}

fn ends(place: &str) -> Checked {
    let (one, other) = two_handles(place)?;
    worked("lock", one.lock())?;
    worked("close", one.close())?;
    same("whether another has it", had(other.try_lock())?, true)
}

fn names(place: &str) -> Checked {
    let (one, _) = two_handles(place)?;
    let name = format!("{place}/other");
    worked("link", toro::fs::hard_link(format!("{place}/file"), &name))?;
    let other = worked("open", File::open(&name))?;
    worked("lock", one.lock())?;
    same("whether the other name's has it", had(other.try_lock())?, false)
}
