//! The same by numbers.

use alloc::vec;
use alloc::vec::Vec;

use toro::io::Error;
use toro::socket::*;
use toro::thread;
use toro::time::{Duration, Instant};

use super::{SHORT, here, through};

/// Milliseconds that are long enough for anything that must happen.
const LONG: i32 = 60_000;

fn errno<T>(result: Result<T, Error>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn stream() -> Socket {
    socket(AF_INET, SOCK_STREAM, 0).expect("there is room")
}

fn listener() -> Socket {
    let listener = stream();
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, 1).expect("there is such an option");
    bind(listener, here()).expect("the port is free");
    listen(listener, 16).expect("it is bound");
    listener
}

fn pair(listener: Socket) -> (Socket, Socket) {
    let client = stream();
    connect(client, through()).expect("somebody listens");
    (client, accept(listener).expect("somebody has connected").0)
}

fn number(socket: Socket, level: i32, option: i32) -> i32 {
    getsockopt(socket, level, option).expect("there is such an option").integer().expect("it is a number")
}

pub fn connecting() {
    let listener = listener();
    let client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).expect("there is room");
    assert_eq!(errno(connect(client, through())), Some(EINPROGRESS));
    let mut fds = [PollFd::new(client, POLLOUT)];
    assert_eq!(poll(&mut fds, LONG).ok(), Some(1));
    assert_eq!(fds[0].revents, POLLOUT);
    assert_eq!(number(client, SOL_SOCKET, SO_ERROR), 0);
    assert_eq!(getpeername(client).ok(), Some(through()));
    connect(client, through()).expect("it is open");
    assert_eq!(errno(connect(client, through())), Some(EISCONN));
    let (server, _) = accept(listener).expect("somebody has connected");

    // Nobody listens there.
    let mut closed = through();
    closed.set_port(1);
    let refused = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).expect("there is room");
    assert_eq!(errno(connect(refused, closed)), Some(EINPROGRESS));
    let mut fds = [PollFd::new(refused, POLLOUT)];
    assert_eq!(poll(&mut fds, LONG).ok(), Some(1));
    assert_eq!(fds[0].revents & (POLLOUT | POLLERR), POLLOUT | POLLERR);
    assert_eq!(number(refused, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
    set_nonblocking(refused, false).expect("it is a socket");
    assert_eq!(errno(connect(refused, closed)), Some(ECONNREFUSED), "and waiting for it");
    for socket in [listener, client, server, refused] {
        close(socket).expect("it is a socket");
    }
}

pub fn descriptors() {
    let mut all = Vec::new();
    let last = loop {
        match socket(AF_INET, SOCK_STREAM, 0) {
            Ok(socket) => all.push(socket),
            error => break errno(error),
        }
    };
    assert_eq!((last, all.len()), (Some(EMFILE), 1024));
    let freed = all.swap_remove(500);
    close(freed).expect("it is a socket");
    assert_eq!(errno(close(freed)), Some(EBADF));
    assert_eq!(stream(), freed, "the lowest number that is free");
    all.push(freed);
    all.into_iter().for_each(|socket| close(socket).expect("it is a socket"));
    assert_eq!(errno(recv(freed, &mut [0; 1], 0)), Some(EBADF));
    let mut fds = [PollFd::new(freed, POLLIN), PollFd { fd: -1, events: POLLIN, revents: 7 }];
    assert_eq!(poll(&mut fds, LONG).ok(), Some(1));
    assert_eq!([fds[0].revents, fds[1].revents], [POLLNVAL, 0]);
}

pub fn streams() {
    const LEN: usize = 500_000;
    let listener = listener();
    let (client, server) = pair(listener);
    assert_eq!(errno(recv(server, &mut [0; 8], MSG_DONTWAIT)), Some(EAGAIN));
    let timeout = Timeval::from(SHORT);
    setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, timeout).expect("there is such an option");
    let start = Instant::now();
    assert_eq!(errno(recv(server, &mut [0; 8], 0)), Some(EAGAIN));
    assert!(start.elapsed() >= SHORT);
    setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, Timeval::default()).expect("there is such an option");
    // All of it in one call on each side, although no buffer holds so much.
    let bytes: Vec<u8> = (0..LEN).map(|at| (at ^ (at >> 8)) as u8).collect();
    let expected = bytes.clone();
    let writer = thread::spawn(move || send(client, &bytes, 0).expect("the peer reads"));
    let mut buffer = vec![0; LEN];
    assert_eq!(recv(server, &mut buffer[..10], MSG_PEEK | MSG_WAITALL).map(|len| len > 0).ok(), Some(true));
    assert_eq!(recv(server, &mut buffer, MSG_WAITALL).ok(), Some(LEN));
    assert_eq!(buffer, expected);
    let Ok(sent) = writer.join();
    assert_eq!(sent, LEN);
    shutdown(client, SHUT_WR).expect("it is connected");
    assert_eq!(recv(server, &mut buffer, MSG_WAITALL).ok(), Some(0));
    assert_eq!(errno(send(client, b"x", MSG_NOSIGNAL)), Some(EPIPE));
    assert_eq!(send(server, b"answer", 0).ok(), Some(6));
    assert_eq!(recv(client, &mut buffer[..6], MSG_WAITALL).ok(), Some(6));
    for socket in [listener, client, server] {
        close(socket).expect("it is a socket");
    }
}

pub fn selecting() {
    let listener = listener();
    let (client, server) = pair(listener);
    let nfds = [listener, client, server].map(Socket::as_raw).into_iter().max().unwrap_or(0) + 1;
    let all = || {
        let mut set = FdSet::new();
        assert!([listener, client, server].into_iter().all(|socket| set.insert(socket)));
        set
    };
    let (mut read, mut write) = (all(), FdSet::new());
    write.insert(client);
    let some_time = Some(Timeval::from(SHORT));
    assert_eq!(select(nfds, Some(&mut read), Some(&mut write), None, some_time).ok(), Some(1));
    assert_eq!((read, write.contains(client)), (FdSet::new(), true));
    read = all();
    let start = Instant::now();
    assert_eq!(select(nfds, Some(&mut read), None, None, some_time).ok(), Some(0));
    assert!(start.elapsed() >= SHORT && read == FdSet::new());
    let talker = thread::spawn(move || {
        thread::sleep(SHORT);
        send(client, b"x", 0).expect("there is room");
    });
    (read, write) = (all(), all());
    let mut except = all();
    write.remove(client);
    write.remove(server);
    // A listener is never written to, so it is `server` that ends the wait.
    assert_eq!(select(nfds, Some(&mut read), Some(&mut write), Some(&mut except), None).ok(), Some(1));
    assert!(read.contains(server) && !read.contains(client) && !read.contains(listener));
    assert_eq!((write, except), (FdSet::new(), FdSet::new()));
    let Ok(()) = talker.join();
    assert_eq!(errno(select(-1, None, None, None, None)), Some(EINVAL));
    assert_eq!(errno(select(0, None, None, None, None)), Some(EINVAL), "nothing could end it");
    for socket in [listener, client, server] {
        close(socket).expect("it is a socket");
    }
    read = FdSet::new();
    read.insert(client);
    assert_eq!(errno(select(nfds, Some(&mut read), None, None, None)), Some(EBADF));
}

pub fn closing() {
    let listener = listener();
    let (client, server) = pair(listener);
    // Who waits with a number that is closed learns it.
    let waiting = [
        thread::spawn(move || errno(recv(server, &mut [0; 8], 0))),
        thread::spawn(move || errno(accept(listener))),
        thread::spawn(move || {
            let mut fds = [PollFd::new(server, POLLIN)];
            assert_eq!(poll(&mut fds, LONG).ok(), Some(1));
            (fds[0].revents == POLLNVAL).then_some(EBADF)
        }),
    ];
    thread::sleep(SHORT);
    close(server).expect("it is a socket");
    close(listener).expect("it is a socket");
    for thread in waiting {
        let Ok(errno) = thread.join();
        assert_eq!(errno, Some(EBADF));
    }
    // The number may mean another socket before the thread runs again.
    let listener = self::listener();
    let (other, server) = pair(listener);
    let waiting = thread::spawn(move || errno(recv(server, &mut [0; 8], 0)));
    thread::sleep(SHORT);
    close(server).expect("it is a socket");
    assert_eq!(stream(), server);
    let Ok(found) = waiting.join();
    assert_eq!(found, Some(EBADF));
    close(server).expect("it is a socket");

    // Lingering waits for what has not been acknowledged, and no longer than it may.
    let (client2, server2) = pair(listener);
    setsockopt(client2, SOL_SOCKET, SO_LINGER, Linger { l_onoff: 1, l_linger: 60 }).expect("there is such an option");
    assert_eq!(send(client2, b"last words", 0).ok(), Some(10));
    close(client2).expect("the peer's host acknowledges");
    let mut buffer = [0; 16];
    assert_eq!(recv(server2, &mut buffer, MSG_WAITALL).ok(), Some(10));
    let (client3, server3) = pair(listener);
    setsockopt(client3, SOL_SOCKET, SO_LINGER, Linger { l_onoff: 1, l_linger: 1 }).expect("there is such an option");
    set_nonblocking(client3, true).expect("it is a socket");
    loop {
        if send(client3, &[7; 8192], 0).is_ok() {
            continue;
        }
        let mut fds = [PollFd::new(client3, POLLOUT)];
        if poll(&mut fds, 100).ok() == Some(0) {
            break;
        }
    }
    let start = Instant::now();
    assert_eq!(errno(close(client3)), Some(EAGAIN));
    assert!(start.elapsed() >= Duration::from_secs(1));
    for socket in [client, other, listener, server2, server3] {
        close(socket).expect("it is a socket");
    }
}
