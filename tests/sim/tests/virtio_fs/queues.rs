//! Queues.

use crate::share::*;

#[test]
fn fs_2_3_forget_takes_queue_0_and_everything_else_queue_1() {
    let node = NodeId::new(7).expect("not zero");
    let name = Name::new(b"motd").expect("a sound name");
    for bus in BUSES {
        let mut share = Setup { bus, ..Setup::small(64) }.share();
        let mut uniques = UniqueAllocator::new();
        let forget = Forget { node, lookups: 3 };
        let all = [
            share.encoded(&Init::new(1 << 20), uniques.allocate()),
            share.encoded_one_way(&forget, uniques.allocate()),
            share.encoded(&Lookup { parent: NodeId::ROOT, name }, uniques.allocate()),
            share.encoded_one_way(&BatchForget { nodes: &[forget, forget] }, uniques.allocate()),
            share.encoded(&GetAttr { node, handle: None, expected: None }, uniques.allocate()),
        ];
        for request in all {
            share.fs.submit(request).expect("there is room");
        }
        share.fs.publish();
        let on = |queue: &mut DeviceQueue| -> Vec<_> {
            let chains = popped(queue);
            chains.iter().map(|chain| opcode(queue, chain)).collect()
        };
        assert_eq!(on(&mut share.high), [Some(Opcode::Forget), Some(Opcode::BatchForget)]);
        assert_eq!(on(&mut share.requests), [Some(Opcode::Init), Some(Opcode::Lookup), Some(Opcode::GetAttr)]);
    }
}

#[test]
fn one_kick_for_each_queue_that_something_was_published_to() {
    for bus in BUSES {
        for features in [0, EVENT_IDX] {
            let mut share = Setup { bus, features, ..Setup::default() }.share();
            let mut round = |normal: u64, high: usize| {
                let _ = (share.high.enable_kicks(), share.requests.enable_kicks());
                for number in 0..normal {
                    share.submit(number);
                }
                for _ in 0..high {
                    let request = share.one_way();
                    share.fs.submit(request).expect("there is room");
                }
                assert_eq!(share.kicks(), [], "nothing before publish");
                share.fs.publish();
                popped(&mut share.high);
                popped(&mut share.requests);
                share.kicks()
            };
            assert_eq!(round(0, 0), []);
            assert_eq!(round(1, 0), [1]);
            assert_eq!(round(100, 0), [1]);
            assert_eq!(round(0, 20), [0]);
            assert_eq!(round(30, 30), [0, 1], "what needs no answer first");
            assert_eq!(round(0, 0), []);
        }
    }
}

#[test]
fn a_request_is_one_chain_of_its_buffers_in_their_order() {
    let mut share = Setup::default().share();
    let header = numbered(Opcode::Write.raw(), 5);
    let request = FuseRequest {
        priority: Priority::Normal,
        request: share.buffer(&header),
        data: Some(share.buffer(b"bytes of a write")),
        reply: Some(share.buffer(&[0; 24])),
        payload: Some(share.buffer(&[0; 4096])),
    };
    let id = share.fs.submit(request).expect("there is room");
    share.fs.publish();
    let chain = share.requests.pop().expect("it was published");
    assert_eq!(share.requests.read(&chain), [&header[..], b"bytes of a write"].concat());
    assert_eq!(chain.writable.iter().map(|(_, len)| *len).collect::<Vec<_>>(), [24, 4096]);
    let answer: Vec<u8> = (0..4120).map(|i| i as u8).collect();
    let written = share.requests.write(&chain, &answer);
    share.requests.push(u32::from(chain.head), written);
    let done = share.completion();
    assert_eq!((done.id, done.written), (id, 4120));
    assert_eq!(&done.request.request[..], &header[..]);
    assert_eq!(done.request.data.as_deref(), Some(&b"bytes of a write"[..]));
    assert_eq!(done.request.reply.as_deref(), Some(&answer[..24]));
    assert_eq!(done.request.payload.as_deref(), Some(&answer[24..]));
    assert_eq!(done.request.priority, Priority::Normal);
}
