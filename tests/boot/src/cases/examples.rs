//! The small examples, on one core and on several: what they print, and how they end.
//!
//! The server of a hash table is talked to by several clients of the host at once.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use crate::case::Case;
use crate::tool::{Finished, Running, Tool};

/// How many cores each example is run on.
const CORES: [usize; 3] = [1, 2, 4];

/// A fault: its word, the exit status, a part of the report, and who is named in the backtrace.
const FAULTS: [(&str, i32, &str, Option<&str>); 9] = [
    ("panic", 101, "index out of bounds: the len is 3 but the index is 3", Some("exceptions::panic")),
    ("oom", 101, "memory allocation of ", Some("exceptions::out_of_memory")),
    ("divide", 102, ": divide error (vector 0, ", Some("exceptions::divide")),
    ("ud", 102, ": invalid opcode (vector 6, ", Some("exceptions::undefined")),
    ("protection", 102, ": general protection fault (vector 13, ", Some("exceptions::protection")),
    ("page", 102, "address 0x0000000000000000", Some("exceptions::page")),
    ("write", 102, ": page fault (vector 14, error 0x3)", Some("exceptions::write")),
    // It jumps to where there is no function.
    ("execute", 102, ": page fault (vector 14, error 0x11)", None),
    ("overflow", 102, "stack overflow in thread `victim`", Some("exceptions::overflow::deeper")),
];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for cores in CORES {
        cases.push(Case::new(format!("examples::inter_core_messages_arrive_on_{cores}_cores"), move |tool| {
            expect_lines(&run(tool, "inter-core", cores, "")?, &inter_core(cores))
        }));
        cases.push(Case::new(format!("examples::threads_run_in_the_order_told_on_{cores}_cores"), move |tool| {
            expect_lines(&run(tool, "scheduler", cores, "")?, &scheduler(cores))
        }));
        cases.push(Case::new(format!("examples::sums_are_the_same_on_one_core_and_on_{cores}"), move |tool| {
            parallel_sum(tool, cores)
        }));
        cases.push(Case::new(format!("examples::hash_table_serves_from_{cores}_cores"), move |tool| {
            hash_table(tool, cores)
        }));
    }
    for (word, status, report, culprit) in FAULTS {
        for core in [0, 1] {
            let name = format!("examples::fault_{word}_is_reported_from_core_{core}");
            cases.push(Case::new(name, move |tool| {
                let finished = start(tool, "exceptions", 2, &format!("fault={word} core={core}"))?;
                finished.expect_status(status)?.expect_output(report)?;
                finished.expect_output(&format!("in thread `victim` on core {core}"))?;
                let is_frame = |line: &str| line.starts_with('#') || line.starts_with("inlined into");
                let is_culprit =
                    |line: &str| is_frame(line.trim_start()) && culprit.is_none_or(|culprit| line.contains(culprit));
                finished.expect_line("the culprit in the backtrace", is_culprit).map(drop)
            }));
        }
    }
    cases.push(Case::new("examples::faults_are_listed_if_none_is_chosen", |tool| {
        let finished = run(tool, "exceptions", 1, "")?;
        FAULTS.iter().try_for_each(|(word, ..)| {
            let is_listed = |line: &str| line.starts_with("  ") && line.split_whitespace().next() == Some(word);
            finished.expect_line(word, is_listed).map(drop)
        })
    }));
    cases.push(Case::new("examples::wrong_words_are_refused", |tool| {
        for (name, words) in [
            ("exceptions", "fault=flood"),
            ("exceptions", "fault=panic core=7"),
            ("parallel-sum", "cores=3"),
            ("parallel-sum", "n=many"),
            ("hash-table-server", "port=0"),
        ] {
            start(tool, name, 2, words)?.expect_status(1)?.expect_output("Error: ")?;
        }
        Ok(())
    }));
    cases.push(Case::new("examples::hash_table_refuses_what_it_cannot_do", refusals));
    cases
}

fn start(tool: &Tool, name: &str, cores: usize, words: &str) -> Result<Finished, String> {
    let (cores, words) = (cores.to_string(), format!("log=off {words}"));
    tool.run(["run", name, "--machine", "microvm", "--cpus", &cores, "--timeout", "300", "--append", &words])
}

/// Runs an example that ends well.
fn run(tool: &Tool, name: &str, cores: usize, words: &str) -> Result<Finished, String> {
    let finished = start(tool, name, cores, words)?;
    finished.expect_status(0)?;
    Ok(finished)
}

/// Expects these lines, all of them, in this order, and no others.
fn expect_lines(finished: &Finished, wanted: &[String]) -> Result<(), String> {
    if finished.stdout.lines().eq(wanted) {
        return Ok(());
    }
    Err(format!("expected\n{}\ngot\n{}", wanted.join("\n"), finished.stdout))
}

fn inter_core(cores: usize) -> Vec<String> {
    let list = |of: &dyn Fn(usize) -> usize| format!("{:?}", (0..cores).map(of).collect::<Vec<_>>());
    let sum = cores * (cores + 1) / 2;
    let ring = match cores {
        1 => "ring: there is nobody else".to_owned(),
        _ => format!("ring: the number has seen {cores} cores and is {sum}"),
    };
    vec![
        format!("inter-core: {cores} cores"),
        ring,
        format!("receive_any: the first core has heard and answered {:?}", (1..cores).collect::<Vec<_>>()),
        format!("broadcast: every core has heard {}", list(&|_| 42)),
        format!("scatter: the cores have got {}", list(&|core| 10 * core)),
        format!("reduce: the sum of 1 to {cores} is {sum}"),
        format!("all_reduce: the greatest square is, as every core knows, {}", list(&|_| (cores - 1).pow(2))),
        "barrier: all have come".to_owned(),
    ]
}

fn scheduler(cores: usize) -> Vec<String> {
    let mut lines = vec![format!("scheduler: {cores} cores")];
    for core in 0..cores {
        let order = [
            "yields: a1 b1 c1 a2 b2 c2 a3 b3 c3",
            "sleeps: b10 c20 a30",
            "parks: (all parked) c b a",
            "queue: a (one woken) b c",
        ];
        lines.extend(order.map(|order| format!("core {core}: {order}")));
    }
    let all: Vec<_> = (0..cores).map(|core| core.to_string()).collect();
    lines.push(format!("visits: {}", all.join(" ")));
    lines
}

/// The sum itself is computed here as well.
fn parallel_sum(tool: &Tool, cores: usize) -> Result<(), String> {
    const N: u64 = 1_000_003;
    let mix = |number: u64, shift: u32, factor: u64| (number ^ (number >> shift)).wrapping_mul(factor);
    let hash = |number: u64| {
        let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(mix(mix(number, 30, 0xbf58_476d_1ce4_e5b9), 27, 0x94d0_49bb_1331_11eb), 31, 1)
    };
    let wanted = (0..N).fold(0_u64, |sum, number| sum.wrapping_add(hash(number)));
    let check = |finished: &Finished, counts: &[usize]| {
        counts.iter().try_for_each(|count| {
            let start = format!("parallel-sum: n={N} cores={count} ns=");
            let end = format!(" result={wanted:#018x}");
            let is_result = |line: &str| {
                let time = line.strip_prefix(&start).and_then(|rest| rest.strip_suffix(&end));
                time.is_some_and(|time| time.parse::<u64>().is_ok())
            };
            finished.expect_line(&format!("{start}...{end}"), is_result).map(drop)
        })
    };
    check(&run(tool, "parallel-sum", cores, &format!("n={N}"))?, &[1, cores])?;
    check(&run(tool, "parallel-sum", cores, &format!("n={N} cores={cores} rounds=1"))?, &[cores])
}

/// A hash table that is served.
struct Server {
    running: Running,
    port: u16,
}

impl Server {
    /// A table on so many cores, of which `home` has the network card.
    fn start(tool: &Tool, cores: usize, home: usize, words: &str) -> Result<Self, String> {
        // One that is free now; nobody else is likely to take it until QEMU does.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
        let port = free.local_addr().map_err(text)?.port();
        drop(free);
        let (cores, forward) = (cores.to_string(), format!("{port}:7000"));
        let words = format!("owner=virtio-net0:{home} {words}");
        let name = "hash-table-server";
        let arguments = ["run", name, "--machine", "microvm", "--cpus", &cores, "--port", &forward, "--append", &words];
        let mut running = tool.start(arguments, &[])?;
        let ending = format!(" on core {home}, {cores} shards");
        running.await_line(|line| {
            (line.starts_with("hash-table-server: port 7000 of ") && line.ends_with(&ending)).then_some(())
        })?;
        Ok(Self { running, port })
    }

    fn stop(self) -> Result<(), String> {
        self.running.signal(Signal::INT)?;
        self.running.finish()?.expect_status(130).map(drop)
    }
}

/// A client of a hash table.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(text)?;
        stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(text)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0.get_mut().write_all(bytes).map_err(text)
    }

    /// The next line; none at the end of the stream.
    fn line(&mut self) -> Result<Option<String>, String> {
        let mut line = String::new();
        let length = self.0.read_line(&mut line).map_err(text)?;
        Ok((length > 0).then(|| line.trim_end_matches('\n').to_owned()))
    }

    /// Sends a request and expects this answer.
    fn expect(&mut self, request: &str, wanted: &str) -> Result<(), String> {
        self.send(format!("{request}\n").as_bytes())?;
        let shown = request.get(..60).unwrap_or(request);
        match self.line()? {
            Some(answer) if answer == wanted => Ok(()),
            answer => Err(format!("{shown}: expected {wanted:?}, got {answer:?}")),
        }
    }

    fn expect_end(&mut self) -> Result<(), String> {
        match self.line()? {
            None => Ok(()),
            Some(line) => Err(format!("expected the end, got {line:?}")),
        }
    }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

/// Several clients at once, each with keys of its own and one that all have.
fn hash_table(tool: &Tool, cores: usize) -> Result<(), String> {
    const CLIENTS: usize = 8;
    const KEYS: usize = 40;
    // The network card need not be the boot core's.
    let server = Server::start(tool, cores, cores / 2, "")?;
    let port = server.port;
    let one_client = move |number: usize| {
        let mut client = Client::connect(port)?;
        for key in 0..KEYS {
            client.expect(&format!("GET {number}/{key}"), "NONE")?;
            client.expect(&format!("SET {number}/{key} value {key} of {number}"), "OK")?;
            client.expect(&format!("SET common {number}"), "OK")?;
        }
        // All at once, before the first answer is read.
        let questions: String = (0..KEYS).map(|key| format!("GET {number}/{key}\r\n")).collect();
        client.send(questions.as_bytes())?;
        for key in 0..KEYS {
            let (answer, wanted) = (client.line()?, format!("VALUE value {key} of {number}"));
            if answer.as_ref() != Some(&wanted) {
                return Err(format!("expected {wanted:?}, got {answer:?}"));
            }
        }
        client.expect(&format!("DEL {number}/0"), "OK")?;
        client.expect(&format!("DEL {number}/0"), "NONE")?;
        client.expect("QUIT", "BYE")?;
        client.expect_end()
    };
    let clients: Vec<_> = (0..CLIENTS).map(|number| std::thread::spawn(move || one_client(number))).collect();
    for client in clients {
        client.join().map_err(|_| "a client panicked")??;
    }
    let mut client = Client::connect(port)?;
    client.send(b"STATS\n")?;
    let stats = client.line()?.unwrap_or_default();
    let shards: Vec<usize> = stats
        .split_once(" shards=")
        .map(|(_, list)| list.split(',').filter_map(|keys| keys.parse().ok()).collect())
        .unwrap_or_default();
    let keys = CLIENTS * (KEYS - 1) + 1;
    let is_spread = shards.len() == cores && shards.iter().sum::<usize>() == keys && !shards.contains(&0);
    if !stats.starts_with(&format!("STATS keys={keys} bytes=")) || !is_spread {
        return Err(format!("expected {keys} keys on {cores} cores, got {stats:?}"));
    }
    server.stop()
}

/// What is wrong gets an answer that says so, and the connection goes on where it can.
fn refusals(tool: &Tool) -> Result<(), String> {
    let server = Server::start(tool, 2, 0, "memory=1")?;
    let mut client = Client::connect(server.port)?;
    let (key, value) = ("k".repeat(250), "v".repeat(8192));
    for (request, answer) in [
        ("", "ERR unknown command"),
        ("get a", "ERR unknown command"),
        ("GET", "ERR missing key"),
        ("GET a b", "ERR too many words"),
        ("SET a", "ERR missing value"),
        ("STATS now", "ERR too many words"),
        (&format!("GET {key}k"), "ERR key too long"),
        (&format!("SET {key} {value}"), "OK"),
        (&format!("GET {key}"), &format!("VALUE {value}")),
        (&format!("SET k {value}v"), "ERR value too long"),
        ("GET \u{0}\u{7f}é", "NONE"),
    ] {
        client.expect(request, answer)?;
    }
    // More than there is room for: refused, and what is there stays.
    let mut refused = 0;
    for number in 0..300 {
        client.send(format!("SET {number} {value}\n").as_bytes())?;
        match client.line()?.as_deref() {
            Some("OK") => {}
            Some("ERR table full") => refused += 1,
            other => return Err(format!("SET {number}: {other:?}")),
        }
    }
    if refused < 40 {
        return Err(format!("{} values of 8 KiB fit into 2 MiB", 300 - refused));
    }
    client.expect("GET 0", &format!("VALUE {value}"))?;
    client.expect("DEL 0", "OK")?;
    client.expect("SET 0 again", "OK")?;
    // A line without an end is given up.
    client.send("x".repeat(20_000).as_bytes())?;
    let answer = client.line()?;
    if answer.as_deref() != Some("ERR line too long") {
        return Err(format!("a line without an end: {answer:?}"));
    }
    client.expect_end()?;
    // Others are served all the same.
    Client::connect(server.port)?.expect("GET 0", "VALUE again")?;
    server.stop()
}
