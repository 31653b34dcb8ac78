//! The table over two stacks and a cable, without waiting.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::errno::Errno;
use super::table::{Closing, Table};
use super::*;
use crate::net::stack::Stack;
use crate::net::stack::tests::{Count, Family, V4};

mod datagrams;
mod options;
mod readiness;
mod streams;

type World = crate::net::stack::tests::World<V4>;

const SERVER: IpAddr = V4::SERVER;
const CLIENT: IpAddr = V4::CLIENT;
const PORT: u16 = 7000;
const HERE: SocketAddr = SocketAddr::new(V4::ANY, PORT);

/// A table with its stack.
struct Side<'a> {
    table: &'a mut Table<Count>,
    stack: &'a mut Stack<Count>,
}

impl Side<'_> {
    fn socket(&mut self, kind: i32) -> i32 {
        self.table.socket(AF_INET, kind, 0).expect("there is room")
    }

    fn bind(&mut self, fd: i32, address: SocketAddr) -> Result<(), Errno> {
        self.table.bind(self.stack, fd, address)
    }

    fn listen(&mut self, fd: i32, backlog: i32) -> Result<(), Errno> {
        self.table.listen(self.stack, fd, backlog)
    }

    fn accept(&mut self, fd: i32) -> Result<(i32, SocketAddr), Errno> {
        self.table.accept(self.stack, fd, 0)
    }

    fn connect(&mut self, fd: i32, address: SocketAddr) -> Result<(), Errno> {
        self.table.connect(self.stack, fd, address)
    }

    fn send(&mut self, fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
        self.table.send(self.stack, fd, bytes, 0, None)
    }

    fn send_to(&mut self, fd: i32, bytes: &[u8], to: SocketAddr) -> Result<usize, Errno> {
        self.table.send(self.stack, fd, bytes, 0, Some(to))
    }

    fn recv(&mut self, fd: i32, flags: i32) -> Result<Vec<u8>, Errno> {
        let mut buffer = [0; 100];
        let (len, _) = self.table.receive(self.stack, fd, &mut buffer, flags)?;
        Ok(buffer[..len].to_vec())
    }

    fn shutdown(&mut self, fd: i32, how: i32) -> Result<(), Errno> {
        self.table.shutdown(self.stack, fd, how)
    }

    fn set(&mut self, fd: i32, level: i32, option: i32, value: impl Into<OptionValue>) -> Result<(), Errno> {
        self.table.set_option(Some(self.stack), fd, level, option, value.into())
    }

    fn get(&mut self, fd: i32, level: i32, option: i32) -> Result<OptionValue, Errno> {
        self.table.option(Some(self.stack), fd, level, option)
    }

    fn error(&mut self, fd: i32) -> i32 {
        self.get(fd, SOL_SOCKET, SO_ERROR).expect("it is a socket").integer().expect("it is a number")
    }

    fn close(&mut self, fd: i32) -> Result<Closing<Count>, Errno> {
        self.table.close(Some(self.stack), fd)
    }

    /// What `poll` finds if it asks for these events.
    fn events(&mut self, fd: i32, events: i16) -> i16 {
        let mut fds = [PollFd { fd, events, revents: 0 }];
        let ready = self.table.look(Some(self.stack), &mut fds);
        assert_eq!(ready, usize::from(fds[0].revents != 0));
        fds[0].revents
    }
}

struct Pair {
    world: World,
    server: Table<Count>,
    client: Table<Count>,
}

impl Pair {
    fn new() -> Self {
        Self { world: World::new(), server: Table::new(8), client: Table::new(8) }
    }

    fn server(&mut self) -> Side<'_> {
        Side { table: &mut self.server, stack: &mut self.world.server }
    }

    fn client(&mut self) -> Side<'_> {
        Side { table: &mut self.client, stack: &mut self.world.client }
    }

    /// A listening socket of the server.
    fn listener(&mut self) -> i32 {
        let mut server = self.server();
        let fd = server.socket(SOCK_STREAM);
        server.bind(fd, HERE).expect("the port is free");
        server.listen(fd, 4).expect("it is bound");
        fd
    }

    /// Both ends of a connection: the client's, the server's.
    fn connection(&mut self, listener: i32) -> (i32, i32) {
        let client = self.client().socket(SOCK_STREAM);
        assert_eq!(self.client().connect(client, there()), Err(Errno::EINPROGRESS));
        self.pass(20);
        assert_eq!(self.client().connect(client, there()), Ok(()));
        let (server, _) = self.server().accept(listener).expect("the handshake is complete");
        (client, server)
    }

    fn pass(&mut self, millis: u64) {
        self.world.pass(Duration::from_millis(millis));
    }
}

/// The server's address, for the client.
fn there() -> SocketAddr {
    SocketAddr::from((SERVER, PORT))
}

#[test]
fn descriptors_are_the_lowest_free_numbers_up_to_the_limit() {
    let mut table = Table::<Count>::new(3);
    let open = |table: &mut Table<Count>| table.socket(AF_INET, SOCK_STREAM, 0);
    assert_eq!([open(&mut table), open(&mut table), open(&mut table)], [Ok(3), Ok(4), Ok(5)]);
    assert_eq!(open(&mut table), Err(Errno::EMFILE));
    assert!(table.close(None, 4).is_ok());
    assert_eq!(open(&mut table), Ok(4));
    table.set_limit(4);
    assert_eq!(open(&mut table), Ok(6));
}

#[test]
fn a_number_that_is_no_socket_is_refused_by_every_call() {
    let mut pair = Pair::new();
    let closed = pair.server().socket(SOCK_STREAM);
    assert!(pair.server().close(closed).is_ok());
    for fd in [closed, -1, 0, 2, 4, i32::MAX, i32::MIN] {
        let mut side = pair.server();
        assert_eq!(side.bind(fd, HERE), Err(Errno::EBADF));
        assert_eq!(side.listen(fd, 1), Err(Errno::EBADF));
        assert_eq!(side.accept(fd), Err(Errno::EBADF));
        assert_eq!(side.connect(fd, there()), Err(Errno::EBADF));
        assert_eq!(side.send(fd, b"x"), Err(Errno::EBADF));
        assert_eq!(side.recv(fd, 0), Err(Errno::EBADF));
        assert_eq!(side.shutdown(fd, SHUT_RD), Err(Errno::EBADF));
        assert_eq!(side.set(fd, SOL_SOCKET, SO_REUSEADDR, 1), Err(Errno::EBADF));
        assert_eq!(side.get(fd, SOL_SOCKET, SO_ERROR), Err(Errno::EBADF));
        assert_eq!(side.table.local(fd), Err(Errno::EBADF));
        assert_eq!(side.table.peer(side.stack, fd), Err(Errno::EBADF));
        assert!(side.close(fd).is_err());
        assert_eq!(side.events(fd, POLLIN), if fd < 0 { 0 } else { POLLNVAL });
    }
}

#[test]
fn only_sockets_that_there_are_can_be_made() {
    let mut table = Table::<Count>::new(8);
    assert_eq!(table.socket(1, SOCK_STREAM, 0), Err(Errno::EAFNOSUPPORT));
    assert_eq!(table.socket(AF_INET, 3, 0), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(table.socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), Err(Errno::EPROTONOSUPPORT));
    assert_eq!(table.socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), Err(Errno::EPROTONOSUPPORT));
    for (kind, protocol) in [(SOCK_STREAM, 0), (SOCK_STREAM, IPPROTO_TCP), (SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP)] {
        assert!(table.socket(AF_INET6, kind | SOCK_CLOEXEC, protocol).is_ok());
    }
}

#[test]
fn a_number_that_is_given_again_is_not_what_a_waiting_thread_waits_for() {
    let mut table = Table::<Count>::new(8);
    let fd = table.socket(AF_INET, SOCK_STREAM, 0).expect("there is room");
    let (serial, signal, _) = table.waiting(fd, table::Direction::In).expect("it is there");
    let mut world = World::new();
    assert!(table.close(Some(&mut world.server), fd).is_ok());
    assert_eq!((signal.readable_calls(), signal.writable_calls()), (1, 1), "who waits is woken");
    assert!(!table.is_still(fd, serial));
    assert_eq!(table.socket(AF_INET, SOCK_STREAM, 0), Ok(fd));
    assert!(!table.is_still(fd, serial));
}
