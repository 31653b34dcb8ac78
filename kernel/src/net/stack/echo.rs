//! ICMP echo: asking hosts whether they are there.

use alloc::boxed::Box;
use core::net::IpAddr;

use toro_core::Instant;
use toro_core::driver::net::Frame;

use super::{Slot, Stack};
use crate::net::echo::{EchoEndpoint, EchoReply, request};
use crate::net::error::NetError;
use crate::net::readiness::Readiness;
use crate::net::signal::Signal;

/// Somebody who sends echo requests. It can neither be copied nor made.
#[derive(Debug, PartialEq, Eq)]
pub struct EchoId(u32);

/// ICMP echo.
impl<S: Signal> Stack<S> {
    /// Prepares to send echo requests to a host.
    ///
    /// # Errors
    ///
    /// - [`NetError::NetworkUnreachable`]: there is no way to the address, or the interface has none of its own;
    /// - [`NetError::NetworkDown`]: the device has failed;
    /// - [`NetError::Exhausted`], [`NetError::LimitReached`]: there is no memory for it, or there are as many as there may be
    ///   UDP sockets.
    pub fn open_echo(&mut self, peer: IpAddr, signal: S) -> Result<EchoId, NetError> {
        if self.failed {
            return Err(NetError::NetworkDown);
        }
        if !self.is_local(peer) && self.link.source_for(peer).is_none() {
            return Err(NetError::NetworkUnreachable);
        }
        if self.echoes.len() >= self.config.limits.udp_sockets {
            return Err(NetError::LimitReached);
        }
        let taken = &self.echoes;
        let identifier = self.ephemeral.pick(|identifier| !taken.contains_key(&identifier));
        let identifier = identifier.ok_or(NetError::Exhausted)?;
        self.pool.reserve(EchoEndpoint::<S>::MEMORY).map_err(|_| NetError::Exhausted)?;
        let endpoint = EchoEndpoint::new(identifier, peer, signal)
            .inspect_err(|_| self.pool.unreserve(EchoEndpoint::<S>::MEMORY))?;
        let key = self.slots.insert(Slot::Echo(Box::new(endpoint)));
        self.echoes.insert(identifier, key);
        Ok(EchoId(key))
    }

    /// Queues a request.
    ///
    /// # Errors
    ///
    /// - [`NetError::WouldBlock`]: no room now;
    /// - [`NetError::MessageTooLong`]: longer than a frame can carry;
    /// - [`NetError::NetworkUnreachable`], [`NetError::NetworkDown`]: it could go nowhere.
    pub fn send_echo(&mut self, id: &EchoId, sequence: u16, data: &[u8]) -> Result<(), NetError> {
        if self.failed {
            return Err(NetError::NetworkDown);
        }
        let Some(Slot::Echo(endpoint)) = self.slots.get_mut(id.0) else { return Err(NetError::NotConnected) };
        let (peer, identifier) = (endpoint.peer, endpoint.identifier);
        // The header is as long as UDP's.
        if data.len() > self.link.max_datagram(peer) {
            return Err(NetError::MessageTooLong);
        }
        let message = request(peer, identifier, sequence, data);
        if let Some(source) = self.local_source_for(peer) {
            // Where there is no room it is lost, as on any network.
            let _ = self.loopback.say(source, peer, &message);
            return Ok(());
        }
        if self.link.source_for(peer).is_none() {
            return Err(NetError::NetworkUnreachable);
        }
        let Some(Slot::Echo(endpoint)) = self.slots.get_mut(id.0) else { return Err(NetError::NotConnected) };
        endpoint.send(&message)?;
        self.dirty.push(id.0);
        Ok(())
    }

    /// Takes the oldest reply, or as much of its data as fits.
    ///
    /// # Errors
    ///
    /// [`NetError::WouldBlock`] while there is none; [`NetError::NetworkDown`] after the device has failed.
    pub fn receive_echo(&mut self, id: &EchoId, into: &mut [u8]) -> Result<EchoReply, NetError> {
        let failed = self.failed;
        let Some(Slot::Echo(endpoint)) = self.slots.get_mut(id.0) else { return Err(NetError::NotConnected) };
        endpoint.receive(into).map_err(|error| if failed { NetError::NetworkDown } else { error })
    }

    /// Whether another request can be queued.
    pub fn echo_readiness(&mut self, id: &EchoId) -> Readiness {
        match self.slots.get_mut(id.0) {
            Some(Slot::Echo(endpoint)) => Readiness::WRITABLE.when(endpoint.can_send()),
            _ => Readiness::ERROR,
        }
    }

    /// Gives it up. What is queued and not sent is lost.
    pub fn close_echo(&mut self, id: EchoId) {
        if let Some(Slot::Echo(endpoint)) = self.slots.remove(id.0) {
            self.timers.cancel(id.0);
            self.echoes.remove(&endpoint.identifier);
            self.pool.unreserve(EchoEndpoint::<S>::MEMORY);
        }
    }

    /// Hands a reply to who has asked; smoltcp ignores it if nobody has.
    pub(super) fn echo_ingress(&mut self, now: Instant, frame: Frame, identifier: u16) {
        let key = self.echoes.get(&identifier).copied();
        if let Some(Slot::Echo(endpoint)) = key.and_then(|key| self.slots.get_mut(key)) {
            self.link.ingress(now, frame, &mut endpoint.set);
            endpoint.signal.readable();
        }
    }
}
