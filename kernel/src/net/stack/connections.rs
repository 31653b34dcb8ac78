//! TCP connections: opening them, bytes in both directions, and how they end.
//!
//! ```text
//!   finish:  our half ends, the peer still sends       close:  what is queued goes, then FIN; nobody waits for it
//!                                                      abort:  a reset, at once
//! ```
//!
//! Like all that an application asks a [`Stack`] for, nothing here waits: where it would have to, the answer is
//! [`NetError::WouldBlock`], and the socket's [`Signal`] says when to try again.

use alloc::boxed::Box;
use core::net::SocketAddr;

use super::addresses::canonical;
use super::listeners::ListenerId;
use super::{Slot, Stack, Target};
use crate::net::connection::{Connection, Owner, Path, Wire};
use crate::net::error::NetError;
use crate::net::flow::Flow;
use crate::net::signal::Signal;
use crate::net::wire;

/// A TCP connection. It can neither be copied nor made: whoever has it owns the connection.
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectionId(pub(super) u32);

/// Whether short pieces are held back to go with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalescing {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// Connections.
impl<S: Signal> Stack<S> {
    /// Begins to open a connection. [`established`](Self::established) says how it went.
    ///
    /// # Errors
    ///
    /// - [`NetError::NetworkUnreachable`]: there is no way to the address, or the interface has none of its own;
    /// - [`NetError::NetworkDown`]: the device has failed;
    /// - [`NetError::InvalidInput`]: the port is 0;
    /// - [`NetError::Exhausted`]: no memory or no local port is left;
    /// - [`NetError::LimitReached`]: there are as many connections as allowed.
    pub fn connect(&mut self, remote: SocketAddr, signal: S) -> Result<(ConnectionId, SocketAddr), NetError> {
        self.connect_through(None, remote, signal)
    }

    /// The same from a port that was [taken](Self::reserve), and stays so until it is given up. It cannot be one that
    /// somebody listens to.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect), and [`NetError::AddressInUse`] if there is such a connection from this port.
    pub fn connect_from(
        &mut self,
        from: &ListenerId,
        remote: SocketAddr,
        signal: S,
    ) -> Result<(ConnectionId, SocketAddr), NetError> {
        self.connect_through(Some(from.0), remote, signal)
    }

    fn connect_through(
        &mut self,
        from: Option<u16>,
        remote: SocketAddr,
        signal: S,
    ) -> Result<(ConnectionId, SocketAddr), NetError> {
        if self.failed {
            return Err(NetError::NetworkDown);
        }
        let remote = canonical(remote);
        if remote.port() == 0 {
            return Err(NetError::InvalidInput);
        }
        let (path, own) = match self.local_source_for(remote.ip()) {
            Some(own) => (Path::Loopback, own),
            None => (Path::Wire, self.link.source_for(remote.ip()).ok_or(NetError::NetworkUnreachable)?),
        };
        let (flows, listeners) = (&self.flows, &self.listeners);
        let flow_from = |port| Flow { local: SocketAddr::new(own, port), remote };
        let is_free = |port| {
            // Over loopback the other end must be free, too, and not be this one.
            let flow = flow_from(port);
            flows.get(&flow).is_none()
                && (path == Path::Wire || (flow.local != remote && flows.get(&flow.reversed()).is_none()))
        };
        let port = match from {
            Some(port) if !is_free(port) => return Err(NetError::AddressInUse),
            Some(port) => port,
            None => self
                .ephemeral
                .pick(|port| !listeners.contains_key(&port) && is_free(port))
                .ok_or(NetError::Exhausted)?,
        };
        let flow = flow_from(port);
        if self.has_all_connections() {
            return Err(NetError::LimitReached);
        }
        let mut socket = self.pool.take().ok_or(NetError::Exhausted)?;
        let ends = (wire::endpoint(flow.remote), wire::endpoint(flow.local));
        let context = match path {
            Path::Wire => self.link.context(),
            Path::Loopback => self.loopback.context(),
        };
        if socket.get_mut().connect(context, ends.0, ends.1).is_err() {
            self.pool.give_back(socket);
            return Err(NetError::InvalidInput);
        }
        let mut connection = Connection::new(socket, flow, Owner::Application, signal);
        connection.path = path;
        let key = self.slots.insert(Slot::Tcp(Box::new(connection)));
        self.flows.insert(flow, Target::Connection(key));
        self.dirty.push(key);
        Ok((ConnectionId(key), flow.local))
    }

    /// Whether a connection that was begun is open now.
    ///
    /// # Errors
    ///
    /// [`NetError::WouldBlock`] while the peer has not answered; otherwise why it failed.
    pub fn established(&self, id: &ConnectionId) -> Result<(), NetError> {
        self.connection(id)?.established()
    }

    /// Copies received bytes; 0 is the end of the stream (or of an empty buffer).
    ///
    /// # Errors
    ///
    /// [`NetError::WouldBlock`] while nothing has been received; otherwise why the connection broke.
    pub fn receive(&mut self, id: &ConnectionId, into: &mut [u8]) -> Result<usize, NetError> {
        if into.is_empty() {
            return Ok(0);
        }
        let mut total = 0;
        // The buffer is a ring: what has been received lies in one or two pieces.
        while total < into.len() {
            let room = &mut into[total..];
            let copied = self.receive_with(id, |bytes| {
                let len = bytes.len().min(room.len());
                room[..len].copy_from_slice(&bytes[..len]);
                (len, len)
            });
            match copied {
                Ok(0) => break,
                Ok(len) => total += len,
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Lets `take` look at received bytes where they lie. It gets at least one byte, or none at the end of the
    /// stream, and says how many it has used up.
    ///
    /// # Errors
    ///
    /// As for [`receive`](Self::receive).
    pub fn receive_with<R>(
        &mut self,
        id: &ConnectionId,
        take: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Result<R, NetError> {
        let connection = self.connection_mut(id)?;
        let result = connection.receive_with(take);
        if result.is_ok() {
            // The window may have opened.
            self.dirty.push(id.0);
        }
        result
    }

    /// Queues as many bytes as there is room for, at least one.
    ///
    /// # Errors
    ///
    /// [`NetError::WouldBlock`] while there is no room; [`NetError::BrokenPipe`] after the sending half has been
    /// closed; otherwise why the connection broke.
    pub fn send(&mut self, id: &ConnectionId, from: &[u8]) -> Result<usize, NetError> {
        let mut total = 0;
        loop {
            let rest = &from[total..];
            let copied = self.send_with(id, |space| {
                let len = rest.len().min(space.len());
                space[..len].copy_from_slice(&rest[..len]);
                (len, len)
            });
            match copied {
                Ok(len) => total += len,
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            }
            if total == from.len() {
                return Ok(total);
            }
        }
    }

    /// Lets `fill` write into the transmit buffer itself. It gets room for at least one byte and says how many it
    /// has written.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn send_with<R>(
        &mut self,
        id: &ConnectionId,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, NetError> {
        self.let_go_of(id);
        let connection = self.connection_mut(id)?;
        let result = connection.send_with(fill);
        if result.is_ok() {
            self.dirty.push(id.0);
        }
        result
    }

    /// Closes the sending half: the peer finds the end of the stream after all that is queued.
    ///
    /// # Errors
    ///
    /// Why the connection broke, if it did.
    pub fn finish(&mut self, id: &ConnectionId) -> Result<(), NetError> {
        let connection = self.connection_mut(id)?;
        connection.finish();
        self.dirty.push(id.0);
        Ok(())
    }

    /// Closes the receiving half: reading finds the end of the stream, and what still arrives is thrown away.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn stop_reading(&mut self, id: &ConnectionId) -> Result<(), NetError> {
        self.connection_mut(id)?.stop_reading();
        self.dirty.push(id.0);
        Ok(())
    }

    /// Whether the peer has acknowledged all that was sent.
    ///
    /// # Errors
    ///
    /// [`NetError::WouldBlock`] while it has not; otherwise why the connection broke.
    pub fn drained(&mut self, id: &ConnectionId) -> Result<(), NetError> {
        self.let_go_of(id);
        let connection = self.connection_mut(id)?;
        connection.established()?;
        if connection.drained() { Ok(()) } else { Err(NetError::WouldBlock) }
    }

    /// Holds the last, short piece of what is written back until all else has been acknowledged (Nagle's
    /// algorithm), or not. It is off from the start.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_coalescing(&mut self, id: &ConnectionId, coalescing: Coalescing) -> Result<(), NetError> {
        let on = coalescing == Coalescing::On;
        self.connection_mut(id)?.socket.get_mut().set_nagle_enabled(on);
        self.dirty.push(id.0);
        Ok(())
    }

    /// Gives a connection up. What is queued is still sent, then FIN; the rest happens without anybody's help.
    pub fn close(&mut self, id: ConnectionId) {
        let key = id.0;
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
        connection.owner = Owner::Orphan;
        if connection.wire == Wire::Detached {
            return self.release(key);
        }
        connection.finish();
        connection.stop_reading();
        self.dirty.push(key);
    }

    /// Gives a connection up at once: the peer gets a reset.
    pub fn abort(&mut self, id: ConnectionId) {
        let key = id.0;
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
        connection.owner = Owner::Orphan;
        self.abandon(key);
    }

    /// Resets an orphan.
    pub(super) fn abandon(&mut self, key: u32) {
        let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) else { return };
        if connection.wire == Wire::Detached {
            return self.release(key);
        }
        connection.abort();
        self.dirty.push(key);
    }

    pub(super) fn connection(&self, id: &ConnectionId) -> Result<&Connection<S>, NetError> {
        match self.slots.get(id.0) {
            Some(Slot::Tcp(connection)) => Ok(connection),
            _ => Err(NetError::NotConnected),
        }
    }

    pub(super) fn connection_mut(&mut self, id: &ConnectionId) -> Result<&mut Connection<S>, NetError> {
        match self.slots.get_mut(id.0) {
            Some(Slot::Tcp(connection)) => Ok(connection),
            _ => Err(NetError::NotConnected),
        }
    }

    /// Whether there are as many TCP connections as allowed, of whatever kind.
    pub(super) fn has_all_connections(&self) -> bool {
        self.pool.in_use() >= self.config.limits.tcp_sockets
    }
}
