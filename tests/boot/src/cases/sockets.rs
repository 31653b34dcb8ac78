//! Sockets: what blocks and what ends it, limits, and a service.
//!
//! ```text
//!   a guest's client --> 10.0.2.2:PORT --> the host's 127.0.0.1:PORT --> port 7000 of the same guest
//!   a guest's client --> 127.0.0.1:7000 of the same guest, which never leaves it
//!   a client here    --> 127.0.0.1:PORT --> port 7 of a guest
//! ```
//!
//! The first way goes through QEMU's user network twice, so everything is a real peer's answer; the second is exact about
//! resets, which a network in between makes ends of.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::case::Case;
use crate::tool::Tool;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (machine, device) in [("microvm", "virtio-net-device"), ("q35", "virtio-net-pci,disable-legacy=on")] {
        let name = format!("sockets::pass_their_tests_through_the_host_on_{machine}");
        cases.push(Case::new(name, move |tool| through_the_host(tool, machine, device)));
    }
    for (name, options, words) in [
        ("release_pass_their_tests_within_one_guest", &[][..], ""),
        ("release_pass_their_tests_on_the_last_core", &["--cpus", "2"], " core=1"),
        ("dev_pass_their_tests_within_one_guest", &["--dev"], ""),
    ] {
        cases.push(Case::new(format!("sockets::{name}"), move |tool| {
            within(tool, options, &format!("test=sockets{words}"))
        }));
    }
    cases.push(Case::new("sockets::stop_at_the_limits_of_the_command_line", |tool| {
        within(tool, &[], "test=socket-limits net.sockets=6 net.udp-sockets=2 net.descriptors=5 net.memory=8")
    }));
    cases.push(Case::new("sockets::limit_that_is_none_is_reported_and_passed_over", |tool| {
        let words = "test=threads net.backlog=none net.memory=0";
        let finished = tool.run(["run", "kernel-tests", "--timeout", "300", "--append", words])?;
        finished.expect_status(0)?.expect_output("net.backlog= wants a number from 1")?;
        finished.expect_output("net.memory= wants a number from 1").map(drop)
    }));
    cases.push(Case::new("sockets::service_serves_clients_at_the_same_time", service));
    cases
}

fn error(error: std::io::Error) -> String {
    error.to_string()
}

/// A port of the host that is free for both protocols, as far as one can know.
fn free_port() -> Result<u16, String> {
    for _ in 0..100 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(error)?;
        let port = tcp.local_addr().map_err(error)?.port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free".to_owned())
}

fn through_the_host(tool: &Tool, machine: &str, device: &str) -> Result<(), String> {
    let port = free_port()?;
    let forward = format!("hostfwd=tcp:127.0.0.1:{port}-:7000,hostfwd=udp:127.0.0.1:{port}-:7000");
    let (words, network) = (format!("test=sockets through=10.0.2.2:{port}"), format!("user,id=n,{forward}"));
    let device = format!("{device},netdev=n");
    let run = ["run", "kernel-tests", "--machine", machine, "--nics", "0", "--timeout", "300", "--append", &words];
    let finished = tool.run(run.iter().chain(&["--", "-netdev", &network, "-device", &device]).copied())?;
    finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed").map(drop)
}

/// Without a network card.
fn within(tool: &Tool, options: &[&str], words: &str) -> Result<(), String> {
    let run = ["run", "kernel-tests", "--nics", "0", "--timeout", "300", "--append", words];
    let finished = tool.run(run.iter().chain(options).copied())?;
    finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed").map(drop)
}

/// Clients that are all connected before the first of them speaks, and speak in another order.
fn service(tool: &Tool) -> Result<(), String> {
    const CLIENTS: usize = 20;
    const PATIENCE: Duration = Duration::from_secs(60);
    let port = free_port()?;
    // The tool itself looks whether somebody listens; how often, it decides.
    let forward = format!("user,id=n,hostfwd=tcp:127.0.0.1:{port}-:7");
    let run = ["run", "echo-service", "--machine", "microvm", "--nics", "0", "--timeout", "300"];
    let words = format!("clients={CLIENTS}");
    let more = ["--append", &words, "--", "-netdev", &forward, "-device", "virtio-net-device,netdev=n"];
    let mut running = tool.start(run.iter().chain(&more).copied(), &[])?;
    running.await_line(|line| line.starts_with("echo-service: port 7 of ").then_some(()))?;
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(error);
    let mut clients = (0..CLIENTS).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    let text = |number: usize| format!("client {number} says something, ").repeat(number * 100 + 1).into_bytes();
    for (number, client) in clients.iter_mut().enumerate().rev() {
        client.set_read_timeout(Some(PATIENCE)).map_err(error)?;
        client.write_all(&text(number)).map_err(error)?;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.shutdown(Shutdown::Write).map_err(error)?;
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).map_err(error)?;
        if heard != text(number) {
            return Err(format!("client {number} heard {} bytes, not what it said", heard.len()));
        }
    }
    let finished = running.finish()?;
    finished.expect_status(0)?;
    for number in 0..CLIENTS {
        finished.expect_output(&format!(": {} bytes, finished", text(number).len()))?;
    }
    Ok(())
}
