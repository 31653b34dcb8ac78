//! What a mount has done, for those who want to know whether bytes were copied on their way.

/// What a mount has done since it was mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes of files that applications were given.
    pub bytes_read: u64,
    /// Bytes of files that applications gave, and that were written.
    pub bytes_written: u64,
    /// Bytes of files that the processor copied from one place in memory to another.
    pub bytes_copied: u64,
    /// READs that were sent.
    pub reads: u64,
    /// Reads that were answered from memory.
    pub cache_hits: u64,
}
