//! Sorting in a few hundred bytes of code.
//!
//! What is sorted here, a listing before it is sent and the site at the start, is sorted seldom. The sort of `core` is faster
//! and compiled for every type that is sorted; it would be several kilobytes of the image each time. This is heap sort:
//! in place, no recursion, and never worse than `n log n` comparisons, whatever names a directory holds.
//!
//! ```text
//!   heap: each parent is at or behind its children      sorted: all of it behind the heap
//!   [ 9 | 7 8 | 3 5 6 ]                                 [ 10 11 12 ]
//!     ^ the next to go there
//! ```

use core::cmp::Ordering;

/// Sorts `items`; those that compare equal come in any order.
pub fn sort<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let half = items.len() / 2;
    // First every parent sinks, the last one first, which makes a heap; then its greatest item goes to its end.
    for step in (0..half + items.len()).rev() {
        let (root, end) = match step.checked_sub(items.len()) {
            Some(parent) => (parent, items.len()),
            None => {
                items.swap(0, step);
                (0, step)
            }
        };
        if let Some(heap) = items.get_mut(..end) {
            sink(heap, root, &compare);
        }
    }
}

/// Lets the item at `parent` sink below all greater ones.
fn sink<T>(heap: &mut [T], mut parent: usize, compare: impl Fn(&T, &T) -> Ordering) {
    let is_less = |heap: &[T], one: usize, other: usize| match (heap.get(one), heap.get(other)) {
        (Some(one), Some(other)) => compare(one, other).is_lt(),
        _ => false,
    };
    loop {
        let left = 2 * parent + 1;
        let child = if is_less(heap, left, left + 1) { left + 1 } else { left };
        if !is_less(heap, parent, child) {
            return;
        }
        heap.swap(parent, child);
        parent = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_into_the_order_of_the_sort_of_core() {
        // A generator of numbers that need not be good: many are the same, and there is every length.
        let mut state = 1u32;
        for length in 0..200 {
            let mut items: Vec<_> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state >> 24
                })
                .collect();
            let mut expected = items.clone();
            expected.sort_unstable();
            sort(&mut items, u32::cmp);
            assert_eq!(items, expected);
            // What is sorted already, and what is sorted the other way.
            sort(&mut items, u32::cmp);
            assert_eq!(items, expected);
            sort(&mut items, |one, other| other.cmp(one));
            expected.reverse();
            assert_eq!(items, expected);
        }
    }
}
