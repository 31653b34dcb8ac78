//! Groups whose members are threads of the host.

use std::boxed::Box;
use std::string::String;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::vec::Vec;

use super::*;
use crate::time::Duration;

/// Miri is slow; a few sizes show the same.
const SIZES: &[usize] = if cfg!(miri) { &[1, 3, 4] } else { &[1, 2, 3, 4, 5, 7, 8, 9] };
/// Rather too long than too short: nobody waits for it but where it says so.
const LONG: Duration = Duration::from_secs(120);
/// For what shall time out.
const SHORT: Duration = Duration::from_millis(20);

/// Runs `function` for each member of a new group, on a thread each; gives the results by rank.
fn run<T: Send, R: Send>(size: usize, capacity: usize, function: impl Fn(&mut Member<T>) -> R + Sync) -> Vec<R> {
    let members = group(size, capacity);
    thread::scope(|scope| {
        let function = &function;
        let start = |mut member: Member<T>| {
            member.set_timeout(Some(LONG));
            scope.spawn(move || function(&mut member))
        };
        let threads: Vec<_> = members.into_iter().map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("a member panicked")).collect()
    })
}

#[test]
fn messages_arrive_in_order_through_a_small_ring() {
    let count = if cfg!(miri) { 50 } else { 20_000 };
    run(3, 2, |member: &mut Member<usize>| {
        let (next, last) = ((member.rank() + 1) % 3, (member.rank() + 2) % 3);
        let rank = member.rank();
        for number in 0..count {
            member.send(next, number * 3 + rank).unwrap();
            assert_eq!(member.receive(last), Ok(number * 3 + last));
        }
    });
}

#[test]
fn a_full_ring_makes_its_sender_wait() {
    run(2, 1, |member: &mut Member<u32>| {
        if member.rank() == 0 {
            member.try_send(1, 0).unwrap();
            assert_eq!(member.try_send(1, 1), Err(SendError { value: 1, reason: Refusal::Full }));
            member.set_timeout(Some(SHORT));
            assert_eq!(member.send(1, 1), Err(SendError { value: 1, reason: Refusal::TimedOut }));
            member.set_timeout(Some(LONG));
            // The other begins to receive behind this.
            member.barrier().unwrap();
            (1..100).for_each(|number| member.send(1, number).unwrap());
        } else {
            member.barrier().unwrap();
            (0..100).for_each(|number| assert_eq!(member.receive(0), Ok(number)));
        }
    });
}

#[test]
fn everybody_is_heard_by_receive_any() {
    let count = if cfg!(miri) { 5 } else { 500 };
    run(5, 4, |member: &mut Member<usize>| {
        if member.rank() > 0 {
            (0..count).for_each(|number| member.send(0, number).unwrap());
            return;
        }
        let mut next = [0; 5];
        while next.iter().sum::<usize>() < 4 * count {
            let (from, number) = member.receive_any().unwrap();
            assert_eq!(number, next[from], "of member {from}");
            next[from] += 1;
        }
        assert_eq!(member.receive_any(), Err(ReceiveError::Gone));
    });
}

#[test]
fn nobody_is_heard_twice_before_another() {
    let mut members = group(4, 8);
    let mut receiver = members.remove(0);
    for member in &mut members {
        (0..2).for_each(|number| member.send(0, number).unwrap());
    }
    let order: Vec<_> = (0..6).map(|_| receiver.try_receive_any().unwrap().0).collect();
    assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    assert_eq!(receiver.try_receive_any(), Err(ReceiveError::Empty));
}

#[test]
fn what_a_member_sent_before_it_left_is_received() {
    let mut members = group(3, 4);
    let (mut third, mut second) = (members.pop().unwrap(), members.pop().unwrap());
    let mut first = members.pop().unwrap();
    second.send(0, String::from("last words")).unwrap();
    drop(second);
    assert_eq!(first.receive(1).as_deref(), Ok("last words"));
    assert_eq!(first.receive(1), Err(ReceiveError::Gone));
    assert_eq!(first.send(1, String::new()).map_err(|error| error.reason), Err(Refusal::Gone));
    assert_eq!(first.try_receive_any(), Err(ReceiveError::Empty));
    // One that has gone keeps nobody from waiting for the others.
    first.set_timeout(Some(SHORT));
    assert_eq!(first.receive_any(), Err(ReceiveError::TimedOut));
    third.send(0, String::from("hello")).unwrap();
    assert_eq!(first.receive_any(), Ok((2, String::from("hello"))));
    drop(third);
    assert_eq!(first.receive_any(), Err(ReceiveError::Gone));
}

#[test]
fn a_member_that_leaves_wakes_who_waits_for_it() {
    run(2, 1, |member: &mut Member<u32>| {
        if member.rank() == 0 {
            assert_eq!(member.receive(1), Err(ReceiveError::Gone));
            assert_eq!(member.barrier(), Err(CollectiveError::Gone { rank: 1 }));
        } else {
            thread::sleep(SHORT);
        }
    });
}

#[test]
fn ranks_that_do_not_exist_are_errors() {
    let mut members = group::<u8>(2, 0);
    let member = &mut members[1];
    for rank in [1, 2, usize::MAX] {
        assert_eq!(member.try_send(rank, 7), Err(SendError { value: 7, reason: Refusal::NoSuchMember }));
        assert_eq!(member.send(rank, 7), Err(SendError { value: 7, reason: Refusal::NoSuchMember }));
        assert_eq!(member.try_receive(rank), Err(ReceiveError::NoSuchMember));
        assert_eq!(member.receive(rank), Err(ReceiveError::NoSuchMember));
    }
    assert_eq!(member.broadcast(2, Some(1)), Err(CollectiveError::NoSuchRoot));
    assert_eq!(member.scatter(2, None), Err(CollectiveError::NoSuchRoot));
    assert_eq!(member.gather(2, 1), Err(CollectiveError::NoSuchRoot));
    assert_eq!(member.reduce(2, 1, |a, _| a), Err(CollectiveError::NoSuchRoot));
    assert!(group::<u8>(0, 1).is_empty());
}

#[test]
fn a_group_of_one_talks_to_nobody() {
    let mut member = group::<u32>(1, 1).pop().unwrap();
    assert_eq!(member.receive_any(), Err(ReceiveError::Gone));
    assert_eq!(member.barrier(), Ok(()));
    assert_eq!(member.broadcast(0, Some(5)), Ok(5));
    assert_eq!(member.scatter(0, Some(Vec::from([6]))), Ok(6));
    assert_eq!(member.gather(0, 7), Ok(Some(Vec::from([7]))));
    assert_eq!(member.all_reduce(8, |a, b| a + b), Ok(8));
}

#[test]
fn collective_calls_give_what_they_should_for_every_size_and_root() {
    for &size in SIZES {
        run(size, 1, |member: &mut Member<Box<usize>>| {
            let rank = member.rank();
            for root in 0..size {
                let is_root = rank == root;
                assert_eq!(member.broadcast(root, is_root.then(|| Box::new(root))).as_deref(), Ok(&root));
                let pieces = is_root.then(|| (0..size).map(|rank| Box::new(rank * root)).collect());
                assert_eq!(member.scatter(root, pieces).as_deref(), Ok(&(rank * root)));
                let gathered = is_root.then(|| (0..size).map(Box::new).collect());
                assert_eq!(member.gather(root, Box::new(rank)), Ok(gathered));
                let sum = member.reduce(root, Box::new(rank), |a, b| Box::new(*a + *b));
                assert_eq!(sum, Ok(is_root.then(|| Box::new(size * (size - 1) / 2))));
                let most = member.all_reduce(Box::new(rank), |a, b| a.max(b));
                assert_eq!(most, Ok(Box::new(size - 1)));
            }
        });
    }
}

#[test]
fn values_are_combined_from_the_roots_on_and_round() {
    for &size in SIZES {
        run(size, 1, |member: &mut Member<Vec<usize>>| {
            for root in 0..size {
                let order = member.reduce(root, Vec::from([member.rank()]), |a, b| [a, b].concat()).unwrap();
                let wanted = || (root..size).chain(0..root).collect();
                assert_eq!(order, (member.rank() == root).then(wanted));
            }
        });
    }
}

#[test]
fn nobody_leaves_a_barrier_before_the_last_has_come() {
    let rounds = if cfg!(miri) { 3 } else { 200 };
    for &size in SIZES {
        let arrived = AtomicUsize::new(0);
        run(size, 1, |member: &mut Member<()>| {
            for round in 1..=rounds {
                arrived.fetch_add(1, Ordering::Relaxed);
                member.barrier().unwrap();
                assert!(arrived.load(Ordering::Relaxed) >= round * size);
            }
        });
    }
}

#[test]
fn steps_pass_messages_that_nobody_has_received() {
    run(4, 2, |member: &mut Member<usize>| {
        let rank = member.rank();
        let others = move || (0..4).filter(move |&other| other != rank);
        for other in others() {
            (0..2).for_each(|number| member.send(other, 100 * rank + number).unwrap());
        }
        assert_eq!(member.all_reduce(rank, |a, b| a + b), Ok(6));
        assert_eq!(member.broadcast(2, (rank == 2).then_some(1)), Ok(1));
        for other in others() {
            (0..2).for_each(|number| assert_eq!(member.receive(other), Ok(100 * other + number)));
        }
    });
}

#[test]
fn a_root_may_be_calls_ahead() {
    let calls = if cfg!(miri) { 20 } else { 2_000 };
    run(4, 1, |member: &mut Member<u32>| {
        for call in 0..calls {
            assert_eq!(member.broadcast(1, (member.rank() == 1).then_some(call)), Ok(call));
        }
    });
}

#[test]
fn a_root_that_gives_the_wrong_thing_tells_the_others() {
    run(5, 1, |member: &mut Member<u32>| {
        let is_root = member.rank() == 3;
        let expected = |at_root| Err(if is_root { at_root } else { CollectiveError::RefusedByRoot });
        assert_eq!(member.broadcast(3, None), expected(CollectiveError::NothingGiven));
        assert_eq!(member.scatter(3, None), expected(CollectiveError::NothingGiven));
        for given in [0, 4, 6] {
            let pieces = is_root.then(|| (0..given as u32).collect());
            assert_eq!(member.scatter(3, pieces), expected(CollectiveError::WrongNumberOfPieces { given }));
        }
        // What was refused has left nothing behind.
        assert_eq!(member.all_reduce(1, |a, b| a + b), Ok(5));
    });
}

#[test]
fn after_a_call_that_failed_the_next_one_is_in_step() {
    run(2, 1, |member: &mut Member<u32>| {
        if member.rank() == 1 {
            // The root comes too late, and then its value belongs to a call that is over.
            member.set_timeout(Some(SHORT));
            assert_eq!(member.broadcast(0, None), Err(CollectiveError::TimedOut { rank: 0 }));
            member.set_timeout(Some(LONG));
            member.send(0, 0).unwrap();
        } else {
            member.receive(1).unwrap();
            assert_eq!(member.broadcast(0, Some(1)), Ok(1));
        }
        assert_eq!(member.broadcast(0, (member.rank() == 0).then_some(2)), Ok(2));
    });
}

#[test]
fn a_step_of_a_later_call_ends_this_one_and_is_kept() {
    run(2, 1, |member: &mut Member<u32>| {
        if member.rank() == 0 {
            // This member does not take part in the first call as it should: it thinks of a root that is not there.
            assert_eq!(member.broadcast(9, None), Err(CollectiveError::NoSuchRoot));
            assert_eq!(member.broadcast(0, Some(2)), Ok(2));
        } else {
            assert_eq!(member.broadcast(0, None), Err(CollectiveError::OutOfStep { rank: 0 }));
            assert_eq!(member.broadcast(0, None), Ok(2));
        }
    });
}

#[test]
fn different_calls_at_the_same_time_are_told_apart() {
    run(2, 1, |member: &mut Member<u32>| {
        let other = 1 - member.rank();
        let result = if member.rank() == 0 {
            member.broadcast(0, Some(1)).map(drop).and(member.gather(0, 1).map(drop))
        } else {
            member.scatter(0, None).map(drop)
        };
        if member.rank() == 1 {
            assert_eq!(result, Err(CollectiveError::OutOfStep { rank: other }));
            assert_eq!(member.gather(0, 5), Ok(None));
        } else {
            assert_eq!(result, Ok(()));
        }
    });
}

#[test]
fn values_that_nobody_receives_are_dropped_once() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut members = group(3, 4);
    for to in 1..3 {
        (0..3).for_each(|_| members[0].send(to, Counted).unwrap());
    }
    drop(members[1].receive(0));
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    drop(members);
    assert_eq!(DROPPED.load(Ordering::Relaxed), 6);
}
