//! Options: what is set is kept, and reaches the socket whether it exists already or not.

use super::*;

#[test]
fn what_is_set_can_be_read() {
    let mut pair = Pair::new();
    let fd = pair.client().socket(SOCK_STREAM);
    let time = Timeval { tv_sec: 2, tv_usec: 500_000 };
    let linger = Linger { l_onoff: 1, l_linger: 7 };
    let all: [(i32, i32, OptionValue, OptionValue); 11] = [
        (SOL_SOCKET, SO_REUSEADDR, 0.into(), 1.into()),
        (SOL_SOCKET, SO_KEEPALIVE, 0.into(), 1.into()),
        (SOL_SOCKET, SO_BROADCAST, 0.into(), 1.into()),
        (SOL_SOCKET, SO_LINGER, Linger::default().into(), linger.into()),
        (SOL_SOCKET, SO_RCVTIMEO, Timeval::default().into(), time.into()),
        (SOL_SOCKET, SO_SNDTIMEO, Timeval::default().into(), time.into()),
        (IPPROTO_TCP, TCP_NODELAY, 1.into(), 0.into()),
        (IPPROTO_TCP, TCP_KEEPIDLE, 7200.into(), 30.into()),
        (IPPROTO_TCP, TCP_KEEPINTVL, 30.into(), 15.into()),
        (IPPROTO_TCP, TCP_KEEPCNT, 9.into(), 3.into()),
        (IPPROTO_IP, IP_TTL, 64.into(), 5.into()),
    ];
    for (level, option, at_first, value) in all {
        assert_eq!(pair.client().get(fd, level, option), Ok(at_first), "level {level}, option {option}");
        assert_eq!(pair.client().set(fd, level, option, value), Ok(()), "level {level}, option {option}");
        assert_eq!(pair.client().get(fd, level, option), Ok(value), "level {level}, option {option}");
    }
    assert_eq!(pair.client().get(fd, IPPROTO_TCP, TCP_KEEPIDLE), Ok(15.into()), "both are one");
    assert_eq!(pair.client().set(fd, IPPROTO_IP, IP_TTL, -1), Ok(()));
    assert_eq!(pair.client().get(fd, IPPROTO_IP, IP_TTL), Ok(64.into()));
}

#[test]
fn what_a_socket_is_can_be_read_and_not_set() {
    let mut pair = Pair::new();
    let stream = pair.client().socket(SOCK_STREAM);
    let datagrams = pair.client().table.socket(AF_INET6, SOCK_DGRAM, 0).expect("there is room");
    for (fd, option, value) in [
        (stream, SO_TYPE, SOCK_STREAM),
        (datagrams, SO_TYPE, SOCK_DGRAM),
        (stream, SO_DOMAIN, AF_INET),
        (datagrams, SO_DOMAIN, AF_INET6),
        (stream, SO_PROTOCOL, IPPROTO_TCP),
        (datagrams, SO_PROTOCOL, IPPROTO_UDP),
        (stream, SO_ERROR, 0),
        (stream, SO_ACCEPTCONN, 0),
        (stream, SO_RCVBUF, 16 << 10),
        (stream, SO_SNDBUF, 64 << 10),
        (datagrams, SO_RCVBUF, 32 << 10),
    ] {
        assert_eq!(pair.client().get(fd, SOL_SOCKET, option), Ok(value.into()), "option {option}");
        assert_eq!(pair.client().set(fd, SOL_SOCKET, option, value), Err(Errno::ENOPROTOOPT), "option {option}");
    }
}

#[test]
fn values_and_options_that_there_are_not_are_refused() {
    let mut pair = Pair::new();
    let fd = pair.client().socket(SOCK_STREAM);
    let mut refused = |level, option, value: OptionValue| pair.client().set(fd, level, option, value).err();
    for value in [0, 256, -2, i32::MIN, i32::MAX] {
        assert_eq!(refused(IPPROTO_IP, IP_TTL, value.into()), Some(Errno::EINVAL), "{value}");
        assert_eq!(refused(IPPROTO_TCP, TCP_KEEPCNT, value.into()), Some(Errno::EINVAL), "{value}");
    }
    assert_eq!(refused(IPPROTO_TCP, TCP_KEEPIDLE, 0.into()), Some(Errno::EINVAL));
    assert_eq!(refused(SOL_SOCKET, SO_LINGER, 1.into()), Some(Errno::EINVAL), "not a number");
    assert_eq!(refused(SOL_SOCKET, SO_LINGER, Linger { l_onoff: 1, l_linger: -1 }.into()), Some(Errno::EINVAL));
    assert_eq!(refused(SOL_SOCKET, SO_RCVTIMEO, 1.into()), Some(Errno::EINVAL));
    for (tv_sec, tv_usec) in [(-1, 0), (0, -1), (0, 1_000_000), (i64::MIN, i64::MAX)] {
        let time = Timeval { tv_sec, tv_usec };
        assert_eq!(refused(SOL_SOCKET, SO_SNDTIMEO, time.into()), Some(Errno::EINVAL), "{time:?}");
    }
    for (level, option) in [(SOL_SOCKET, 999), (999, SO_TYPE), (IPPROTO_UDP, 1), (IPPROTO_IPV6, IPV6_V6ONLY)] {
        assert_eq!(refused(level, option, 1.into()), Some(Errno::ENOPROTOOPT), "level {level}, option {option}");
    }
    let six = pair.client().table.socket(AF_INET6, SOCK_STREAM, 0).expect("there is room");
    assert_eq!(pair.client().set(six, IPPROTO_IPV6, IPV6_V6ONLY, 1), Ok(()));
    assert_eq!(pair.client().set(six, IPPROTO_IPV6, IPV6_V6ONLY, 0), Err(Errno::EINVAL));
    assert_eq!(pair.client().set(six, IPPROTO_IP, IP_TTL, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(pair.client().set(six, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1), Ok(()));
}

#[test]
fn times_are_rounded_up_so_that_none_becomes_for_ever() {
    let time = |nanos| Timeval::from(Duration::from_nanos(nanos));
    assert_eq!(time(1), Timeval { tv_sec: 0, tv_usec: 1 });
    assert_eq!(time(999_999_999), Timeval { tv_sec: 1, tv_usec: 0 });
    assert_eq!(time(1_500_000_000), Timeval { tv_sec: 1, tv_usec: 500_000 });
    assert_eq!(Timeval::from(Duration::MAX).tv_sec, i64::MAX);
}

#[test]
fn options_of_a_listener_are_its_connections() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    for (level, option, value) in
        [(SOL_SOCKET, SO_KEEPALIVE, 1), (IPPROTO_TCP, TCP_KEEPIDLE, 10), (IPPROTO_IP, IP_TTL, 3)]
    {
        assert_eq!(pair.server().set(listener, level, option, value), Ok(()));
    }
    let (_, server) = pair.connection(listener);
    assert_eq!(pair.server().get(server, IPPROTO_IP, IP_TTL), Ok(3.into()));
    assert_eq!(pair.server().get(server, SOL_SOCKET, SO_KEEPALIVE), Ok(1.into()));
    // The connection itself has them: an idle peer is asked.
    let before = pair.world.server.counters().transmitted;
    pair.pass(100_000);
    assert!(pair.world.server.counters().transmitted > before + 8);
}

#[test]
fn options_that_are_set_before_connecting_hold_afterwards() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let client = pair.client().socket(SOCK_STREAM);
    assert_eq!(pair.client().set(client, SOL_SOCKET, SO_KEEPALIVE, 1), Ok(()));
    assert_eq!(pair.client().set(client, IPPROTO_TCP, TCP_KEEPINTVL, 10), Ok(()));
    assert_eq!(pair.client().connect(client, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    assert!(pair.server().accept(listener).is_ok());
    let before = pair.world.client.counters().transmitted;
    pair.pass(100_000);
    assert!(pair.world.client.counters().transmitted > before + 8);
    assert_eq!(pair.client().set(client, SOL_SOCKET, SO_KEEPALIVE, 0), Ok(()));
    pair.pass(30_000);
    let before = pair.world.client.counters().transmitted;
    pair.pass(100_000);
    assert_eq!(pair.world.client.counters().transmitted, before);
}
