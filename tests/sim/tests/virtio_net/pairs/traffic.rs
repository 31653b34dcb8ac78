//! Pairs at work, each for itself.

use super::*;

/// What a pair transmits now.
fn sent(queue: &mut DeviceQueue) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(chain) = queue.pop() {
        numbers.push(number(&queue.read(&chain)[HEADER_LEN..]));
        queue.push(u32::from(chain.head), 0);
    }
    numbers
}

fn deliver(queue: &mut DeviceQueue, i: usize) {
    let chain = queue.pop().expect("the driver keeps the receive queue filled");
    let written = queue.write(&chain, &[vec![0; HEADER_LEN], numbered(i)].concat());
    queue.push(u32::from(chain.head), written);
}

fn transmit(net: &mut dyn NetDevice, i: usize) {
    let mut frame = net.frame(60).expect("frames are free");
    frame.set_len(60).expect("frames are long enough");
    frame.copy_from_slice(&numbered(i));
    let mut burst = Burst::new();
    burst.push(frame).expect("there is room");
    net.transmit(&mut burst).expect("an obedient card");
    assert!(burst.is_empty());
}

fn received(net: &mut dyn NetDevice) -> Vec<usize> {
    let mut burst = Burst::new();
    net.receive(&mut burst).expect("an obedient card");
    drained(&mut burst).iter().map(|frame| number(frame)).collect()
}

#[test]
fn what_pair_k_transmits_leaves_on_queue_2k_1_and_what_arrives_on_queue_2k_is_its_own() {
    let card = Card::new(3);
    let (mut pairs, _) = card.pairs(3);
    let mut queues: Vec<_> = (0..6).map(|index| card.queue(index)).collect();
    for round in 0..40 {
        for k in 0..3 {
            take(&mut card.device.state().kicks);
            let _ = queues[2 * k + 1].enable_kicks();
            transmit(&mut pairs[k], round);
            assert_eq!(take(&mut card.device.state().kicks), [2 * k as u16 + 1]);
            deliver(&mut queues[2 * k], 1000 * k + round);
            for other in 0..3 {
                let expected = if other == k { vec![round] } else { vec![] };
                assert_eq!(sent(&mut queues[2 * other + 1]), expected);
                let expected = if other == k { vec![1000 * k + round] } else { vec![] };
                assert_eq!(received(&mut pairs[other]), expected);
            }
        }
    }
    for pair in &mut pairs {
        assert_eq!((pair.mac(), pair.limits().max_frame, pair.link()), (MacAddress(MAC), LONGEST, LinkState::Up));
        assert_eq!(pair.counters(), Counters::default());
    }
    card.device.state().config[6] = 0;
    assert!(pairs.iter_mut().all(|pair| pair.link() == LinkState::Down), "the link is everybody's");
}

#[test]
fn the_queues_of_a_pair_interrupt_its_owner_and_the_control_queue_nobody() {
    let card = Card::new(4);
    let (mut pairs, _) = card.pairs(3);
    let vectors: Vec<_> = (0..9).map(|index| card.device.queue(index).vector).collect();
    assert_eq!(vectors, [0, 0, 1, 1, 2, 2, NO_VECTOR, NO_VECTOR, NO_VECTOR]);
    assert_eq!(card.device.state().config_vector, 0);
    // Each is armed for itself.
    let mut queues: Vec<_> = (0..3).map(|k| card.queue(2 * k)).collect();
    for round in 0..20 {
        for (k, pair) in pairs.iter_mut().enumerate() {
            assert_eq!(pair.arm(), Ok(Armed::Idle));
            deliver(&mut queues[k], round);
            assert!(queues[k].wants_interrupt());
            assert_eq!(pair.arm(), Ok(Armed::WorkPending));
            assert_eq!(received(pair), [round]);
        }
    }
}

#[test]
fn hd_vq_1_3_a_lie_to_one_pair_is_a_fault_of_that_pair_alone() {
    let card = Card::new(2);
    let (mut pairs, _) = card.pairs(2);
    let mut queues: Vec<_> = (0..4).map(|index| card.queue(index)).collect();
    queues[2].push(16, 100);
    let fault = DeviceFault::UsedIdOutOfRange { id: 16 };
    assert_eq!(pairs[1].receive(&mut Burst::new()), Err(fault));
    assert_eq!(pairs[1].arm(), Err(fault));
    // The same number, in flight in one queue and not in the other.
    transmit(&mut pairs[0], 1);
    assert_eq!(sent(&mut queues[1]), [1]);
    deliver(&mut queues[0], 2);
    assert_eq!(received(&mut pairs[0]), [2]);
    queues[1].push(0, 0);
    for _ in 0..16 {
        let mut burst = Burst::new();
        while let Some(mut frame) = pairs[0].frame(60).filter(|_| burst.room() > 0) {
            frame.set_len(60).expect("frames are long enough");
            burst.push(frame).expect("there is room");
        }
        if pairs[0].transmit(&mut burst).is_err() {
            return;
        }
    }
    panic!("a completion that nobody waits for goes unnoticed");
}

#[test]
fn pairs_work_at_once_each_on_a_thread_of_its_own() {
    const ROUNDS: usize = if cfg!(miri) { 20 } else { 500 };
    let card = Card::new(3);
    let (pairs, _) = card.pairs(3);
    let workers = pairs.into_iter().enumerate().map(|(k, mut pair)| {
        let (mut receive, mut transmitted) = (card.queue(2 * k), card.queue(2 * k + 1));
        thread::spawn(move || {
            for i in 0..ROUNDS {
                deliver(&mut receive, i);
                assert_eq!(received(&mut pair), [i]);
                transmit(&mut pair, i);
                assert_eq!(sent(&mut transmitted), [i]);
                assert_eq!(pair.link(), LinkState::Up);
                assert_eq!(pair.arm(), Ok(Armed::Idle));
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    workers.into_iter().for_each(|worker| worker.join().expect("an obedient card"));
}
