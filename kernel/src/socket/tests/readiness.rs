//! `poll` and `select` without the waiting.

use super::super::select::Sets;
use super::*;

const ALL: i16 = POLLIN | POLLOUT | POLLRDHUP;

#[test]
fn what_is_ready_is_said_in_the_words_of_posix() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let fresh = pair.client().socket(SOCK_STREAM);
    assert_eq!(pair.client().events(fresh, ALL), POLLOUT | POLLHUP, "as on Linux");
    assert_eq!(pair.server().events(listener, ALL), 0);
    assert_eq!(pair.client().connect(fresh, there()), Err(Errno::EINPROGRESS));
    pair.pass(20);
    assert_eq!(pair.server().events(listener, ALL), POLLIN);
    assert_eq!(pair.server().events(listener, POLLRDNORM | POLLOUT), POLLRDNORM);
    let (server, _) = pair.server().accept(listener).expect("the handshake is complete");
    assert_eq!(pair.server().events(server, ALL), POLLOUT);
    assert_eq!(pair.client().send(fresh, b"x"), Ok(1));
    pair.pass(20);
    assert_eq!(pair.server().events(server, ALL), POLLIN | POLLOUT);
    assert_eq!(pair.server().events(server, 0), 0);
    assert!(pair.client().shutdown(fresh, SHUT_WR).is_ok());
    pair.pass(20);
    assert_eq!(pair.server().events(server, ALL), POLLIN | POLLOUT | POLLRDHUP);
    assert!(pair.server().shutdown(server, SHUT_WR).is_ok());
    pair.pass(20);
    assert_eq!(pair.server().events(server, 0), POLLHUP, "unasked");
}

#[test]
fn a_list_is_looked_at_in_one_go() {
    let mut pair = Pair::new();
    let listener = pair.listener();
    let (client, server) = pair.connection(listener);
    assert_eq!(pair.client().send(client, b"x"), Ok(1));
    pair.pass(20);
    let entry = |fd, events| PollFd { fd, events, revents: -1 };
    let mut fds = [entry(listener, ALL), entry(server, POLLIN), entry(-5, ALL), entry(77, 0)];
    let side = pair.server();
    assert_eq!(side.table.look(Some(side.stack), &mut fds), 2);
    assert_eq!(fds.map(|entry| entry.revents), [0, POLLIN, 0, POLLNVAL]);
}

fn set(members: &[i32]) -> FdSet {
    let mut set = FdSet::new();
    for &fd in members {
        assert!(set.insert(Socket::from_raw(fd)));
    }
    set
}

#[test]
fn sets_hold_the_numbers_that_they_can() {
    let mut set = set(&[0, 63, 64, 1023]);
    for (fd, is_in) in [(0, true), (1, false), (63, true), (64, true), (1023, true), (1024, false), (-1, false)] {
        assert_eq!(set.contains(Socket::from_raw(fd)), is_in, "{fd}");
    }
    for fd in [1024, -1, i32::MAX, i32::MIN] {
        assert!(!set.insert(Socket::from_raw(fd)));
        set.remove(Socket::from_raw(fd));
    }
    set.remove(Socket::from_raw(63));
    assert!(!set.contains(Socket::from_raw(63)) && set.contains(Socket::from_raw(64)));
}

#[test]
fn a_selection_keeps_what_is_ready() {
    let (mut read, mut write, mut except) = (set(&[3, 4, 9]), set(&[4, 5, 6]), set(&[3, 7]));
    let mut sets = Sets { read: Some(&mut read), write: Some(&mut write), except: Some(&mut except) };
    let mut list = sets.list(8).expect("eight are not too many");
    let asked: Vec<_> = list.iter().map(|entry| (entry.fd, entry.events)).collect();
    assert_eq!(asked, [(3, POLLIN), (4, POLLIN | POLLOUT), (5, POLLOUT), (6, POLLOUT), (7, 0)], "not the ninth");
    for (entry, revents) in list.iter_mut().zip([POLLHUP, POLLOUT, 0, POLLERR, POLLHUP]) {
        entry.revents = revents;
    }
    assert_eq!(sets.count(&list), 3);
    assert_eq!(sets.fill(&list), Ok(3));
    assert_eq!(write, set(&[4, 6]));
    assert_eq!(except, set(&[]));
    assert!(read.contains(Socket::from_raw(3)) && !read.contains(Socket::from_raw(4)));
}

#[test]
fn a_selection_of_what_is_no_socket_is_refused() {
    let mut read = set(&[3]);
    let mut sets = Sets { read: Some(&mut read), write: None, except: None };
    assert_eq!(sets.list(-1).err(), Some(Errno::EINVAL));
    assert_eq!(sets.list(1025).err(), Some(Errno::EINVAL));
    let mut list = sets.list(1024).expect("that many there can be");
    list[0].revents = POLLNVAL;
    assert_eq!(sets.count(&list), 1, "no reason to wait");
    assert_eq!(sets.fill(&list), Err(Errno::EBADF));
    assert_eq!(read, set(&[3]));
}
