//! [`lend`]: the caller's own memory as buffers for a device, until it is home again.
//!
//! ```text
//!   caller    &mut [u8] ------------ nobody's -------------> &mut [u8] again
//!                |  lend                                         ^
//!                v                                               | all home: lend returns
//!   work      [DmaBuf][DmaBuf]..  --submit--> queue --completion--> drop
//!                                     wait(), again and again, until then
//! ```
//!
//! An owned [`DmaBuf`] can be abandoned: it stays with the queue. Borrowed memory cannot, since its owner uses it again when
//! the borrow ends, and a device that writes then writes over whatever lies there. So a borrow that ends while a device has
//! the memory must not exist. What does not work is a guard that waits when it is dropped: safe code may forget a guard, and
//! the borrow ends all the same. What works is a call that does not return: nobody can forget the frame that it runs in.
//!
//! # Ownership
//!
//! Each piece of the memory is an ordinary [`DmaBuf`], the only handle to its bytes like any other, and goes through queues
//! and drivers that know nothing of all this. Its pool has one buffer and lies in the frame of `lend`. A handle that is
//! dropped, on whatever core, puts its buffer into its pool's list, and `lend` returns when all lists are full: then no
//! handle exists, and since a queue gives a handle back only when its device has done with it, or has confirmed a reset, no
//! device has the memory either.
//!
//! # Failure
//!
//! If a buffer never comes home, `lend` never returns: to return would be undefined behaviour. It is up to `wait` to see to
//! it that this does not happen, that is, to reset a device that answers no more; and who knows no way to do that should not
//! lend but copy. Safe code can forget a buffer, too: its own call then never ends, and nothing worse.
//!
//! If `work` panics, the memory is waited for before the panic goes on. If `wait` panics, there is no way to go on, and the
//! program is aborted.
//!
//! Only memory that will be *written* is lent. To lend `&[u8]` would take a buffer that nobody can write to, and a `DmaBuf`
//! can be written by whoever holds it.

use core::mem::{self, MaybeUninit};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use super::buf::{BufferSlot, DmaBuf};
use super::memory::Dma;
use super::pool::{LARGEST_BUFFER, PoolShared};

/// The loans of one call. Dropped, it waits until all are home.
struct Loans<W: FnMut()> {
    /// The pools that the buffers go home to, one for each. Invariant: the first `count` of them are filled in and stay where
    /// they are for as long as this value lives.
    pools: NonNull<PoolShared>,
    count: usize,
    wait: W,
}

/// Ends the program if it is dropped.
struct NoWayBack;

impl Drop for NoWayBack {
    fn drop(&mut self) {
        // It is dropped by a panic only; a second one is an abort.
        panic!("a device still has memory that was lent to it");
    }
}

impl<W: FnMut()> Loans<W> {
    fn are_home(&self) -> bool {
        (0..self.count).all(|index| {
            // SAFETY: `index < count`, and so many lie there one behind the other.
            let pool = unsafe { self.pools.add(index) };
            // SAFETY: filled in and alive, by the invariant; it is shared with the handles, which change it through atomics
            // only.
            let pool = unsafe { pool.as_ref() };
            pool.is_home()
        })
    }
}

impl<W: FnMut()> Drop for Loans<W> {
    fn drop(&mut self) {
        let no_way_back = NoWayBack;
        while !self.are_home() {
            (self.wait)();
        }
        mem::forget(no_way_back);
    }
}

/// Lends `bytes` to whom `work` passes the buffers on to, in pieces of `piece` bytes, the last of which may be shorter, and
/// returns when all of them have been dropped or recycled. Until then it calls `wait` again and again, which should give
/// whoever has the buffers a chance, and reset a device that does not come back; see the module.
///
/// `None`, without having called anything, if devices cannot reach the memory as it is, or if it is empty or has more than
/// `N` pieces; then copying is the thing to do.
pub fn lend<const N: usize, R>(
    memory: Dma,
    bytes: &mut [u8],
    piece: usize,
    work: impl FnOnce([Option<DmaBuf>; N]) -> R,
    wait: impl FnMut(),
) -> Option<R> {
    let length = bytes.len();
    let count = length.div_ceil(piece.max(1));
    if count == 0 || count > N || piece == 0 || piece > LARGEST_BUFFER {
        return None;
    }
    // All accesses from here to the end come from this pointer, and `bytes` is not touched until then.
    let base = NonNull::from(bytes).cast::<u8>();
    let bus = memory.reach(base, length)?;
    let mut slots = [const { MaybeUninit::<BufferSlot>::uninit() }; N];
    let mut pools = [const { MaybeUninit::<PoolShared>::uninit() }; N];
    let (slots, pools) =
        (NonNull::from(&mut slots).cast::<BufferSlot>(), NonNull::from(&mut pools).cast::<PoolShared>());
    let mut buffers = [const { None }; N];
    for (index, buffer) in buffers.iter_mut().enumerate().take(count) {
        let start = index * piece;
        // SAFETY: `index < count <= N`.
        let slot = unsafe { slots.add(index) };
        // SAFETY: as above.
        let pool = unsafe { pools.add(index) };
        let capacity = piece.min(length - start);
        // SAFETY: `start < length`, as `count` pieces are needed for it.
        let data = unsafe { base.add(start) };
        let filled = BufferSlot {
            data: data.as_ptr(),
            bus: bus.offset(start as u64).get(),
            pool: pool.as_ptr(),
            start: 0,
            len: AtomicU32::new(capacity as u32),
        };
        // SAFETY: room for one, which is in scope until the end of this function, and nobody else knows it yet.
        unsafe { pool.write(PoolShared::of_one(slot, capacity as u32, memory)) };
        // SAFETY: as above.
        unsafe { slot.write(filled) };
        // SAFETY:
        // - filled in, just now; `start + len` is the capacity, and so many bytes at `data` are the caller's, initialised
        //   and exclusively ours while `bytes` is borrowed;
        // - the pool lives until this function returns, which it does after the buffer has come home: `Loans` sees to that;
        // - this is the only handle.
        *buffer = Some(unsafe { DmaBuf::from_slot(slot) });
    }
    // From here on nothing leaves this function, neither by returning nor by panicking, before all are home.
    let loans = Loans { pools, count, wait };
    let result = work(buffers);
    drop(loans);
    Some(result)
}

impl PoolShared {
    /// Whether the one buffer of such a pool has been dropped.
    fn is_home(&self) -> bool {
        // Acquire: pairs with the Release of `give_back`; whatever was done with the buffer happened before.
        self.returned().load(Ordering::Acquire) == 0
    }
}

#[cfg(test)]
mod tests;
