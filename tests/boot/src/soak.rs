//! The other side of the application `net-soak`: a client that knows every byte.
//!
//! The streams are those of `kernel/examples/net-soak.rs`: byte `i` of stream `s` is a byte of [`word`]`(s, i / 8)`. A download is
//! compared here as it arrives, an upload there, so a byte that is wrong, missing or too many fails at its place.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The port that it serves on.
const PORT: u16 = 80;
/// How long a step of a connection may take.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long leftovers of earlier connections may take to go.
const SETTLING: Duration = Duration::from_secs(180);

/// The word at `index` of a stream: splitmix64.
pub fn word(stream: u64, index: u64) -> u64 {
    let word = stream.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The bytes from `place` to `place + count` of a stream.
pub fn bytes(stream: u64, place: u64, count: usize) -> Vec<u8> {
    let first = place / 8;
    let words = (first..).map(|index| word(stream, index).to_le_bytes());
    words.flatten().skip((place % 8) as usize).take(count).collect()
}

/// A `net-soak` that serves.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    address: SocketAddr,
}

impl Soak {
    /// The one at this address.
    pub fn at(address: IpAddr) -> Self {
        Self { address: (address, PORT).into() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// What the host's network says.
    pub fn connect(&self) -> Result<TcpStream, String> {
        let stream =
            TcpStream::connect_timeout(&self.address, PATIENCE).map_err(|error| format!("connect: {error}"))?;
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).map_err(|error| error.to_string())?;
        }
        Ok(stream)
    }

    /// Sends a request that begins with `line`; gives the connection.
    ///
    /// # Errors
    ///
    /// What the host's network says.
    pub fn ask(&self, line: &str) -> Result<TcpStream, String> {
        let mut stream = self.connect()?;
        let head = format!("{line} HTTP/1.1\r\nHost: toro\r\n\r\n");
        stream.write_all(head.as_bytes()).map_err(|error| format!("{line}: {error}"))?;
        Ok(stream)
    }

    /// The body of the answer to a request that begins with `line`.
    ///
    /// # Errors
    ///
    /// What happened, or what was answered other than 200.
    pub fn answer(&self, line: &str) -> Result<Vec<u8>, String> {
        read_answer(&mut self.ask(line)?).map_err(|reason| format!("{line}: {reason}"))
    }

    /// Fetches `count` bytes of a stream, and compares every one.
    ///
    /// # Errors
    ///
    /// Where they differ, or what happened.
    pub fn download(&self, count: u64, stream: u64) -> Result<(), String> {
        let line = format!("GET /bytes/{count}/{stream}");
        let trouble = |reason: String| format!("{line}: {reason}");
        let mut connection = self.ask(&line)?;
        let mut piece = read_head(&mut connection).map_err(trouble)?;
        let mut place = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let wanted = bytes(stream, place, piece.len());
            if let Some(offset) = piece.iter().zip(&wanted).position(|(came, wanted)| came != wanted) {
                return Err(trouble(format!("byte {} is wrong", place + offset as u64)));
            }
            place += piece.len() as u64;
            match connection.read(&mut buffer).map_err(|error| trouble(format!("after {place} bytes: {error}")))? {
                0 if place == count => return Ok(()),
                0 => return Err(trouble(format!("{place} bytes came"))),
                length => piece = buffer[..length].to_vec(),
            }
        }
    }

    /// Sends `count` bytes of a stream, which the guest compares.
    ///
    /// # Errors
    ///
    /// What the guest says, or what happened.
    pub fn upload(&self, count: u64, stream: u64) -> Result<(), String> {
        let line = format!("POST /bytes/{count}/{stream}");
        let mut connection = self.ask(&line)?;
        let mut place = 0;
        while place < count {
            let length = (count - place).min(1 << 16);
            let piece = bytes(stream, place, length as usize);
            connection.write_all(&piece).map_err(|error| format!("{line}: after {place} bytes: {error}"))?;
            place += length;
        }
        let answer = read_answer(&mut connection).map_err(|reason| format!("{line}: {reason}"))?;
        let wanted = format!("{count} bytes, as expected\n");
        if answer == wanted.as_bytes() {
            return Ok(());
        }
        Err(format!("{line}: {}", String::from_utf8_lossy(&answer)))
    }

    /// What the guest holds at this moment, by name.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn usage(&self) -> Result<Usage, String> {
        let text = String::from_utf8_lossy(&self.answer("GET /usage")?).into_owned();
        let line = |line: &str| {
            let (name, number) = line.split_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        let entries = text.lines().map(line).collect::<Option<_>>();
        entries.map(Usage).ok_or_else(|| format!("GET /usage: {text}"))
    }

    /// Waits until nothing is left of earlier connections but what `before` had, too; gives what there is then.
    ///
    /// # Errors
    ///
    /// What is left.
    pub fn await_rest(&self, before: &Usage) -> Result<Usage, String> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let now = self.usage()?;
            let more = before.exceeded_by(&now);
            if more.is_empty() {
                return Ok(now);
            }
            if Instant::now() >= deadline {
                return Err(format!("left over: {more:?}\nbefore: {before:?}\nnow: {now:?}"));
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Ends the machine.
    ///
    /// # Errors
    ///
    /// What happened.
    pub fn quit(&self) -> Result<(), String> {
        // The end of the connection is none that anybody would hear of.
        read_head(&mut self.ask("GET /quit")?).map(drop)
    }
}

/// What a guest holds, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(BTreeMap<String, u64>);

impl Usage {
    /// One of the numbers.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub fn get(&self, name: &str) -> Result<u64, String> {
        self.0.get(name).copied().ok_or_else(|| format!("no {name} in {self:?}"))
    }

    /// Which numbers that say how much is held are greater in `later`. Buffers are kept for the next connection, so they are
    /// not among them; the heap is without buffers, and may differ by a few blocks that tables need when they grow.
    fn exceeded_by(&self, later: &Self) -> Vec<&str> {
        const HELD: [(&str, u64); 4] = [("connections", 0), ("sockets", 0), ("pooled", 0), ("flows", 0)];
        let exceeds = |&&(name, slack): &&(&str, u64)| {
            later.0.get(name).copied().unwrap_or(u64::MAX) > self.0.get(name).copied().unwrap_or_default() + slack
        };
        HELD.iter().filter(exceeds).map(|&(name, _)| name).collect()
    }
}

/// Reads the head of an answer; gives what came of the body.
///
/// # Errors
///
/// What happened, or what was answered other than 200.
pub fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8_lossy(&bytes);
            return if head.starts_with("HTTP/1.1 200 ") { Ok(body) } else { Err(format!("{head}{body:?}")) };
        }
        match stream.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => return Err(format!("the end after {} bytes", bytes.len())),
            count => bytes.extend(&buffer[..count]),
        }
    }
}

/// Reads an answer to the end of the connection; gives its body.
///
/// # Errors
///
/// As for [`read_head`].
pub fn read_answer(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut body = read_head(stream)?;
    stream.read_to_end(&mut body).map_err(|error| error.to_string())?;
    Ok(body)
}
