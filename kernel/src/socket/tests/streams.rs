//! Connections from `socket` to `close`.

use super::*;

#[test]
fn bytes_go_both_ways_and_the_ends_know_each_other() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let (client, server) = pair.connection(listener);
    assert_eq!(pair.client().send(client, b"question"), Ok(8));
    pair.pass(20);
    assert_eq!(pair.server().recv(server, MSG_PEEK), Ok(b"question".to_vec()));
    assert_eq!(pair.server().recv(server, 0), Ok(b"question".to_vec()));
    assert_eq!(pair.server().recv(server, 0), Err(Errno::EAGAIN));
    assert_eq!(pair.server().send(server, b"answer"), Ok(6));
    pair.pass(20);
    assert_eq!(pair.client().recv(client, 0), Ok(b"answer".to_vec()));
    let local = pair.client.local(client).expect("it is connected");
    assert_eq!(pair.server.peer(&pair.world.server, server), Ok(local));
    assert_eq!(pair.client.peer(&pair.world.client, client), Ok(there()));
    assert_eq!(pair.server.local(server), Ok(there()));
    assert_eq!(pair.server.local(listener), Ok(HERE));
}

#[test]
fn a_connection_that_is_being_opened_says_so_until_it_is_open() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let client = pair.client().socket(SOCK_STREAM | SOCK_NONBLOCK);
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EALREADY));
    assert_eq!(pair.client().events(client, POLLOUT), 0);
    assert_eq!(pair.client().send(client, b"early"), Err(Errno::EAGAIN));
    assert_eq!(pair.client.peer(&pair.world.client, client), Err(Errno::ENOTCONN));
    pair.pass(20);
    assert_eq!(pair.client().events(client, POLLIN | POLLOUT), POLLOUT);
    assert_eq!(pair.client().error(client), 0);
    assert_eq!(pair.client().connect(client, there()), Ok(()));
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EISCONN));
    assert!(pair.server().accept(listener).is_ok());
}

#[test]
fn a_refused_connection_is_told_once_and_the_socket_can_be_used_again() {
    let mut pair = Pair::new();
    let client = pair.client().socket(SOCK_STREAM);
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    assert!(pair.client().events(client, POLLOUT) & (POLLOUT | POLLERR | POLLHUP) == POLLOUT | POLLERR | POLLHUP);
    assert_eq!(pair.client().error(client), ECONNREFUSED);
    assert_eq!(pair.client().error(client), 0);
    // The next attempt, after `SO_ERROR` has told.
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    // And without asking: the call itself tells.
    assert_eq!(pair.client().connect(client, there()), Err(Errno::ECONNREFUSED));
    pair.listener();
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    assert_eq!(pair.client().connect(client, there()), Ok(()));
    assert_eq!(pair.world.client.usage().sockets, 1, "the attempts that failed have left nothing");
}

#[test]
fn a_connection_comes_from_the_address_that_was_bound() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let client = pair.client().socket(SOCK_STREAM);
    let here = SocketAddr::from((CLIENT, 4000));
    assert_eq!(pair.client().bind(client, here), Ok(()));
    assert_eq!(pair.client().bind(client, here), Err(Errno::EINVAL), "it has an address");
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    let (_, from) = pair.server().accept(listener).expect("the handshake is complete");
    assert_eq!(from, here);
    assert_eq!(pair.client.local(client), Ok(here));
}

#[test]
fn ports_are_taken_by_bind_and_free_after_close() {
    let mut pair = Pair::new();
    let [first, second] = [(); 2].map(|()| pair.server().socket(SOCK_STREAM));
    assert_eq!(pair.server().bind(first, HERE), Ok(()));
    assert_eq!(pair.server().bind(second, HERE), Err(Errno::EADDRINUSE));
    assert_eq!(pair.server().bind(second, SocketAddr::from((CLIENT, PORT))), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(pair.server().bind(second, "[::]:7000".parse().expect("it is one")), Err(Errno::EAFNOSUPPORT));
    assert!(pair.server().close(first).is_ok());
    assert_eq!(pair.server().bind(second, HERE), Ok(()));
    // Bound and not listening: closed to peers.
    let client = pair.client().socket(SOCK_STREAM);
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    assert_eq!(pair.client().error(client), ECONNREFUSED);
}

#[test]
fn listening_without_an_address_takes_a_free_port() {
    let mut pair = Pair::new();
    let fd = pair.server().socket(SOCK_STREAM);
    assert_eq!(pair.server.local(fd).map(|local| local.port()), Ok(0));
    assert_eq!(pair.server().accept(fd), Err(Errno::EINVAL), "it does not listen");
    assert_eq!(pair.server().listen(fd, -1), Ok(()));
    assert_ne!(pair.server.local(fd).map(|local| local.port()), Ok(0));
    assert_eq!(pair.server().get(fd, SOL_SOCKET, SO_ACCEPTCONN), Ok(1.into()));
    assert_eq!(pair.server().listen(fd, 5), Ok(()), "another backlog");
    assert_eq!(pair.server().accept(fd), Err(Errno::EAGAIN));
    assert_eq!(pair.server().connect(fd, there()), Err(Errno::EINVAL));
}

#[test]
fn a_connection_waits_while_there_are_too_many_descriptors() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let client = pair.client().socket(SOCK_STREAM);
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    pair.server.set_limit(1);
    assert_eq!(pair.server().accept(listener), Err(Errno::EMFILE));
    pair.server.set_limit(2);
    assert!(pair.server().accept(listener).is_ok());
}

#[test]
fn halves_are_closed_one_by_one() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let (client, server) = pair.connection(listener);
    assert_eq!(pair.client().shutdown(client, 7), Err(Errno::EINVAL));
    assert_eq!(pair.client().send(client, b"last"), Ok(4));
    assert_eq!(pair.client().shutdown(client, SHUT_WR), Ok(()));
    assert_eq!(pair.client().send(client, b"more"), Err(Errno::EPIPE));
    pair.pass(20);
    assert_eq!(pair.server().recv(server, 0), Ok(b"last".to_vec()));
    assert_eq!(pair.server().recv(server, 0), Ok(vec![]), "the end");
    assert_eq!(pair.server().send(server, b"still"), Ok(5));
    pair.pass(20);
    assert_eq!(pair.client().recv(client, 0), Ok(b"still".to_vec()));
    assert_eq!(pair.server().shutdown(server, SHUT_RDWR), Ok(()));
    pair.pass(20);
    assert_eq!(pair.client().recv(client, 0), Ok(vec![]));
    let fresh = pair.client().socket(SOCK_STREAM);
    assert_eq!(pair.client().shutdown(fresh, SHUT_RD), Err(Errno::ENOTCONN));
}

#[test]
fn calls_that_make_no_sense_are_refused() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let (client, _server) = pair.connection(listener);
    let fresh = pair.client().socket(SOCK_STREAM);
    assert_eq!(pair.client().send(fresh, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(pair.client().recv(fresh, 0), Err(Errno::ENOTCONN));
    assert_eq!(pair.client().send_to(client, b"x", there()), Err(Errno::EISCONN));
    assert_eq!(pair.client().listen(client, 1), Err(Errno::EINVAL));
    assert_eq!(pair.client().bind(client, HERE), Err(Errno::EINVAL));
    let flags = |side: Side<'_>, flags| side.table.send(side.stack, client, b"x", flags, None);
    assert_eq!(flags(pair.client(), 1), Err(Errno::EOPNOTSUPP), "MSG_OOB");
    assert_eq!(flags(pair.client(), MSG_DONTWAIT | MSG_NOSIGNAL), Ok(1));
    assert_eq!(pair.client().recv(client, 1), Err(Errno::EOPNOTSUPP));
    let far = "192.0.2.1:80".parse().expect("it is one");
    assert_eq!(pair.client().connect(fresh, far), Err(Errno::ENETUNREACH));
    assert_eq!(pair.client().connect(fresh, SocketAddr::from((SERVER, 0))), Err(Errno::EINVAL));
    let side = pair.server();
    assert_eq!(side.table.accept(side.stack, listener, 1), Err(Errno::EINVAL), "flags that there are not");
}

#[test]
fn closing_sends_the_rest_in_the_background() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let (client, server) = pair.connection(listener);
    assert_eq!(pair.client().send(client, b"last words"), Ok(10));
    assert!(matches!(pair.client().close(client), Ok(Closing::Done)));
    pair.pass(20);
    assert_eq!(pair.server().recv(server, 0), Ok(b"last words".to_vec()));
    assert_eq!(pair.server().recv(server, 0), Ok(vec![]));
}

#[test]
fn lingering_for_no_time_resets() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let (client, server) = pair.connection(listener);
    let at_once = Linger { l_onoff: 1, l_linger: 0 };
    assert_eq!(pair.client().set(client, SOL_SOCKET, SO_LINGER, at_once), Ok(()));
    assert_eq!(pair.client().send(client, b"lost"), Ok(4));
    assert!(matches!(pair.client().close(client), Ok(Closing::Done)));
    pair.pass(20);
    assert_eq!(pair.server().recv(server, 0), Err(Errno::ECONNRESET));
    assert_eq!(pair.server().error(server), ECONNRESET);
    assert_eq!(pair.world.client.usage().flows, 0);
}

#[test]
fn lingering_is_over_when_the_peer_has_acknowledged_the_end() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let (client, server) = pair.connection(listener);
    let patient = Linger { l_onoff: 1, l_linger: 5 };
    assert_eq!(pair.client().set(client, SOL_SOCKET, SO_LINGER, patient), Ok(()));
    assert_eq!(pair.client().send(client, b"kept"), Ok(4));
    let Ok(Closing::Linger { id, time, signal }) = pair.client().close(client) else { panic!("somebody has to wait") };
    assert_eq!(time, Duration::from_secs(5));
    assert!(pair.world.client.finished(&id).is_err());
    let woken = signal.writable_calls();
    pair.pass(20);
    assert!(pair.world.client.finished(&id).is_ok() && signal.writable_calls() > woken);
    pair.world.client.close(id);
    assert_eq!(pair.server().recv(server, 0), Ok(b"kept".to_vec()));
    assert_eq!(pair.server().recv(server, 0), Ok(vec![]));
}

#[test]
fn closing_a_listener_resets_who_was_not_accepted() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let client = pair.client().socket(SOCK_STREAM);
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    assert_eq!(pair.client().connect(client, there()), Ok(()));
    assert!(pair.server().close(listener).is_ok());
    pair.pass(20);
    assert_eq!(pair.client().recv(client, 0), Err(Errno::ECONNRESET));
}
