//! A client that sees every byte.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// A response, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Three digits.
    pub status: u16,
    /// Names in lower case and values.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a field that must not be there twice.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|field| field.0 == name);
        let value = values.next().map(|field| field.1.as_str());
        assert!(values.next().is_none(), "two fields called {name}");
        value
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Whether a response has its body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// As announced.
    Body,
    /// The request was HEAD.
    HeadOnly,
}

/// Takes one response from the front of `bytes`; `None` if it is not all there.
///
/// # Panics
/// If it is not well formed.
pub fn take_response(bytes: &mut Vec<u8>, expect: Expect) -> Option<Response> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let parsed = head.parse(bytes).expect("a well-formed response");
    let httparse::Status::Complete(head_length) = parsed else {
        return None;
    };
    let status = head.code.expect("a complete head has a status");
    assert_eq!(head.version, Some(1));
    let fields: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|field| {
            let value = String::from_utf8(field.value.to_vec()).expect("our fields are ASCII");
            (field.name.to_lowercase(), value)
        })
        .collect();
    let mut response = Response { status, fields, body: Vec::new() };
    assert!(response.field("date").is_some_and(|date| date.len() == 29 && date.ends_with(" GMT")));
    assert!(response.field("connection").is_some());
    let length = match (status, expect) {
        (304, _) => {
            assert_eq!(response.field("content-length"), None);
            0
        }
        (_, Expect::HeadOnly) => 0,
        _ => {
            let length = response.field("content-length").expect("every body has a length");
            length.parse().expect("a number")
        }
    };
    let whole = head_length + length;
    if bytes.len() < whole {
        return None;
    }
    response.body = bytes[head_length..whole].to_vec();
    bytes.drain(..whole);
    Some(response)
}

/// An open connection.
pub struct Client {
    /// The socket.
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        stream.set_nodelay(true).expect("an option");
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
        self
    }

    /// Sends a request of HTTP/1.1 with additional header lines.
    pub fn ask(&mut self, method: &str, target: &str, fields: &[&str]) -> Response {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        for field in fields {
            head += field;
            head += "\r\n";
        }
        head += "\r\n";
        self.send(head);
        self.receive(if method == "HEAD" { Expect::HeadOnly } else { Expect::Body })
    }

    /// Waits for a response.
    pub fn receive(&mut self, expect: Expect) -> Response {
        loop {
            if let Some(response) = take_response(&mut self.received, expect) {
                return response;
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer).expect("the server answers in time") {
                0 => panic!("closed after {:?}", String::from_utf8_lossy(&self.received)),
                length => self.received.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// Waits until the server closes, and returns everything that came before.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut buffer = [0; 65536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return std::mem::take(&mut self.received),
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                // Closed while bytes of ours were on their way.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return std::mem::take(&mut self.received);
                }
                Err(error) => panic!("the server did not close: {error}"),
            }
        }
    }

    /// Sends no more.
    pub fn finish(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
        self
    }
}

/// One request on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, target: &str, fields: &[&str]) -> Response {
    Client::new(address).ask(method, target, fields)
}
