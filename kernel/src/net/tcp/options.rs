//! What can be chosen about a [`TcpStream`], and asked of it.

use core::net::SocketAddr;
use core::num::NonZeroU8;

use super::{Linger, TcpStream};
use crate::io::{Error, ErrorKind, Result};
use crate::net::connection::KeepAlive;
use crate::net::stack::Coalescing;
use crate::time::Duration;

impl TcpStream {
    /// The peer's end.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(self.remote)
    }

    /// Our end.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.local)
    }

    /// Sets how long reading waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.patience.set_read_timeout(timeout)
    }

    /// Sets how long writing waits; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.patience.set_write_timeout(timeout)
    }

    /// How long reading waits.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn read_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.patience.read_timeout())
    }

    /// How long writing waits.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn write_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.patience.write_timeout())
    }

    /// Whether short pieces are sent at once. They are from the start, unlike on other systems.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        let coalescing = if nodelay { Coalescing::Off } else { Coalescing::On };
        if self.coalescing.replace(coalescing) != coalescing {
            self.interface.stack().set_coalescing(self.id(), coalescing)?;
        }
        Ok(())
    }

    /// Whether short pieces are sent at once.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn nodelay(&self) -> Result<bool> {
        Ok(self.coalescing.get() == Coalescing::Off)
    }

    /// Whether calls answer [`WouldBlock`](crate::io::ErrorKind::WouldBlock) instead of waiting.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.patience.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Says what becomes of the connection when it is dropped.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_linger(&self, linger: Linger) -> Result<()> {
        self.linger.set(linger);
        Ok(())
    }

    /// What becomes of the connection when it is dropped.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn linger(&self) -> Result<Linger> {
        Ok(self.linger.get())
    }

    /// Asks an idle peer from time to time whether it still lives, the first time at once; `None`, as at first: not.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::io::ErrorKind::InvalidInput) for an interval of zero.
    pub fn set_keepalive(&self, keep_alive: Option<KeepAlive>) -> Result<()> {
        Ok(self.interface.stack().set_keep_alive(self.id(), keep_alive)?)
    }

    /// How an idle peer is asked whether it still lives, if it is.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn keepalive(&self) -> Result<Option<KeepAlive>> {
        Ok(self.interface.stack().keep_alive(self.id()))
    }

    /// Sets how many routers packets may pass: the time to live of IPv4, the hop limit of IPv6; 64 at first.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::io::ErrorKind::InvalidInput) for anything but 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> Result<()> {
        Ok(self.interface.stack().set_hop_limit(self.id(), Some(hop_limit(ttl)?))?)
    }

    /// How many routers packets may pass.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn ttl(&self) -> Result<u32> {
        Ok(self.interface.stack().hop_limit(self.id()).into())
    }

    /// Why the connection broke, for the first who asks; `None` afterwards, and while it has not. Reading and writing go on
    /// saying it.
    ///
    /// # Errors
    ///
    /// None; the signature is that of `std`.
    pub fn take_error(&self) -> Result<Option<Error>> {
        Ok(self.interface.stack().take_connection_error(self.id()).map(Into::into))
    }
}

/// A time to live that packets can have.
pub(in crate::net) fn hop_limit(ttl: u32) -> Result<NonZeroU8> {
    let limit = u8::try_from(ttl).ok().and_then(NonZeroU8::new);
    limit.ok_or(Error::new(ErrorKind::InvalidInput, "the time to live is from 1 to 255"))
}
