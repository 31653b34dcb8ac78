//! Sockets for datagrams.

use super::*;

fn pair_of_sockets(pair: &mut Pair) -> (i32, i32) {
    let server = pair.server().socket(SOCK_DGRAM);
    assert_eq!(pair.server().bind(server, HERE), Ok(()));
    (pair.client().socket(SOCK_DGRAM), server)
}

#[test]
fn a_socket_without_an_address_takes_a_port_when_it_sends() {
    let mut pair = Pair::new();
    let (client, server) = pair_of_sockets(&mut pair);
    assert_eq!(pair.client.local(client).map(|local| local.port()), Ok(0));
    assert_eq!(pair.client().send_to(client, b"question", there()), Ok(8));
    let port = pair.client.local(client).expect("it is there").port();
    assert_ne!(port, 0);
    pair.pass(20);
    let mut buffer = [0; 16];
    let from = SocketAddr::from((CLIENT, port));
    let side = pair.server();
    let received = side.table.receive(side.stack, server, &mut buffer, 0);
    assert_eq!(received, Ok((8, Some(from))));
    assert_eq!(pair.server().send_to(server, b"answer", from), Ok(6));
    pair.pass(20);
    assert_eq!(pair.client().recv(client, 0), Ok(b"answer".to_vec()));
    assert_eq!(pair.client().recv(client, 0), Err(Errno::EAGAIN));
}

#[test]
fn a_datagram_that_is_cut_says_how_long_it_was_if_asked() {
    let mut pair = Pair::new();
    let (client, server) = pair_of_sockets(&mut pair);
    for _ in 0..2 {
        assert_eq!(pair.client().send_to(client, b"long datagram", there()), Ok(13));
    }
    pair.pass(20);
    let mut buffer = [0; 4];
    let mut receive = |flags| {
        let side = pair.server();
        side.table.receive(side.stack, server, &mut buffer, flags).map(|(len, _)| len)
    };
    assert_eq!(receive(MSG_TRUNC | MSG_PEEK), Ok(13));
    assert_eq!(receive(MSG_TRUNC), Ok(13));
    assert_eq!(receive(0), Ok(4));
    assert_eq!(receive(0), Err(Errno::EAGAIN), "the rest of each is lost");
}

#[test]
fn a_peer_is_named_and_forgotten() {
    let mut pair = Pair::new();
    let (client, server) = pair_of_sockets(&mut pair);
    assert_eq!(pair.client().send(client, b"x"), Err(Errno::EDESTADDRREQ));
    assert_eq!(pair.client.peer(&pair.world.client, client), Err(Errno::ENOTCONN));
    assert_eq!(pair.client().shutdown(client, SHUT_WR), Err(Errno::ENOTCONN));
    assert_eq!(pair.client().connect(client, there()), Ok(()), "at once");
    assert_eq!(pair.client.peer(&pair.world.client, client), Ok(there()));
    assert_eq!(pair.client().shutdown(client, SHUT_WR), Err(Errno::EOPNOTSUPP));
    assert_eq!(pair.client().send(client, b"to the peer"), Ok(11));
    pair.pass(20);
    assert_eq!(pair.server().recv(server, 0), Ok(b"to the peer".to_vec()));
    let side = pair.client();
    assert_eq!(side.table.disconnect(side.stack, client), Ok(()));
    assert_eq!(pair.client().send(client, b"x"), Err(Errno::EDESTADDRREQ));
}

#[test]
fn calls_for_streams_are_refused() {
    let mut pair = Pair::new();
    let (client, server) = pair_of_sockets(&mut pair);
    assert_eq!(pair.server().listen(server, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(pair.server().accept(server), Err(Errno::EOPNOTSUPP));
    assert_eq!(pair.client().send_to(client, &[0; 2000], there()), Err(Errno::EMSGSIZE));
    assert_eq!(pair.client().send_to(client, b"x", "[::1]:7".parse().expect("it is one")), Err(Errno::EAFNOSUPPORT));
    assert_eq!(pair.client().set(client, IPPROTO_TCP, TCP_NODELAY, 1), Err(Errno::ENOPROTOOPT));
}

#[test]
fn everybody_is_sent_to_only_with_the_option() {
    let mut pair = Pair::new();
    let (client, server) = pair_of_sockets(&mut pair);
    let everybody = "255.255.255.255:7000".parse().expect("it is one");
    // Before and after the socket has its port.
    assert_eq!(pair.client().send_to(client, b"all", everybody), Err(Errno::EACCES));
    assert_eq!(pair.client().set(client, SOL_SOCKET, SO_BROADCAST, 1), Ok(()));
    assert_eq!(pair.client().send_to(client, b"all", everybody), Ok(3));
    pair.pass(20);
    assert_eq!(pair.server().recv(server, 0), Ok(b"all".to_vec()));
    let fresh = pair.client().socket(SOCK_DGRAM);
    assert_eq!(pair.client().set(fresh, SOL_SOCKET, SO_BROADCAST, 1), Ok(()));
    assert_eq!(pair.client().send_to(fresh, b"all", everybody), Ok(3));
}
