//! Slow clients: they time out, and nobody waits for them.

use std::{
    thread,
    time::{Duration, Instant},
};

use web_tests::{
    config::Config,
    host::{Directory, Running},
};

use crate::{
    client::{Client, Expect, ask},
    site::{Scratch, pattern},
};

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

fn server(config: Config) -> (Scratch, Running<Directory>) {
    let scratch = Scratch::new();
    scratch.file("a", "hello").file("large", pattern(32 << 20));
    let server = Running::start(Directory::new(scratch.path()), config);
    (scratch, server)
}

fn patient() -> Config {
    Config { header_timeout: LONG, idle_timeout: LONG, write_timeout: LONG, ..Config::default() }
}

#[test]
fn a_head_that_does_not_end_is_408_however_steadily_it_comes() {
    let (_scratch, server) = server(Config { header_timeout: SHORT, ..patient() });
    let mut client = Client::new(server.address);
    let start = Instant::now();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nX: ");
    let mut sender = client.stream.try_clone().expect("a second handle");
    let dripping = thread::spawn(move || {
        // Each byte comes well before the deadline; all of them together do not.
        while start.elapsed() < 20 * SHORT && std::io::Write::write_all(&mut sender, b"x").is_ok() {
            thread::sleep(SHORT / 8);
        }
    });
    let response = client.receive(Expect::Body);
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
    assert!(start.elapsed() >= SHORT && start.elapsed() < 10 * SHORT, "{:?}", start.elapsed());
    drop(client);
    dripping.join().expect("it ends");
}

#[test]
fn what_is_no_http_is_refused_without_waiting_for_more() {
    let (_scratch, server) = server(patient());
    let mut client = Client::new(server.address);
    assert_eq!(client.send("\x16\x03\x01\x02\x00\x01").receive(Expect::Body).status, 400);
}

#[test]
fn a_connection_that_says_nothing_is_closed_in_silence() {
    let (_scratch, server) = server(Config { header_timeout: SHORT, ..patient() });
    let start = Instant::now();
    assert!(Client::new(server.address).rest().is_empty());
    assert!(start.elapsed() >= SHORT / 2 && start.elapsed() < LONG / 2);
}

#[test]
fn an_idle_connection_is_closed_in_silence() {
    let (_scratch, server) = server(Config { idle_timeout: SHORT, ..patient() });
    let mut client = Client::new(server.address);
    assert_eq!(client.ask("GET", "/a", &[]).status, 200);
    thread::sleep(SHORT / 4);
    assert_eq!(client.ask("GET", "/a", &[]).status, 200);
    let start = Instant::now();
    assert!(client.rest().is_empty());
    assert!(start.elapsed() >= SHORT / 2 && start.elapsed() < LONG / 2);
}

#[test]
fn a_client_that_does_not_take_its_response_is_cut_off() {
    let (_scratch, server) = server(Config { write_timeout: SHORT, ..patient() });
    let mut client = Client::new(server.address);
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    let deadline = Instant::now() + LONG / 2;
    while server.server.environment.lines().is_empty() {
        assert!(Instant::now() < deadline, "the server still waits");
        thread::sleep(SHORT / 8);
    }
    assert!(client.rest().len() < 32 << 20);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let (_scratch, server) = server(Config { header_timeout: SHORT, ..patient() });
    let mut client = Client::new(server.address);
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.receive(Expect::Body).status, 405);
    assert!(client.rest().is_empty());
}

#[test]
fn slow_clients_do_not_hold_up_others() {
    let (_scratch, server) = server(patient());
    let mut slow: Vec<Client> = (0..40).map(|_| Client::new(server.address)).collect();
    for (index, client) in slow.iter_mut().enumerate() {
        client.send(if index % 2 == 0 { "GET /a HT" } else { "GET /large HTTP/1.0\r\n\r\n" });
    }
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(ask(server.address, "GET", "/a", &[]).body, b"hello");
    }
    assert!(start.elapsed() < LONG / 4, "{:?}", start.elapsed());
    for client in slow.iter_mut().step_by(2) {
        client.send("TP/1.0\r\n\r\n");
        assert_eq!(client.receive(Expect::Body).body, b"hello");
    }
}
