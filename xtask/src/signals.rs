//! Ctrl-C and its relatives, as events of the run loop.
//!
//! Until a guest starts, the signals keep their default meaning: the tool ends at once, and has nothing to clean up.
//! From then on they arrive as messages, and the run loop stops the guest in order. The children are in process groups
//! of their own, so a Ctrl-C at the terminal reaches the tool alone and the order is the tool's.

use std::io;
use std::sync::mpsc::Sender;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// Sends a message for each stop signal, until it is dropped.
pub struct StopSignals {
    handle: Handle,
}

impl StopSignals {
    /// Starts to turn SIGINT, SIGTERM and SIGHUP into messages made by `message` from the signal's number.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn forward<M: Send + 'static>(to: Sender<M>, message: fn(i32) -> M) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let handle = signals.handle();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                // Nobody listens any more: the run is over.
                if to.send(message(signal)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { handle })
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// A signal reaches everybody in the process who wants to hear of it: tests that send one, or that one would disturb, hold
/// this meanwhile.
#[cfg(test)]
pub(crate) static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn signal_arrives_as_a_message_instead_of_ending_the_process() {
        let _alone = ALONE.lock();
        let (sender, receiver) = std::sync::mpsc::channel();
        let _signals = StopSignals::forward(sender, |number| number).unwrap();
        kill_process(getpid(), Signal::HUP).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(SIGHUP));
    }
}
