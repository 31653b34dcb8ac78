//! [`Service`]: a server as a set of callbacks, all of which one thread calls.
//!
//! ```ignore
//! struct Echo;
//!
//! impl Service for Echo {
//!     type Session = ();
//!
//!     fn accept(&mut self, _: &mut Client) -> Option<()> {
//!         Some(())
//!     }
//!
//!     fn receive(&mut self, _: &mut (), client: &mut Client, bytes: &[u8]) -> Next {
//!         client.send(bytes);
//!         Next::Continue
//!     }
//! }
//!
//! let listener = TcpListener::bind("0.0.0.0:7".parse()?)?;
//! service::serve(&listener, &mut Echo, Options::default())
//! ```
//!
//! A thread for each connection is easier to write; this is for those who have many connections and little to say on each:
//! a connection costs no stack.
//!
//! ```text
//!   poll(listener, client, client, ...) --> accept(client)              -> a session, or none
//!                                       --> receive(session, bytes)     -> go on, close, or stop the service
//!                                       --> idle(session)               -> the same, after a while without bytes
//!                                       --> close(session, why)         once for each session
//!                                       --> served()                    after each round
//! ```
//!
//! # Ownership
//!
//! The thread that calls [`serve`] owns the clients; the service owns what it makes of them, a [`Session`](Service::Session)
//! each. A callback may do what it likes, but while it waits, nobody else is served.
//!
//! # Back-pressure
//!
//! [`Client::send`] never waits: what does not fit into the connection's buffer is kept. A client that is owed more than
//! [`Options::most_output`] is not read from until it has taken some of it; so what is kept is bounded by that and by what a
//! service sends in one callback. Beyond [`Options::most_clients`] connections wait in the listener's backlog.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Linger, PollEntry, Readiness, TcpListener, TcpStream, poll};
use crate::io::{Error, ErrorKind, Result};
use crate::sched::Progress;
use crate::thread;
use crate::time::{Duration, Instant};

/// Bytes that a client's callback gets at most.
const PIECE: usize = 4096;
/// How long to leave the listener alone after it could not accept for lack of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// What happens next with a client, or with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Continue,
    /// What was sent still leaves, then the connection is closed.
    Close,
    /// The service ends: the same for all clients, and [`serve`] returns.
    Stop,
}

/// Why a client is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has finished.
    Peer,
    /// A callback said so.
    Service,
    /// The connection broke.
    Broken(Error),
}

/// What a server does with its clients.
pub trait Service {
    /// What it remembers of a client.
    type Session;

    /// Somebody has connected. `None` turns it away, after what was sent to it.
    fn accept(&mut self, client: &mut Client) -> Option<Self::Session>;

    /// A client has said something: some bytes, cut where the network liked.
    fn receive(&mut self, session: &mut Self::Session, client: &mut Client, bytes: &[u8]) -> Next;

    /// A client has neither said nor taken anything for [`Options::idle`].
    fn idle(&mut self, session: &mut Self::Session, client: &mut Client) -> Next {
        let _ = (session, client);
        Next::Close
    }

    /// A client is no more.
    fn close(&mut self, session: Self::Session, end: End) {
        let _ = (session, end);
    }

    /// Everybody who needed attention has had it. [`Next::Stop`] ends the service; anything else goes on.
    fn served(&mut self) -> Next {
        Next::Continue
    }
}

/// How many clients, and how much of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Clients at a time.
    pub most_clients: usize,
    /// Bytes kept for a client that does not take them, before it is no longer read from.
    pub most_output: usize,
    /// How long a client may neither say nor take anything; `None`: for ever. One whose session is over and that does not
    /// take the rest is reset then.
    pub idle: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { most_clients: 1024, most_output: 64 << 10, idle: Some(Duration::from_secs(60)) }
    }
}

/// A client, as its service sees it.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    peer: SocketAddr,
    /// What has not fitted into the connection's buffer yet, from `sent` on.
    output: Vec<u8>,
    sent: usize,
}

impl Client {
    /// Who it is.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends bytes, at once or as soon as there is room.
    pub fn send(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// How much it has not taken yet.
    pub fn owed(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Its connection, for options. Reading or writing here would disturb the service.
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes what there is room for, and says whether that was anything.
    fn flush(&mut self) -> Result<Progress> {
        let mut progress = Progress::None;
        while self.owed() > 0 {
            match self.stream.write_now(&self.output[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    progress = Progress::Made;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        // What has left is given up in large pieces, or when it was all.
        if self.owed() == 0 || self.sent >= PIECE {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        Ok(progress)
    }

    /// Forgets what it has not taken. The connection ends with a reset then, lest the peer take what it got for all.
    fn forget(&mut self) {
        if self.owed() > 0 {
            // It has no errors.
            let _ = self.stream.set_linger(Linger::AtMost(Duration::ZERO));
        }
        self.output.clear();
        self.sent = 0;
    }
}

/// A client and its session; without one, the rest of the output is all that it still gets.
struct Served<S> {
    client: Client,
    session: Option<S>,
    last: Instant,
}

impl<S> Served<S> {
    fn wanted(&self, options: &Options) -> Readiness {
        let mut wanted = Readiness::NONE;
        if self.session.is_some() && self.client.owed() < options.most_output {
            wanted |= Readiness::READABLE;
        }
        if self.client.owed() > 0 {
            wanted |= Readiness::WRITABLE;
        }
        wanted
    }

    fn is_over(&self) -> bool {
        self.session.is_none() && self.client.owed() == 0
    }
}

/// Serves until a callback says [`Next::Stop`].
///
/// # Errors
///
/// [`ErrorKind::NetworkDown`]: the device has failed.
pub fn serve<S: Service>(listener: &TcpListener, service: &mut S, options: Options) -> Result<()> {
    let mut all: Vec<Served<S::Session>> = Vec::new();
    let mut buffer = alloc::vec![0; PIECE];
    loop {
        let found = wait(listener, &all, &options)?;
        let now = Instant::now();
        let mut next = Next::Continue;
        for (served, found) in all.iter_mut().zip(found.iter().skip(1)) {
            if attend(service, served, *found, &options, now, &mut buffer) == Next::Stop {
                next = Next::Stop;
            }
        }
        all.retain(|served| !served.is_over());
        if next == Next::Stop || service.served() == Next::Stop {
            finish(service, all, &options);
            return Ok(());
        }
        if all.len() < options.most_clients && found.first().is_some_and(|found| !found.is_empty()) {
            greet(listener, service, &mut all, now)?;
        }
    }
}

/// Waits until somebody needs attention; what was found at the listener, then at each client.
fn wait<T>(listener: &TcpListener, all: &[Served<T>], options: &Options) -> Result<Vec<Readiness>> {
    let wanted = if all.len() < options.most_clients { Readiness::READABLE } else { Readiness::NONE };
    let mut entries = alloc::vec![PollEntry::new(listener, wanted)];
    entries.extend(all.iter().map(|served| PollEntry::new(&served.client.stream, served.wanted(options))));
    let oldest = all.iter().map(|served| served.last).min();
    let time = options
        .idle
        .zip(oldest)
        .map(|(idle, oldest)| oldest.saturating_add(idle).saturating_duration_since(Instant::now()));
    poll(&mut entries, time)?;
    Ok(entries.iter().map(PollEntry::found).collect())
}

/// Accepts one connection.
fn greet<S: Service>(
    listener: &TcpListener,
    service: &mut S,
    all: &mut Vec<Served<S::Session>>,
    now: Instant,
) -> Result<()> {
    let (stream, peer) = match listener.accept_now() {
        Ok(accepted) => accepted,
        Err(error) if error.kind() == ErrorKind::NetworkDown => return Err(error),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(_) => {
            thread::sleep(PAUSE);
            return Ok(());
        }
    };
    let mut client = Client { stream, peer, output: Vec::new(), sent: 0 };
    let session = service.accept(&mut client);
    let mut served = Served { client, session, last: now };
    settle(service, &mut served, now);
    if !served.is_over() {
        all.push(served);
    }
    Ok(())
}

/// Does what there is to do for a client.
fn attend<S: Service>(
    service: &mut S,
    served: &mut Served<S::Session>,
    found: Readiness,
    options: &Options,
    now: Instant,
    buffer: &mut [u8],
) -> Next {
    let is_idle = found.is_empty() && options.idle.is_some_and(|idle| now >= served.last.saturating_add(idle));
    let Served { client, session, last } = served;
    let mut next = Next::Continue;
    match session {
        Some(session) if found.intersects(Readiness::READABLE | Readiness::ALWAYS) => {
            match client.stream.read_now(buffer) {
                Ok(0) => end(service, served, End::Peer),
                Ok(count) => {
                    *last = now;
                    next = service.receive(session, client, &buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    client.forget();
                    end(service, served, End::Broken(error));
                }
            }
        }
        Some(session) if is_idle => {
            *last = now;
            next = service.idle(session, client);
        }
        // It does not take the rest.
        None if is_idle || found.intersects(Readiness::ALWAYS) => client.forget(),
        Some(_) | None => {}
    }
    if next != Next::Continue {
        end(service, served, End::Service);
    }
    settle(service, served, now);
    next
}

/// Takes a session away and tells its service.
fn end<S: Service>(service: &mut S, served: &mut Served<S::Session>, end: End) {
    if let Some(session) = served.session.take() {
        service.close(session, end);
    }
}

/// Sends what there is room for.
fn settle<S: Service>(service: &mut S, served: &mut Served<S::Session>, now: Instant) {
    match served.client.flush() {
        Ok(Progress::Made) => served.last = now,
        Ok(Progress::None) => {}
        Err(error) => {
            served.client.forget();
            end(service, served, End::Broken(error));
        }
    }
}

/// Ends all sessions, and waits for a while until clients have taken what they are owed.
fn finish<S: Service>(service: &mut S, mut all: Vec<Served<S::Session>>, options: &Options) {
    let deadline = Instant::now().saturating_add(options.idle.unwrap_or(Duration::from_secs(60)));
    for served in &mut all {
        end(service, served, End::Service);
        settle(service, served, Instant::now());
    }
    all.retain(|served| !served.is_over());
    while !all.is_empty() && Instant::now() < deadline {
        let mut entries: Vec<_> =
            all.iter().map(|served| PollEntry::new(&served.client.stream, Readiness::WRITABLE)).collect();
        if poll(&mut entries, Some(deadline.saturating_duration_since(Instant::now()))).is_err() {
            return;
        }
        all.iter_mut().for_each(|served| settle(service, served, Instant::now()));
        all.retain(|served| !served.is_over());
    }
}
