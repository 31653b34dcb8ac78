//! In place of `endpoint` in an image without the feature `ping`: nobody may send requests.

use core::net::IpAddr;

use smoltcp::iface::SocketSet;

use super::EchoReply;
use crate::net::error::NetError;
use crate::net::signal::Signal;

/// There is none.
pub(in crate::net) struct EchoEndpoint<S> {
    pub(in crate::net) set: SocketSet<'static>,
    pub(in crate::net) identifier: u16,
    pub(in crate::net) peer: IpAddr,
    pub(in crate::net) signal: S,
}

impl<S: Signal> EchoEndpoint<S> {
    pub(in crate::net) const MEMORY: usize = 0;

    pub(in crate::net) fn new(_identifier: u16, _peer: IpAddr, _signal: S) -> Result<Self, NetError> {
        Err(NetError::PermissionDenied)
    }

    pub(in crate::net) fn can_send(&mut self) -> bool {
        false
    }

    pub(in crate::net) fn send(&mut self, _request: &[u8]) -> Result<(), NetError> {
        Err(NetError::PermissionDenied)
    }

    pub(in crate::net) fn receive(&mut self, _into: &mut [u8]) -> Result<EchoReply, NetError> {
        Err(NetError::PermissionDenied)
    }
}
