//! What an application can do with a [`Stack`]. No operation waits: where one would have to, it answers
//! [`NetError::WouldBlock`] and the socket's [`Signal`] says when to try again.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::IpEndpoint;

use super::{Slot, Stack, Target};
use crate::net::connection::{Connection, Owner, Path, Wire};
use crate::net::error::NetError;
use crate::net::flow::Flow;
use crate::net::listener::Listener;
use crate::net::signal::Signal;
use crate::net::udp::{Broadcast, UdpEndpoint};

/// A listener. It can neither be copied nor made: whoever has it owns the listener.
#[derive(Debug, PartialEq, Eq)]
pub struct ListenerId(pub(super) u16);

/// A TCP connection. It can neither be copied nor made: whoever has it owns the connection.
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectionId(pub(super) u32);

/// A UDP socket. It can neither be copied nor made: whoever has it owns the socket.
#[derive(Debug, PartialEq, Eq)]
pub struct UdpId(pub(super) u32);

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
        let ends = (IpEndpoint::from(flow.remote), IpEndpoint::from(flow.local));
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
    pub fn drained(&self, id: &ConnectionId) -> Result<(), NetError> {
        let connection = self.connection(id)?;
        connection.established()?;
        if connection.is_drained() { Ok(()) } else { Err(NetError::WouldBlock) }
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
    fn abandon(&mut self, key: u32) {
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

    fn check_local(&self, address: IpAddr) -> Result<(), NetError> {
        if address.is_unspecified() || self.is_local(address) {
            return Ok(());
        }
        Err(NetError::AddressNotAvailable)
    }
}

/// An address as the stack knows it: an IPv4 address that is written as one of IPv6 is one of IPv4, and there is one link,
/// so that nothing need say which.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether short pieces are held back to go with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalescing {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// UDP sockets.
impl<S: Signal> Stack<S> {
    /// Binds a UDP socket; port 0 stands for one that is free.
    ///
    /// # Errors
    ///
    /// As for [`listen`](Self::listen); [`NetError::Exhausted`] also when there is no memory;
    /// [`NetError::LimitReached`] when there are as many UDP sockets as allowed.
    pub fn bind_udp(&mut self, local: SocketAddr, signal: S) -> Result<(UdpId, SocketAddr), NetError> {
        let local = canonical(local);
        self.check_local(local.ip())?;
        let port = match local.port() {
            0 => {
                let taken = &self.udp_ports;
                self.ephemeral.pick(|port| !taken.contains_key(&port)).ok_or(NetError::Exhausted)?
            }
            port if self.udp_ports.contains_key(&port) => return Err(NetError::AddressInUse),
            port => port,
        };
        let local = SocketAddr::new(local.ip(), port);
        if self.udp_ports.len() >= self.config.limits.udp_sockets {
            return Err(NetError::LimitReached);
        }
        self.pool.reserve(UdpEndpoint::<S>::MEMORY).map_err(|_| NetError::Exhausted)?;
        let endpoint =
            UdpEndpoint::new(local, signal).inspect_err(|_| self.pool.unreserve(UdpEndpoint::<S>::MEMORY))?;
        let key = self.slots.insert(Slot::Udp(Box::new(endpoint)));
        self.udp_ports.insert(port, key);
        Ok((UdpId(key), local))
    }

    /// Queues a datagram.
    ///
    /// # Errors
    ///
    /// - [`NetError::WouldBlock`]: no room now;
    /// - [`NetError::MessageTooLong`]: longer than a frame can carry;
    /// - [`NetError::PermissionDenied`]: to everybody, which this socket [may not](Self::set_broadcast);
    /// - [`NetError::NetworkUnreachable`], [`NetError::NetworkDown`]: it could go nowhere;
    /// - [`NetError::ConnectionRefused`]: an earlier one to the socket's peer has found nobody, as its host says;
    /// - [`NetError::InvalidInput`]: the address or port is unspecified, or the socket is bound to the other family.
    pub fn send_to(&mut self, id: &UdpId, bytes: &[u8], remote: SocketAddr) -> Result<(), NetError> {
        if self.failed {
            return Err(NetError::NetworkDown);
        }
        let remote = canonical(remote);
        if remote.ip().is_unspecified() || remote.port() == 0 {
            return Err(NetError::InvalidInput);
        }
        if self.is_local(remote.ip()) {
            return self.send_to_ourselves(id.0, bytes, remote);
        }
        if bytes.len() > self.link.max_datagram(remote.ip()) {
            return Err(NetError::MessageTooLong);
        }
        if !self.link.is_deliverable(remote.ip()) {
            return Err(NetError::NetworkUnreachable);
        }
        let Some(Slot::Udp(endpoint)) = self.slots.get_mut(id.0) else { return Err(NetError::NotConnected) };
        if endpoint.local.ip().is_loopback() {
            // It would leave by the wire.
            return Err(NetError::NetworkUnreachable);
        }
        if !endpoint.serves(remote.ip()) {
            return Err(NetError::InvalidInput);
        }
        if endpoint.broadcast == Broadcast::Refused && self.link.is_broadcast(remote.ip()) {
            return Err(NetError::PermissionDenied);
        }
        if endpoint.peer() == Some(remote) {
            endpoint.take_refusal()?;
        }
        endpoint.send_to(bytes, remote)?;
        self.dirty.push(id.0);
        Ok(())
    }

    /// Takes the oldest received datagram, or as much of it as fits, and says whose it is. The rest is lost.
    ///
    /// # Errors
    ///
    /// [`NetError::WouldBlock`] while there is none; [`NetError::ConnectionRefused`] once after a datagram to the socket's
    /// peer has found nobody; [`NetError::NetworkDown`] after the device has failed.
    pub fn receive_from(&mut self, id: &UdpId, into: &mut [u8]) -> Result<(usize, SocketAddr), NetError> {
        let failed = self.failed;
        let Some(Slot::Udp(endpoint)) = self.slots.get_mut(id.0) else { return Err(NetError::NotConnected) };
        endpoint.take_refusal()?;
        endpoint.receive_from(into).map_err(|error| if failed { NetError::NetworkDown } else { error })
    }

    /// Lets a socket receive what is sent to a multicast group, and the routers and switches on the link know of it.
    /// Sockets that are bound to the same family and to the port receive it as soon as any has joined.
    ///
    /// # Errors
    ///
    /// - [`NetError::InvalidInput`]: it is no group, or one of the family that the socket is not bound to;
    /// - [`NetError::AddressInUse`]: the socket is in the group;
    /// - [`NetError::Exhausted`]: sockets are in too many groups.
    pub fn join_multicast(&mut self, id: &UdpId, group: IpAddr) -> Result<(), NetError> {
        let Some(Slot::Udp(endpoint)) = self.slots.get_mut(id.0) else { return Err(NetError::NotConnected) };
        if !group.is_multicast() || !endpoint.serves(group) {
            return Err(NetError::InvalidInput);
        }
        if endpoint.groups.contains(&group) {
            return Err(NetError::AddressInUse);
        }
        self.membership.join(group).map_err(|_| NetError::Exhausted)?;
        endpoint.groups.push(group);
        self.update_groups();
        Ok(())
    }

    /// Ends a socket's membership in a group.
    ///
    /// # Errors
    ///
    /// [`NetError::AddressNotAvailable`]: the socket is not in the group.
    pub fn leave_multicast(&mut self, id: &UdpId, group: IpAddr) -> Result<(), NetError> {
        let Some(Slot::Udp(endpoint)) = self.slots.get_mut(id.0) else { return Err(NetError::NotConnected) };
        let place = endpoint.groups.iter().position(|other| *other == group);
        endpoint.groups.swap_remove(place.ok_or(NetError::AddressNotAvailable)?);
        self.membership.leave(group);
        self.update_groups();
        Ok(())
    }

    /// Gives a UDP socket up. What is queued and not sent is lost.
    pub fn close_udp(&mut self, id: UdpId) {
        if let Some(Slot::Udp(endpoint)) = self.slots.remove(id.0) {
            self.timers.cancel(id.0);
            self.udp_ports.remove(&endpoint.local.port());
            self.pool.unreserve(UdpEndpoint::<S>::MEMORY);
            if !endpoint.groups.is_empty() {
                endpoint.groups.iter().for_each(|&group| self.membership.leave(group));
                self.update_groups();
            }
        }
    }
}
