//! Ending the virtual machine, the unikernel's process.

use core::convert::Infallible;
use core::fmt::Debug;

/// The application did what it was asked.
pub const EXIT_SUCCESS: u8 = 0;
/// The application returned an error from `main`.
pub const EXIT_FAILURE: u8 = 1;

/// Ends the virtual machine with an exit status that the host can see; see [`crate::shutdown`] for how it travels.
///
/// File servers are told, and what disks have not been given yet is written, before that, which other threads may notice; no
/// destructors run. May be called by any thread, on any core.
#[cfg(target_os = "none")]
pub fn exit(code: u8) -> ! {
    crate::parts::take_leave();
    crate::shutdown::exit(code)
}

/// What `main` may return, as in `std::process::Termination`.
pub trait Termination {
    /// Turns the value into an exit status, printing an error where there is one.
    fn report(self) -> u8;
}

impl Termination for () {
    fn report(self) -> u8 {
        EXIT_SUCCESS
    }
}

impl Termination for Infallible {
    fn report(self) -> u8 {
        match self {}
    }
}

impl<T: Termination, E: Debug> Termination for Result<T, E> {
    fn report(self) -> u8 {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                #[cfg(target_os = "none")]
                crate::eprintln!("Error: {error:?}");
                #[cfg(not(target_os = "none"))]
                let _ = error;
                EXIT_FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_from_main_is_exit_status_one() {
        assert_eq!(Ok::<(), &str>(()).report(), 0);
        assert_eq!(Err::<(), &str>("broken").report(), 1);
    }
}
