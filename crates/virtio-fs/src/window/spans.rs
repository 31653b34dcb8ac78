//! [`Spans`]: which parts of the window are free.

use alloc::vec;
use alloc::vec::Vec;

/// A piece of the window: so many bytes from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u64,
    /// Not 0; start and length together do not overflow.
    pub len: u64,
}

impl Span {
    fn end(self) -> u64 {
        self.start + self.len
    }
}

/// Free spans, in order. Invariant: between two of them there is something that is not free.
#[derive(Debug)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// All of a window of `len` bytes, not 0.
    pub fn all(len: u64) -> Self {
        Self(vec![Span { start: 0, len }])
    }

    /// How many bytes there are.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|span| span.len).sum()
    }

    /// Takes `len` bytes out of the first span that has so many; `None` for 0 bytes, and if there is none.
    pub fn take(&mut self, len: u64) -> Option<Span> {
        if len == 0 {
            return None;
        }
        let index = self.0.iter().position(|span| span.len >= len)?;
        let span = self.0.get_mut(index)?;
        let taken = Span { start: span.start, len };
        if span.len == len {
            self.0.remove(index);
        } else {
            *span = Span { start: span.start + len, len: span.len - len };
        }
        Some(taken)
    }

    /// Puts a span back that was taken out.
    pub fn put(&mut self, mut span: Span) {
        let mut index = self.0.partition_point(|free| free.start < span.start);
        if self.0.get(index).is_some_and(|after| after.start == span.end()) {
            span.len += self.0.remove(index).len;
        }
        if let Some(before) = index.checked_sub(1).and_then(|before| self.0.get(before).copied())
            && before.end() == span.start
        {
            index -= 1;
            self.0.remove(index);
            span = Span { start: before.start, len: before.len + span.len };
        }
        self.0.insert(index, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_becomes_one_again_whatever_the_order() {
        const PIECES: usize = 5;
        let mut orders = vec![vec![]];
        for _ in 0..PIECES {
            orders = orders
                .into_iter()
                .flat_map(|order: Vec<usize>| {
                    (0..PIECES)
                        .filter(|next| !order.contains(next))
                        .map(|next| [&order[..], &[next]].concat())
                        .collect::<Vec<_>>()
                })
                .collect();
        }
        assert_eq!(orders.len(), 120);
        for order in orders {
            let mut spans = Spans::all(50);
            let pieces: Vec<_> = (0..PIECES).map(|_| spans.take(10).expect("there are fifty")).collect();
            assert_eq!((spans.total(), spans.take(1)), (0, None));
            for (count, &next) in order.iter().enumerate() {
                spans.put(pieces[next]);
                assert_eq!(spans.total(), 10 * (count as u64 + 1));
                assert!(spans.0.windows(2).all(|pair| pair[0].end() < pair[1].start), "{order:?}: {spans:?}");
            }
            assert_eq!(spans.0, [Span { start: 0, len: 50 }], "{order:?}");
        }
    }

    #[test]
    fn the_first_that_is_long_enough_is_taken() {
        let mut spans = Spans::all(100);
        let pieces = [10, 20, 30, 40].map(|len| spans.take(len).expect("a hundred in all"));
        spans.put(pieces[1]);
        spans.put(pieces[3]);
        assert_eq!(spans.take(41), None);
        assert_eq!(spans.take(21), Some(Span { start: 60, len: 21 }));
        assert_eq!(spans.take(5), Some(Span { start: 10, len: 5 }));
        assert_eq!(spans.take(0), None);
    }
}
