//! Which test a client asks for. When it ends is not among it: the client says so when it is time.

use serde_json::Value;
use toro::time::Duration;

use crate::protocol::Refusal;

/// The most streams in one direction, as in iperf3.
const MOST_STREAMS: u64 = 128;
/// The largest block that is read or written at once: the largest of iperf3.
const LARGEST_BLOCK: u64 = 1 << 20;
/// The longest datagram over IPv4 that is not cut.
const LONGEST_DATAGRAM: u64 = 65_507;
/// The shortest datagram: what its header needs.
const SHORTEST_DATAGRAM: u64 = 16;
/// Blocks that a paced sender sends at once, at most.
const MOST_BURST: u64 = 1000;

/// What carries the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

/// Where the data of a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to us.
    Receive,
    /// From us to the client.
    Send,
}

/// A test.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub transport: Transport,
    /// Streams from the client to us, and from us to the client.
    pub receiving: usize,
    pub sending: usize,
    /// How much of the beginning does not count.
    pub omit: Duration,
    /// Bytes that are read or written at once: with UDP, bytes of a datagram.
    pub block: usize,
    /// Bits per second that each stream sends; 0: as many as there is room for.
    pub rate: u64,
    /// Blocks that a stream with a rate sends at once.
    pub burst: u64,
    /// Short pieces are sent at once.
    pub no_delay: bool,
    /// Numbers in datagrams have 64 bits, not 32.
    pub wide_numbers: bool,
}

impl Parameters {
    /// Understands what a client has sent.
    pub fn read(json: &Value) -> Result<Self, Refusal> {
        let flag = |name: &str| json[name].as_bool().unwrap_or(false) || json[name].as_i64().is_some_and(|on| on != 0);
        let number = |name: &str, usual: u64| match &json[name] {
            Value::Null => Ok(usual),
            value => value.as_u64().ok_or(Refusal::Parameters),
        };
        let transport = match (flag("tcp"), flag("udp")) {
            (true, false) => Transport::Tcp,
            (false, true) => Transport::Udp,
            _ => return Err(Refusal::Unimplemented),
        };
        let streams = number("parallel", 1)?;
        if !(1..=MOST_STREAMS).contains(&streams) {
            return Err(Refusal::Streams);
        }
        let sizes = match transport {
            Transport::Tcp => 1..=LARGEST_BLOCK,
            Transport::Udp => SHORTEST_DATAGRAM..=LONGEST_DATAGRAM,
        };
        let block = number("len", 128 << 10)?;
        if !sizes.contains(&block) {
            return Err(Refusal::Block);
        }
        let streams = streams as usize;
        let (receiving, sending) = match (flag("bidirectional"), flag("reverse")) {
            (true, _) => (streams, streams),
            (false, false) => (streams, 0),
            (false, true) => (0, streams),
        };
        Ok(Self {
            transport,
            receiving,
            sending,
            omit: Duration::from_secs(number("omit", 0)?.min(u32::MAX.into())),
            block: block as usize,
            rate: number("bandwidth", 0)?,
            burst: number("burst", 0)?.clamp(1, MOST_BURST),
            no_delay: flag("nodelay"),
            wide_numbers: flag("udp_counters_64bit"),
        })
    }

    /// The direction of each stream, in the order in which the client makes them.
    pub fn directions(&self) -> impl Iterator<Item = Direction> {
        let (receiving, sending) = (self.receiving, self.sending);
        core::iter::repeat_n(Direction::Receive, receiving).chain(core::iter::repeat_n(Direction::Send, sending))
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.receiving + self.sending
    }
}
