//! What may be sent, and how it is laid out.

use crate::share::*;

/// Whatever the size of a queue, with and without tables.
fn each_shape(mut check: impl FnMut(u16, u64, Share)) {
    for bus in BUSES {
        for size in [4, 8, 16, 128, 1024] {
            for tables in [0, INDIRECT_DESC] {
                check(size, tables, Setup { bus, features: EVENT_IDX | tables, ..Setup::small(size) }.share());
            }
        }
    }
}

#[test]
fn the_longest_payload_does_not_depend_on_the_queue() {
    each_shape(|size, tables, mut share| {
        assert_eq!(share.fs.limits().max_payload, MIB, "queue of {size}, {tables:#x}");
        let in_flight = if tables == 0 { size / 4 } else { size };
        assert_eq!(share.fs.limits().in_flight, in_flight.into(), "queue of {size}, {tables:#x}");
        // A READ and a WRITE of the longest kind.
        for is_read in [true, false] {
            let mut request = share.request(3);
            let bulk = share.fs.buffer(MIB).expect("memory");
            match is_read {
                true => request.payload = Some(bulk),
                false => request.data = Some(bulk),
            }
            share.fs.submit(request).expect("there is room");
            share.fs.publish();
            let chain = share.requests.pop().expect("it was published");
            assert!(chain.len() <= 4 && chain.len() <= usize::from(size), "VQ-8");
            assert_eq!(chain.table.is_some(), tables != 0);
            assert_eq!((chain.readable[0].1, chain.writable[0].1), (48, 16), "headers in one piece, room as exact");
            let bytes = if is_read { chain.writable_len() - 16 } else { chain.readable_len() - 48 };
            assert_eq!(bytes as usize, MIB);
            let answer: Vec<u8> = (0..chain.writable_len()).map(|i| (i % 251) as u8).collect();
            let written = share.requests.write(&chain, &answer);
            share.requests.push(u32::from(chain.head), written);
            let done = share.completion();
            if let Some(payload) = &done.request.payload {
                assert_eq!(payload[..], answer[16..]);
            }
            let FuseRequest { request, data, reply, payload, .. } = done.request;
            for buffer in [Some(request), data, reply, payload].into_iter().flatten() {
                share.fs.recycle(buffer);
            }
        }
    });
}

#[test]
fn a_queue_too_small_for_a_request_ends_the_attachment() {
    for size in [1, 2, 3] {
        for tables in [0, INDIRECT_DESC] {
            let memory = SimMemory::leak();
            let setup = Setup { features: EVENT_IDX | tables, ..Setup::small(size) };
            let (_, result) = setup.attach_with(memory);
            assert_eq!(result.map(|_| ()).expect_err("HD-QS-4"), AttachError::Queue { index: 0 });
            assert_eq!(memory.blocks(), 0);
        }
    }
}

#[test]
fn hundreds_are_in_flight_with_tables_and_without() {
    for (features, most) in [(EVENT_IDX, 256), (EVENT_IDX | INDIRECT_DESC, 1024), (0, 256), (INDIRECT_DESC, 1024)] {
        let mut share = Setup { features, ..Setup::default() }.share();
        assert_eq!(share.fs.limits().in_flight, most);
        let ids: Vec<_> = (0..most as u64).map(|number| share.submit(number)).collect();
        share.fs.publish();
        let chains = popped(&mut share.requests);
        assert_eq!(chains.len(), most);
        for chain in chains.iter().rev() {
            share.requests.push(u32::from(chain.head), 16);
        }
        for id in ids.iter().rev() {
            assert_eq!(share.completion().id, *id);
        }
    }
}

#[test]
fn fs_2_fs_3_what_is_on_the_wrong_queue_is_refused_and_comes_back() {
    let mut share = Setup::small(64).share();
    for raw in 0..80 {
        let is_urgent = matches!(Opcode::from_raw(raw), Some(Opcode::Forget | Opcode::BatchForget | Opcode::Interrupt));
        for priority in [Priority::Normal, Priority::High] {
            let mut request = share.request_of(priority, 6);
            request.request = share.buffer(&numbered(raw, 6));
            let is_right = is_urgent == (priority == Priority::High);
            match share.fs.submit(request) {
                Ok(_) => assert!(is_right, "operation {raw} with priority {priority:?}"),
                Err(refused) => {
                    assert!(!is_right, "operation {raw} with priority {priority:?}");
                    assert_eq!((refused.reason, refused.request.priority), (Refusal::Invalid, priority));
                    assert_eq!(number_of(&refused.request.request), 6);
                }
            }
            share.fs.publish();
            for queue in [&mut share.requests, &mut share.high] {
                for chain in popped(queue) {
                    queue.push(u32::from(chain.head), 0);
                }
            }
            while share.fs.complete().expect("an obedient device").is_some() {}
        }
    }
}

#[test]
fn a_request_without_a_whole_header_or_room_for_one_is_refused() {
    let mut share = Setup::small(64).share();
    for len in [1, 7, 8, 16, 39] {
        for priority in [Priority::Normal, Priority::High] {
            let mut request = share.request_of(priority, 6);
            request.request.set_len(len).expect("shorter than it was");
            let refused = share.fs.submit(request).expect_err("half a header ends some servers");
            assert_eq!((refused.reason, refused.request.request.len()), (Refusal::Invalid, len));
        }
    }
    for room in [1, 15] {
        let mut request = share.request(6);
        request.reply = Some(share.buffer(&vec![0; room]));
        assert!(share.fs.submit(request).is_err_and(|refused| refused.reason == Refusal::Invalid));
    }
    let mut request = share.request(6);
    request.reply = None;
    request.payload = Some(share.buffer(&[0; 64]));
    assert!(share.fs.submit(request).is_err_and(|refused| refused.reason == Refusal::Invalid), "no answer can come");
    share.fs.publish();
    assert!(share.requests.pop().is_none() && share.high.pop().is_none());
}

#[test]
fn hd_fs_39_a_forget_with_room_for_an_answer_is_refused() {
    let mut share = Setup::small(64).share();
    for is_payload in [false, true] {
        let mut request = share.one_way();
        let buffer = Some(share.buffer(&[0; 16]));
        if is_payload {
            request.payload = buffer
        } else {
            request.reply = buffer
        }
        let refused = share.fs.submit(request).expect_err("FU-FR-4");
        assert_eq!(refused.reason, Refusal::Invalid);
    }
}
