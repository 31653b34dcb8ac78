//! What was expected, and what came.

use alloc::format;
use alloc::string::String;
use core::fmt::Debug;

use toro::io::{self, ErrorKind};

/// `Err` says what is wrong.
pub type Checked<T = ()> = Result<T, String>;

/// Checks that something worked.
pub fn worked<T>(what: &str, result: io::Result<T>) -> Checked<T> {
    result.map_err(|error| format!("{what}: {error} ({:?})", error.kind()))
}

/// Checks that something failed in this way.
pub fn failed<T>(what: &str, result: io::Result<T>, wanted: ErrorKind) -> Checked {
    failed_as(what, result, &[wanted])
}

/// Checks that something failed in one of these ways.
pub fn failed_as<T>(what: &str, result: io::Result<T>, wanted: &[ErrorKind]) -> Checked {
    match result {
        Err(error) if wanted.contains(&error.kind()) => Ok(()),
        Err(error) => Err(format!("{what}: {error} ({:?}), not {wanted:?}", error.kind())),
        Ok(_) => Err(format!("{what}: it worked, and should have been {wanted:?}")),
    }
}

/// Checks that something failed with this Linux error number.
pub fn failed_with<T>(what: &str, result: io::Result<T>, errno: i32) -> Checked {
    match result {
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        Err(error) => Err(format!("{what}: {error} ({:?}), not error {errno}", error.raw_os_error())),
        Ok(_) => Err(format!("{what}: it worked, and should have been error {errno}")),
    }
}

/// Checks that two things are the same.
pub fn same<T: PartialEq + Debug>(what: &str, came: T, wanted: T) -> Checked {
    if came == wanted { Ok(()) } else { Err(format!("{what}: {came:?}, not {wanted:?}")) }
}

/// Checks that two strings of bytes are the same, and says where they are not.
pub fn same_bytes(what: &str, came: &[u8], wanted: &[u8]) -> Checked {
    if came == wanted {
        return Ok(());
    }
    let place = came.iter().zip(wanted).position(|(came, wanted)| came != wanted);
    let place = place.unwrap_or(came.len().min(wanted.len()));
    let (came_there, wanted_there) = (came.get(place), wanted.get(place));
    Err(format!(
        "{what}: {} bytes, {came_there:?} at {place}; wanted are {} bytes, {wanted_there:?} there",
        came.len(),
        wanted.len()
    ))
}
