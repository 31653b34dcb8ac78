//! Images of disks, looked at from the host: what a guest has really left there.
//!
//! - [`stamps`]: what `block-check` writes to every sector;
//! - [`qcow2`]: images that lose what was not flushed when QEMU is killed;
//! - [`write_log`]: everything that reached a disk, in order, to cut the power at every flush.
//!
//! None of it is the guest's own code: what it writes wrong and reads wrong in the same way is seen here.

pub mod qcow2;
pub mod stamps;
pub mod write_log;
