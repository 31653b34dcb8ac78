//! Requests that cannot be; lies in the used ring.

use crate::share::*;

#[test]
fn a_request_larger_than_the_limit_is_refused_and_comes_back() {
    let mut share = Setup::small(64).share();
    let mut large = DmaPool::new(share.memory, 1, MIB + 1).expect("memory");
    for part in 0..4 {
        for len in [MIB, MIB + 1] {
            let mut request = share.request(7);
            let mut buffer = large.take().expect("it came home");
            buffer.set_len(len).expect("it is that long");
            buffer.fill(0);
            match part {
                0 => request.request = buffer,
                1 => request.data = Some(buffer),
                2 => request.reply = Some(buffer),
                _ => request.payload = Some(buffer),
            }
            let result = share.fs.submit(request);
            if len <= MIB {
                assert!(result.is_ok());
                share.fs.publish();
                let chain = share.requests.pop().expect("it was published");
                share.requests.push(u32::from(chain.head), 0);
                share.completion();
                continue;
            }
            let refused = result.expect_err("no device is asked for so much");
            assert_eq!(refused.reason, Refusal::Invalid);
            let FuseRequest { request, data, reply, payload, .. } = refused.request;
            let all = [Some(request), data, reply, payload];
            assert_eq!(all[part].as_ref().map(|buffer| buffer.len()), Some(MIB + 1));
        }
    }
    share.fs.publish();
    assert!(share.requests.pop().is_none(), "the device has seen nothing of it");
}

#[test]
fn a_request_with_an_empty_buffer_is_refused_and_comes_back() {
    let mut share = Setup::small(64).share();
    for part in 0..4 {
        let mut request = share.request(7);
        let empty = share.fs.buffer(0).expect("far below the bound");
        match part {
            0 => request.request = empty,
            1 => request.data = Some(empty),
            2 => request.reply = Some(empty),
            _ => request.payload = Some(empty),
        }
        let refused = share.fs.submit(request).expect_err("empty buffers are not allowed");
        assert_eq!(refused.reason, Refusal::Invalid);
        assert_eq!(refused.request.priority, Priority::Normal);
    }
}

/// Each lie, and the fault it is found out by. Four requests are in flight in a queue of 16, one of them `head`.
fn lie(number: usize, queue: &mut DeviceQueue, head: u32) -> DeviceFault {
    match number {
        0 => queue.push(4, 0),
        1 => queue.push(0x1_0000 | head, 0),
        2 => {
            queue.push(head, 0);
            queue.push(head, 0);
        }
        3 => queue.show_used_index(5),
        _ => queue.show_used_index(0x8000),
    }
    [
        DeviceFault::UsedIdOutOfRange { id: 4 },
        DeviceFault::UsedIdOutOfRange { id: 0x1_0000 | head },
        DeviceFault::UsedIdNotInFlight { id: head },
        DeviceFault::UsedIndexJump { advance: 5, in_flight: 4 },
        DeviceFault::UsedIndexJump { advance: 0x8000, in_flight: 4 },
    ][number]
}

#[test]
fn hd_vq_1_3_6_7_hd_fs_36_lies_in_either_queue_are_faults_and_requests_come_back() {
    for bus in BUSES {
        for (number, priority) in (0..5).flat_map(|i| [(i, Priority::Normal), (i, Priority::High)]) {
            let mut share = Setup { bus, ..Setup::small(16) }.share();
            for i in 0..4 {
                let request = share.request_of(priority, i);
                share.fs.submit(request).expect("there is room");
            }
            share.fs.publish();
            let queue = if priority == Priority::High { &mut share.high } else { &mut share.requests };
            let chain = queue.pop().expect("it was published");
            let fault = lie(number, queue, u32::from(chain.head));
            if number == 2 {
                assert!(share.fs.complete().is_ok_and(|done| done.is_some()), "the first one was no lie");
            }
            assert_eq!(share.fs.complete().map(drop), Err(fault));
            assert_eq!(share.fs.complete().map(drop), Err(fault), "for good");
            assert_eq!(share.fs.arm(), Err(fault));
            let request = share.request_of(priority, 99);
            let refused = share.fs.submit(request).expect_err("the queue is dead");
            assert_eq!(refused.reason, Refusal::Faulted(fault));
            assert_eq!(number_of(&refused.request.request), 99);
            share.fs.publish();
        }
    }
}
