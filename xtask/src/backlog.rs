//! Room for connections that arrive at once.
//!
//! QEMU's user-mode network listens on a forwarded port with a backlog of one: of many connections that come together
//! the host drops all but two, and their owners try again after one second, three, seven. A server in the guest never
//! hears of it. `listen` may be called again on a socket that listens already, and a parent may have a duplicate of its
//! child's descriptor: so the tool finds QEMU's socket and asks for a longer backlog.
//!
//! It is a kindness, not a need: where the host forbids it, connections are only slower.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::listen;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// What the host makes of it: at most `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// How long QEMU may take to open its sockets.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lengthens the backlog of the socket with which the process `pid` listens on `port` of 127.0.0.1, as soon as there is
/// one. Whether it worked.
pub fn lengthen(pid: u32, port: u16) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(descriptor) = listening_descriptor(pid, port) {
            return duplicate(pid, descriptor).is_some_and(|socket| listen(&socket, BACKLOG).is_ok());
        }
        if Instant::now() >= deadline || !Path::new(&format!("/proc/{pid}")).exists() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A descriptor of ours for the same socket.
fn duplicate(pid: u32, descriptor: i32) -> Option<OwnedFd> {
    let process = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
    pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty()).ok()
}

/// The number that the process knows the socket by.
fn listening_descriptor(pid: u32, port: u16) -> Option<i32> {
    let inode = listening_inode(&fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?, port)?;
    let wanted = format!("socket:[{inode}]");
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    descriptors
        .flatten()
        .find(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()))
        .and_then(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The inode of the socket that listens on `port` of 127.0.0.1, in the table of `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    let local = format!("0100007F:{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_it = words.next()? == local;
        // The remote address, then the state: 0A is LISTEN.
        let listens = words.nth(1)? == "0A";
        let inode = words.nth(5)?.parse().ok()?;
        (is_it && listens).then_some(inode)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0100007F:A001 01 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 20 4 30 10 -1
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 100 0 0 10 0
   2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 333 1 0 100 0 0 10 0
";

    #[test]
    fn only_a_listener_on_loopback_is_found() {
        assert_eq!(listening_inode(TABLE, 8080), Some(333));
        assert_eq!(listening_inode(TABLE, 8081), None);
        assert_eq!(listening_inode("", 8080), None);
    }

    #[test]
    fn a_backlog_of_one_becomes_long() {
        // This very process listens, with a backlog of one that is never served.
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listen(&listener, 1).unwrap();
        let address = listener.local_addr().unwrap();
        let connects = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let mut waiting: Vec<_> = std::iter::from_fn(connects).take(10).collect();
        assert!(waiting.len() < 10, "the host has no short backlogs");
        assert!(lengthen(std::process::id(), address.port()));
        waiting.extend(std::iter::from_fn(connects).take(20));
        assert!(waiting.len() > 20);
    }
}
