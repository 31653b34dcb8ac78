use std::cell::Cell;
use std::rc::Rc;

use toro_sync::Mailbox;

fn is_sync<T: Sync>(_: &T) {}
fn is_send<T: Send>(_: &T) {}

#[test]
fn messages_come_out_in_the_order_in_which_they_went_in() {
    let mailbox = Mailbox::new();
    assert!(mailbox.is_empty());
    assert!(mailbox.push(String::from("a")));
    assert!(!mailbox.push(String::from("b")));
    assert!(!mailbox.is_empty());
    assert!(mailbox.take_all().eq(["a", "b"]));
    assert!(mailbox.is_empty());
    assert!(mailbox.push(String::from("c")));
}

#[test]
fn messages_that_nobody_takes_are_dropped() {
    let message = Rc::new(());
    let mailbox = Mailbox::new();
    for _ in 0..3 {
        mailbox.push(message.clone());
    }
    let mut messages = mailbox.take_all();
    let first = messages.next();
    drop(messages);
    assert_eq!(Rc::strong_count(&message), 2);
    mailbox.push(message.clone());
    drop((mailbox, first));
    assert_eq!(Rc::strong_count(&message), 1);
}

#[test]
fn messages_need_not_be_shareable() {
    static MAILBOX: Mailbox<Cell<u8>> = Mailbox::new();
    is_sync(&MAILBOX);
    is_send(&MAILBOX);
    MAILBOX.push(Cell::new(1));
    assert_eq!(MAILBOX.take_all().map(|cell| cell.get()).sum::<u8>(), 1);
}
