use std::ptr::NonNull;

use toro_sync::{RawInbox, RawLink};

fn push(inbox: &RawInbox, link: &mut RawLink) -> bool {
    // SAFETY: nobody touches a link of these tests before it is taken out or forgotten.
    unsafe { inbox.push(NonNull::from(link)) }
}

#[test]
fn links_come_out_in_the_order_in_which_they_went_in() {
    let inbox = RawInbox::new();
    assert!(inbox.is_empty());
    assert_eq!(inbox.take_all().count(), 0);
    let mut links = [const { RawLink::new() }; 3];
    let places = links.each_mut().map(NonNull::from);
    for round in 1..=3 {
        for &link in &places[..round] {
            // SAFETY: the links are taken out below, and touched by nobody meanwhile.
            assert_eq!(unsafe { inbox.push(link) }, link == places[0]);
            assert!(!inbox.is_empty());
        }
        assert!(inbox.take_all().eq(places[..round].iter().copied()));
        assert!(inbox.is_empty());
    }
}

#[test]
fn a_link_that_was_yielded_may_be_freed_or_pushed_anew_at_once() {
    let (inbox, other) = (RawInbox::new(), RawInbox::default());
    for _ in 0..3 {
        let link = Box::leak(Box::new(RawLink::default()));
        push(&inbox, link);
    }
    let mut is_first = true;
    for link in inbox.take_all() {
        if std::mem::take(&mut is_first) {
            // SAFETY: it was yielded, and is taken out below.
            assert!(unsafe { other.push(link) });
        } else {
            // SAFETY: it came from a box, and was yielded.
            drop(unsafe { Box::from_raw(link.as_ptr()) });
        }
    }
    for link in other.take_all() {
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(link.as_ptr()) });
    }
}

#[test]
fn what_a_list_is_not_asked_for_is_forgotten() {
    let mut links = [const { RawLink::new() }; 3];
    let inbox = RawInbox::new();
    for link in &mut links {
        push(&inbox, link);
    }
    assert!(inbox.take_all().next().is_some());
    assert!(inbox.is_empty());
    assert!(inbox.take_all().next().is_none());
}
