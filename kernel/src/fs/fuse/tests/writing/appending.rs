//! Appending: behind the end, wherever that is meanwhile.

use super::*;

#[test]
fn fu_sem_11_the_server_is_told_to_append_and_where_the_end_is() {
    for appends in [true, false] {
        let mount = mount(|server| {
            server.file("log", b"start;");
            server.manners.appends = appends;
        });
        let log = mount.open_to_write("log", APPEND).expect("it exists");
        let other = mount.open_to_write("log", ALONE).expect("it exists");
        assert_eq!(log.append(b"one;"), Ok(Appended { count: 4, end: 10 }));
        assert_eq!(other.write_at(b"two;", 10), Ok(4));
        assert_eq!(log.append(b"three;"), Ok(Appended { count: 6, end: 20 }));
        assert_eq!(other.set_len(6), Ok(()));
        assert_eq!(log.append(b"four"), Ok(Appended { count: 4, end: 10 }));
        assert_eq!(mount.bytes("log"), b"start;four");
        const O_APPEND: u32 = 0o2000;
        let flags: Vec<u32> = mount.model.lock().server.handles.values().map(|open| open.flags & O_APPEND).collect();
        assert_eq!(flags, [O_APPEND, 0]);
        drop((log, other));
        mount.finish();
    }
}

#[test]
fn fu_sem_11_appends_of_several_threads_are_not_mixed() {
    let pieces = [(b'a', 9000), (b'b', 5000), (b'c', 100), (b'd', 20_000)];
    let (bytes, ends) = crate::fs::tests::threads::run(|crew| {
        let mut server = Server::new();
        server.file("log", b"");
        small_writes(&mut server);
        let model = Model::new(server);
        let polled: Rc<RefCell<Option<Rc<Connection>>>> = Rc::default();
        let (place, crew_of_device) = (Rc::clone(&polled), crew.clone());
        crew.spawn(move || {
            // The core's loop: it looks now and then, until the connection is closed.
            let event = crew_of_device.scheduler().event();
            loop {
                let now = crew_of_device.scheduler().now();
                event.wait_until(now.saturating_add(Duration::from_micros(10)));
                let Some(connection) = place.borrow().clone() else { continue };
                connection.poll();
                if connection.is_closed() {
                    break;
                }
            }
        });
        let announce = |connection: &Rc<Connection>| *polled.borrow_mut() = Some(Rc::clone(connection));
        let client = Client::mount(model.device(), crew.scheduler(), options(), announce).expect("it is willing");
        let ends: Rc<RefCell<Vec<(u8, u64)>>> = Rc::default();
        let left = Rc::new(Cell::new(pieces.len()));
        for (letter, length) in pieces {
            let (client, ends, left) = (Rc::clone(&client), Rc::clone(&ends), Rc::clone(&left));
            crew.spawn(move || {
                let node = client.root().and_then(|root| root.lookup(b"log", Freshness::Cached)).expect("it exists");
                let log = node.open_for_writing(APPEND, Contents::Keep).expect("it exists");
                let appended = log.append(&vec![letter; length]).expect("there is room");
                assert_eq!(appended.count, length);
                ends.borrow_mut().push((letter, appended.end));
                drop((log, node));
                left.set(left.get() - 1);
                if left.get() == 0 {
                    client.shutdown();
                }
            });
        }
        move || {
            let mut inner = model.lock();
            assert_eq!(
                (&inner.server.offences[..], &inner.server.debts()[..]),
                (&[][..] as &[String], &[][..] as &[String])
            );
            let server::Contents::File(bytes) = inner.server.inode("log").contents.clone() else { panic!("a file") };
            (bytes, ends.borrow().clone())
        }
    });
    assert_eq!(bytes.len(), 34_100);
    for (letter, length) in pieces {
        let first = bytes.iter().position(|&byte| byte == letter).expect("it is there");
        assert!(bytes[first..first + length].iter().all(|&byte| byte == letter), "{letter} in one piece");
        assert!(ends.contains(&(letter, (first + length) as u64)), "{letter} ends where it was told");
    }
}

#[test]
fn fu_sem_4_appending_again_and_again_asks_for_the_size_once() {
    let mount = mount(|server| server.file("log", b""));
    let log = mount.open_to_write("log", APPEND).expect("it exists");
    let before = mount.count("GETATTR");
    for round in 1..=20 {
        assert_eq!(log.append(b"x"), Ok(Appended { count: 1, end: round }));
    }
    assert_eq!((mount.count("GETATTR"), mount.count("WRITE")), (before, 20));
    drop(log);
    mount.finish();
}
