//! UDP sockets: datagrams, and the multicast groups that they are received from.
//!
//! Like all that an application asks a [`Stack`] for, nothing here waits: where it would have to, the answer is
//! [`NetError::WouldBlock`], and the socket's [`Signal`] says when to try again.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use super::addresses::canonical;
use super::{Slot, Stack};
use crate::net::error::NetError;
use crate::net::signal::Signal;
use crate::net::udp::{Broadcast, UdpEndpoint};

/// A UDP socket. It can neither be copied nor made: whoever has it owns the socket.
#[derive(Debug, PartialEq, Eq)]
pub struct UdpId(pub(super) u32);

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
