use std::sync::Arc;

use toro_sync::{Inbox, Node, Pushed};

fn is_sync_and_send<T: Sync + Send>(_: &T) {}

#[test]
fn nodes_come_out_in_the_order_in_which_they_went_in_and_each_once() {
    static INBOX: Inbox<u32> = Inbox::new();
    is_sync_and_send(&INBOX);
    let nodes = [1, 2, 3].map(|value| Arc::new(Node::new(value)));
    for _ in 0..2 {
        for node in &nodes {
            assert_eq!(INBOX.push(node.clone()), Pushed::Queued);
            assert_eq!(INBOX.push(node.clone()), Pushed::AlreadyQueued);
            assert_eq!(INBOX.push(nodes[0].clone()), Pushed::AlreadyQueued);
        }
        assert!(!INBOX.is_empty());
        assert!(INBOX.take_all().map(|node| **node).eq([1, 2, 3]));
        assert!(INBOX.is_empty());
    }
    assert!(nodes.iter().all(|node| Arc::strong_count(node) == 1));
}

#[test]
fn a_node_can_be_queued_anew_as_soon_as_it_is_yielded() {
    let inbox = Inbox::new();
    let node = Arc::new(Node::new(()));
    assert_eq!(inbox.push(node.clone()), Pushed::Queued);
    let mut nodes = inbox.take_all();
    assert_eq!(inbox.push(node), Pushed::AlreadyQueued);
    let node = nodes.next().expect("it was pushed");
    assert_eq!(inbox.push(node), Pushed::Queued);
    assert!(nodes.next().is_none());
    assert_eq!(inbox.take_all().count(), 1);
}

#[test]
fn a_node_is_in_one_inbox_only() {
    let (inbox, other) = (Inbox::new(), Inbox::default());
    let node = Arc::new(Node::new(()));
    assert_eq!(inbox.push(node.clone()), Pushed::Queued);
    assert_eq!(other.push(node.clone()), Pushed::AlreadyQueued);
    assert!(other.is_empty());
    assert_eq!(inbox.take_all().count(), 1);
    assert_eq!(other.push(node), Pushed::Queued);
}

#[test]
fn nodes_that_nobody_takes_are_released_and_can_be_queued_elsewhere() {
    let (inbox, other) = (Inbox::new(), Inbox::new());
    let nodes = [1, 2, 3].map(|value| Arc::new(Node::new(value)));
    for node in &nodes {
        assert_eq!(inbox.push(node.clone()), Pushed::Queued);
    }
    let mut taken = inbox.take_all();
    assert!(taken.next().is_some_and(|node| **node == 1));
    drop(taken);
    assert!(nodes.iter().all(|node| Arc::strong_count(node) == 1));
    for node in &nodes {
        assert_eq!(inbox.push(node.clone()), Pushed::Queued);
    }
    drop(inbox);
    for node in nodes {
        assert_eq!(Arc::strong_count(&node), 1);
        assert_eq!(other.push(node), Pushed::Queued);
    }
    assert_eq!(other.take_all().count(), 3);
}
