//! Files that change or fail while they are sent, files that are large, and more clients than places.

use std::{
    fs,
    io::{Read, Write},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use web_tests::{
    config::Config,
    host::{Directory, Running},
    respond::BUFFER_LENGTH,
};

use crate::{
    client::{Client, ask},
    site::{End, Odd, OddStorage, Scratch, pattern},
};

fn odd(odd: Odd) -> (Running<OddStorage>, Arc<Odd>) {
    let odd = Arc::new(odd);
    (Running::start(OddStorage(Arc::clone(&odd)), Config::default()), odd)
}

fn share(scratch: &Scratch) -> Running<Directory> {
    Running::start(Directory::new(scratch.path()), Config::default())
}

#[test]
fn a_file_that_shrinks_ends_the_connection_at_the_last_true_byte() {
    for end in [End::Eof, End::Failure] {
        let actual = 3 * BUFFER_LENGTH as u64;
        let (server, _) = odd(Odd::new(1_000_000, actual, end));
        let mut client = Client::new(server.address);
        client.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
        let bytes = client.rest();
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        assert!(String::from_utf8_lossy(&bytes[..head]).contains("Content-Length: 1000000\r\n"));
        let body = &bytes[head..];
        assert!(body.len() as u64 <= actual && body.len() > BUFFER_LENGTH);
        assert_eq!(body, pattern(body.len()));
    }
}

#[test]
fn a_file_that_fails_before_anything_was_sent_is_500() {
    for end in [End::Eof, End::Failure] {
        let (server, _) = odd(Odd::new(1_000, 999, end));
        let mut client = Client::new(server.address);
        assert_eq!(client.ask("GET", "/file", &[]).status, 500);
        assert_eq!(client.ask("GET", "/file", &["Range: bytes=0-9"]).body, pattern(10));
    }
}

#[test]
fn a_file_that_grows_is_cut_at_the_promised_length() {
    let (server, _) = odd(Odd::new(100_000, u64::MAX, End::Eof));
    let mut client = Client::new(server.address);
    for _ in 0..2 {
        assert_eq!(client.ask("GET", "/file", &[]).body, pattern(100_000));
    }
}

#[test]
fn storage_that_reads_a_little_at_a_time_is_read_until_it_is_done() {
    let mut file = Odd::new(100_000, 100_000, End::Eof);
    file.piece = 777;
    let (server, _) = odd(file);
    assert_eq!(ask(server.address, "GET", "/file", &[]).body, pattern(100_000));
}

#[test]
fn a_small_file_costs_one_read_and_nothing_is_read_for_head_or_304() {
    let (server, file) = odd(Odd::new(4096, 4096, End::Eof));
    let mut client = Client::new(server.address);
    let tag = client.ask("HEAD", "/file", &[]).field("etag").expect("a tag").to_owned();
    client.ask("GET", "/file", &[&format!("If-None-Match: {tag}")]);
    assert_eq!(file.reads.load(SeqCst), 0);
    client.ask("GET", "/file", &[]);
    assert_eq!(file.reads.load(SeqCst), 1);
    client.ask("GET", "/file", &["Range: bytes=4000-"]);
    assert_eq!(*file.offsets.lock().expect("nobody panics here"), [0, 4000]);
}

#[test]
fn a_gigabyte_streams_through_small_buffers() {
    const LENGTH: u64 = 1 << 30;
    let scratch = Scratch::new();
    let file = fs::File::create(scratch.path().join("large")).expect("a file");
    file.set_len(LENGTH).expect("a sparse file");
    let server = share(&scratch);
    let mut client = Client::new(server.address);
    client.send("GET /large HTTP/1.0\r\n\r\n");
    let mut total = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match client.stream.read(&mut buffer).expect("it goes on") {
            0 => break,
            length => total += length as u64,
        }
    }
    assert!((LENGTH + 1..LENGTH + 1024).contains(&total), "{total}");

    // The longest read shows how much memory a transfer takes.
    let (server, odd) = odd(Odd::new(10_000_000, 10_000_000, End::Eof));
    assert_eq!(ask(server.address, "GET", "/file", &[]).body.len(), 10_000_000);
    assert_eq!(odd.longest_read.load(SeqCst), BUFFER_LENGTH);
}

#[test]
fn a_listing_longer_than_the_buffer_is_sent_whole_and_bounded() {
    let (server, _) = odd(Odd::new(0, 0, End::Eof));
    let mut client = Client::new(server.address);
    for _ in 0..2 {
        let page = client.ask("GET", "/", &[]);
        assert!(page.body.len() > BUFFER_LENGTH);
        assert!(page.text().contains("more than 10000 entries"));
        assert!(page.text().contains("entry-09999") && !page.text().contains("entry-10000"));
        assert!(page.text().ends_with("</html>\n"));
    }
}

#[test]
fn sixty_four_connections_are_served_at_once_and_one_too_many_is_503() {
    let scratch = Scratch::new();
    scratch.file("a", "hello");
    let config = Config { max_connections: 64, ..Config::default() };
    let server = Running::start(Directory::new(scratch.path()), config);
    let mut clients: Vec<Client> = (0..64).map(|_| Client::new(server.address)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET", "/a", &[]).status, 200);
    }
    let mut late = Client::new(server.address);
    let refused = late.ask("GET", "/a", &[]);
    assert_eq!(refused.status, 503);
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(refused.field("connection"), Some("close"));
    late.finish().rest();
    for client in &mut clients {
        assert_eq!(client.ask("GET", "/a", &[]).status, 200);
    }
    // A connection that ends makes room, as soon as its thread has noticed.
    drop(clients.pop());
    let deadline = Instant::now() + Duration::from_secs(5);
    while ask(server.address, "GET", "/a", &[]).status != 200 {
        assert!(Instant::now() < deadline, "no room was made");
    }
}

#[test]
fn connections_beyond_those_that_are_told_are_closed_without_a_word() {
    let scratch = Scratch::new();
    let config = Config { max_connections: 1, ..Config::default() };
    let server = Running::start(Directory::new(scratch.path()), config);
    let mut served = Client::new(server.address);
    assert_eq!(served.ask("GET", "/", &[]).status, 200);
    let mut others: Vec<Client> = (0..40).map(|_| Client::new(server.address)).collect();
    let mut told = 0;
    for other in &mut others {
        // The server may be gone already.
        let _ = other.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let bytes = other.rest();
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 503 "));
        told += usize::from(!bytes.is_empty());
    }
    assert!((1..=16).contains(&told), "{told}");
    assert_eq!(served.ask("GET", "/", &[]).status, 200);
}
