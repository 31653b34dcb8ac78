//! A server to wear the network out on, which then says whether anything was lost on the way.
//!
//! ```text
//!   cargo xtask run net-soak --net tap
//!
//!   curl http://10.9.0.2/bytes/1000000/7 > file                a million bytes of the stream 7
//!   curl --data-binary @file http://10.9.0.2/bytes/1000000/7   compares them with the stream as they arrive
//!   curl http://10.9.0.2/usage                                 sockets, buffers, flows, connections and heap at this moment
//!   curl http://10.9.0.2/quit                                  the end of the machine
//! ```
//!
//! Byte `i` of stream `s` is byte `i % 8`, the lowest first, of the word `i / 8`, which is [`word`]`(s, i / 8)`. So both sides know
//! every byte and keep none. An upload with a wrong byte is answered with 422 and its place.
//!
//! # What it holds
//!
//! A connection is one thread, one request and one answer, and has the time of the word `timeout=` (seconds; 20) for each step:
//! who says nothing, or takes nothing, for longer is hung up on with a reset. So whatever clients do, a while after the last of
//! them `usage` is what it was at first; what stays is a leak.
//!
//! It serves both families, on the core that has the network device: give the machine one core.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{format, rc::Rc, string::String};
use core::net::Ipv6Addr;
use core::time::Duration;

use toro::{
    env,
    io::{self, ErrorKind},
    mm::heap,
    net::{self, TcpListener, TcpStream},
    process,
    thread::{self, Builder},
};

toro::entry!(main);

const PORT: u16 = 80;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 512;
/// Connections that are served at once; more are hung up on.
const MOST_CONNECTIONS: usize = 4096;
/// What a thread needs, with its buffers.
const STACK: usize = 32 << 10;
/// The longest head of a request.
const LONGEST_HEAD: usize = 2048;
/// How long a DHCP server may take to give us an address.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait where there is no memory for a connection or a thread.
const PAUSE: Duration = Duration::from_millis(10);

/// What a request asks for.
enum Request {
    /// So many bytes of a stream.
    Send {
        count: u64,
        stream: u64,
    },
    /// A comparison of so many bytes with a stream; some have come already.
    Compare {
        count: u64,
        stream: u64,
    },
    Usage,
    Quit,
    /// None of these.
    Other,
}

fn main() -> Result<(), String> {
    let seconds = env::option("timeout").map_or(Ok(20), str::parse).ok().filter(|&seconds| seconds > 0);
    let patience = Duration::from_secs(seconds.ok_or("timeout=: expected a number of seconds")?);
    let listener = TcpListener::bind_with_backlog((Ipv6Addr::UNSPECIFIED, PORT), BACKLOG);
    let listener = listener.map_err(|error| format!("cannot listen: {error}"))?;
    let address = net::wait_until_configured(ADDRESS_TIMEOUT).map_err(|error| format!("no address: {error}"))?;
    toro::println!("listening on http://{address}:{PORT}/");

    // This thread and each connection have one.
    let token = Rc::new(());
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::NetworkDown => return Err(format!("cannot accept: {error}")),
            // A lack of memory, perhaps; it may pass.
            Err(_) => {
                thread::sleep(PAUSE);
                continue;
            }
        };
        if Rc::strong_count(&token) > MOST_CONNECTIONS {
            stream.abort();
            continue;
        }
        let token = Rc::clone(&token);
        let serve = move || {
            // Its own connection is none that could leak.
            let others = Rc::strong_count(&token) - 2;
            if serve(&stream, patience, others).is_err() {
                stream.abort();
            }
        };
        // Where there is no memory for a thread, this closes the connection.
        let _ = Builder::new().stack_size(STACK).spawn(serve);
    }
}

/// Answers one request.
fn serve(stream: &TcpStream, patience: Duration, others: usize) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut buffer = [0; LONGEST_HEAD];
    let (head, filled) = read_head(stream, &mut buffer)?;
    let request = parse(buffer.get(..head).unwrap_or_default());
    answer_request(stream, request, buffer.get(head..filled).unwrap_or_default(), others)?;
    // The client is to close first: what a connection leaves behind for a while is then on its side.
    while stream.read_with(|bytes| (bytes.len(), bytes.len()))? > 0 {}
    Ok(())
}

/// Does what a request asks for; `first` came behind its head.
fn answer_request(stream: &TcpStream, request: Request, first: &[u8], others: usize) -> io::Result<()> {
    match request {
        Request::Send { count, stream: number } => {
            write_all(stream, answer_head("200 OK", count).as_bytes())?;
            send_bytes(stream, count, number)
        }
        Request::Compare { count, stream: number } => match compare_bytes(stream, first, count, number)? {
            None => answer(stream, "200 OK", &format!("{count} bytes, as expected\n")),
            Some(place) => answer(stream, "422 Unprocessable Content", &format!("byte {place} is wrong\n")),
        },
        Request::Usage => answer(stream, "200 OK", &usage(others)),
        Request::Quit => {
            answer(stream, "200 OK", "")?;
            stream.wait_until_acknowledged()?;
            process::exit(0)
        }
        Request::Other => answer(stream, "404 Not Found", ""),
    }
}

/// Reads until the empty line; gives where it ends, and how much of the buffer is filled.
fn read_head(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
    let mut filled = 0;
    loop {
        let place = buffer.get_mut(filled..).filter(|place| !place.is_empty()).ok_or(ErrorKind::InvalidData)?;
        match stream.read(place)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        let text = buffer.get(..filled).unwrap_or_default();
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok((end + 4, filled));
        }
    }
}

fn parse(head: &[u8]) -> Request {
    let line = head.split(|&byte| byte == b'\r').next().and_then(|line| core::str::from_utf8(line).ok());
    let mut words = line.unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Request::Other };
    let mut parts = target.split('/').skip(1);
    let what = parts.next();
    let mut number = || parts.next()?.parse().ok();
    match (method, what) {
        ("GET", Some("usage")) => Request::Usage,
        ("GET", Some("quit")) => Request::Quit,
        (method, Some("bytes")) => match (method, number(), number()) {
            ("GET", Some(count), Some(stream)) => Request::Send { count, stream },
            ("POST" | "PUT", Some(count), Some(stream)) => Request::Compare { count, stream },
            _ => Request::Other,
        },
        _ => Request::Other,
    }
}

/// The word at `index` of a stream: splitmix64.
fn word(stream: u64, index: u64) -> u64 {
    let word = stream.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The bytes of `stream` from `place` on, into `buffer`.
fn fill(stream: u64, place: u64, buffer: &mut [u8]) {
    let mut place = place;
    let mut rest = buffer;
    while !rest.is_empty() {
        let bytes = word(stream, place / 8).to_le_bytes();
        let bytes = bytes.get((place % 8) as usize..).unwrap_or_default();
        let count = bytes.len().min(rest.len());
        let (now, later) = rest.split_at_mut(count);
        now.copy_from_slice(bytes.get(..count).unwrap_or_default());
        rest = later;
        place += count as u64;
    }
}

fn send_bytes(stream: &TcpStream, count: u64, number: u64) -> io::Result<()> {
    let mut sent = 0;
    while sent < count {
        let room = usize::try_from(count - sent).unwrap_or(usize::MAX);
        // Straight into the buffer that the card reads.
        sent += stream.write_with(|space| {
            let length = space.len().min(room);
            fill(number, sent, space.get_mut(..length).unwrap_or_default());
            (length, length as u64)
        })?;
    }
    stream.wait_until_acknowledged()
}

/// Reads `count` bytes, of which `first` have come already; gives the place of the first that is wrong.
fn compare_bytes(stream: &TcpStream, first: &[u8], count: u64, number: u64) -> io::Result<Option<u64>> {
    let mut wrong = None;
    let mut place = 0_u64;
    let mut expected = [0; 1024];
    let mut compare = |bytes: &[u8]| {
        for piece in bytes.chunks(expected.len()) {
            let expected = expected.get_mut(..piece.len()).unwrap_or_default();
            fill(number, place, expected);
            let differs = piece.iter().zip(expected.iter()).position(|(came, wanted)| came != wanted);
            wrong = wrong.or(differs.map(|offset| place + offset as u64));
            place += piece.len() as u64;
        }
        place
    };
    let mut done = compare(first);
    while done < count {
        let (came, total) = stream.read_with(|bytes| (bytes.len(), (bytes.len(), compare(bytes))))?;
        if came == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        done = total;
    }
    Ok(wrong)
}

/// What is held at this moment, without the connection that asks.
fn usage(others: usize) -> String {
    heap::collect();
    let (usage, counters) = (net::usage(), net::counters());
    let number = |value: Option<usize>| value.unwrap_or_default();
    format!(
        "connections {others}\nsockets {}\npooled {}\nflows {}\nbuffers {}\nheap {}\nlost-answers {}\nbacklog-full {}\nout-of-memory {}\n",
        number(usage.map(|usage| usage.sockets)),
        number(usage.map(|usage| usage.pooled_in_use)),
        number(usage.map(|usage| usage.flows)),
        number(usage.map(|usage| usage.memory)),
        heap::allocated(),
        counters.map_or(0, |counters| counters.answers_lost),
        counters.map_or(0, |counters| counters.backlog_full),
        counters.map_or(0, |counters| counters.out_of_memory),
    )
}

fn answer_head(status: &str, length: u64) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
}

fn answer(stream: &TcpStream, status: &str, body: &str) -> io::Result<()> {
    write_all(stream, (answer_head(status, body.len() as u64) + body).as_bytes())
}

fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = stream.write(bytes)?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}
