//! What comes behind the headers of an answer, and where it ends (RFC 9112 §6, §7.1).

use alloc::{format, string::String, vec::Vec};

use toro::net::TcpStream;

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// The longest line that says how long a chunk is, or that follows the last one.
const LONGEST_LINE: usize = 4096;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last of its chunks.
    Chunks,
    /// With the stream.
    Stream,
}

impl Framing {
    /// How the body of an answer with this status and these headers ends.
    pub fn of(status: u16, headers: &[httparse::Header<'_>]) -> Result<Self, String> {
        if status / 100 == 1 || [204, 304].contains(&status) {
            return Ok(Self::Length(0));
        }
        let value = |name: &str| headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        if let Some(coding) = value("transfer-encoding") {
            return match coding.value.eq_ignore_ascii_case(b"chunked") {
                true => Ok(Self::Chunks),
                false => Err(format!("unknown transfer coding {}", String::from_utf8_lossy(coding.value))),
            };
        }
        let Some(length) = value("content-length") else { return Ok(Self::Stream) };
        let length = core::str::from_utf8(length.value).ok().and_then(|text| text.trim().parse().ok());
        length.map(Self::Length).ok_or_else(|| "the length of the body is no number".into())
    }
}

/// What has been read and not yet used.
pub struct Input<'a> {
    stream: &'a TcpStream,
    bytes: Vec<u8>,
}

impl<'a> Input<'a> {
    pub fn new(stream: &'a TcpStream) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// These have been used.
    pub fn consume(&mut self, len: usize) {
        self.bytes.drain(..len);
    }

    /// Reads more; answers whether there was more.
    pub fn fill(&mut self) -> Result<bool, String> {
        let start = self.bytes.len();
        self.bytes.resize(start + PIECE, 0);
        let read = self.stream.read(&mut self.bytes[start..]);
        self.bytes.truncate(start + *read.as_ref().unwrap_or(&0));
        read.map(|len| len > 0).map_err(|error| format!("{error}"))
    }

    /// Gives `take` so many bytes, piece by piece.
    fn pass(&mut self, mut len: u64, take: &mut impl FnMut(&[u8])) -> Result<(), String> {
        while len > 0 {
            if self.bytes.is_empty() && !self.fill()? {
                return Err("the page ends too early".into());
            }
            let piece = usize::try_from(len).unwrap_or(usize::MAX).min(self.bytes.len());
            take(&self.bytes[..piece]);
            self.consume(piece);
            len -= piece as u64;
        }
        Ok(())
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&self.bytes[..end]).trim_end().into();
                self.consume(end + 1);
                return Ok(line);
            }
            if self.bytes.len() > LONGEST_LINE {
                return Err("a chunk has a header without end".into());
            }
            if !self.fill()? {
                return Err("the page ends too early".into());
            }
        }
    }
}

/// Gives the whole body to `take`, piece by piece, and says how long it was.
pub fn read(input: &mut Input<'_>, framing: Framing, mut take: impl FnMut(&[u8])) -> Result<u64, String> {
    let mut total = 0;
    match framing {
        Framing::Length(len) => {
            input.pass(len, &mut take)?;
            total = len;
        }
        Framing::Stream => loop {
            take(input.bytes());
            let len = input.bytes().len();
            total += len as u64;
            input.consume(len);
            if !input.fill()? {
                break;
            }
        },
        Framing::Chunks => loop {
            let line = input.line()?;
            // Behind `;` are extensions, which nobody has to understand.
            let digits = line.split(';').next().unwrap_or_default().trim();
            let len = u64::from_str_radix(digits, 16).map_err(|_| format!("a chunk of {digits:?} bytes"))?;
            if len == 0 {
                break;
            }
            input.pass(len, &mut take)?;
            total += len;
            if !input.line()?.is_empty() {
                return Err("a chunk is longer than it says".into());
            }
        },
    }
    Ok(total)
}
