//! Everything that is pushed comes out once, complete, and what one sender pushed in his order.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::cell::UnsafeCell;
use crate::explore;
use crate::mailbox::Mailbox;

/// What senders and taker share.
struct Post {
    mailbox: Mailbox<usize>,
    /// What the messages are about: each is written by its sender, then read by the taker.
    contents: [UnsafeCell<usize>; 3],
    /// How many pushes found the mailbox empty.
    firsts: AtomicUsize,
}

impl Post {
    fn new() -> Self {
        let contents = [(); 3].map(|()| UnsafeCell::new(0));
        Self { mailbox: Mailbox::new(), contents, firsts: AtomicUsize::new(0) }
    }

    fn send(&self, message: usize) {
        // SAFETY: nobody reads it before the message has come.
        self.contents[message].with_mut(|contents| unsafe { *contents = message + 1 });
        if self.mailbox.push(message) {
            self.firsts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes what is there; answers whether that was anything.
    fn receive(&self, received: &mut Vec<usize>) -> bool {
        let before = received.len();
        for message in self.mailbox.take_all() {
            // SAFETY: nobody writes it after the message was sent.
            let contents = self.contents[message].with(|contents| unsafe { *contents });
            assert_eq!(contents, message + 1);
            received.push(message);
        }
        received.len() > before
    }
}

#[test]
fn everything_that_two_send_arrives_once_and_in_order() {
    explore(2, || {
        let post = Arc::new(Post::new());
        let senders = [vec![0, 1], vec![2]].map(|messages| {
            let post = post.clone();
            thread::spawn(move || messages.into_iter().for_each(|message| post.send(message)))
        });
        let (mut received, mut takes) = (Vec::new(), 0);
        for _ in 0..2 {
            takes += usize::from(post.receive(&mut received));
        }
        senders.into_iter().for_each(|sender| sender.join().expect("it does not panic"));
        takes += usize::from(post.receive(&mut received));
        assert!(received.iter().filter(|&&message| message < 2).eq(&[0, 1]), "{received:?}");
        received.sort_unstable();
        assert_eq!(received, [0, 1, 2]);
        assert_eq!(
            post.firsts.load(Ordering::Relaxed),
            takes,
            "one push finds an inbox empty for each take that empties it"
        );
    });
}

#[test]
fn everything_comes_out_once_whoever_takes() {
    explore(2, || {
        let post = Arc::new(Post::new());
        let taker = thread::spawn({
            let post = post.clone();
            move || {
                let mut received = Vec::new();
                post.send(2);
                post.receive(&mut received);
                received
            }
        });
        let mut received = Vec::new();
        post.send(0);
        post.receive(&mut received);
        post.send(1);
        received.extend(taker.join().expect("it does not panic"));
        post.receive(&mut received);
        received.sort_unstable();
        assert_eq!(received, [0, 1, 2]);
    });
}
