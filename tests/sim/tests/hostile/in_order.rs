//! Used rings of devices that promised to complete in order.

use toro_core::driver::DeviceFault;

use crate::rig::{IN_ORDER, INDIRECT_DESC, is_poisoned_and_recovers, recovers, with_cells, with_requests};

const ORDERED: u64 = INDIRECT_DESC | IN_ORDER;

#[test]
fn hd_vq_12_an_id_that_ends_no_batch_is_a_fault() {
    // Five in flight, from slot 0 on; two of them used.
    for id in [2, 3, 4, 5, 7] {
        let (mut bench, _) = with_requests(5, ORDERED);
        bench.other.push_batch(2, id, 0);
        let fault = DeviceFault::UsedIdOutOfOrder { id };
        assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
        is_poisoned_and_recovers(bench, fault, 5);
    }
}

#[test]
fn hd_vq_12_an_id_from_before_is_a_fault() {
    let (mut bench, chains) = with_requests(6, ORDERED);
    let id = u32::from(chains[1].head);
    bench.other.push_batch(3, chains[2].head.into(), 16);
    bench.other.push_batch(1, id, 16);
    for cookie in 0..3 {
        assert_eq!(bench.queue.poll().expect("that was true").expect("it completed").cookie, cookie);
    }
    let fault = DeviceFault::UsedIdOutOfOrder { id };
    assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
    is_poisoned_and_recovers(bench, fault, 3);
}

#[test]
fn hd_vq_12_completions_out_of_order_are_a_fault() {
    let (mut bench, chains) = with_cells(4, ORDERED);
    let id = u32::from(chains[2].head);
    bench.other.push(id, 1);
    assert_eq!(bench.queue.poll().expect_err("a lie"), DeviceFault::UsedIdOutOfOrder { id });
    recovers(bench, 4);
}

#[test]
fn hd_vq_12_an_id_beyond_the_queue_is_not_cut_to_one_within() {
    for id in [8, 0x1_0001, u32::MAX] {
        let (mut bench, _) = with_requests(3, ORDERED);
        bench.other.push_batch(2, id, 0);
        let fault = DeviceFault::UsedIdOutOfRange { id };
        assert_eq!(bench.queue.poll().expect_err("a lie"), fault);
        is_poisoned_and_recovers(bench, fault, 3);
    }
}

#[test]
fn hd_vq_12_a_batch_that_ends_within_what_is_shown_leaves_the_rest_to_the_next_element() {
    // Three are shown, the element names the second: the third's element holds a zero, which is no lie only once.
    let (mut bench, chains) = with_requests(4, ORDERED);
    bench.other.push_batch(3, chains[1].head.into(), 16);
    let mut cookies = Vec::new();
    let result = bench.queue.drain(|done| cookies.push(done.cookie));
    let fault = DeviceFault::UsedIdOutOfOrder { id: 0 };
    assert_eq!((result, cookies), (Err(fault), vec![0, 1]));
    is_poisoned_and_recovers(bench, fault, 2);
}
