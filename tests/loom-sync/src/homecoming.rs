//! Remote free, as the kernel's heap does it: a block travels in an inbox, with its route written into the block itself.
//!
//! A block has no state but what is in it, and its memory serves three masters, one after the other: the thread that uses it,
//! the inbox, and its owner, who may give it out anew at once. Every touch is a cell's, so a master who comes too early or
//! stays too long is an error by itself.

use std::ptr::NonNull;

use loom::sync::Arc;
use loom::thread;

use crate::cell::UnsafeCell;
use crate::explore;
use crate::inbox::{RawInbox, RawLink};

/// A block of memory. While it is out, `contents` is what its user has in it; on its way home it is the route.
#[repr(C)]
struct Block {
    link: RawLink,
    contents: UnsafeCell<usize>,
}

/// A block that somebody has.
struct Mine(NonNull<Block>);

// SAFETY: a block is memory, and belongs to whoever has this.
unsafe impl Send for Mine {}

impl Mine {
    fn new(contents: usize) -> Self {
        let block = Box::new(Block { link: RawLink::new(), contents: UnsafeCell::new(contents) });
        Self(NonNull::from(Box::leak(block)))
    }

    fn contents(&self) -> &UnsafeCell<usize> {
        // SAFETY: blocks are freed by `destroy` alone, which takes the block.
        &unsafe { self.0.as_ref() }.contents
    }

    fn write(&self, value: usize) {
        // SAFETY: the block belongs to this thread; loom checks it.
        self.contents().with_mut(|contents| unsafe { *contents = value });
    }

    fn read(&self) -> usize {
        // SAFETY: the block belongs to this thread; loom checks it.
        self.contents().with(|contents| unsafe { *contents })
    }

    fn destroy(self) {
        // SAFETY: made by `new` from a box, and given up.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Frees a block of another core: `Inbox::push` in the kernel.
fn send_home(inbox: &RawInbox, block: Mine, route: usize) {
    block.write(route);
    // SAFETY: the link is the first thing in a block that lives until it is destroyed, which its owner does later.
    unsafe { inbox.push(block.0.cast()) };
}

/// What the owner does now and then: `LocalHeap::collect` in the kernel.
fn collect(inbox: &RawInbox) -> Vec<Mine> {
    inbox.take_all().map(|link| Mine(link.cast())).collect()
}

#[test]
fn a_block_comes_home_with_its_route_and_can_be_given_out_at_once() {
    explore(3, || {
        let inbox = Arc::new(RawInbox::new());
        let users = [10, 20].map(|number| {
            let inbox = inbox.clone();
            let block = Mine::new(number);
            thread::spawn(move || {
                assert_eq!(block.read(), number, "what the owner wrote when it gave the block out");
                send_home(&inbox, block, number + 1);
            })
        });
        let mut routes = Vec::new();
        // Before the users are joined: that would order what the inbox has to order.
        while routes.len() < 2 {
            for block in collect(&inbox) {
                routes.push(block.read());
                block.write(0);
                block.destroy();
            }
            thread::yield_now();
        }
        users.into_iter().for_each(|user| user.join().expect("it does not panic"));
        routes.sort_unstable();
        assert_eq!(routes, [11, 21]);
    });
}

#[test]
fn a_block_that_came_home_goes_out_again_and_comes_back() {
    explore(3, || {
        let (home, away) = (Arc::new(RawInbox::new()), Arc::new(RawInbox::new()));
        send_home(&away, Mine::new(0), 0);
        let other = thread::spawn({
            let (home, away) = (home.clone(), away.clone());
            move || {
                let mut seen = 0;
                while seen < 2 {
                    for block in collect(&away) {
                        seen += 1;
                        let trips = block.read();
                        send_home(&home, block, trips + 1);
                    }
                    thread::yield_now();
                }
            }
        });
        let mut trips = 0;
        while trips < 4 {
            for block in collect(&home) {
                trips = block.read() + 1;
                match trips {
                    2 => send_home(&away, block, trips),
                    _ => block.destroy(),
                }
            }
            thread::yield_now();
        }
        other.join().expect("it does not panic");
        assert_eq!(trips, 4, "twice to and fro");
    });
}
