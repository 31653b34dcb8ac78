//! Requests of one channel that wait, in their order; the first one is being served.

use toro_core::driver::block::BlockRequest;

/// How many fit.
pub(crate) const DEPTH: usize = 32;

/// A ring of requests. Places keep their number while a request is in them.
pub(crate) struct Queue {
    places: [Option<BlockRequest>; DEPTH],
    first: usize,
    length: usize,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { places: [const { None }; DEPTH], first: 0, length: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.length == DEPTH
    }

    /// Appends a request where there is room; says in which place it is, or gives it back.
    pub(crate) fn push(&mut self, request: BlockRequest) -> Result<usize, BlockRequest> {
        if self.is_full() {
            return Err(request);
        }
        let place = (self.first + self.length) % DEPTH;
        self.places[place] = Some(request);
        self.length += 1;
        Ok(place)
    }

    pub(crate) fn first(&mut self) -> Option<&mut BlockRequest> {
        self.places[self.first].as_mut()
    }

    /// Takes the first request out, with its place.
    pub(crate) fn pop(&mut self) -> Option<(usize, BlockRequest)> {
        let place = self.first;
        let request = self.places[place].take()?;
        self.first = (place + 1) % DEPTH;
        self.length -= 1;
        Some((place, request))
    }
}
