//! Calls that move bytes.

use core::net::SocketAddr;

use super::constants::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, MSG_WAITALL};
use super::errno::Errno;
use super::table::{Kind, Phase, State, Table};
use crate::net::Signal;
use crate::net::stack::Stack;

/// Whether received bytes stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Take {
    Away,
    /// `MSG_PEEK`.
    Look,
}

impl<S: Signal> Table<S> {
    /// Queues as many bytes as there is room for, or a datagram.
    pub(super) fn send(
        &mut self,
        stack: &mut Stack<S>,
        fd: i32,
        bytes: &[u8],
        flags: i32,
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        if flags & !(MSG_DONTWAIT | MSG_NOSIGNAL) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let entry = self.entry_mut(fd)?;
        if entry.kind == Kind::Datagram {
            if let Some(to) = to {
                entry.expect_family(to)?;
            }
            if matches!(entry.state, State::Unbound) {
                entry.take_address(stack, entry.family.unspecified())?;
            }
            let State::Datagrams { id, .. } = &entry.state else { return Err(Errno::EINVAL) };
            let to = to.or_else(|| stack.udp_peer(id)).ok_or(Errno::EDESTADDRREQ)?;
            stack.send_to(id, bytes, to)?;
            return Ok(bytes.len());
        }
        if to.is_some() {
            return Err(Errno::EISCONN);
        }
        let State::Connection { id, .. } = &entry.state else { return Err(Errno::ENOTCONN) };
        if bytes.is_empty() {
            return Ok(0);
        }
        Ok(stack.send(id, bytes)?)
    }

    /// Copies received bytes, as many as there are and fit, or a datagram; and says whose it is.
    pub(super) fn receive(
        &mut self,
        stack: &mut Stack<S>,
        fd: i32,
        into: &mut [u8],
        flags: i32,
    ) -> Result<(usize, Option<SocketAddr>), Errno> {
        if flags & !(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_PEEK | MSG_WAITALL | MSG_TRUNC) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let take = if flags & MSG_PEEK != 0 { Take::Look } else { Take::Away };
        let entry = self.entry_mut(fd)?;
        if entry.kind == Kind::Datagram && matches!(entry.state, State::Unbound) {
            entry.take_address(stack, entry.family.unspecified())?;
        }
        match &mut entry.state {
            State::Connection { id, phase, .. } => {
                let result = match take {
                    Take::Away => stack.receive(id, into),
                    Take::Look => stack.peek(id, into),
                };
                if result.is_ok() {
                    *phase = Phase::Open;
                }
                Ok((result?, None))
            }
            State::Datagrams { id, .. } => {
                let whole = stack.next_datagram_len(id);
                let (len, from) = match take {
                    Take::Away => stack.receive_from(id, into),
                    Take::Look => stack.peek_from(id, into),
                }?;
                let len = if flags & MSG_TRUNC != 0 { whole.unwrap_or(len) } else { len };
                Ok((len, Some(from)))
            }
            State::Unbound | State::Bound { .. } | State::Listening { .. } => Err(Errno::ENOTCONN),
        }
    }
}
