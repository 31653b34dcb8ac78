//! The examples that talk to others over the network, with programs of the host at the other end: its own iperf3, and
//! servers of HTTP and DNS that this module plays.
//!
//! Guests are in QEMU's user network, where 10.0.2.2 is the host. Datagrams need a way in as well, which `--port` does not
//! make, so such guests get their card by QEMU's own options.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::case::Case;
use crate::tool::{Finished, Running, Tool};

/// How long the host's ends of connections wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("talk::tcp_echo_sends_back_what_several_clients_send", tcp_echo),
        Case::new("talk::udp_echo_sends_datagrams_back", udp_echo),
        Case::new("talk::iperf3_measures_tcp_in_every_direction", iperf3_tcp),
        Case::new("talk::iperf3_measures_udp_in_every_direction", iperf3_udp),
        Case::new("talk::ping_asks_the_gateway_and_the_guest_itself", ping),
        Case::new("talk::pages_come_by_length_in_chunks_and_to_the_end", pages),
        Case::new("talk::names_are_looked_up_among_lies_and_silence", names),
        Case::new("talk::words_that_make_no_sense_are_refused", refusals),
    ]
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A port that is free now, of TCP and of UDP; nobody else is likely to take it until QEMU does.
fn free_port() -> Result<u16, String> {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
        let port = tcp.local_addr().map_err(text)?.port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}

/// A server whose port, of TCP and UDP, is forwarded.
struct Server {
    running: Running,
    port: u16,
}

impl Server {
    fn start(tool: &Tool, name: &str, guest: u16, words: &str, sign: &str) -> Result<Self, String> {
        let port = free_port()?;
        let network = format!(
            "user,id=both,net=10.0.2.0/24,hostfwd=tcp:127.0.0.1:{port}-:{guest},hostfwd=udp:127.0.0.1:{port}-:{guest}"
        );
        let card = ["--", "-netdev", &network, "-device", "virtio-net-device,netdev=both"];
        let arguments = ["run", name, "--machine", "microvm", "--nics", "0", "--append", words];
        let mut running = tool.start(arguments.into_iter().chain(card), &[])?;
        running.await_line(|line| line.starts_with(sign).then_some(()))?;
        Ok(Self { running, port })
    }

    fn stop(self) -> Result<(), String> {
        self.running.signal(Signal::INT)?;
        self.running.finish()?.expect_status(130).map(drop)
    }
}

/// Bytes that tell where they belong.
fn pattern(len: usize, number: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16) ^ number) as u8).collect()
}

fn tcp_echo(tool: &Tool) -> Result<(), String> {
    let server = Server::start(tool, "tcp-echo", 7, "log=off", "tcp-echo: port 7")?;
    let port = server.port;
    let one_client = move |number: usize| {
        let bytes = pattern(300_000 + number, number);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(text)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        let mut writer = stream.try_clone().map_err(text)?;
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent)?;
            writer.shutdown(std::net::Shutdown::Write)
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).map_err(text)?;
        writing.join().map_err(|_| "a writer panicked")?.map_err(text)?;
        match received == bytes {
            true => Ok(()),
            false => Err(format!("client {number}: {} of {} bytes came back, or others", received.len(), bytes.len())),
        }
    };
    let clients: Vec<_> = (0..4).map(|number| std::thread::spawn(move || one_client(number))).collect();
    for client in clients {
        client.join().map_err(|_| "a client panicked")??;
    }
    server.stop()
}

fn udp_echo(tool: &Tool) -> Result<(), String> {
    let server = Server::start(tool, "udp-echo", 7, "log=off", "udp-echo: port 7")?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    socket.connect((Ipv4Addr::LOCALHOST, server.port)).map_err(text)?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).map_err(text)?;
    for len in [1, 2, 100, 1472] {
        let bytes = pattern(len, len);
        let mut buffer = [0; 2000];
        // A datagram may be lost; not many of them.
        let answered = (0..20)
            .any(|_| socket.send(&bytes).is_ok() && socket.recv(&mut buffer).is_ok_and(|came| buffer[..came] == bytes));
        if !answered {
            return Err(format!("a datagram of {len} bytes does not come back"));
        }
    }
    server.stop()
}

/// Runs iperf3 against a server; gives what it reports in JSON.
fn iperf3(tool: &Tool, server: &Server, options: &[&str]) -> Result<Value, String> {
    let port = server.port.to_string();
    let common = ["-c", "127.0.0.1", "-p", &port, "-J"];
    let finished = tool.run_program("iperf3", common.into_iter().chain(options.iter().copied()), &[])?;
    finished.expect_status(0)?;
    let report: Value = serde_json::from_str(&finished.stdout).map_err(|error| format!("{options:?}: {error}"))?;
    match report["error"].as_str() {
        Some(error) => Err(format!("{options:?}: {error}")),
        None => Ok(report),
    }
}

fn expect(what: &str, holds: bool, report: &Value) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what}: {}", report["end"])) }
}

fn iperf3_tcp(tool: &Tool) -> Result<(), String> {
    let server = Server::start(tool, "iperf3-server", 5201, "log=off", "iperf3-server: listening")?;
    let bytes = |report: &Value, sum: &str| report["end"][sum]["bytes"].as_u64().unwrap_or(0);

    let exact = iperf3(tool, &server, &["-n", "3M", "-P", "3"])?;
    let sums = (bytes(&exact, "sum_sent"), bytes(&exact, "sum_received"));
    expect("all that was sent was received", sums.0 >= 3 << 20 && sums.0 == sums.1, &exact)?;
    expect("three streams", exact["end"]["streams"].as_array().is_some_and(|streams| streams.len() == 3), &exact)?;

    let reverse = iperf3(tool, &server, &["-t", "1", "-R"])?;
    let sums = (bytes(&reverse, "sum_sent"), bytes(&reverse, "sum_received"));
    expect("the guest has sent it", sums.1 > 0 && sums.1 <= sums.0, &reverse)?;

    let both = iperf3(tool, &server, &["-t", "1", "--bidir"])?;
    let received = ["sum_received", "sum_received_bidir_reverse"].map(|sum| bytes(&both, sum));
    expect("both have received", received.iter().all(|&bytes| bytes > 0), &both)?;

    // Too many streams for anybody, by a client that does not look itself.
    let refused = raw_test(&server, br#"{"tcp":true,"parallel":1000,"len":1000,"time":1}"#)?;
    if refused != [-2_i8 as u8, 0, 0, 0, 6, 0, 0, 0, 0] {
        return Err(format!("1000 streams: {refused:?}"));
    }
    iperf3(tool, &server, &["-n", "100K"])?;
    server.stop()
}

/// Asks for a test with these parameters; gives what the server says to them.
fn raw_test(server: &Server, parameters: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    stream.write_all(&[b'c'; 37]).map_err(text)?;
    let mut state = [0];
    stream.read_exact(&mut state).map_err(text)?;
    if state != [9] {
        return Err(format!("expected to be asked for parameters, got {state:?}"));
    }
    stream.write_all(&(parameters.len() as u32).to_be_bytes()).map_err(text)?;
    stream.write_all(parameters).map_err(text)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(text)?;
    Ok(answer)
}

fn iperf3_udp(tool: &Tool) -> Result<(), String> {
    let server = Server::start(tool, "iperf3-server", 5201, "log=off", "iperf3-server: listening")?;
    // Slow enough for a machine that does a lot besides; the datagrams of the loopback interface would be far too long.
    let slow = ["-u", "-l", "1200", "-b", "1M", "-t", "1"];
    for more in [&[][..], &["-R"], &["-P", "2"], &["--bidir"], &["-R", "--udp-counters-64bit"]] {
        let options: Vec<_> = slow.iter().chain(more).copied().collect();
        let report = iperf3(tool, &server, &options)?;
        let streams = report["end"]["streams"].as_array().cloned().unwrap_or_default();
        let wanted = if more.contains(&"2") || more.contains(&"--bidir") { 2 } else { 1 };
        expect("as many streams as asked for", streams.len() == wanted, &report)?;
        for stream in &streams {
            let udp = &stream["udp"];
            let (packets, lost) = (udp["packets"].as_u64().unwrap_or(0), udp["lost_packets"].as_i64().unwrap_or(-1));
            expect("datagrams have come", packets > 10 && (0..packets as i64 / 2).contains(&lost), &report)?;
        }
    }
    server.stop()
}

fn run(tool: &Tool, name: &str, words: &str) -> Result<Finished, String> {
    let words = format!("log=off {words}");
    tool.run(["run", name, "--machine", "microvm", "--timeout", "300", "--append", &words])
}

fn ping(tool: &Tool) -> Result<(), String> {
    let gateway = run(tool, "ping", "count=3 interval=50 timeout=20000")?;
    gateway.expect_status(0)?.expect_output("PING 10.0.2.2: 56 bytes of data")?;
    gateway.expect_output("3 packets transmitted, 3 received, 0% packet loss")?;
    gateway.expect_line("the times", |line| line.starts_with("rtt min/avg/max/mdev = "))?;
    for (host, shown) in [("localhost", "localhost (127.0.0.1)"), ("::1", "::1"), ("10.0.2.15", "10.0.2.15")] {
        let finished = run(tool, "ping", &format!("host={host} count=1 size=1000 timeout=20000"))?;
        finished.expect_status(0)?.expect_output(&format!("PING {shown}: 1000 bytes of data"))?;
        finished.expect_output("1008 bytes from ")?;
    }
    // Nobody has this address in QEMU's network.
    let nobody = run(tool, "ping", "host=10.0.2.77 count=1 timeout=500")?;
    nobody.expect_status(1)?.expect_output("1 packets transmitted, 0 received, 100% packet loss").map(drop)
}

/// A web server that answers each request for a known path with bytes, and closes.
fn web_server(pages: &'static [(&'static str, &'static [u8])]) -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    let port = listener.local_addr().map_err(text)?.port();
    // It ends with the test run.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let (mut request, mut line) = (String::new(), String::new());
            let _ = reader.read_line(&mut request);
            while reader.read_line(&mut line).is_ok_and(|len| len > 2) {
                line.clear();
            }
            let path = request.split(' ').nth(1).unwrap_or_default();
            if let Some((_, answer)) = pages.iter().find(|(known, _)| *known == path) {
                let _ = (&stream).write_all(answer);
            }
        }
    });
    Ok(port)
}

fn pages(tool: &Tool) -> Result<(), String> {
    const PAGES: &[(&str, &[u8])] = &[
        ("/length", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nby length and more"),
        (
            "/chunks",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nby c\r\n00005\r\nhunks\r\n0\r\n\r\n",
        ),
        ("/end", b"HTTP/1.0 200 OK\r\n\r\nto the end"),
        ("/slow", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter"),
        ("/missing?x=y", b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nnothing"),
        ("/moved", b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n"),
        ("/broken", b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"),
        ("/short", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfar less"),
        ("/nonsense", b"SSH-2.0-none of this\r\n"),
    ];
    let port = web_server(PAGES)?;
    let get = |path: &str, more: &str| run(tool, "http-get", &format!("url=http://10.0.2.2:{port}{path} {more}"));
    for (path, body) in [("/length", "by length"), ("/chunks", "by chunks"), ("/end", "to the end"), ("/slow", "after")]
    {
        let finished = get(path, "")?;
        finished.expect_status(0)?;
        if finished.stdout.trim_end() != body {
            return Err(format!("{path}: expected {body:?}, got {:?}", finished.stdout));
        }
    }
    get("/missing?x=y", "headers")?
        .expect_status(4)?
        .expect_output("HTTP/1.1 404 Not Found")?
        .expect_output("nothing")?;
    get("/moved", "quiet")?.expect_status(3)?.expect_output("http-get: status 301, 0 bytes")?;
    get("/broken", "")?.expect_status(5)?;
    get("/short", "")?.expect_status(1)?.expect_output("the page ends too early")?;
    get("/nonsense", "")?.expect_status(1)?.expect_output("no HTTP")?;
    Ok(())
}

/// What a DNS server does about a question for `name`, of which it has been asked `times` before.
type Answers = fn(name: &str, kind: u16, question: &[u8], times: usize) -> Vec<Vec<u8>>;

/// A DNS server, which tells the names that it is asked for.
fn dns_server(answers: Answers) -> Result<(u16, Receiver<String>), String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    let port = socket.local_addr().map_err(text)?.port();
    let (asked, names) = mpsc::channel();
    // It ends with the test run.
    std::thread::spawn(move || {
        let (mut buffer, mut times) = ([0; 2000], 0);
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let Some((name, kind)) = question_of(&buffer[..len]) else { continue };
            answers(&name, kind, &buffer[..len], times).iter().for_each(|answer| send(&socket, answer, from));
            times += 1;
            if asked.send(name).is_err() {
                return;
            }
        }
    });
    Ok((port, names))
}

fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    // A lost answer is what the other side has to live with.
    let _ = socket.send_to(answer, to);
}

/// The name and the type that a question is about.
fn question_of(message: &[u8]) -> Option<(String, u16)> {
    let (mut labels, mut rest) = (Vec::new(), message.get(12..)?);
    loop {
        let (&len, behind) = rest.split_first()?;
        let (label, behind) = behind.split_at_checked(len.into())?;
        rest = behind;
        if len == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(label).into_owned());
    }
    let kind = rest.first_chunk::<2>()?;
    Some((labels.join("."), u16::from_be_bytes(*kind)))
}

/// An answer with this code and these records: type and data.
fn answer(question: &[u8], code: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    message[7] = records.len() as u8;
    for (kind, data) in records {
        message.extend_from_slice(&[0xc0, 12]);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}

fn names(tool: &Tool) -> Result<(), String> {
    const HOST: &[u8] = &[10, 0, 2, 2];
    // One never answers, one cannot, and one lies before it tells the truth.
    let (silent, asked_silent) = dns_server(|_, _, _, _| Vec::new())?;
    let (failing, asked_failing) = dns_server(|_, _, question, _| vec![answer(question, 2, &[])])?;
    let (truthful, asked) = dns_server(|name, kind, question, _| match (name, kind) {
        ("host.test", 1) => {
            let truth = answer(question, 0, &[(1, HOST)]);
            let mut other_number = answer(question, 0, &[(1, &[10, 0, 2, 66])]);
            other_number[0] ^= 1;
            let mut other_name = answer(question, 0, &[(1, &[10, 0, 2, 66])]);
            other_name[13] ^= 1;
            let mut circles = answer(question, 0, &[(5, &[0xc0, question.len() as u8 + 12]), (1, &[10, 0, 2, 66])]);
            circles.truncate(600);
            let too_long = vec![0xff; 1400];
            let cut_off = truth[..truth.len() - 2].to_vec();
            vec![other_number, other_name, circles, too_long, cut_off, truth]
        }
        ("host.test", _) => vec![answer(question, 0, &[])],
        ("alias.test", _) => vec![answer(question, 0, &[(5, b"\x04host\x04test\0")])],
        _ => vec![answer(question, 3, &[])],
    })?;
    let servers = format!("dns=10.0.2.2:{silent},10.0.2.2:{failing},10.0.2.2:{truthful}");
    let finished = run(tool, "ping", &format!("host=Alias.test count=1 timeout=20000 {servers}"))?;
    finished.expect_status(0)?.expect_output("PING Alias.test (10.0.2.2): 56 bytes of data")?;
    for (server, asked) in [("silent", &asked_silent), ("failing", &asked_failing)] {
        if !asked.try_iter().any(|name| name == "alias.test") {
            return Err(format!("the {server} server was not asked"));
        }
    }
    let asked: Vec<_> = asked.try_iter().collect();
    if !asked.contains(&"alias.test".to_owned()) || !asked.contains(&"host.test".to_owned()) {
        return Err(format!("the last server was asked for {asked:?}"));
    }
    let dns = format!("dns=10.0.2.2:{truthful}");
    let nobody = run(tool, "ping", &format!("host=nobody.test count=1 {dns}"))?;
    nobody.expect_status(2)?.expect_output("nobody.test: there is no such host")?;
    let port = web_server(&[("/", b"HTTP/1.0 200 OK\r\n\r\nby name")])?;
    let page = run(tool, "http-get", &format!("url=http://host.test:{port} {dns}"))?;
    page.expect_status(0)?.expect_output("by name").map(drop)
}

fn refusals(tool: &Tool) -> Result<(), String> {
    for (name, words, status, reason) in [
        ("tcp-echo", "port=0", 1, "port=0: expected a number from 1 to 65535"),
        ("udp-echo", "port=x", 1, "port=x: expected a number"),
        ("iperf3-server", "tests=0", 1, "tests=0: expected a number"),
        ("ping", "count=0", 2, "count=0: expected a number"),
        ("http-get", "", 1, "what to fetch?"),
        ("http-get", "url=https://10.0.2.2/", 1, "https is encrypted"),
        ("http-get", "url=ftp://10.0.2.2/", 1, "expected http://HOST/PATH"),
    ] {
        run(tool, name, words)?.expect_status(status)?.expect_output(reason)?;
        run(tool, name, "help")?.expect_status(0)?.expect_output(&format!("{name}: "))?;
    }
    Ok(())
}
