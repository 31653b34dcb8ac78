//! A server and a client, each on a stack of its own, and the requests between them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::ValueEnum;
use toro::net::stack::{Activity, ConnectionId, ListenerId, Stack};
use toro::net::{Addressing, BufferSizes, Config, NetError, Signal, StaticAddress};
use toro_core::Instant;

use super::cable::{Interface, cable};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Bytes of a request.
const REQUEST: usize = 64;
/// What passes between two turns.
const TICK: Duration = Duration::from_micros(20);

/// What one request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A short question and an answer, on a connection that stays; connections take turns.
    KeepAlive,
    /// The same on a connection of its own, which the server closes.
    Fresh,
    /// A long question and a short answer.
    Upload,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub kind: Kind,
    pub interface: Interface,
    /// Bytes of an answer, or of what is uploaded.
    pub answer: usize,
    pub connections: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match self.answer {
            bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
            bytes => format!("{bytes} B"),
        };
        match self.kind {
            Kind::KeepAlive => write!(f, "answer of {size}"),
            Kind::Fresh => write!(f, "connection, answer of {size}, close"),
            Kind::Upload => write!(f, "upload of {size}"),
        }
    }
}

thread_local! {
    /// The server's connections that may go on.
    static READY: RefCell<Vec<Rc<State>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
struct State {
    queued: Cell<bool>,
    place: Cell<usize>,
}

/// Puts its connection on the list of those that may go on.
#[derive(Clone, Default)]
struct Ready(Rc<State>);

impl Signal for Ready {
    fn readable(&self) {
        if !self.0.queued.replace(true) {
            READY.with_borrow_mut(|ready| ready.push(self.0.clone()));
        }
    }

    fn writable(&self) {
        self.readable();
    }
}

struct Served {
    id: ConnectionId,
    /// Bytes of the question that have not come yet.
    question: usize,
    /// Bytes of the answer that have not been queued yet.
    answer: usize,
}

struct Server {
    stack: Stack<Ready>,
    listener: ListenerId,
    connections: Vec<Option<Served>>,
    vacant: Vec<usize>,
    case: Case,
    content: Vec<u8>,
    answered: u32,
}

/// A turn of the server's core: frames in, the application, frames out.
#[inline(never)]
fn stack_server_turn(server: &mut Server, now: Instant) -> Activity {
    let first = server.stack.poll(now);
    server.work();
    match server.stack.poll(now) {
        Activity::Moved | Activity::None => first,
        some => some,
    }
}

impl Server {
    fn question(&self) -> usize {
        if self.case.kind == Kind::Upload { self.case.answer } else { REQUEST }
    }

    fn work(&mut self) {
        while let Some(state) = READY.with_borrow_mut(Vec::pop) {
            state.queued.set(false);
            if state.place.get() == 0 {
                // The listener, or one that nobody has accepted.
                while let Ok(accepted) = self.stack.accept(&self.listener) {
                    let served = Served { id: accepted.id, question: self.question(), answer: 0 };
                    let place = self.vacant.pop().unwrap_or_else(|| {
                        self.connections.push(None);
                        self.connections.len() - 1
                    });
                    self.connections[place] = Some(served);
                    accepted.signal.0.place.set(place + 1);
                    self.serve(place);
                }
            } else {
                self.serve(state.place.get() - 1);
            }
        }
    }

    fn serve(&mut self, place: usize) {
        let question = self.question();
        let Some(served) = self.connections.get_mut(place).and_then(Option::as_mut) else { return };
        loop {
            if served.answer > 0 {
                let from = self.content.len() - served.answer;
                match self.stack.send(&served.id, &self.content[from..]) {
                    Ok(sent) => served.answer -= sent,
                    Err(_) => return,
                }
                if served.answer == 0 {
                    self.answered += 1;
                    if self.case.kind == Kind::Fresh {
                        if let Some(served) = self.connections[place].take() {
                            self.stack.close(served.id);
                            self.vacant.push(place);
                        }
                        return;
                    }
                }
            } else {
                match self.stack.receive_with(&served.id, |bytes| (bytes.len(), bytes.len())) {
                    Ok(0) | Err(_) => return,
                    Ok(read) => served.question = served.question.saturating_sub(read),
                }
                if served.question == 0 {
                    served.question = question;
                    served.answer = self.content.len();
                }
            }
        }
    }
}

/// Both sides.
pub struct World {
    server: Server,
    client: Stack<()>,
    connections: Vec<ConnectionId>,
    case: Case,
    now: Instant,
    next: usize,
    buffer: Vec<u8>,
}

fn config(address: Ipv4Addr) -> Config {
    Config {
        addressing: Addressing::Static(StaticAddress { address, prefix: 24, gateway: None }),
        addressing6: toro::net::Addressing6::None,
        seed: 42,
        memory: 1 << 30,
        ..Config::default()
    }
}

impl World {
    /// Both sides, with all connections established.
    ///
    /// # Errors
    ///
    /// There is no memory, or a connection is not established.
    pub fn new(case: Case) -> Result<Self> {
        let (server, client) = cable(case.interface)?;
        let now = Instant::from_nanos(1_000_000_000);
        // The client is no bottleneck.
        let large = BufferSizes { receive: 512 << 10, transmit: 256 << 10 };
        let client_config = match case.connections {
            1 => Config { large, ..config(CLIENT) },
            _ => config(CLIENT),
        };
        let mut stack = Stack::new(Box::new(server), config(SERVER), Ready::default(), now);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
        let (listener, _) = stack.listen(any, 64, Ready::default()).map_err(|error| anyhow!("{error}"))?;
        let answer = if case.kind == Kind::Upload { REQUEST } else { case.answer };
        let server = Server {
            stack,
            listener,
            connections: Vec::new(),
            vacant: Vec::new(),
            case,
            content: vec![b'x'; answer],
            answered: 0,
        };
        let client = Stack::new(Box::new(client), client_config, (), now);
        let mut world = Self {
            server,
            client,
            connections: Vec::new(),
            case,
            now,
            next: 0,
            buffer: vec![0; case.answer.max(1024)],
        };
        if case.kind != Kind::Fresh {
            for _ in 0..case.connections {
                let id = world.connect()?;
                world.connections.push(id);
            }
        }
        Ok(world)
    }

    fn connect(&mut self) -> Result<ConnectionId> {
        let server = SocketAddr::from((SERVER, 80));
        let (id, _) = self.client.connect(server, ()).map_err(|error| anyhow!("{error}"))?;
        for _ in 0..1000 {
            self.turn();
            if self.client.established(&id) == Ok(()) {
                return Ok(id);
            }
        }
        Err(anyhow!("the connection is not established"))
    }

    fn turn(&mut self) {
        self.now = self.now.saturating_add(TICK);
        let _ = self.client.poll(self.now);
        let _ = stack_server_turn(&mut self.server, self.now);
        let _ = self.client.poll(self.now);
    }

    /// Has this many requests answered.
    ///
    /// # Errors
    ///
    /// One is not.
    pub fn go(&mut self, requests: u32) -> Result<()> {
        for _ in 0..requests {
            if self.case.kind == Kind::Fresh {
                let id = self.connect()?;
                self.request(&id)?;
                self.client.close(id);
                self.turn();
                // So that a port that is used again is seldom one that the server remembers.
                self.now = self.now.saturating_add(Duration::from_secs(1));
                continue;
            }
            let place = self.next % self.connections.len();
            self.next += 1;
            let id = self.connections.swap_remove(place);
            let result = self.request(&id);
            self.connections.push(id);
            let last = self.connections.len() - 1;
            self.connections.swap(place, last);
            result?;
        }
        Ok(())
    }

    fn request(&mut self, id: &ConnectionId) -> Result<()> {
        let (mut question, mut answer) =
            if self.case.kind == Kind::Upload { (self.case.answer, REQUEST) } else { (REQUEST, self.case.answer) };
        let before = self.server.answered;
        for _ in 0..100_000 {
            if question > 0 {
                match self.client.send(id, &self.buffer[..question]) {
                    Ok(sent) => question -= sent,
                    Err(NetError::WouldBlock) => {}
                    Err(error) => return Err(anyhow!("{error}")),
                }
            }
            self.turn();
            loop {
                match self.client.receive(id, &mut self.buffer) {
                    Ok(0) => break,
                    Ok(read) => answer = answer.saturating_sub(read),
                    Err(NetError::WouldBlock) => break,
                    Err(error) => return Err(anyhow!("{error}")),
                }
            }
            if answer == 0 {
                ensure!(self.server.answered == before + 1, "more came than was asked for");
                return Ok(());
            }
        }
        Err(anyhow!("{answer} bytes of the answer never came, and {question} were not asked"))
    }

    /// How many frames the server receives and sends for a request.
    ///
    /// # Errors
    ///
    /// A request is not answered.
    pub fn frames_for_one(&mut self) -> Result<(f64, f64)> {
        const REQUESTS: u32 = 32;
        let before = self.server.stack.counters();
        self.go(REQUESTS)?;
        let after = self.server.stack.counters();
        let each = |after: u64, before: u64| (after - before) as f64 / f64::from(REQUESTS);
        Ok((each(after.received, before.received), each(after.transmitted, before.transmitted)))
    }
}
