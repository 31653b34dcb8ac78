//! Fetches a page over HTTP and prints it.
//!
//! ```text
//!   cargo xtask run http-get --append url=http://10.0.2.2:8000/index.html
//! ```
//!
//! ```text
//!   url --> `url` --> host, port, path
//!                       |
//!                       +--> names are looked up, addresses tried in turn --> connection --> request
//!                                                                                              |
//!   console <-- `body`: by its length, in chunks, or to the end of the stream <-- headers <----+
//! ```
//!
//! It asks with HTTP/1.1 for this one page, and follows no redirection. Encryption is not there, so `https` is refused.
//! The exit status is 0 for a page that came, 3, 4 or 5 for a status that begins so, and 1 for everything else. Words of the
//! guest's command line: see [`USAGE`].

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "network/address.rs"]
mod address;
#[path = "http-get/body.rs"]
mod body;
#[path = "http-get/url.rs"]
mod url;
#[path = "network/words.rs"]
mod words;

use alloc::{format, string::String, vec::Vec};

use toro::{
    env,
    io::{self, Write as _},
    net::TcpStream,
    print, println, process,
    time::Duration,
};

use crate::body::{Framing, Input};
use crate::url::Url;

toro::entry!(main);

const USAGE: &str = "\
http-get: fetches a page over HTTP and prints it
  help        print this
  url=        what to fetch, such as http://example.org/index.html
  headers     print the status line and the headers, too
  quiet       print how many bytes came, and not the bytes
  timeout=30  how many seconds the server may be silent
";

/// The longest headers of an answer, in bytes.
const LONGEST_HEADERS: usize = 32 * 1024;
/// The most headers of an answer.
const MOST_HEADERS: usize = 100;

fn main() -> Result<(), String> {
    if words::asks_for_help(USAGE) {
        return Ok(());
    }
    let url = env::option("url").ok_or("what to fetch? (url=http://HOST/PATH)")?;
    let url = Url::parse(url).map_err(|error| format!("url={url}: {error}"))?;
    let timeout = Duration::from_secs(words::number("timeout", 1..=86_400, 30)?);
    address::await_address()?;
    let status = fetch(&url, timeout).map_err(|error| format!("{}: {error}", url.authority))?;
    match status / 100 {
        2 => Ok(()),
        class => process::exit(class as u8),
    }
}

/// Fetches the page, prints it, and says with which status it came.
fn fetch(url: &Url<'_>, timeout: Duration) -> Result<u16, String> {
    let text = |error: io::Error| format!("{error}");
    let stream = TcpStream::connect((url.host, url.port)).map_err(text)?;
    stream.set_read_timeout(Some(timeout)).map_err(text)?;
    stream.set_write_timeout(Some(timeout)).map_err(text)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: toro-http-get\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path, url.authority
    );
    (&stream).write_all(request.as_bytes()).map_err(text)?;

    let mut input = Input::new(&stream);
    let (status, framing) = loop {
        let (status, framing, headers) = read_headers(&mut input)?;
        // What says that the real answer is still to come (RFC 9110 §15.2).
        if status / 100 != 1 {
            if env::flag("headers") {
                print!("{headers}");
            }
            break (status, framing);
        }
    };
    let is_quiet = env::flag("quiet");
    let mut shown = Vec::new();
    let len = body::read(&mut input, framing, |piece| {
        if !is_quiet {
            show(&mut shown, piece);
        }
    })?;
    match is_quiet {
        true => println!("http-get: status {status}, {len} bytes"),
        false => print!("{}", String::from_utf8_lossy(&shown)),
    }
    Ok(status)
}

/// Reads up to the end of the headers: the status, how the body ends, and the headers as text.
fn read_headers(input: &mut Input<'_>) -> Result<(u16, Framing, String), String> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(input.bytes()) {
            Ok(httparse::Status::Complete(len)) => {
                let status = response.code.ok_or("no status")?;
                let framing = Framing::of(status, response.headers)?;
                let text = String::from_utf8_lossy(&input.bytes()[..len]).into_owned();
                input.consume(len);
                return Ok((status, framing, text));
            }
            Ok(httparse::Status::Partial) if input.bytes().len() > LONGEST_HEADERS => {
                return Err("the headers have no end".into());
            }
            Ok(httparse::Status::Partial) => {
                if !input.fill()? {
                    return Err("the server has closed the connection".into());
                }
            }
            Err(error) => return Err(format!("no HTTP: {error}")),
        }
    }
}

/// Prints bytes as text, as far as they are complete; the rest waits in `shown` for the next ones.
fn show(shown: &mut Vec<u8>, piece: &[u8]) {
    shown.extend_from_slice(piece);
    let complete = match core::str::from_utf8(shown) {
        // An error of unknown length is a character whose end is still to come.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => shown.len(),
    };
    print!("{}", String::from_utf8_lossy(&shown[..complete]));
    shown.drain(..complete);
}
