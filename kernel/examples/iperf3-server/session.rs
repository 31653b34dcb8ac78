//! One test, from its parameters to its results.

use alloc::{format, rc::Rc, string::String, vec::Vec};

use serde_json::Value;
use toro::net::TcpStream;
use toro::thread::{self, JoinHandle};
use toro::time::{Duration, Instant};

use crate::Desk;
use crate::parameters::{Parameters, Transport};
use crate::protocol::{Control, PATIENCE, Refusal, State};
use crate::results::{Counts, Course, Results};
use crate::{tcp_streams, udp_streams};

/// How long the client may say nothing while no byte moves.
const SILENCE: Duration = Duration::from_secs(60);
/// How often the session looks whether bytes have moved.
const LOOK: Duration = Duration::from_secs(1);
/// How long the rest of what the client has sent may take while none of it comes.
const REST: Duration = Duration::from_secs(1);
/// How often the session looks whether the rest has come.
const GLANCE: Duration = Duration::from_millis(2);

/// Streams with a thread each, which wait for the test to begin or run already.
pub struct Streams {
    pub counts: Vec<Rc<Counts>>,
    pub threads: Vec<JoinHandle<()>>,
    pub course: Rc<Course>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.course.end();
        // Each of them looks at the course often enough.
        for thread in self.threads.drain(..) {
            let Ok(()) = thread.join();
        }
    }
}

/// Does a test with the client at the other end of `stream`.
///
/// # Errors
///
/// Why there are no results.
pub fn run(desk: &Desk, stream: TcpStream) -> Result<Results, String> {
    let (control, cookie) = Control::open(stream)?;
    control.say(State::ParamExchange)?;
    let parameters = match Parameters::read(&control.read_json()?) {
        Ok(parameters) => parameters,
        Err(refusal) => {
            control.refuse(refusal)?;
            return Err(format!("refused: {refusal:?}"));
        }
    };
    let gathered = match parameters.transport {
        Transport::Tcp => tcp_streams::gather(desk, &control, &parameters, &cookie).map(Gathered::Tcp),
        Transport::Udp => udp_streams::gather(desk, &control, &parameters).map(Gathered::Udp),
    };
    desk.stop_gathering();
    let gathered = gathered.inspect_err(|_| drop(control.refuse(Refusal::Stream)))?;
    control.say(State::TestStart)?;
    control.say(State::TestRunning)?;
    let start = Instant::now();
    let started = match gathered {
        Gathered::Tcp(streams) => tcp_streams::start(streams, &parameters, desk.copying),
        Gathered::Udp(peers) => udp_streams::start(peers, &parameters),
    };
    let streams = started.inspect_err(|_| drop(control.say(State::ServerTerminate)))?;
    let start =
        watch(&control, &parameters, &streams, start).inspect_err(|_| drop(control.say(State::ServerTerminate)))?;
    let end = Instant::now();
    control.say(State::ExchangeResults)?;
    let theirs = control.read_json()?;
    if parameters.transport == Transport::Tcp {
        await_rest(&streams, &parameters, &theirs);
    }
    let counts = streams.counts.clone();
    drop(streams);
    let results = Results { parameters, counts, start, end };
    control.write_json(&results.to_json())?;
    control.say(State::DisplayResults)?;
    match control.hear(PATIENCE)? {
        Some(State::Done) => Ok(results),
        other => Err(format!("expected the end, heard {other:?}")),
    }
}

/// What will become streams.
enum Gathered {
    Tcp(Vec<TcpStream>),
    Udp(udp_streams::Peers),
}

/// Lets what the client has sent arrive: its system takes more than the network does, above all in short tests.
fn await_rest(streams: &Streams, parameters: &Parameters, theirs: &Value) {
    let is_missing = |place: usize, counts: &Counts| {
        let sent = theirs["streams"][place]["bytes"].as_u64();
        sent.is_some_and(|sent| counts.counted() < sent) && counts.failure.get().is_none()
    };
    let receiving = &streams.counts[..parameters.receiving];
    let total = || receiving.iter().map(|counts| counts.bytes.get()).sum::<u64>();
    let (mut moved, mut moved_at) = (total(), Instant::now());
    while moved_at.elapsed() < REST && receiving.iter().enumerate().any(|(place, counts)| is_missing(place, counts)) {
        thread::sleep(GLANCE);
        if total() != moved {
            (moved, moved_at) = (total(), Instant::now());
        }
    }
}

/// Waits for the end of the test; says when that which counts began.
fn watch(control: &Control, parameters: &Parameters, streams: &Streams, start: Instant) -> Result<Instant, String> {
    let mut counting_since = start;
    let mut omitted_at = Some(start.saturating_add(parameters.omit)).filter(|_| !parameters.omit.is_zero());
    let (mut moved, mut moved_at) = (0, start);
    loop {
        let now = Instant::now();
        if omitted_at.is_some_and(|at| at <= now) {
            omitted_at = None;
            counting_since = now;
            streams.counts.iter().for_each(|counts| counts.omit());
        }
        let total: u64 = streams.counts.iter().map(|counts| counts.bytes.get()).sum();
        if total != moved {
            (moved, moved_at) = (total, now);
        } else if now.saturating_duration_since(moved_at) > SILENCE {
            return Err(String::from("the client has fallen silent"));
        }
        if let Some(error) = streams.counts.iter().find_map(|counts| counts.failure.get()) {
            return Err(format!("a stream has ended: {error}"));
        }
        let wait = omitted_at.map_or(LOOK, |at| at.saturating_duration_since(now).min(LOOK));
        match control.hear(wait)? {
            None => {}
            Some(State::TestEnd) => return Ok(counting_since),
            Some(State::ClientTerminate) => return Err(String::from("the client has given up")),
            Some(other) => return Err(format!("expected the end of the test, heard {other:?}")),
        }
    }
}
