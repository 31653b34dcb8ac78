//! [`Connection`]: questions to a daemon, and its answers, each within its time.
//!
//! A message is sent, and its answer is waited for, before the next one; nothing else arrives on this socket. The socket
//! does not block: every wait is a `poll` with a deadline.
//!
//! # When it is over
//!
//! A daemon that closes the connection, lets a deadline pass, or says what is not an answer cannot be talked to any
//! more: what it says next might answer an earlier question. So the first such failure ends the [`Link`] for good, for
//! all who hold it, and is what every later question gives. Only a refusal leaves the connection as it is.
//!
//! # One link after the other
//!
//! ```text
//!   Calls, ConfigSpace, VhostUser --> Connection --> Link    the socket of today
//!                                                    Link    ended: shut down
//! ```
//!
//! The transport may [`begin_again`](Connection::begin_again) with another socket. Whoever holds the connection then talks
//! through that one; whoever sleeps on the socket of before wakes up, because it has been shut down.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, recv, sendmsg, shutdown};
use toro_core::Clock;
use virtio_queue_rt::TransportError;

use crate::clock::CLOCK;
use crate::wire::{Acknowledge, HEADER, Message, Request, as_wide, reply_len};

/// The most files that a message takes along.
const FILES: usize = 1;
/// How old, in nanoseconds, the last look at a socket may be for those who look often: each look is a system call.
const FRESH: u64 = 1_000_000;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum End {
    Gone = 1,
    TimedOut = 2,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device says no.
    Refused,
    /// The connection is over, by now or for long.
    Over(TransportError),
}

/// One end of the socket, and whether it is still of use.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    end: AtomicU8,
    /// When somebody last looked at the socket, in nanoseconds of the host's clock.
    looked: AtomicU64,
}

impl Link {
    fn new(socket: OwnedFd) -> Arc<Self> {
        Arc::new(Self { socket, end: AtomicU8::new(0), looked: AtomicU64::new(0) })
    }

    /// How the connection ended, if it did.
    pub fn ended(&self) -> Option<TransportError> {
        match self.end.load(Ordering::Relaxed) {
            0 => None,
            end if end == End::TimedOut as u8 => Some(TransportError::TimedOut),
            _ => Some(TransportError::Gone),
        }
    }

    /// Whether it can still be talked to, as far as the socket knows. A look that waits for nothing.
    pub fn check(&self) -> Result<(), TransportError> {
        if let Some(error) = self.ended() {
            return Err(error);
        }
        match ready(&self.socket, PollFlags::empty(), None) {
            Ok(found) if found.is_empty() => Ok(()),
            _ => Err(self.finish(End::Gone)),
        }
    }

    /// As [`check`](Self::check), for who comes by all the time: what it says may be a millisecond old.
    pub fn check_now_and_then(&self) -> Result<(), TransportError> {
        let now = CLOCK.now().as_nanos();
        if now.saturating_sub(self.looked.load(Ordering::Relaxed)) < FRESH {
            return self.ended().map_or(Ok(()), Err);
        }
        self.looked.store(now, Ordering::Relaxed);
        self.check()
    }

    /// Notes that the daemon has closed the connection.
    pub fn hung_up(&self) -> TransportError {
        self.finish(End::Gone)
    }

    /// Ends it from this side: the daemon learns that nobody is here any more, whoever still holds the socket.
    pub fn leave(&self) {
        self.finish(End::Gone);
        // One that is not connected any more has been left already.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    fn finish(&self, end: End) -> TransportError {
        // The first end is the one that counts.
        let _ = self.end.compare_exchange(0, end as u8, Ordering::Relaxed, Ordering::Relaxed);
        self.ended().unwrap_or(TransportError::Gone)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The way to a daemon, and to the one after it.
#[derive(Debug)]
pub struct Connection {
    link: Mutex<Arc<Link>>,
    /// Whether what has no answer of its own is acknowledged. Held from question to answer.
    turn: Mutex<Acknowledge>,
}

impl Connection {
    /// Talks through a connected socket that does not block.
    pub fn new(socket: OwnedFd) -> Self {
        Self { link: Mutex::new(Link::new(socket)), turn: Mutex::new(Acknowledge::No) }
    }

    /// Talks through another socket from here on, to a daemon that knows nothing yet.
    pub fn begin_again(&self, socket: OwnedFd) {
        let mut acknowledge = self.turn();
        *acknowledge = Acknowledge::No;
        let before = std::mem::replace(&mut *lock(&self.link), Link::new(socket));
        before.leave();
    }

    /// The socket, for those who only want to know whether it is still there.
    pub fn link(&self) -> Arc<Link> {
        lock(&self.link).clone()
    }

    /// From here on the device answers whatever it is told.
    pub fn expect_acknowledgements(&self) {
        *self.turn() = Acknowledge::Please;
    }

    /// Tells the device something, and waits until it has heard it where it says so.
    pub fn tell(&self, message: &Message<'_>, until: Instant) -> Result<(), Failure> {
        let acknowledge = self.turn();
        let link = self.link();
        link.send(message, *acknowledge, until)?;
        if *acknowledge == Acknowledge::No {
            return Ok(());
        }
        match as_wide(&link.receive(message.request, until)?) {
            Some(0) => Ok(()),
            Some(_) => Err(Failure::Refused),
            None => Err(Failure::Over(link.finish(End::Gone))),
        }
    }

    /// Asks the device something, and returns the payload of its answer.
    pub fn ask(&self, message: &Message<'_>, until: Instant) -> Result<Vec<u8>, Failure> {
        let _turn = self.turn();
        let link = self.link();
        link.send(message, Acknowledge::No, until)?;
        link.receive(message.request, until)
    }

    /// Asks for a 64-bit word.
    pub fn ask_wide(&self, request: Request, until: Instant) -> Result<u64, Failure> {
        let answer = self.ask(&Message::new(request), until)?;
        as_wide(&answer).ok_or_else(|| Failure::Over(self.link().finish(End::Gone)))
    }

    fn turn(&self) -> MutexGuard<'_, Acknowledge> {
        lock(&self.turn)
    }
}

/// Nothing panics with something half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The socket, message by message.
impl Link {
    fn send(&self, message: &Message<'_>, acknowledge: Acknowledge, until: Instant) -> Result<(), Failure> {
        if let Some(error) = self.ended() {
            return Err(Failure::Over(error));
        }
        let bytes = message.encode(acknowledge);
        let mut sent = 0;
        while sent < bytes.len() {
            self.wait(PollFlags::OUT, until)?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            // They go with the first byte, once.
            if sent == 0 && !message.files.is_empty() {
                let fits = control.push(SendAncillaryMessage::ScmRights(&message.files));
                debug_assert!(fits, "no message has more than {FILES} files");
            }
            let rest = [IoSlice::new(&bytes[sent..])];
            sent += self.attempt(sendmsg(&self.socket, &rest, &mut control, SendFlags::NOSIGNAL))?;
        }
        Ok(())
    }

    /// The payload of the answer to `request`.
    fn receive(&self, request: Request, until: Instant) -> Result<Vec<u8>, Failure> {
        let mut header = [0; HEADER];
        self.fill(&mut header, until)?;
        let Some(len) = reply_len(header, request) else {
            return Err(Failure::Over(self.finish(End::Gone)));
        };
        let mut payload = vec![0; len];
        self.fill(&mut payload, until)?;
        Ok(payload)
    }

    fn fill(&self, bytes: &mut [u8], until: Instant) -> Result<(), Failure> {
        let mut filled = 0;
        while filled < bytes.len() {
            self.wait(PollFlags::IN, until)?;
            match recv(&self.socket, &mut bytes[filled..], RecvFlags::empty()) {
                Ok((_, 0)) => return Err(Failure::Over(self.finish(End::Gone))),
                result => filled += self.attempt(result.map(|(_, count)| count))?,
            }
        }
        Ok(())
    }

    /// How far a step came, nothing being a step as well.
    fn attempt(&self, result: Result<usize, Errno>) -> Result<usize, Failure> {
        match result {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(_) => Err(Failure::Over(self.finish(End::Gone))),
        }
    }

    /// Waits until there is something to do with the socket, also if that is to learn that it is closed.
    fn wait(&self, wish: PollFlags, until: Instant) -> Result<(), Failure> {
        match ready(&self.socket, wish, Some(until)) {
            Ok(found) if found.is_empty() => Err(Failure::Over(self.finish(End::TimedOut))),
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::Over(self.finish(End::Gone))),
        }
    }
}

/// What there is to say of a file: nothing if that is so until the deadline, or now where there is none.
fn ready(file: &impl AsFd, wish: PollFlags, until: Option<Instant>) -> Result<PollFlags, Errno> {
    let mut files = [PollFd::new(file, wish)];
    wait_for(&mut files, until)?;
    Ok(files[0].revents())
}

/// Waits until something can be said of one of the files, or the deadline has passed; looks once where there is none.
pub fn wait_for(files: &mut [PollFd<'_>], until: Option<Instant>) -> Result<(), Errno> {
    loop {
        let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        // Longer than a kernel can count is as good as the most that it can.
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::from(i32::MAX), tv_nsec: 0 });
        match poll(files, Some(&timeout)) {
            Err(Errno::INTR) => {}
            result => return result.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A connection, and the daemon's end of it.
    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        ours.set_nonblocking(true).expect("it is a socket");
        (Connection::new(ours.into()), theirs)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn answer(request: Request, payload: &[u8]) -> Vec<u8> {
        let words = [request as u32, 5, payload.len() as u32];
        words.iter().flat_map(|word| word.to_ne_bytes()).chain(payload.iter().copied()).collect()
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        let (connection, mut daemon) = pair();
        let teller = std::thread::spawn(move || {
            let mut question = [0; HEADER];
            daemon.read_exact(&mut question).expect("a question");
            for byte in answer(Request::GetFeatures, &7_u64.to_ne_bytes()) {
                daemon.write_all(&[byte]).expect("somebody listens");
            }
            daemon
        });
        assert_eq!(connection.ask_wide(Request::GetFeatures, soon()), Ok(7));
        assert_eq!(connection.link().check(), Ok(()));
        drop(teller.join().expect("it does not panic"));
        assert_eq!(connection.link().check(), Err(TransportError::Gone));
    }

    #[test]
    fn silence_ends_at_the_deadline_and_the_late_answer_is_not_believed() {
        let (connection, mut daemon) = pair();
        let late = Instant::now();
        let silence = Failure::Over(TransportError::TimedOut);
        assert_eq!(connection.ask_wide(Request::GetFeatures, late), Err(silence));
        daemon.write_all(&answer(Request::GetFeatures, &[0; 8])).expect("somebody listens");
        assert_eq!(connection.ask_wide(Request::GetFeatures, soon()), Err(silence));
    }

    #[test]
    fn a_daemon_that_leaves_or_talks_nonsense_is_gone() {
        let over = Failure::Over(TransportError::Gone);
        let (connection, daemon) = pair();
        drop(daemon);
        assert_eq!(connection.ask_wide(Request::GetFeatures, soon()), Err(over));
        for nonsense in [answer(Request::SetOwner, &[0; 8]), answer(Request::GetFeatures, &[0; 9]), vec![0xff; 64]] {
            let (connection, mut daemon) = pair();
            daemon.write_all(&nonsense).expect("somebody listens");
            assert_eq!(connection.ask_wide(Request::GetFeatures, soon()), Err(over));
        }
    }

    #[test]
    fn a_refusal_leaves_the_connection_as_it_is() {
        let (connection, mut daemon) = pair();
        connection.expect_acknowledgements();
        daemon.write_all(&answer(Request::SetOwner, &1_u64.to_ne_bytes())).expect("somebody listens");
        daemon.write_all(&answer(Request::SetOwner, &0_u64.to_ne_bytes())).expect("somebody listens");
        let message = Message::new(Request::SetOwner);
        assert_eq!(connection.tell(&message, soon()), Err(Failure::Refused));
        assert_eq!(connection.tell(&message, soon()), Ok(()));
    }
}
