//! The control connection: single bytes that say what comes next, and JSON behind its length.
//!
//! ```text
//!   client                                   server
//!   cookie (36 characters and a zero)  ----->
//!                                     <----- PARAM_EXCHANGE
//!   length (4 bytes), parameters      ----->
//!                                     <----- CREATE_STREAMS
//!   streams, each with the cookie     =====>
//!                                     <----- TEST_START, TEST_RUNNING
//!   data                              =====>   or the other way, or both
//!   TEST_END                          ----->
//!                                     <----- EXCHANGE_RESULTS
//!   length, results                   ----->
//!                                     <----- length, results; DISPLAY_RESULTS
//!   IPERF_DONE                        ----->
//! ```
//!
//! Everything that the client sends has a bound, in size and in time.

use alloc::vec::Vec;
use alloc::{format, string::String, vec};

use serde_json::Value;
use toro::io::{self, ErrorKind, Read as _, Write as _};
use toro::net::TcpStream;
use toro::time::Duration;

/// Bytes of a cookie.
pub const COOKIE: usize = 37;
/// How long the client may take for each thing that it has to say.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of JSON that a client may send: results of 128 streams with some space.
const MOST_JSON: usize = 128 * 1024;

/// What one side tells the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum State {
    TestStart = 1,
    TestRunning = 2,
    TestEnd = 4,
    ParamExchange = 9,
    CreateStreams = 10,
    ServerTerminate = 11,
    ClientTerminate = 12,
    ExchangeResults = 13,
    DisplayResults = 14,
    Done = 16,
    AccessDenied = -1,
    ServerError = -2,
}

impl State {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::TestEnd, Self::ClientTerminate, Self::Done].into_iter().find(|state| *state as i8 as u8 == byte)
    }
}

/// Why the server will not do a test, in numbers that iperf3 has texts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Refusal {
    /// Too many streams.
    Streams = 6,
    /// A block that is too large.
    Block = 7,
    /// What this server does not do.
    Unimplemented = 13,
    /// The parameters make no sense.
    Parameters = 106,
    /// A stream could not be made.
    Stream = 202,
}

/// Says to a client that another one is being served.
pub fn deny(stream: &TcpStream) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut stream = stream;
    stream.write_all(&[State::AccessDenied as i8 as u8])
}

/// Reads a cookie.
pub fn read_cookie(stream: &TcpStream) -> io::Result<[u8; COOKIE]> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut stream, mut cookie) = (stream, [0; COOKIE]);
    stream.read_exact(&mut cookie)?;
    Ok(cookie)
}

/// A control connection.
pub struct Control(TcpStream);

impl Control {
    /// Reads the cookie that a connection begins with.
    pub fn open(stream: TcpStream) -> Result<(Self, [u8; COOKIE]), String> {
        let cookie = read_cookie(&stream).map_err(|error| format!("no cookie: {error}"))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
        Ok((Self(stream), cookie))
    }

    /// Says what comes next.
    pub fn say(&self, state: State) -> Result<(), String> {
        self.send(&[state as i8 as u8])
    }

    /// Says that there will be no test, and why.
    pub fn refuse(&self, refusal: Refusal) -> Result<(), String> {
        let mut message = vec![State::ServerError as i8 as u8];
        message.extend_from_slice(&(refusal as i32).to_be_bytes());
        // No error of the operating system.
        message.extend_from_slice(&0_i32.to_be_bytes());
        self.send(&message)
    }

    /// What the client says next; none if it says nothing in this time.
    pub fn hear(&self, patience: Duration) -> Result<Option<State>, String> {
        self.0.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).map_err(text)?;
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(0) => Err(String::from("the client has closed the connection")),
            Ok(_) => State::from_byte(byte[0])
                .map(Some)
                .ok_or_else(|| format!("the client says {}, which means nothing here", byte[0] as i8)),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(text(error)),
        }
    }

    /// Reads what the client has to say in JSON.
    pub fn read_json(&self) -> Result<Value, String> {
        self.0.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        let (mut stream, mut length) = (&self.0, [0; 4]);
        stream.read_exact(&mut length).map_err(text)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MOST_JSON {
            return Err(format!("the client wants to send {length} bytes of JSON"));
        }
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).map_err(text)?;
        serde_json::from_slice(&bytes).map_err(|error| format!("not JSON: {error}"))
    }

    /// Sends JSON.
    pub fn write_json(&self, value: &Value) -> Result<(), String> {
        let json = serde_json::to_vec(value).map_err(|error| format!("{error}"))?;
        let mut message = Vec::with_capacity(4 + json.len());
        message.extend_from_slice(&(json.len() as u32).to_be_bytes());
        message.extend_from_slice(&json);
        self.send(&message)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), String> {
        let mut stream = &self.0;
        stream.write_all(bytes).map_err(text)
    }
}

fn text(error: io::Error) -> String {
    format!("the control connection: {error}")
}
