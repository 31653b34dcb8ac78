//! Messages between cores, where waiting suspends a thread and waking takes a way through another core's inbox. What the
//! calls mean is tested on the host, with many more sizes.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use toro::core as cores;
use toro::message::{self, CollectiveError, Member, ReceiveError, Refusal, SendError};
use toro::thread;
use toro::time::{Duration, Instant};

/// Rather too long than too short: nobody waits for it.
const LONG: Duration = Duration::from_secs(120);
/// For what shall time out; longer than a core polls before it sleeps.
const SHORT: Duration = Duration::from_millis(3);

pub fn run() {
    each(1, ping_pong);
    each(2, everybody_is_heard);
    each(1, collective_calls);
    each(1, sleepers);
    each(1, times_out);
    each(4, leaves);
    members_of_one_core();
    barriers();
}

/// Calls `function` on every core.
fn each<T: Send>(capacity: usize, function: fn(Member<T>)) {
    let call = |mut member: Member<T>| {
        assert_eq!((member.rank(), member.size()), (cores::current().index(), cores::count()));
        member.set_timeout(Some(LONG));
        function(member);
    };
    message::on_every_core(capacity, call).expect("memory");
}

/// Neighbours throw a number back and forth, each core on both sides.
fn ping_pong(mut member: Member<u64>) {
    let (me, size) = (member.rank(), member.size());
    if size == 1 {
        return;
    }
    let (last, next) = ((me + size - 1) % size, (me + 1) % size);
    for number in 0..2_000 {
        member.send(next, number).unwrap();
        assert_eq!(member.receive(last), Ok(number));
    }
}

fn everybody_is_heard(mut member: Member<usize>) {
    const COUNT: usize = 500;
    if member.rank() > 0 {
        (0..COUNT).for_each(|number| member.send(0, number).unwrap());
        return;
    }
    let mut next = alloc::vec![0; member.size()];
    while let Ok((from, number)) = member.receive_any() {
        assert_eq!(number, next[from]);
        next[from] += 1;
    }
    assert!(next.iter().skip(1).all(|&count| count == COUNT), "{next:?}");
}

fn collective_calls(mut member: Member<Vec<usize>>) {
    let (me, size) = (member.rank(), member.size());
    for root in (0..size).cycle().take(60) {
        let is_root = me == root;
        assert_eq!(member.broadcast(root, is_root.then(|| [root].into())), Ok([root].into()));
        let pieces = is_root.then(|| (0..size).map(|rank| [rank].into()).collect());
        assert_eq!(member.scatter(root, pieces), Ok([me].into()));
        let all = (0..size).map(|rank| Vec::from([rank])).collect::<Vec<_>>();
        assert_eq!(member.gather(root, [me].into()), Ok(is_root.then_some(all)));
        let order = (root..size).chain(0..root).collect::<Vec<_>>();
        assert_eq!(member.reduce(root, [me].into(), |a, b| [a, b].concat()), Ok(is_root.then_some(order)));
        let order = (0..size).collect::<Vec<_>>();
        assert_eq!(member.all_reduce([me].into(), |a, b| [a, b].concat()), Ok(order));
    }
}

/// One core is late in each round, so that all others sleep, and have to be woken.
fn sleepers(mut member: Member<usize>) {
    for round in 0..20 {
        let late = round % member.size();
        if member.rank() == late {
            thread::sleep(SHORT);
        }
        let is_late = member.rank() == late;
        assert_eq!(member.broadcast(late, is_late.then_some(round)), Ok(round));
        assert_eq!(member.all_reduce(member.rank(), usize::max), Ok(member.size() - 1));
    }
}

fn times_out(mut member: Member<usize>) {
    let (me, size) = (member.rank(), member.size());
    if size == 1 {
        return;
    }
    let (last, next) = ((me + size - 1) % size, (me + 1) % size);
    // Barriers keep the parts of the test apart on all cores.
    let in_short = |member: &mut Member<usize>, part: &dyn Fn(&mut Member<usize>)| {
        member.barrier().unwrap();
        member.set_timeout(Some(SHORT));
        let start = Instant::now();
        part(member);
        assert!(start.elapsed() >= SHORT);
        member.set_timeout(Some(LONG));
        member.barrier().unwrap();
    };
    in_short(&mut member, &|member| assert_eq!(member.receive(next), Err(ReceiveError::TimedOut)));
    in_short(&mut member, &|member| assert_eq!(member.receive_any(), Err(ReceiveError::TimedOut)));
    in_short(&mut member, &|member| {
        member.send(next, 1).unwrap();
        assert_eq!(member.send(next, 2), Err(SendError { value: 2, reason: Refusal::TimedOut }));
    });
    assert_eq!(member.receive(last), Ok(1));
    // A root that one does not hear from in time: the value comes later, and belongs to a call that is over for him.
    if me == 1 {
        member.set_timeout(Some(SHORT));
        assert_eq!(member.broadcast(0, None), Err(CollectiveError::TimedOut { rank: 0 }));
        member.set_timeout(Some(LONG));
        member.send(0, 3).unwrap();
    } else {
        if me == 0 {
            assert_eq!(member.receive(1), Ok(3));
        }
        assert_eq!(member.broadcast(0, (me == 0).then_some(7)), Ok(7));
    }
    assert_eq!(member.all_reduce(1, |a, b| a + b), Ok(size));
}

/// Who waits for somebody that leaves is woken.
fn leaves(mut member: Member<String>) {
    let last = member.size() - 1;
    if member.rank() == last {
        for rank in 0..last {
            member.send(rank, String::from("good-bye")).unwrap();
        }
        thread::sleep(SHORT);
        return;
    }
    assert_eq!(member.receive(last).as_deref(), Ok("good-bye"));
    assert_eq!(member.receive(last), Err(ReceiveError::Gone));
    let refused = member.send(last, String::new()).map_err(|error| error.reason);
    assert_eq!(refused, Err(Refusal::Gone));
}

/// Members need not be on different cores: threads of one core take turns.
fn members_of_one_core() {
    let sums: Vec<_> = message::group(5, 1)
        .into_iter()
        .map(|mut member| {
            thread::spawn(move || {
                member.set_timeout(Some(LONG));
                (0..50).map(|round| member.all_reduce(round, |a, b| a + b).unwrap()).sum::<u64>()
            })
        })
        .collect();
    sums.into_iter().for_each(|thread| assert_eq!(thread.join(), Ok(5 * 49 * 25)));
}

fn barriers() {
    const ROUNDS: usize = 200;
    let arrived = AtomicUsize::new(0);
    let call = |mut member: Member<()>| {
        member.set_timeout(Some(LONG));
        for round in 1..=ROUNDS {
            arrived.fetch_add(1, Ordering::Relaxed);
            member.barrier().unwrap();
            assert!(arrived.load(Ordering::Relaxed) >= round * member.size());
        }
    };
    message::on_every_core(1, call).expect("memory");
    assert_eq!(arrived.into_inner(), ROUNDS * cores::count());
}
