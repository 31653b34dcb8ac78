//! `connection`: deadlines are for all bytes together, and a connection that lingers has said so.

use std::{cell::Cell, time::Duration};

use web_tests::{
    connection::{Connection, ConnectionError, Environment, linger, write_all},
    date::UnixTime,
};

const SECOND: Duration = Duration::from_secs(1);

/// A client and its clock: whatever it does takes a second.
#[derive(Default)]
struct Slow {
    seconds: Cell<u64>,
}

/// Takes a byte per write, sends a byte per read, and notes what happened.
struct Peer<'a> {
    clock: &'a Slow,
    taken: usize,
    sent: usize,
    sent_before_finish: usize,
    is_finished: bool,
}

impl Environment for Slow {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.seconds.get())
    }

    fn unix_time(&self) -> UnixTime {
        UnixTime::from_seconds(0)
    }

    fn log(&self, _: &str) {}
}

impl Connection for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, ConnectionError> {
        assert!(!patience.is_zero() && !buffer.is_empty());
        self.clock.seconds.set(self.clock.seconds.get() + 1);
        self.sent += 1;
        self.sent_before_finish += usize::from(!self.is_finished);
        Ok(1)
    }

    fn write(&mut self, pieces: [&[u8]; 2], patience: Duration) -> Result<usize, ConnectionError> {
        assert!(!patience.is_zero() && !pieces.concat().is_empty());
        self.clock.seconds.set(self.clock.seconds.get() + 1);
        self.taken += 1;
        Ok(1)
    }

    fn finish(&mut self) {
        self.is_finished = true;
    }
}

fn peer(clock: &Slow) -> Peer<'_> {
    Peer { clock, taken: 0, sent: 0, sent_before_finish: 0, is_finished: false }
}

#[test]
fn a_client_that_takes_byte_by_byte_has_one_deadline_for_all_of_them() {
    let clock = Slow::default();
    let mut client = peer(&clock);
    let written = write_all(&mut client, &clock, [&[0; 60], &[0; 40]], 10 * SECOND);
    assert_eq!(written, Err(ConnectionError::TimedOut));
    assert_eq!(client.taken, 10);

    let mut client = peer(&clock);
    assert_eq!(write_all(&mut client, &clock, [&[0; 3], &[0; 7]], 10 * SECOND), Ok(()));
    assert_eq!(client.taken, 10);
}

#[test]
fn lingering_begins_with_our_end_and_lasts_a_second() {
    let clock = Slow::default();
    let mut client = peer(&clock);
    linger(&mut client, &clock);
    assert!(client.is_finished);
    assert_eq!((client.sent_before_finish, client.sent), (0, 1));
}
