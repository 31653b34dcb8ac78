//! One connection from its first byte to its last.
//!
//! ```text
//!   wait for a head -> parse -> answer -> log -> drop the body -.
//!        ^                                                      |
//!        '------------------- keep-alive -----------------------'
//! ```
//!
//! A connection is one thread that runs [`Server::serve`]; everything that waits has a deadline, so a slow
//! client costs its own thread and buffers and nothing else. Requests that were sent ahead (pipelining)
//! are answered in order, because they are simply the next bytes of the input.
//!
//! When the last answer has been sent and the client may still be sending (an error in the middle of a
//! request, a body that is not worth reading), the connection lingers a moment, see
//! [`linger`]. After a response that could not be completed it is closed at
//! once: the missing bytes are the message.

use alloc::string::String;
use core::{mem::MaybeUninit, net::IpAddr, ops::ControlFlow};

use crate::{
    config::{AccessLog, Config},
    connection::{Connection, Environment, linger},
    input::{Input, Patience, Stop},
    log::Record,
    request::{self, Body, FIELD_LIMIT, Fields, Persistence, Request},
    respond::{Answer, Fate, Responder},
    response::Status,
    storage::Storage,
};

/// Longest request body that is read and dropped to keep a connection, in bytes.
pub const BODY_LIMIT: u64 = 64 * 1024;

/// What all connections share.
pub struct Server<S, E> {
    /// The files.
    pub storage: S,
    /// Clocks and console.
    pub environment: E,
    /// The options.
    pub config: Config,
}

impl<S: Storage, E: Environment> Server<S, E> {
    /// Serves a connection until it ends.
    pub fn serve(&self, connection: &mut impl Connection, peer: IpAddr) {
        let mut input = Input::default();
        let mut line = String::new();
        let mut responder = Responder::new(self, connection);
        let config = &self.config;
        // A connection that never says anything has the time of a head, later it has the time of an
        // idle one.
        let mut patience = Patience { idle: config.header_timeout, head: config.header_timeout };
        loop {
            match input.next_head(responder.connection, &self.environment, patience) {
                Ok(length) => {
                    if self.exchange(&mut input, length, &mut responder, peer, &mut line).is_break() {
                        return;
                    }
                }
                Err(Stop::Silent) => return,
                Err(Stop::Answer(status)) => {
                    let answer = responder.refuse(status);
                    self.log(peer, input.unused(), answer, &mut line);
                    linger(responder.connection, &self.environment);
                    return;
                }
            }
            patience.idle = config.idle_timeout;
        }
    }

    /// Tells a client that there are too many others.
    pub fn turn_away(&self, connection: &mut impl Connection, peer: IpAddr) {
        let mut responder = Responder::new(self, connection);
        let answer = responder.refuse(Status::ServiceUnavailable);
        self.log(peer, b"", answer, &mut String::new());
        linger(responder.connection, &self.environment);
    }

    /// Answers the request whose head is the first `length` bytes of the input; breaks after the last.
    fn exchange<C: Connection>(
        &self,
        input: &mut Input,
        length: usize,
        responder: &mut Responder<'_, S, E, C>,
        peer: IpAddr,
        line: &mut String,
    ) -> ControlFlow<()> {
        let head = input.unused().get(..length).unwrap_or_default();
        let mut fields: Fields<'_> = [const { MaybeUninit::uninit() }; FIELD_LIMIT];
        let (answer, rest) = match request::parse(head, &mut fields) {
            Ok(request) => {
                let rest = Rest::of(&request);
                let persistence = match rest {
                    Rest::Bytes(_) => request.persistence,
                    Rest::Unreadable => Persistence::Close,
                };
                (responder.answer(&request, persistence), rest)
            }
            Err(status) => (responder.refuse(status), Rest::Unreadable),
        };
        self.log(peer, head, answer, line);
        input.consume(length);

        let environment = &self.environment;
        match (answer.fate, rest) {
            (Fate::Broken, _) => return ControlFlow::Break(()),
            (_, Rest::Bytes(0)) => {}
            (_, Rest::Bytes(count)) => {
                let deadline = environment.monotonic() + self.config.header_timeout;
                if input.discard(responder.connection, environment, count, deadline).is_err() {
                    return ControlFlow::Break(());
                }
            }
            (_, Rest::Unreadable) => {
                linger(responder.connection, environment);
                return ControlFlow::Break(());
            }
        }
        if answer.fate == Fate::KeepAlive {
            return ControlFlow::Continue(());
        }
        if !input.unused().is_empty() {
            linger(responder.connection, environment);
        }
        ControlFlow::Break(())
    }

    fn log(&self, peer: IpAddr, head: &[u8], answer: Answer, line: &mut String) {
        if self.config.access_log == AccessLog::Off {
            return;
        }
        let Answer { status, body_bytes, .. } = answer;
        let time = self.environment.unix_time();
        Record { peer, time, line: request::first_line(head), status, body_bytes }.write(line);
        self.environment.log(line);
    }
}

/// What follows the head of a request.
#[derive(Clone, Copy)]
enum Rest {
    /// A body that we read and drop; none, where this is 0.
    Bytes(u64),
    /// A body that we do not read; nothing can be said about what comes after it.
    Unreadable,
}

impl Rest {
    fn of(request: &Request<'_, '_>) -> Self {
        match request.body {
            Body::Length(0) => Self::Bytes(0),
            // The client sends this body only when it is told to, or perhaps anyway.
            Body::Length(_) if request.expects_continue() => Self::Unreadable,
            Body::Length(length) if length <= BODY_LIMIT => Self::Bytes(length),
            Body::Length(_) | Body::Chunked => Self::Unreadable,
        }
    }
}
