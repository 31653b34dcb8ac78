//! In flight.

use crate::share::*;

#[test]
fn hd_vq_11_hundreds_of_requests_complete_in_any_order_with_their_own_buffers() {
    for bus in BUSES {
        let mut share = Setup { bus, ..Setup::default() }.share();
        let most = share.fs.limits().in_flight;
        assert_eq!(most, 256);
        let mut order = 0x2545_f491_u32;
        let mut next = 0;
        let mut expected = HashMap::new();
        let mut waiting = Vec::new();
        for _ in 0..40 {
            while expected.len() < most {
                let id = share.submit(next);
                assert!(expected.insert(id, next).is_none(), "an id is unique among those in flight");
                next += 1;
            }
            let one_more = share.request(u64::MAX);
            let refused = share.fs.submit(one_more).expect_err("it is full");
            assert_eq!(refused.reason, Refusal::Full);
            assert_eq!(number_of(&refused.request.request), u64::MAX, "the request comes back");
            share.fs.publish();
            waiting.extend(popped(&mut share.requests));
            assert_eq!(waiting.len(), most);
            // Any half of them, in any order.
            for _ in 0..most / 2 {
                order = order.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let chain = waiting.swap_remove((order >> 8) as usize % waiting.len());
                let request = share.requests.read(&chain);
                let number = &request[40..48];
                let written = share.requests.write(&chain, &[number, number].concat());
                share.requests.push(u32::from(chain.head), written);
            }
            while let Some(done) = share.fs.complete().expect("an obedient device") {
                let number = expected.remove(&done.id).expect("it is in flight");
                assert_eq!(number_of(&done.request.request), number);
                let number = number.to_le_bytes();
                assert_eq!(done.request.reply.as_deref(), Some(&[number, number].concat()[..]));
                share.fs.recycle(done.request.request);
                share.fs.recycle(done.request.reply.expect("as submitted"));
            }
            assert_eq!(expected.len(), most / 2);
        }
    }
}

#[test]
fn fs_4_requests_of_both_priorities_complete_independently() {
    let mut share = Setup::small(64).share();
    let stuck = share.submit(1);
    let forget = share.one_way();
    let forget = share.fs.submit(forget).expect("there is room");
    assert_ne!(stuck, forget, "ids of the two queues do not collide");
    share.fs.publish();
    let chain = share.high.pop().expect("it was published");
    share.high.push(u32::from(chain.head), 0);
    let done = share.completion();
    assert_eq!((done.id, done.request.priority), (forget, Priority::High));
    assert!(share.fs.complete().expect("an obedient device").is_none());
}

#[test]
fn hd_fs_9_a_length_of_zero_is_passed_on_and_a_huge_one_is_cut() {
    for (claimed, expected) in [(0, 0), (1, 1), (15, 15), (16, 16), (17, 16), (u32::MAX, 16)] {
        let mut share = Setup::small(64).share();
        let id = share.submit(1);
        share.fs.publish();
        let chain = share.requests.pop().expect("it was published");
        share.requests.write(&chain, &[9; 16]);
        share.requests.push(u32::from(chain.head), claimed);
        let done = share.completion();
        assert_eq!((done.id, done.written), (id, expected));
        assert_eq!(done.request.reply.as_deref(), Some(&[9; 16][..]), "the buffer is the caller's, whole");
    }
}

#[test]
fn hd_fs_39_an_answer_to_forget_has_nowhere_to_go() {
    for claimed in [0, 16, u32::MAX] {
        let mut share = Setup::small(64).share();
        let request = share.one_way();
        let id = share.fs.submit(request).expect("there is room");
        share.fs.publish();
        let chain = share.high.pop().expect("it was published");
        assert!(chain.writable.is_empty(), "FU-FR-4");
        share.high.push(u32::from(chain.head), claimed);
        let done = share.completion();
        assert_eq!((done.id, done.written), (id, 0));
        assert!(done.request.reply.is_none() && done.request.payload.is_none());
    }
}

#[test]
fn hd_fs_37_a_request_that_never_completes_keeps_its_buffers() {
    let options = Options { buffer_bytes: 128 << 10, ..Options::default() };
    let mut share = Setup { options, ..Setup::small(64) }.share();
    share.submit(0xdead);
    share.fs.publish();
    let stuck = share.requests.pop().expect("it was published");
    let [(request, _), (reply, _)] = [stuck.readable[0], stuck.writable[0]];
    // All others come and go, and nobody is given its buffers.
    for round in 0..100 {
        let id = share.submit(round);
        share.fs.publish();
        let chain = share.requests.pop().expect("it was published");
        share.requests.push(u32::from(chain.head), 16);
        let done = share.completion();
        assert_eq!(done.id, id);
    }
    let all: Vec<_> = std::iter::from_fn(|| share.fs.buffer(16)).collect();
    assert_eq!(all.len(), 126, "two of 128 are still with the device");
    assert!(all.iter().all(|buffer| ![request, reply].contains(&buffer.bus_addr().get())));
    drop(all);
    // Also after the driver is gone.
    let Share { memory, fs, requests, .. } = share;
    drop(fs);
    assert_eq!(number_of(&requests.read(&stuck)), 0xdead);
    assert_eq!(requests.write(&stuck, &[1; 16]), 16);
    assert!(memory.blocks() > 0);
}
