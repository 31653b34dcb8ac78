//! The static web server, end to end: curl on the host, the server in a virtual machine, files by virtio-fs.
//!
//! A tree of a thousand files is fetched byte for byte on every machine; the rest (status codes, jails, slow clients,
//! files larger than the guest's memory, files that shrink) is tried on one.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::MACHINES;
use super::tree::{self, Tree};
use crate::case::Case;
use crate::tool::{Running, Tool};

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("web::without_a_share_the_bundled_site_is_served", bundled_site),
        Case::new("web::status_codes_are_those_of_a_good_server", status_codes),
        Case::new("web::nothing_outside_the_share_is_served", jail),
        Case::new("web::every_core_with_a_card_serves_the_share", every_core),
        Case::new("web::slow_clients_do_not_block_others", slow_clients),
        Case::new("web::sixty_four_connections_at_once", many_connections),
        Case::new("web::devices_without_event_idx_lose_no_wake_up", without_event_idx),
        Case::new("web::a_legacy_card_without_any_layout_serves", demanding_card),
        Case::new("web::a_file_that_shrinks_ends_the_connection", shrinking_file).slow(),
        Case::new("web::a_file_larger_than_memory_streams", large_file).slow(),
    ];
    for machine in MACHINES {
        let name = format!("web::legacy_cards_serve_on_{machine}");
        cases.push(Case::new(name, move |tool| legacy_card(tool, machine)));
        let name = format!("web::a_thousand_files_are_identical_on_{machine}");
        cases.push(Case::new(name, move |tool| thousand_files(tool, machine)).slow());
    }
    for (machine, nic) in [("pc", "e1000"), ("q35", "e1000")] {
        let name = format!("web::an_{nic}_serves_on_{machine}");
        cases.push(Case::new(name, move |tool| few_files(tool, &["--machine", machine, "--nic", nic])));
    }
    cases.push(Case::new("web::dev_image_serves_files", |tool| few_files(tool, &["--dev"])).slow());
    cases
}

/// A server in a virtual machine.
struct Server {
    running: Running,
    url: String,
    port: u16,
}

impl Server {
    /// Starts the server with these options and waits until the tool says that it answers.
    fn start(tool: &Tool, share: Option<&Path>, options: &[&str]) -> Result<Self, String> {
        // Port 0 lets the tool choose one that is free.
        let mut arguments: Vec<String> = ["run", "static-web-server", "--port", "0"].map(str::to_owned).into();
        if let Some(share) = share {
            arguments.extend(["--share".to_owned(), share.to_string_lossy().into_owned()]);
        }
        arguments.extend(options.iter().map(|&option| option.to_owned()));
        let mut running = tool.start(arguments, &[])?;
        let port = running.await_line(|line| {
            line.strip_prefix("http://127.0.0.1:")
                .and_then(|rest| rest.strip_suffix('/'))
                .and_then(|port| port.parse().ok())
        })?;
        Ok(Self { running, url: format!("http://127.0.0.1:{port}/"), port })
    }

    fn connect(&self) -> Result<TcpStream, String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| format!("connect: {error}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(|error| error.to_string())?;
        Ok(stream)
    }

    /// Stops it as a user does.
    fn stop(self) -> Result<(), String> {
        self.running.signal(Signal::INT)?;
        self.running.finish()?.expect_status(130)?;
        Ok(())
    }
}

/// Runs curl with these arguments; gives its exit status and what it printed.
fn curl(arguments: &[&str]) -> Result<(i32, Vec<u8>), String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--path-as-is", "--max-time", "600"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("curl: {error}"))?;
    Ok((output.status.code().unwrap_or(-1), output.stdout))
}

/// The status code and the head of an answer, without its body.
fn head(arguments: &[&str]) -> Result<(u16, String), String> {
    let mut all = vec!["--include", "--output", "-"];
    all.extend(arguments);
    let (_, bytes) = curl(&all)?;
    let text = String::from_utf8_lossy(&bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(|| format!("no status line: {text:?}"))?, head.to_lowercase()))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}: expected {wanted:?}, got {got:?}")) }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

fn thousand_files(tool: &Tool, machine: &'static str) -> Result<(), String> {
    let tree = Tree::build(&tree::thousand())?;
    let server = Server::start(tool, Some(tree.path()), &["--machine", machine])?;
    tree.fetch_and_compare(&server.url)?;
    server.stop()
}

fn few_files(tool: &Tool, options: &[&str]) -> Result<(), String> {
    let tree = Tree::build(&tree::few())?;
    let server = Server::start(tool, Some(tree.path()), options)?;
    tree.fetch_and_compare(&server.url)?;
    server.stop()
}

/// Over the legacy interface of the network card. A share is a modern device, and on microvm there is none beside
/// legacy ones.
fn legacy_card(tool: &Tool, machine: &str) -> Result<(), String> {
    if machine == "microvm" {
        return serves_bundled_site(tool, &["--machine", machine, "--virtio", "legacy"]);
    }
    few_files(tool, &["--machine", machine, "--virtio", "legacy"])
}

/// A card that wants its header in a descriptor of its own has it there.
fn demanding_card(tool: &Tool) -> Result<(), String> {
    serves_bundled_site(tool, &["--virtio", "legacy", "--", "-global", "virtio-net-device.any_layout=off"])
}

/// Two cards, each on a core of its own, and one share, which belongs to the first of them: the second core has its files
/// by messages.
fn every_core(tool: &Tool) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(text)?;
    let contents: Vec<u8> = (0..300_000_u32).map(|number| (number / 7) as u8).collect();
    fs::write(directory.path().join("file"), &contents).map_err(text)?;
    let share = directory.path().to_string_lossy();
    let options = ["--cpus", "2", "--nics", "2", "--append", "owner=virtio-net0:0 owner=virtio-net1:1"];
    let mut running =
        tool.start(["run", "static-web-server", "--port", "0", "--share", &share].iter().chain(&options), &[])?;
    let mut urls = Vec::new();
    while urls.len() < 2 {
        urls.push(running.await_line(|line| line.starts_with("http://127.0.0.1:").then(|| line.trim().to_owned()))?);
    }
    for url in urls.iter().cycle().take(20) {
        let (status, body) = curl(&[&format!("{url}file")])?;
        expect("curl's status", &status, &0)?;
        expect("the file's contents", &(body == contents), &true)?;
    }
    running.signal(Signal::INT)?;
    running.finish()?.expect_status(130).map(drop)
}

fn bundled_site(tool: &Tool) -> Result<(), String> {
    serves_bundled_site(tool, &[])
}

fn serves_bundled_site(tool: &Tool, options: &[&str]) -> Result<(), String> {
    let server = Server::start(tool, None, options)?;
    let (status, head) = head(&[&server.url])?;
    expect("status", &status, &200)?;
    if !head.contains("content-type: text/html") {
        return Err(format!("not a page: {head}"));
    }
    server.stop()
}

fn status_codes(tool: &Tool) -> Result<(), String> {
    let share = tempfile::tempdir().map_err(text)?;
    fs::create_dir(share.path().join("sub")).map_err(text)?;
    fs::write(share.path().join("ten.txt"), b"0123456789").map_err(text)?;
    let server = Server::start(tool, Some(share.path()), &[])?;
    let url = |path: &str| format!("{}{path}", server.url);
    let ten = url("ten.txt");

    let (status, answer) = head(&[&ten])?;
    expect("GET", &status, &200)?;
    for field in ["content-length: 10", "content-type: text/plain", "date: ", "last-modified: ", "etag: "] {
        if !answer.contains(field) {
            return Err(format!("no {field:?} in {answer}"));
        }
    }
    let etag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default();
    let matching = format!("If-None-Match: {etag}");
    let cases: [(&str, u16, Vec<&str>); 10] = [
        ("unchanged", 304, vec!["--header", &matching, &ten]),
        ("part", 206, vec!["--range", "2-5", &ten]),
        ("part beyond the end", 416, vec!["--range", "20-", &ten]),
        ("HEAD", 200, vec!["--head", &ten]),
        ("POST", 405, vec!["--data", "x", &ten]),
        ("unknown method", 501, vec!["--request", "BREW", &ten]),
        ("no such file", 404, vec![&server.url, "--request-target", "/missing"]),
        ("directory without slash", 301, vec![&server.url, "--request-target", "/sub"]),
        ("directory", 200, vec![&server.url, "--request-target", "/sub/"]),
        ("bad escape", 400, vec![&server.url, "--request-target", "/%zz"]),
    ];
    for (what, wanted, arguments) in cases {
        expect(what, &head(&arguments)?.0, &wanted)?;
    }
    expect("the part itself", &curl(&["--range", "2-5", &ten])?.1, &b"2345".to_vec())?;
    let long = format!("/{}", "x".repeat(20_000));
    expect("a target that is too long", &head(&[&server.url, "--request-target", &long])?.0, &414)?;
    let huge = format!("X-Huge: {}", "x".repeat(40_000));
    expect("a header that is too large", &head(&["--header", &huge, &ten])?.0, &431)?;
    server.stop()
}

fn jail(tool: &Tool) -> Result<(), String> {
    let outside = tempfile::tempdir().map_err(text)?;
    let share = outside.path().join("share");
    fs::create_dir_all(share.join("sub")).map_err(text)?;
    fs::write(outside.path().join("secret"), b"the secret").map_err(text)?;
    fs::write(share.join("open"), b"for everyone").map_err(text)?;
    symlink("../secret", share.join("up")).map_err(text)?;
    symlink(outside.path().join("secret"), share.join("absolute")).map_err(text)?;
    symlink("../..", share.join("sub/parents")).map_err(text)?;
    symlink("/etc", share.join("etc")).map_err(text)?;
    symlink("sub/../open", share.join("inside")).map_err(text)?;
    symlink("loop", share.join("loop")).map_err(text)?;
    let server = Server::start(tool, Some(&share), &[])?;
    for target in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/../../secret",
        "/sub/%2e%2e/%2e%2e/secret",
        "/..\\secret",
        "/..%5csecret",
        "//../secret",
        "/up",
        "/absolute",
        "/sub/parents/secret",
        "/sub/parents/../secret",
        "/etc/passwd",
        "/loop",
        "/open%00",
        "/.%2e/secret",
    ] {
        let (status, bytes) = curl(&["--include", &server.url, "--request-target", target])?;
        let answer = String::from_utf8_lossy(&bytes).into_owned();
        let is_refused = answer.split(' ').nth(1).is_some_and(|code| code.starts_with('4'));
        if status != 0 || !is_refused || answer.contains("the secret") || answer.contains("root:") {
            return Err(format!("{target}: {answer}"));
        }
    }
    expect("a link that stays inside", &curl(&[&format!("{}inside", server.url)])?.1, &b"for everyone".to_vec())?;
    server.stop()
}

fn slow_clients(tool: &Tool) -> Result<(), String> {
    let tree = Tree::build(&tree::few())?;
    let server = Server::start(tool, Some(tree.path()), &["--append", "header-timeout=2"])?;
    // Half a request each, and silence.
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = server.connect()?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: ").map_err(text)?;
        slow.push(stream);
    }
    tree.fetch_and_compare(&server.url)?;
    for mut stream in slow {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|error| format!("a slow client: {error}"))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if !answer.is_empty() && !answer.starts_with("HTTP/1.1 408 ") {
            return Err(format!("a slow client was told {answer:?}"));
        }
    }
    server.stop()
}

fn many_connections(tool: &Tool) -> Result<(), String> {
    const CONNECTIONS: usize = 64;
    let share = tempfile::tempdir().map_err(text)?;
    let body: Vec<u8> = (0..4096_u32).map(|i| (i * 31) as u8).collect();
    fs::write(share.path().join("file"), &body).map_err(text)?;
    // QEMU's user-mode network has a short queue of connections to be accepted: connecting takes seconds.
    let options = ["--append", "access-log=off header-timeout=300 idle-timeout=300"];
    let server = Server::start(tool, Some(share.path()), &options)?;
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(server.connect()?);
    }
    for round in 0..10 {
        for stream in &mut streams {
            stream.write_all(b"GET /file HTTP/1.1\r\nHost: toro\r\n\r\n").map_err(text)?;
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let answer = read_answer(stream).map_err(|error| format!("round {round}, connection {number}: {error}"))?;
            expect("body", &(answer == body), &true)?;
        }
    }
    server.stop()
}

/// As many downloads of a mebibyte at once, in as many mebibytes, by an image built with these options.
pub fn sixteen_connections(tool: &Tool, options: &[&str]) -> Result<(), String> {
    const CONNECTIONS: usize = 16;
    let share = tempfile::tempdir().map_err(text)?;
    let body: Vec<u8> = (0..1_u32 << 20).map(|i| (i * 31 + i / 257) as u8).collect();
    fs::write(share.path().join("file"), &body).map_err(text)?;
    let memory = ["--memory", "16", "--append", "access-log=off header-timeout=300 idle-timeout=300 write-timeout=300"];
    let server = Server::start(tool, Some(share.path()), &[options, &memory].concat())?;
    // All are connected before the first one asks.
    let mut streams = (0..CONNECTIONS).map(|_| server.connect()).collect::<Result<Vec<_>, _>>()?;
    for stream in &mut streams {
        stream.write_all(b"GET /file HTTP/1.1\r\nHost: toro\r\n\r\n").map_err(text)?;
    }
    std::thread::scope(|scope| {
        let readers: Vec<_> = streams.iter_mut().map(|stream| scope.spawn(|| read_answer(stream))).collect();
        for (number, reader) in readers.into_iter().enumerate() {
            let answer = reader.join().map_err(|_| "a reader panicked")?;
            let answer = answer.map_err(|error| format!("connection {number}: {error}"))?;
            expect("body", &(answer == body), &true)?;
        }
        Ok::<(), String>(())
    })?;
    server.stop()
}

/// Devices that can only be told to interrupt or not to, instead of when. After each pause the guest sleeps.
fn without_event_idx(tool: &Tool) -> Result<(), String> {
    let tree = Tree::build(&tree::few())?;
    let net = ["-global", "virtio-net-device.event_idx=off"];
    let fs = ["-global", "vhost-user-fs-device.event_idx=off"];
    let options = [&["--machine", "microvm", "--"][..], &net, &fs].concat();
    let server = Server::start(tool, Some(tree.path()), &options)?;
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(500));
        tree.fetch_and_compare(&server.url)?;
    }
    server.stop()
}

/// Reads one answer with a Content-Length from a connection that stays open; gives its body.
fn read_answer(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize =
                length.and_then(|text| text.parse().ok()).ok_or_else(|| format!("no length: {head}"))?;
            if bytes.len() >= end + 4 + length {
                return Ok(bytes[end + 4..end + 4 + length].to_vec());
            }
        }
        match stream.read(&mut piece).map_err(text)? {
            0 => return Err(format!("closed after {} bytes", bytes.len())),
            count => bytes.extend(&piece[..count]),
        }
    }
}

/// Asks for a file on a connection of its own and reads the head of the answer.
fn begin(server: &Server, target: &str) -> Result<(TcpStream, Vec<u8>), String> {
    let mut stream = server.connect()?;
    let request = format!("GET /{target} HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).map_err(text)?;
        bytes.extend(&piece[..count]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok((stream, bytes.split_off(end + 4)));
        }
        if count == 0 {
            return Err("closed before the end of the head".to_owned());
        }
    }
}

fn shrinking_file(tool: &Tool) -> Result<(), String> {
    const LENGTH: usize = 64 << 20;
    let share = tempfile::tempdir().map_err(text)?;
    let path = share.path().join("shrinks");
    fs::write(&path, vec![b'a'; LENGTH]).map_err(text)?;
    let server = Server::start(tool, Some(share.path()), &[])?;
    let (mut stream, start) = begin(&server, "shrinks")?;
    let mut received = start.len();
    // The buffers between the server and us are far smaller than the file, so most of it is still to be read.
    let file = File::options().write(true).open(&path).map_err(text)?;
    file.set_len(1 << 20).map_err(text)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                received += count;
                if piece[..count].iter().any(|&byte| byte != b'a') {
                    return Err(format!("junk before byte {received}"));
                }
            }
            // A reset says as clearly that the answer is not whole.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(text(error)),
        }
    }
    if received >= LENGTH {
        return Err("the whole length was sent".to_owned());
    }
    server.stop()
}

fn large_file(tool: &Tool) -> Result<(), String> {
    const LENGTH: u64 = 1 << 30;
    let share = tempfile::tempdir().map_err(text)?;
    let path = share.path().join("large");
    let mut file = File::create(&path).map_err(text)?;
    file.set_len(LENGTH).map_err(text)?;
    // A sparse file with marks, some of them across likely buffer sizes.
    for mark in (0..LENGTH).step_by(7_340_031) {
        file.seek(SeekFrom::Start(mark)).map_err(text)?;
        file.write_all(&mark.to_le_bytes()[..8.min((LENGTH - mark) as usize)]).map_err(text)?;
    }
    drop(file);
    let server = Server::start(tool, Some(share.path()), &["--memory", "64"])?;
    let (mut stream, start) = begin(&server, "large")?;
    let mut original = File::open(&path).map_err(text)?;
    let mut expected = vec![0; 1 << 16];
    let mut piece = vec![0; 1 << 16];
    let mut position = 0_u64;
    let mut compare = |bytes: &[u8]| -> Result<(), String> {
        original.read_exact(&mut expected[..bytes.len()]).map_err(text)?;
        if bytes != &expected[..bytes.len()] {
            return Err(format!("another content behind byte {position}"));
        }
        position += bytes.len() as u64;
        Ok(())
    };
    compare(&start)?;
    loop {
        match stream.read(&mut piece).map_err(text)? {
            0 => break,
            count => compare(&piece[..count])?,
        }
    }
    expect("length", &position, &LENGTH)?;
    server.stop()
}
