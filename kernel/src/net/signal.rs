//! [`Signal`]: how the stack says that a socket has become ready.

/// What the stack calls when a socket may have become ready.
///
/// The stack keeps one clone per socket; whoever waits keeps another. A call is a hint: the waiter tries its
/// operation again and may find that it still has to wait. A call never blocks and never calls the stack back.
pub trait Signal: Clone + Default {
    /// There is something to read or to accept, or reading will not wait any more because the connection ended.
    fn readable(&self);

    /// There is room to write, the connection has been established, or it ended.
    fn writable(&self);
}

impl Signal for () {
    fn readable(&self) {}

    fn writable(&self) {}
}
