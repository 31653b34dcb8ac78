//! A node that is in an inbox already is looked at once more, or the look still to come sees all.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::explore;
use crate::node::{Inbox, Node};

/// A node with wishes that nothing but the queue tells of.
type Task = Node<[AtomicBool; 2]>;

fn task() -> Arc<Task> {
    Arc::new(Node::new([AtomicBool::new(false), AtomicBool::new(false)]))
}

/// Looks at what is in the inbox; notes which wishes it sees.
fn visit(inbox: &Inbox<[AtomicBool; 2]>, seen: &mut [bool; 2]) {
    for node in inbox.take_all() {
        for (wish, seen) in node.iter().zip(&mut *seen) {
            *seen |= wish.load(Ordering::Relaxed);
        }
    }
}

#[test]
fn every_wish_is_seen_by_a_visit() {
    explore(3, || {
        let (inbox, task) = (Arc::new(Inbox::new()), task());
        let pusher = thread::spawn({
            let (inbox, task) = (inbox.clone(), task.clone());
            move || {
                task[1].store(true, Ordering::Relaxed);
                let _ = inbox.push(task);
            }
        });
        let mut seen = [false; 2];
        task[0].store(true, Ordering::Relaxed);
        let _ = inbox.push(task);
        visit(&inbox, &mut seen);
        visit(&inbox, &mut seen);
        pusher.join().expect("it does not panic");
        visit(&inbox, &mut seen);
        assert_eq!(seen, [true; 2], "a wish whose node nobody looks at any more");
    });
}

#[test]
fn a_node_goes_from_inbox_to_inbox_and_every_wish_is_seen() {
    explore(3, || {
        let (inboxes, task) = (Arc::new([Inbox::new(), Inbox::new()]), task());
        let other = thread::spawn({
            let (inboxes, task) = (inboxes.clone(), task.clone());
            move || {
                let mut seen = [false; 2];
                task[1].store(true, Ordering::Relaxed);
                let _ = inboxes[1].push(task);
                visit(&inboxes[1], &mut seen);
                seen
            }
        });
        let mut seen = [false; 2];
        task[0].store(true, Ordering::Relaxed);
        let _ = inboxes[0].push(task);
        visit(&inboxes[0], &mut seen);
        let seen_by_other = other.join().expect("it does not panic");
        for inbox in &*inboxes {
            visit(inbox, &mut seen);
        }
        for (seen, seen_by_other) in seen.into_iter().zip(seen_by_other) {
            assert!(seen || seen_by_other, "a wish whose node nobody looks at any more");
        }
    });
}

#[test]
fn an_inbox_that_is_dropped_lets_its_nodes_go() {
    explore(3, || {
        let (inbox, other, task) = (Arc::new(Inbox::new()), Inbox::new(), task());
        let pusher = thread::spawn({
            let (inbox, task) = (inbox.clone(), task.clone());
            move || {
                let _ = inbox.push(task);
            }
        });
        drop(inbox);
        pusher.join().expect("it does not panic");
        assert_eq!(other.push(task), crate::node::Pushed::Queued);
    });
}
