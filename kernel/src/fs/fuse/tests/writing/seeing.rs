//! Who sees a write, and when: everybody, from its answer on.

use super::*;

#[test]
fn a_write_is_seen_by_all_who_have_the_file_at_once() {
    let options = Options { contents: 1 << 20, ..options() };
    let mount = mount_with(options, |server| server.file("f", &[1; 3000])).expect("willing");
    let (first, second) = (mount.open("f").expect("it exists"), mount.open("f").expect("it exists"));
    let read = |file: &dyn OpenFile| {
        let mut buffer = [0; 5000];
        let count = file.read_at(&mut buffer, 0).expect("it can be read");
        buffer[..count].to_vec()
    };
    assert_eq!(read(&*first), [1; 3000]);
    assert_eq!((read(&*second), mount.count("READ")), (vec![1; 3000], 1), "from what is remembered");
    let modified = first.metadata().map(|metadata| metadata.modified_time()).expect("it exists");
    let writer = mount.open_to_write("f", ALONE).expect("it exists");
    assert_eq!(writer.write_at(&[2; 1000], 2500), Ok(1000));
    for file in [&*first, &*second] {
        assert_eq!(read(file), [&[1; 2500][..], &[2; 1000]].concat());
        let metadata = file.metadata().expect("it exists");
        assert!(metadata.len() == 3500 && metadata.modified_time() > modified);
    }
    assert_eq!(writer.set_len(10), Ok(()));
    assert_eq!((read(&*first), second.metadata().map(|metadata| metadata.len())), (vec![1; 10], Ok(10)));
    drop((first, second, writer));
    mount.finish();
}

#[test]
fn what_was_read_ahead_before_a_write_is_not_given_out_after_it() {
    let mount = mount(|server| server.file("f", &[1; 1_000_000]));
    let reader = mount.open("f").expect("it exists");
    let writer = mount.open_to_write("f", ALONE).expect("it exists");
    let mut buffer = [0; 5000];
    for round in 0..4 {
        assert_eq!(reader.read_at(&mut buffer, round * 5000), Ok(5000));
    }
    mount.pump.settle();
    assert_eq!(writer.write_at(&[2; 900_000], 20_000), Ok(900_000));
    for round in 4..100 {
        assert_eq!(reader.read_at(&mut buffer, round * 5000), Ok(5000));
        assert_eq!(buffer, [2; 5000], "at {}", round * 5000);
    }
    drop((reader, writer));
    mount.finish();
}

#[test]
fn what_was_read_while_it_was_written_is_not_remembered() {
    let options = Options { contents: 1 << 20, ..options() };
    let mount = mount_with(options, |server| server.file("f", &[1; 3000])).expect("willing");
    let reader = mount.open("f").expect("it exists");
    let writer = mount.open_to_write("f", ALONE).expect("it exists");
    // The READ is answered first, but it is looked at only after the write.
    let written = Rc::new(Cell::new(false));
    let flag = Rc::clone(&written);
    mount.pump.meanwhile(move || {
        assert_eq!(writer.write_at(&[2; 3000], 0), Ok(3000));
        flag.set(true);
    });
    let mut buffer = [0; 3000];
    assert_eq!((reader.read_at(&mut buffer, 0), written.get()), (Ok(3000), true));
    assert_eq!((reader.read_at(&mut buffer, 0), buffer), (Ok(3000), [2; 3000]));
    drop(reader);
    mount.finish();
}

#[test]
fn fu_sem_5_attributes_that_were_asked_for_before_a_write_do_not_last() {
    let mount = mount(|server| {
        server.file("f", b"123");
        server.manners.attr_lifetime = Duration::from_secs(1);
    });
    let file = mount.open_to_write("f", BOTH).expect("it exists");
    mount.advance(Duration::from_secs(2));
    // GETATTR is answered before the write, and its answer taken after it.
    let writer = mount.open_to_write("f", ALONE).expect("it exists");
    mount.pump.meanwhile(move || assert_eq!(writer.write_at(b"more", 3), Ok(4)));
    assert!(file.metadata().is_ok());
    assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(7));
    drop(file);
    mount.finish();
}
