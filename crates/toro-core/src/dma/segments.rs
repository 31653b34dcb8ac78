//! [`Segments`]: the buffers of one transfer, in order.

use super::DmaBuf;

/// The most bytes that a transfer may have, in all its buffers together.
pub const LONGEST_TRANSFER: u64 = 1 << 31;

/// The buffers that a device fills or reads one after the other, as if they were one: none, one, or many.
///
/// Most transfers have one buffer, and a handle to it is all that moves. Without the feature `alloc` there is no other
/// kind.
#[derive(Debug, Default)]
pub enum Segments {
    /// No data.
    #[default]
    None,
    /// A single buffer.
    One(DmaBuf),
    /// Any number of buffers; the box is the caller's and comes back with the request.
    #[cfg(any(feature = "alloc", test))]
    Many(alloc::boxed::Box<[DmaBuf]>),
}

impl Segments {
    /// The buffers.
    #[inline]
    pub fn as_slice(&self) -> &[DmaBuf] {
        match self {
            Self::None => &[],
            Self::One(buffer) => core::slice::from_ref(buffer),
            #[cfg(any(feature = "alloc", test))]
            Self::Many(buffers) => buffers,
        }
    }

    /// The buffers, to be written to.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [DmaBuf] {
        match self {
            Self::None => &mut [],
            Self::One(buffer) => core::slice::from_mut(buffer),
            #[cfg(any(feature = "alloc", test))]
            Self::Many(buffers) => buffers,
        }
    }

    /// Bytes in all buffers together.
    #[inline]
    pub fn len(&self) -> u64 {
        self.as_slice().iter().map(|buffer| buffer.len() as u64).sum()
    }

    /// Whether there is not a single byte.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The only buffer, if there is exactly one.
    #[inline]
    pub fn into_one(self) -> Option<DmaBuf> {
        match self {
            Self::One(buffer) => Some(buffer),
            _ => None,
        }
    }
}

impl From<DmaBuf> for Segments {
    fn from(buffer: DmaBuf) -> Self {
        Self::One(buffer)
    }
}

#[cfg(any(feature = "alloc", test))]
impl From<alloc::vec::Vec<DmaBuf>> for Segments {
    fn from(buffers: alloc::vec::Vec<DmaBuf>) -> Self {
        Self::Many(buffers.into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::dma::DmaPool;
    use crate::dma::testing::Heap;

    #[test]
    fn buffers_are_counted_and_summed_in_order() {
        let mut pool = DmaPool::new(Heap::default().leak(), 3, 512).expect("memory");
        let mut buffers: Vec<DmaBuf> = core::iter::from_fn(|| pool.take()).collect();
        for (number, buffer) in buffers.iter_mut().enumerate() {
            buffer.set_len(100 * (number + 1)).expect("512 bytes hold that");
        }
        let mut segments = Segments::from(buffers);
        assert_eq!((segments.as_slice().len(), segments.len()), (3, 600));
        segments.as_mut_slice()[1].fill(7);
        assert_eq!(segments.as_slice()[1][..], [7; 200]);
        assert!(segments.into_one().is_none());

        let single = Segments::from(pool.take().expect("they were dropped"));
        assert!(single.is_empty() && single.as_slice().len() == 1);
        assert!(single.into_one().is_some());
        assert!(Segments::None.is_empty() && Segments::None.as_slice().is_empty());
    }
}
