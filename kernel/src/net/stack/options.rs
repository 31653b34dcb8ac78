//! What an application can ask of its sockets beside bytes: readiness, errors, options, and a look without taking.

use core::net::SocketAddr;
use core::num::NonZeroU8;

use super::addresses::canonical;
use super::connections::ConnectionId;
use super::datagrams::UdpId;
use super::listeners::ListenerId;
use super::{Slot, Stack};
use crate::net::connection::KeepAlive;
use crate::net::error::NetError;
use crate::net::readiness::Readiness;
use crate::net::signal::Signal;
use crate::net::udp::{Broadcast, UdpEndpoint};

/// The time to live of packets for which nobody has chosen one.
pub(crate) const HOP_LIMIT: u8 = 64;

/// Readiness. A [`Signal`] says when to look again.
impl<S: Signal> Stack<S> {
    /// Whether a connection can be accepted.
    pub fn listener_readiness(&self, id: &ListenerId) -> Readiness {
        let is_ready = self.listeners.get(&id.0).is_some_and(|listener| listener.is_ready());
        Readiness::READABLE.when(is_ready || self.failed) | Readiness::ERROR.when(self.failed)
    }

    /// What could be done with a connection.
    pub fn connection_readiness(&self, id: &ConnectionId) -> Readiness {
        self.connection(id).map_or(Readiness::ERROR, |connection| connection.readiness())
    }

    /// What could be done with a UDP socket.
    pub fn udp_readiness(&mut self, id: &UdpId) -> Readiness {
        let failed = self.failed;
        let Ok(endpoint) = self.udp_mut(id) else { return Readiness::ERROR };
        let has_news = failed || endpoint.is_refused();
        Readiness::READABLE.when(has_news || endpoint.can_receive())
            | Readiness::WRITABLE.when(has_news || endpoint.has_room())
            | Readiness::ERROR.when(has_news)
    }
}

/// Options of connections.
impl<S: Signal> Stack<S> {
    /// Copies received bytes and leaves them; 0 is the end of the stream (or of an empty buffer).
    ///
    /// # Errors
    ///
    /// As for [`receive`](Self::receive).
    pub fn peek(&mut self, id: &ConnectionId, into: &mut [u8]) -> Result<usize, NetError> {
        if into.is_empty() {
            return Ok(0);
        }
        self.connection_mut(id)?.peek(into)
    }

    /// How many received bytes can be read at once.
    pub fn received(&self, id: &ConnectionId) -> usize {
        self.connection(id).map_or(0, |connection| connection.received())
    }

    /// Why the connection broke, for the first who asks; `None` afterwards, and while it has not.
    pub fn take_connection_error(&mut self, id: &ConnectionId) -> Option<NetError> {
        self.connection_mut(id).ok()?.take_error()
    }

    /// Whether the peer has acknowledged everything, the end of the stream included.
    ///
    /// # Errors
    ///
    /// [`NetError::WouldBlock`] while it has not, or the sending half is open.
    pub fn finished(&self, id: &ConnectionId) -> Result<(), NetError> {
        if self.connection(id)?.is_finished() { Ok(()) } else { Err(NetError::WouldBlock) }
    }

    /// Asks an idle peer from time to time whether it still lives, the first time at once; `None`: not.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidInput`] for an interval of zero.
    pub fn set_keep_alive(&mut self, id: &ConnectionId, keep_alive: Option<KeepAlive>) -> Result<(), NetError> {
        if keep_alive.is_some_and(|keep_alive| keep_alive.interval.is_zero()) {
            return Err(NetError::InvalidInput);
        }
        self.connection_mut(id)?.set_keep_alive(keep_alive);
        self.dirty.push(id.0);
        Ok(())
    }

    /// How an idle peer is asked, if it is.
    pub fn keep_alive(&self, id: &ConnectionId) -> Option<KeepAlive> {
        self.connection(id).ok()?.keep_alive()
    }

    /// Sets how many routers a connection's packets may pass: the time to live of IPv4, the hop limit of IPv6. `None`
    /// stands for 64.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_hop_limit(&mut self, id: &ConnectionId, limit: Option<NonZeroU8>) -> Result<(), NetError> {
        self.connection_mut(id)?.set_hop_limit(limit);
        Ok(())
    }

    /// How many routers a connection's packets may pass.
    pub fn hop_limit(&self, id: &ConnectionId) -> u8 {
        let chosen = self.connection(id).ok().and_then(|connection| connection.hop_limit());
        chosen.map_or(HOP_LIMIT, NonZeroU8::get)
    }

    /// The sizes of a connection's buffers in bytes: for what arrives, and for what is written.
    pub fn capacities(&self, id: &ConnectionId) -> (usize, usize) {
        self.connection(id).map_or((0, 0), |connection| connection.capacities())
    }

    /// The same of the next connection, while memory is plentiful.
    pub fn usual_capacities(&self) -> (usize, usize) {
        (self.config.large.receive, self.config.large.transmit)
    }
}

/// Options of UDP sockets.
impl<S: Signal> Stack<S> {
    /// Names the peer: only its datagrams are received from now on, and [`send`](Self::send_datagram) goes to it. `None`
    /// ends that.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to), of an address that datagrams cannot go to.
    pub fn connect_udp(&mut self, id: &UdpId, peer: Option<SocketAddr>) -> Result<(), NetError> {
        let peer = peer.map(canonical);
        if let Some(peer) = peer {
            if peer.ip().is_unspecified() || peer.port() == 0 || !self.udp_mut(id)?.serves(peer.ip()) {
                return Err(NetError::InvalidInput);
            }
            if !self.is_local(peer.ip()) && !self.link.is_deliverable(peer.ip()) {
                return Err(NetError::NetworkUnreachable);
            }
        }
        self.udp_mut(id)?.connect(peer);
        Ok(())
    }

    /// The peer that was named.
    pub fn udp_peer(&self, id: &UdpId) -> Option<SocketAddr> {
        match self.slots.get(id.0) {
            Some(Slot::Udp(endpoint)) => endpoint.peer(),
            _ => None,
        }
    }

    /// Queues a datagram for the peer that was named.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`] if none was; else as for [`send_to`](Self::send_to).
    pub fn send_datagram(&mut self, id: &UdpId, bytes: &[u8]) -> Result<(), NetError> {
        let peer = self.udp_peer(id).ok_or(NetError::NotConnected)?;
        self.send_to(id, bytes, peer)
    }

    /// Copies the oldest received datagram, or as much of it as fits, and leaves it.
    ///
    /// # Errors
    ///
    /// As for [`receive_from`](Self::receive_from).
    pub fn peek_from(&mut self, id: &UdpId, into: &mut [u8]) -> Result<(usize, SocketAddr), NetError> {
        let failed = self.failed;
        let endpoint = self.udp_mut(id)?;
        endpoint.take_refusal()?;
        endpoint.peek_from(into).map_err(|error| if failed { NetError::NetworkDown } else { error })
    }

    /// Why the socket is of no use, or that a datagram to its peer has found nobody, which is told once.
    pub fn take_udp_error(&mut self, id: &UdpId) -> Option<NetError> {
        if self.failed {
            return Some(NetError::NetworkDown);
        }
        self.udp_mut(id).ok()?.take_refusal().err()
    }

    /// How long the oldest received datagram is, if there is one.
    pub fn next_datagram_len(&mut self, id: &UdpId) -> Option<usize> {
        self.udp_mut(id).ok()?.next_len()
    }

    /// Lets the socket send to everybody on the network, or not. It may not from the start.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_broadcast(&mut self, id: &UdpId, broadcast: Broadcast) -> Result<(), NetError> {
        self.udp_mut(id)?.broadcast = broadcast;
        Ok(())
    }

    /// Whether the socket may send to everybody.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn broadcast(&mut self, id: &UdpId) -> Result<Broadcast, NetError> {
        Ok(self.udp_mut(id)?.broadcast)
    }

    /// Sets how many routers a socket's datagrams may pass; `None` stands for 64.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_udp_hop_limit(&mut self, id: &UdpId, limit: Option<NonZeroU8>) -> Result<(), NetError> {
        self.udp_mut(id)?.set_hop_limit(limit);
        Ok(())
    }

    /// How many routers a socket's datagrams may pass.
    pub fn udp_hop_limit(&mut self, id: &UdpId) -> u8 {
        let chosen = self.udp_mut(id).ok().and_then(|endpoint| endpoint.hop_limit());
        chosen.map_or(HOP_LIMIT, NonZeroU8::get)
    }

    fn udp_mut(&mut self, id: &UdpId) -> Result<&mut UdpEndpoint<S>, NetError> {
        match self.slots.get_mut(id.0) {
            Some(Slot::Udp(endpoint)) => Ok(endpoint),
            _ => Err(NetError::NotConnected),
        }
    }
}
