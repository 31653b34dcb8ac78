//! [`TcpListener`] and [`TcpStream`], with the names and semantics of `std::net`.
//!
//! ```ignore
//! let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 7))?;
//! for stream in listener.incoming() {
//!     let mut stream = stream?;
//!     thread::spawn(move || {
//!         let mut buffer = [0; 1024];
//!         while let Ok(len @ 1..) = stream.read(&mut buffer) {
//!             stream.write_all(&buffer[..len])?;
//!         }
//!         io::Result::Ok(())
//!     });
//! }
//! ```
//!
//! # Waiting
//!
//! Calls that wait block the calling thread only. Where `std` answers `WouldBlock` after a timeout on some systems
//! and `TimedOut` on others, the answer here is [`ErrorKind::TimedOut`](crate::io::ErrorKind::TimedOut).
//!
//! Calls of a non-blocking socket answer [`WouldBlock`](crate::io::ErrorKind::WouldBlock) instead, after they have let
//! other threads run once and tried again: the core's loop drives the network, and a thread that only ever tries would keep
//! it from doing so. [`poll`](super::poll) waits for many sockets.
//!
//! # Full buffers
//!
//! What is written waits in the connection's transmit buffer until the peer has acknowledged it. While that is full, or
//! the peer takes nothing, or the device has no room for frames, writing waits; nothing is dropped and nothing grows.

mod listener;
mod options;
mod stream;

pub use listener::{Incoming, TcpListener};
pub(super) use options::hop_limit;
pub use stream::TcpStream;

/// Why an id can be borrowed.
const LIVE: &str = "the id is taken only by drop";

/// Which half of a connection to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The one that receives.
    Read,
    /// The one that sends.
    Write,
    /// Both.
    Both,
}

/// What becomes of a connection whose last owner lets go of it: `SO_LINGER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// Nobody waits: what was written is still sent, then the end, in the background.
    #[default]
    Background,
    /// The thread waits until the peer has acknowledged everything, at most so long; then the connection is reset. A time
    /// of zero resets it at once.
    AtMost(crate::time::Duration),
}
