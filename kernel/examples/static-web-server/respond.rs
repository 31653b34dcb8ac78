//! From a request to its response: find the file, look at the conditions, send.
//!
//! ```text
//!   target -> path -> open ----> File ------> preconditions -> range -> head, contents
//!                       |------> Directory -> redirect to the slash, or a listing
//!                       |------> Other -----> 403
//!                       '------> error -----> 404, 403, 500
//! ```
//!
//! A path that ends with a slash is first tried with `index.html` behind it, so the usual request for a
//! directory costs one open like any other.
//!
//! Contents that lie in memory are sent from there, together with the head. Others share a buffer of
//! [`BUFFER_LENGTH`] with it: a small file leaves in a single write, a large one in buffers of that size,
//! whatever its length. What the head promised is what is sent. A file that
//! has grown meanwhile is cut at the promised length; of a file that has shrunk, or cannot be read any
//! more, nothing can be sent instead, and the connection is closed so that the client notices. As long as
//! nothing has left yet, the answer is 500.

use alloc::vec::Vec;
use core::{mem, ops::ControlFlow};

use crate::{
    conditional::{self, EntityTag, Verdict},
    connection::{Connection, ConnectionError, Environment, write_all},
    date::{DateCache, HttpDate, UnixTime},
    listing::{self, Completeness},
    mime,
    range::{self, Selection},
    request::{Method, Persistence, Request},
    response::{self, Head, Status},
    serve::Server,
    storage::{Metadata, Node, Storage, StorageError, StoredFile},
    target::{self, Slash, Target, TargetError},
};

/// Length of the buffer through which a response goes, in bytes.
pub const BUFFER_LENGTH: usize = 64 * 1024;

/// Room for the head of nearly every response, and for nearly every path; these grow.
const USUAL_HEAD: usize = 512;
const USUAL_PATH: usize = 128;

/// What became of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It can carry the next request.
    KeepAlive,
    /// The response is complete, and was the last one.
    Close,
    /// The response is not complete.
    Broken,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// Bytes of body that were sent.
    pub body_bytes: u64,
    /// What became of the connection.
    pub fate: Fate,
}

/// A connection's side that writes; its buffers serve one request after the other.
pub struct Responder<'a, S, E, C> {
    server: &'a Server<S, E>,
    /// The client.
    pub connection: &'a mut C,
    output: Vec<u8>,
    path: Vec<u8>,
    dates: DateCache,
    /// The same for when files have changed: often the same file is asked for again.
    modified: DateCache,
}

/// What every response to one request needs.
#[derive(Clone, Copy)]
struct Exchange {
    method: Method,
    persistence: Persistence,
    now: UnixTime,
    date: HttpDate,
}

impl<'a, S: Storage, E: Environment, C: Connection> Responder<'a, S, E, C> {
    /// A responder with empty buffers.
    pub fn new(server: &'a Server<S, E>, connection: &'a mut C) -> Self {
        let (dates, modified) = (DateCache::default(), DateCache::default());
        let (output, path) = (Vec::with_capacity(USUAL_HEAD), Vec::with_capacity(USUAL_PATH));
        Self { server, connection, output, path, dates, modified }
    }

    /// Answers a request whose head was understood.
    pub fn answer(&mut self, request: &Request<'_, '_>, persistence: Persistence) -> Answer {
        let exchange = self.exchange(request.method, persistence);
        match request.method {
            Method::Get | Method::Head => {}
            Method::NotAllowed => {
                let allow = [("Allow", &b"GET, HEAD"[..])];
                return self.send_page(exchange, Status::MethodNotAllowed, &allow);
            }
            Method::Unknown => return self.send_page(exchange, Status::NotImplemented, &[]),
        }
        // Taken out of `self` while the response is written, and put back with its memory.
        let mut path = mem::take(&mut self.path);
        let answer = match target::parse(request.target, &mut path) {
            Ok(target) => self.answer_path(exchange, request, target, &mut path),
            Err(TargetError::Malformed) => self.send_page(exchange, Status::BadRequest, &[]),
            Err(TargetError::Unnameable) => self.send_page(exchange, Status::NotFound, &[]),
        };
        self.path = path;
        answer
    }

    /// Answers what could not be understood, or not be served; the connection is to be closed.
    pub fn refuse(&mut self, status: Status) -> Answer {
        let exchange = self.exchange(Method::Get, Persistence::Close);
        match status {
            Status::ServiceUnavailable => self.send_page(exchange, status, &[("Retry-After", b"1")]),
            _ => self.send_page(exchange, status, &[]),
        }
    }

    fn exchange(&mut self, method: Method, persistence: Persistence) -> Exchange {
        let now = self.server.environment.unix_time();
        Exchange { method, persistence, now, date: self.dates.at(now) }
    }

    /// Answers with what `path` leads to.
    fn answer_path(
        &mut self,
        exchange: Exchange,
        request: &Request<'_, '_>,
        target: Target<'_>,
        path: &mut Vec<u8>,
    ) -> Answer {
        if target.slash == Slash::Trailing {
            return self.answer_directory(exchange, request, path);
        }
        match self.server.storage.open(path) {
            Ok(Node::File { file, metadata }) => self.send_file(exchange, request, path, &file, &metadata),
            Ok(Node::Directory) => {
                let mut location = Vec::new();
                target::encode(path, b"/", &mut location);
                location.push(b'/');
                if let Some(query) = target.query {
                    location.push(b'?');
                    target::encode(query.as_bytes(), b"%!$&'()*+,;=:@/?", &mut location);
                }
                let location = [("Location", location.as_slice())];
                self.send_page(exchange, Status::MovedPermanently, &location)
            }
            Ok(Node::Other) => self.send_page(exchange, Status::Forbidden, &[]),
            Err(error) => self.send_page(exchange, status_of(error), &[]),
        }
    }

    /// Answers with the index of the directory `path`, or with a listing where it has none.
    fn answer_directory(&mut self, exchange: Exchange, request: &Request<'_, '_>, path: &mut Vec<u8>) -> Answer {
        let length = path.len();
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend_from_slice(b"index.html");
        match self.server.storage.open(path) {
            Ok(Node::File { file, metadata }) => self.send_file(exchange, request, path, &file, &metadata),
            Ok(Node::Directory) | Err(StorageError::NotFound) => {
                path.truncate(length);
                self.send_listing(exchange, path)
            }
            Ok(Node::Other) => self.send_page(exchange, Status::Forbidden, &[]),
            Err(error) => self.send_page(exchange, status_of(error), &[]),
        }
    }

    fn send_file(
        &mut self,
        exchange: Exchange,
        request: &Request<'_, '_>,
        path: &[u8],
        file: &impl StoredFile,
        metadata: &Metadata,
    ) -> Answer {
        let Metadata { length, modified, .. } = *metadata;
        let tag = EntityTag::new(metadata);
        let verdict = conditional::evaluate(request, &tag, modified, exchange.now);
        if verdict == Verdict::Failed {
            return self.send_page(exchange, Status::PreconditionFailed, &[]);
        }
        let selection = match request.values("range").next() {
            Some(value)
                if request.method == Method::Get
                    && conditional::range_applies(request, &tag, modified, exchange.now) =>
            {
                range::select(value, length)
            }
            _ => Selection::Whole,
        };
        let (status, first, count) = match selection {
            _ if verdict == Verdict::NotModified => (Status::NotModified, 0, 0),
            Selection::Whole => (Status::Ok, 0, length),
            Selection::Part { first, last } => (Status::PartialContent, first, last - first + 1),
            Selection::Unsatisfiable => {
                let mut value = Vec::new();
                response::push_content_range(&mut value, None, length);
                let fields = [("Content-Range", value.as_slice())];
                return self.send_page(exchange, Status::RangeNotSatisfiable, &fields);
            }
        };

        let mut head = Head::begin(&mut self.output, status, &exchange.date);
        if status != Status::NotModified {
            head = head
                .number("Content-Length", count)
                .field("Content-Type", mime::content_type(path).as_bytes())
                .field("Accept-Ranges", b"bytes");
        }
        if status == Status::PartialContent {
            head = head.content_range(first, first + count - 1, length);
        }
        head = head.field("ETag", tag.as_bytes());
        if let Some(modified) = modified {
            // RFC 9110 §8.8.2.1: never later than Date.
            let date = self.modified.at(modified.min(exchange.now));
            head = head.field("Last-Modified", date.as_bytes());
        }
        head.end(exchange.persistence);

        if request.method == Method::Head {
            return self.send_output(exchange, status, 0);
        }
        match self.stream(file, first, count) {
            Streamed::Complete => Answer { status, body_bytes: count, fate: exchange.fate() },
            Streamed::Broken { sent } => Answer { status, body_bytes: sent, fate: Fate::Broken },
            Streamed::Unsent => self.send_page(exchange, Status::InternalServerError, &[]),
        }
    }

    /// Sends `self.output`, which holds a head, followed by `count` bytes of `file` from `first` on.
    fn stream(&mut self, file: &impl StoredFile, first: u64, count: u64) -> Streamed {
        match file.contents().map(|contents| part_of(contents, first, count)) {
            Some(Some(part)) => self.stream_from_memory(part),
            Some(None) => Streamed::Unsent,
            None => self.stream_through_buffer(file, first, count),
        }
    }

    /// Sends `self.output` and `contents` from where they lie, each [`BUFFER_LENGTH`] of them in its own time.
    fn stream_from_memory(&mut self, contents: &[u8]) -> Streamed {
        let Server { environment, config, .. } = self.server;
        let mut head: &[u8] = &self.output;
        let mut sent = 0;
        // Once also for no contents, for the head's sake.
        loop {
            let rest = contents.get(sent..).unwrap_or_default();
            let part = rest.get(..BUFFER_LENGTH).unwrap_or(rest);
            if write_all(self.connection, environment, [head, part], config.write_timeout).is_err() {
                return Streamed::Broken { sent: sent as u64 };
            }
            sent += part.len();
            head = &[];
            if sent == contents.len() {
                return Streamed::Complete;
            }
        }
    }

    fn stream_through_buffer(&mut self, file: &impl StoredFile, first: u64, count: u64) -> Streamed {
        let mut sent = 0;
        let mut head = self.output.len();
        loop {
            let room = BUFFER_LENGTH.saturating_sub(head);
            let left = count - sent;
            let part = usize::try_from(left).map_or(room, |left| left.min(room));
            if self.output.len() < head + part {
                self.output.resize(head + part, 0);
            }
            let buffer = self.output.get_mut(head..head + part).unwrap_or_default();
            if read_exactly(file, buffer, first + sent).is_err() {
                return if head > 0 { Streamed::Unsent } else { Streamed::Broken { sent } };
            }
            if self.write(head + part).is_err() {
                return Streamed::Broken { sent };
            }
            sent += part as u64;
            head = 0;
            if sent == count {
                return Streamed::Complete;
            }
        }
    }

    fn send_listing(&mut self, exchange: Exchange, path: &[u8]) -> Answer {
        let mut entries = Vec::new();
        let mut completeness = Completeness::Complete;
        let listed = self.server.storage.list(path, &mut |entry| {
            if entries.len() == listing::ENTRY_LIMIT {
                completeness = Completeness::Truncated;
                return ControlFlow::Break(());
            }
            entries.push(entry);
            ControlFlow::Continue(())
        });
        if let Err(error) = listed {
            return self.send_page(exchange, status_of(error), &[]);
        }
        let mut page = Vec::new();
        listing::page(path, &mut entries, completeness, &mut page);
        self.send_html(exchange, Status::Ok, &[], &page)
    }

    /// Sends the small page that belongs to `status`, with additional header fields.
    fn send_page(&mut self, exchange: Exchange, status: Status, fields: &[(&str, &[u8])]) -> Answer {
        let mut page = Vec::new();
        response::push_error_page(&mut page, status);
        self.send_html(exchange, status, fields, &page)
    }

    fn send_html(&mut self, exchange: Exchange, status: Status, fields: &[(&str, &[u8])], page: &[u8]) -> Answer {
        let mut head = Head::begin(&mut self.output, status, &exchange.date)
            .number("Content-Length", page.len() as u64)
            .field("Content-Type", b"text/html; charset=utf-8");
        for (name, value) in fields {
            head = head.field(name, value);
        }
        head.end(exchange.persistence);
        if exchange.method == Method::Head {
            return self.send_output(exchange, status, 0);
        }
        self.output.extend_from_slice(page);
        self.send_output(exchange, status, page.len() as u64)
    }

    /// Sends `self.output`, a complete response.
    fn send_output(&mut self, exchange: Exchange, status: Status, body_bytes: u64) -> Answer {
        let length = self.output.len();
        let answer = match self.write(length) {
            Ok(()) => Answer { status, body_bytes, fate: exchange.fate() },
            Err(_) => Answer { status, body_bytes: 0, fate: Fate::Broken },
        };
        // A listing may have been large; its memory is not kept for the next request.
        self.output.truncate(BUFFER_LENGTH);
        self.output.shrink_to(BUFFER_LENGTH);
        answer
    }

    /// Writes the first `length` bytes of `self.output`, each buffer of them in its own time.
    fn write(&mut self, length: usize) -> Result<(), ConnectionError> {
        let patience = self.server.config.write_timeout;
        for part in self.output.get(..length).unwrap_or_default().chunks(BUFFER_LENGTH) {
            write_all(self.connection, &self.server.environment, [part, &[]], patience)?;
        }
        Ok(())
    }
}

impl Exchange {
    fn fate(&self) -> Fate {
        match self.persistence {
            Persistence::KeepAlive => Fate::KeepAlive,
            Persistence::Close => Fate::Close,
        }
    }
}

/// How far a file got.
enum Streamed {
    /// To its end.
    Complete,
    /// Head and some of the contents were sent.
    Broken {
        /// How much of the contents.
        sent: u64,
    },
    /// The file failed before anything was sent.
    Unsent,
}

/// `count` bytes of `contents` from `first` on, if there are as many.
fn part_of(contents: &[u8], first: u64, count: u64) -> Option<&[u8]> {
    let start = usize::try_from(first).ok()?;
    contents.get(start..start.checked_add(usize::try_from(count).ok()?)?)
}

/// Fills `buffer` from `offset` on; an end of the file before that is an error.
fn read_exactly(file: &impl StoredFile, buffer: &mut [u8], offset: u64) -> Result<(), StorageError> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read_at(rest, offset + filled as u64)? {
            0 => return Err(StorageError::Failed),
            length => filled += length,
        }
    }
    Ok(())
}

fn status_of(error: StorageError) -> Status {
    match error {
        StorageError::NotFound => Status::NotFound,
        StorageError::Forbidden => Status::Forbidden,
        StorageError::Failed => Status::InternalServerError,
    }
}
