//! Listeners: ports that peers open connections to, and ports that are only taken.
//!
//! Like all that an application asks a [`Stack`] for, nothing here waits: where it would have to, the answer is
//! [`NetError::WouldBlock`], and the socket's [`Signal`] says when to try again.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::addresses::canonical;
use super::connections::ConnectionId;
use super::{Slot, Stack};
use crate::net::connection::Owner;
use crate::net::error::NetError;
use crate::net::flow::Flow;
use crate::net::listener::Listener;
use crate::net::signal::Signal;

/// A listener. It can neither be copied nor made: whoever has it owns the listener.
#[derive(Debug, PartialEq, Eq)]
pub struct ListenerId(pub(super) u16);

/// A connection that a peer has opened.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection.
    pub id: ConnectionId,
    /// Its end here.
    pub local: SocketAddr,
    /// Its end there.
    pub remote: SocketAddr,
    /// What the stack calls when the connection becomes ready.
    pub signal: S,
}

/// Listeners.
impl<S: Signal> Stack<S> {
    /// Lets peers open connections to a port; port 0 stands for one that is free. At most `backlog` connections
    /// wait to be accepted. `0.0.0.0` stands for all addresses of IPv4, `[::]` for all of both families; a peer's
    /// address is always given in its own family.
    ///
    /// # Errors
    ///
    /// - [`NetError::AddressInUse`]: another listener has the port;
    /// - [`NetError::AddressNotAvailable`]: the address is specified, and not the interface's;
    /// - [`NetError::Exhausted`]: no port is free.
    pub fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        signal: S,
    ) -> Result<(ListenerId, SocketAddr), NetError> {
        let (id, local) = self.reserve(local, signal)?;
        self.start_listening(&id, backlog)?;
        Ok((id, local))
    }

    /// Takes a port without listening to it: to peers it is closed. Port 0 stands for one that is free.
    ///
    /// # Errors
    ///
    /// As for [`listen`](Self::listen).
    pub fn reserve(&mut self, local: SocketAddr, signal: S) -> Result<(ListenerId, SocketAddr), NetError> {
        let local = canonical(local);
        self.check_local(local.ip())?;
        let port = match local.port() {
            0 => {
                let listeners = &self.listeners;
                self.ephemeral.pick(|port| !listeners.contains_key(&port)).ok_or(NetError::Exhausted)?
            }
            port if self.listeners.contains_key(&port) => return Err(NetError::AddressInUse),
            port => port,
        };
        self.listeners.insert(port, Listener::new(local.ip(), signal));
        Ok((ListenerId(port), SocketAddr::new(local.ip(), port)))
    }

    /// Begins to listen to a port that was taken, or changes the backlog: at least one, at most what the
    /// [limits](crate::net::Limits) allow.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn start_listening(&mut self, id: &ListenerId, backlog: usize) -> Result<(), NetError> {
        let listener = self.listeners.get_mut(&id.0).ok_or(NetError::InvalidInput)?;
        listener.listen(backlog, &self.config.limits);
        Ok(())
    }

    /// Takes the connection that has waited longest.
    ///
    /// # Errors
    ///
    /// [`NetError::WouldBlock`] while there is none, [`NetError::NetworkDown`] after the device has failed.
    pub fn accept(&mut self, listener: &ListenerId) -> Result<Accepted<S>, NetError> {
        let queue = self.listeners.get_mut(&listener.0).ok_or(NetError::InvalidInput)?;
        while let Some(key) = queue.next() {
            if let Some(Slot::Tcp(connection)) = self.slots.get_mut(key) {
                connection.owner = Owner::Application;
                let Flow { local, remote } = connection.flow;
                return Ok(Accepted { id: ConnectionId(key), local, remote, signal: connection.signal.clone() });
            }
        }
        Err(if self.failed { NetError::NetworkDown } else { NetError::WouldBlock })
    }

    /// Ends a listener. Connections that nobody has accepted are reset.
    pub fn close_listener(&mut self, listener: ListenerId) {
        let port = listener.0;
        self.listeners.remove(&port);
        let keys: Vec<u32> = self.slots.keys().collect();
        for key in keys {
            if let Some(Slot::Tcp(connection)) = self.slots.get_mut(key)
                && [Owner::HalfOpen(port), Owner::Queued(port)].contains(&connection.owner)
            {
                connection.owner = Owner::Orphan;
                self.abandon(key);
            }
        }
    }
}
