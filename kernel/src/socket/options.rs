//! Options: `getsockopt` and `setsockopt`.
//!
//! An option may be set before there is a socket of the [`Stack`] to have it. So the entry remembers all of them
//! ([`Options`]), and gives them to the socket when it is made.

use core::num::NonZeroU8;
use core::time::Duration;

use super::constants::{
    AF_INET, AF_INET6, IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, IPV6_UNICAST_HOPS, IPV6_V6ONLY,
    SO_ACCEPTCONN, SO_BROADCAST, SO_DOMAIN, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_PROTOCOL, SO_RCVBUF, SO_RCVTIMEO,
    SO_REUSEADDR, SO_SNDBUF, SO_SNDTIMEO, SO_TYPE, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE,
    TCP_KEEPINTVL, TCP_NODELAY,
};
use super::errno::Errno;
use super::table::{Entry, Family, Kind, State, Table};
use crate::net::Signal;
use crate::net::stack::{Coalescing, ConnectionId, Stack, UdpId};
use crate::net::{Broadcast, KeepAlive};

/// Two hours, as everywhere.
const KEEP_ALIVE: Duration = Duration::from_secs(7200);

/// `struct linger`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linger {
    /// Whether closing waits: not if it is 0.
    pub l_onoff: i32,
    /// How many seconds at most; 0 resets the connection.
    pub l_linger: i32,
}

/// `struct timeval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeval {
    /// Seconds.
    pub tv_sec: i64,
    /// Microseconds, less than a million.
    pub tv_usec: i64,
}

impl From<Duration> for Timeval {
    fn from(time: Duration) -> Self {
        let tv_sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        // Rounded up: zero would stand for ever.
        let tv_usec = i64::from(time.subsec_nanos().div_ceil(1000));
        if tv_usec < 1_000_000 {
            Self { tv_sec, tv_usec }
        } else {
            Self { tv_sec: tv_sec.saturating_add(1), tv_usec: 0 }
        }
    }
}

impl Timeval {
    /// As a duration; `None` if it is none.
    pub(super) fn duration(self) -> Option<Duration> {
        let (seconds, micros) = (u64::try_from(self.tv_sec).ok()?, u32::try_from(self.tv_usec).ok()?);
        (micros < 1_000_000).then(|| Duration::new(seconds, micros * 1000))
    }
}

/// The value of an option: what C passes as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// Most options; 0 and 1 where it is a matter of yes or no.
    Integer(i32),
    /// `SO_LINGER`.
    Linger(Linger),
    /// `SO_RCVTIMEO` and `SO_SNDTIMEO`; zero is for ever.
    Time(Timeval),
}

impl From<i32> for OptionValue {
    fn from(value: i32) -> Self {
        Self::Integer(value)
    }
}

impl From<Linger> for OptionValue {
    fn from(value: Linger) -> Self {
        Self::Linger(value)
    }
}

impl From<Timeval> for OptionValue {
    fn from(value: Timeval) -> Self {
        Self::Time(value)
    }
}

impl From<Duration> for OptionValue {
    fn from(value: Duration) -> Self {
        Self::Time(value.into())
    }
}

impl OptionValue {
    /// The number, if it is one.
    pub const fn integer(self) -> Option<i32> {
        match self {
            Self::Integer(value) => Some(value),
            _ => None,
        }
    }

    fn flag(self) -> Result<Switch, Errno> {
        self.integer().map(|value| if value == 0 { Switch::Off } else { Switch::On }).ok_or(Errno::EINVAL)
    }

    fn positive(self) -> Result<u32, Errno> {
        let number = self.integer().and_then(|value| u32::try_from(value).ok());
        number.filter(|&number| number > 0).ok_or(Errno::EINVAL)
    }

    fn timeout(self) -> Result<Option<Duration>, Errno> {
        let Self::Time(time) = self else { return Err(Errno::EINVAL) };
        let time = time.duration().ok_or(Errno::EINVAL)?;
        Ok(Some(time).filter(|time| !time.is_zero()))
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    Off,
}

impl From<Switch> for OptionValue {
    fn from(switch: Switch) -> Self {
        Self::Integer(i32::from(switch == Switch::On))
    }
}

/// What has been chosen for a socket.
#[derive(Clone, Debug)]
pub(super) struct Options {
    reuse_address: Switch,
    keep_alive: Switch,
    keep_alive_interval: Duration,
    keep_alive_probes: NonZeroU8,
    /// `TCP_NODELAY`.
    no_delay: Switch,
    broadcast: Switch,
    /// `None`: closing does not wait.
    pub(super) linger: Option<Duration>,
    pub(super) receive_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    hop_limit: Option<NonZeroU8>,
}

impl Default for Options {
    fn default() -> Self {
        let KeepAlive { interval, probes } = KeepAlive::every(KEEP_ALIVE);
        Self {
            reuse_address: Switch::Off,
            keep_alive: Switch::Off,
            keep_alive_interval: interval,
            keep_alive_probes: probes,
            no_delay: Switch::On,
            broadcast: Switch::Off,
            linger: None,
            receive_timeout: None,
            send_timeout: None,
            hop_limit: None,
        }
    }
}

impl Options {
    /// Gives a connection what has been chosen for it.
    pub(super) fn apply_to_connection<S: Signal>(&self, stack: &mut Stack<S>, id: &ConnectionId) {
        let (interval, probes) = (self.keep_alive_interval, self.keep_alive_probes);
        let keep_alive = (self.keep_alive == Switch::On).then_some(KeepAlive { interval, probes });
        let coalescing = if self.no_delay == Switch::On { Coalescing::Off } else { Coalescing::On };
        // None of these fails for a connection that exists, and an interval is not zero.
        if stack.keep_alive(id) != keep_alive {
            let _ = stack.set_keep_alive(id, keep_alive);
        }
        let _ = stack.set_coalescing(id, coalescing);
        let _ = stack.set_hop_limit(id, self.hop_limit);
    }

    /// Gives a UDP socket what has been chosen for it.
    pub(super) fn apply_to_datagrams<S: Signal>(&self, stack: &mut Stack<S>, id: &UdpId) {
        let broadcast = if self.broadcast == Switch::On { Broadcast::Allowed } else { Broadcast::Refused };
        let _ = stack.set_broadcast(id, broadcast);
        let _ = stack.set_udp_hop_limit(id, self.hop_limit);
    }

    /// Changes an option that can be changed.
    fn set(&mut self, name: Name, value: OptionValue) -> Result<(), Errno> {
        match name {
            Name::ReuseAddress => self.reuse_address = value.flag()?,
            Name::KeepAlive => self.keep_alive = value.flag()?,
            Name::Broadcast => self.broadcast = value.flag()?,
            Name::NoDelay => self.no_delay = value.flag()?,
            Name::Linger => {
                let OptionValue::Linger(Linger { l_onoff, l_linger }) = value else { return Err(Errno::EINVAL) };
                let seconds = u64::try_from(l_linger).map_err(|_| Errno::EINVAL)?;
                self.linger = (l_onoff != 0).then(|| Duration::from_secs(seconds));
            }
            Name::ReceiveTimeout => self.receive_timeout = value.timeout()?,
            Name::SendTimeout => self.send_timeout = value.timeout()?,
            Name::KeepAliveInterval => self.keep_alive_interval = Duration::from_secs(value.positive()?.into()),
            Name::KeepAliveProbes => {
                let probes = u8::try_from(value.positive()?).map_err(|_| Errno::EINVAL)?;
                self.keep_alive_probes = NonZeroU8::new(probes).ok_or(Errno::EINVAL)?;
            }
            // -1 stands for the usual one, as elsewhere.
            Name::HopLimit if value == OptionValue::Integer(-1) => self.hop_limit = None,
            Name::HopLimit => {
                let limit = u8::try_from(value.positive()?).map_err(|_| Errno::EINVAL)?;
                self.hop_limit = NonZeroU8::new(limit);
            }
            Name::Ipv6Only => return if value.flag()? == Switch::On { Ok(()) } else { Err(Errno::EINVAL) },
            Name::Kind | Name::Error | Name::Domain | Name::Protocol | Name::Accepts => return Err(Errno::ENOPROTOOPT),
            Name::ReceiveBuffer | Name::SendBuffer => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }
}

/// The options that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    ReuseAddress,
    Kind,
    Error,
    Broadcast,
    SendBuffer,
    ReceiveBuffer,
    KeepAlive,
    Linger,
    ReceiveTimeout,
    SendTimeout,
    Accepts,
    Protocol,
    Domain,
    NoDelay,
    KeepAliveInterval,
    KeepAliveProbes,
    HopLimit,
    Ipv6Only,
}

impl Name {
    fn find(family: Family, kind: Kind, level: i32, option: i32) -> Result<Self, Errno> {
        Ok(match (level, option) {
            (SOL_SOCKET, SO_REUSEADDR) => Self::ReuseAddress,
            (SOL_SOCKET, SO_TYPE) => Self::Kind,
            (SOL_SOCKET, SO_ERROR) => Self::Error,
            (SOL_SOCKET, SO_BROADCAST) => Self::Broadcast,
            (SOL_SOCKET, SO_SNDBUF) => Self::SendBuffer,
            (SOL_SOCKET, SO_RCVBUF) => Self::ReceiveBuffer,
            (SOL_SOCKET, SO_KEEPALIVE) => Self::KeepAlive,
            (SOL_SOCKET, SO_LINGER) => Self::Linger,
            (SOL_SOCKET, SO_RCVTIMEO) => Self::ReceiveTimeout,
            (SOL_SOCKET, SO_SNDTIMEO) => Self::SendTimeout,
            (SOL_SOCKET, SO_ACCEPTCONN) => Self::Accepts,
            (SOL_SOCKET, SO_PROTOCOL) => Self::Protocol,
            (SOL_SOCKET, SO_DOMAIN) => Self::Domain,
            (IPPROTO_TCP, TCP_NODELAY) if kind == Kind::Stream => Self::NoDelay,
            (IPPROTO_TCP, TCP_KEEPIDLE | TCP_KEEPINTVL) if kind == Kind::Stream => Self::KeepAliveInterval,
            (IPPROTO_TCP, TCP_KEEPCNT) if kind == Kind::Stream => Self::KeepAliveProbes,
            (IPPROTO_IP, IP_TTL) if family == Family::V4 => Self::HopLimit,
            (IPPROTO_IPV6, IPV6_UNICAST_HOPS) if family == Family::V6 => Self::HopLimit,
            (IPPROTO_IPV6, IPV6_V6ONLY) if family == Family::V6 => Self::Ipv6Only,
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }
}

impl<S: Signal> Table<S> {
    /// Changes an option. There need be no network yet: then the socket has it when it is made.
    pub(super) fn set_option(
        &mut self,
        stack: Option<&mut Stack<S>>,
        fd: i32,
        level: i32,
        option: i32,
        value: OptionValue,
    ) -> Result<(), Errno> {
        let entry = self.entry_mut(fd)?;
        entry.options.set(Name::find(entry.family, entry.kind, level, option)?, value)?;
        if let Some(stack) = stack {
            entry.apply(stack);
        }
        Ok(())
    }

    /// What an option is at the moment.
    pub(super) fn option(
        &mut self,
        stack: Option<&mut Stack<S>>,
        fd: i32,
        level: i32,
        option: i32,
    ) -> Result<OptionValue, Errno> {
        let entry = self.entry(fd)?;
        let options = &entry.options;
        Ok(match Name::find(entry.family, entry.kind, level, option)? {
            Name::ReuseAddress => options.reuse_address.into(),
            Name::KeepAlive => options.keep_alive.into(),
            Name::Broadcast => options.broadcast.into(),
            Name::NoDelay => options.no_delay.into(),
            Name::Linger => {
                let seconds = options.linger.map_or(0, |time| i32::try_from(time.as_secs()).unwrap_or(i32::MAX));
                Linger { l_onoff: i32::from(options.linger.is_some()), l_linger: seconds }.into()
            }
            Name::ReceiveTimeout => options.receive_timeout.unwrap_or_default().into(),
            Name::SendTimeout => options.send_timeout.unwrap_or_default().into(),
            Name::KeepAliveInterval => seconds(options.keep_alive_interval).into(),
            Name::KeepAliveProbes => i32::from(options.keep_alive_probes.get()).into(),
            Name::HopLimit => i32::from(options.hop_limit.map_or(crate::net::HOP_LIMIT, NonZeroU8::get)).into(),
            Name::Ipv6Only => Switch::On.into(),
            Name::Kind => if entry.kind == Kind::Stream { SOCK_STREAM } else { SOCK_DGRAM }.into(),
            Name::Domain => if entry.family == Family::V4 { AF_INET } else { AF_INET6 }.into(),
            Name::Protocol => if entry.kind == Kind::Stream { IPPROTO_TCP } else { IPPROTO_UDP }.into(),
            Name::Accepts => i32::from(matches!(entry.state, State::Listening { .. })).into(),
            Name::Error => match (&entry.state, stack) {
                (State::Connection { id, .. }, Some(stack)) => {
                    stack.take_connection_error(id).map_or(0, |error| Errno::from(error).0).into()
                }
                (State::Datagrams { id, .. }, Some(stack)) => {
                    stack.take_udp_error(id).map_or(0, |error| Errno::from(error).0).into()
                }
                _ => 0.into(),
            },
            name @ (Name::ReceiveBuffer | Name::SendBuffer) => {
                let (receive, send) = stack.map_or((0, 0), |stack| entry.capacities(stack));
                let size = if name == Name::ReceiveBuffer { receive } else { send };
                i32::try_from(size).unwrap_or(i32::MAX).into()
            }
        })
    }
}

impl<S: Signal> Entry<S> {
    fn apply(&self, stack: &mut Stack<S>) {
        match &self.state {
            State::Connection { id, .. } => self.options.apply_to_connection(stack, id),
            State::Datagrams { id, .. } => self.options.apply_to_datagrams(stack, id),
            State::Unbound | State::Bound { .. } | State::Listening { .. } => {}
        }
    }

    fn capacities(&self, stack: &Stack<S>) -> (usize, usize) {
        match (&self.state, self.kind) {
            (State::Connection { id, .. }, _) => stack.capacities(id),
            (_, Kind::Datagram) => crate::net::UDP_CAPACITIES,
            // What the next connection gets while memory is plentiful.
            (_, Kind::Stream) => stack.usual_capacities(),
        }
    }
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
