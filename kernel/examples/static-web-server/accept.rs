//! Who gets in.
//!
//! ```text
//!   accept --> fewer than max-connections are served? --> thread that serves
//!          '-> fewer than 16 are being turned away? ----> thread that answers 503
//!          '-> closed without a word
//! ```
//!
//! Each thread holds a permit, which it gives back when it is dropped, so the count is right however
//! a connection ends. Turning away takes a thread as well, for a second at most, since the client should
//! read the answer before the connection is reset; under a flood even that is too much, hence the third way.

use alloc::sync::Arc;
use core::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{
    connection::{Connection, Environment},
    serve::Server,
    storage::Storage,
};

/// Most connections that are being told that there are too many.
const TURN_AWAY_LIMIT: usize = 16;

/// A counter with a limit.
struct Places {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

impl Places {
    fn new(limit: usize) -> Self {
        Self { taken: Arc::new(AtomicUsize::new(0)), limit }
    }

    /// Only the accepting thread calls this, so nobody takes a place between the look and the step.
    fn take(&mut self) -> Option<Permit> {
        if self.taken.load(Relaxed) >= self.limit {
            return None;
        }
        self.taken.fetch_add(1, Relaxed);
        Some(Permit(Arc::clone(&self.taken)))
    }
}

/// The right to occupy a thread, given back when dropped.
struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// An accepted connection and what is to be done with it.
pub struct Work<C> {
    connection: C,
    peer: IpAddr,
    kind: Kind,
    _permit: Permit,
}

enum Kind {
    Serve,
    TurnAway,
}

impl<C: Connection> Work<C> {
    /// Does it, on the thread that calls.
    pub fn run<S: Storage, E: Environment>(mut self, server: &Server<S, E>) {
        match self.kind {
            Kind::Serve => server.serve(&mut self.connection, self.peer),
            Kind::TurnAway => server.turn_away(&mut self.connection, self.peer),
        }
    }
}

/// Where connections come from and threads are made.
pub trait Listener {
    /// A connection to a client.
    type Connection: Connection;

    /// Waits for the next client; `None` means that there will be no more. After a failure that may pass,
    /// an implementation waits a moment and tries again.
    fn accept(&mut self) -> Option<(Self::Connection, IpAddr)>;

    /// Runs `work` on a thread of its own. Where there is no memory for a thread, dropping `work` closes
    /// the connection.
    fn start(&mut self, work: Work<Self::Connection>);
}

/// Accepts connections until the listener ends, and serves at most `limit` at once.
pub fn accept_all(listener: &mut impl Listener, limit: usize) {
    let mut served = Places::new(limit);
    let mut turned_away = Places::new(TURN_AWAY_LIMIT);
    while let Some((connection, peer)) = listener.accept() {
        let (permit, kind) = match served.take() {
            Some(permit) => (Some(permit), Kind::Serve),
            None => (turned_away.take(), Kind::TurnAway),
        };
        if let Some(permit) = permit {
            listener.start(Work { connection, peer, kind, _permit: permit });
        }
    }
}
