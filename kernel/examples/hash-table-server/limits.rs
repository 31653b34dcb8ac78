//! How large things may be, and how long they may take.

use core::time::Duration;

/// The port, unless another one is asked for.
pub const PORT: u16 = 7000;
/// Memory for keys and values on each core in MiB, unless something else is asked for.
pub const SHARD_MIB: u64 = 8;
/// Longest key, in bytes.
pub const KEY: usize = 250;
/// Longest value, in bytes.
pub const VALUE: usize = 8 * 1024;
/// Longest line, its end not included: the longest `SET` there is.
pub const LINE: usize = "SET ".len() + KEY + " ".len() + VALUE;
/// What an entry costs besides its key and its value, roughly.
pub const ENTRY: usize = 64;
/// Connections that a core serves at once.
pub const CONNECTIONS: usize = 128;
/// Questions of one core that may wait for a shard.
pub const QUESTIONS: usize = 64;
/// Stack of a thread that serves a connection, in bytes.
pub const STACK: usize = 32 * 1024;
/// How long a connection may be silent.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client may leave an answer unread.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a shard may take to answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a DHCP server may take to give us an address.
pub const ADDRESS_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the accepting thread waits after a failure that may pass.
pub const PAUSE: Duration = Duration::from_millis(50);
